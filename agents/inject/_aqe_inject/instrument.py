"""One pass over a module's syntax tree: probes on arms, mutants behind a switch, a step budget, a breaking point.

All mutants live in one program, each behind a compare with the switch (mutant schemata: Untch, Offutt & Harrold,
"Mutation analysis using mutant schemata", ISSTA 1993), so that turning one on costs a store and no compilation. The
behaviour of the program with no mutant on is that of the source: same lines, docstrings, cells and flags.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from .arms import Arm, ArmPlan, constant_test, is_irrefutable, plan_arms
from .mutants import (
    Alternative,
    Mutant,
    condition_alternatives,
    expression_alternatives,
    quiet_call,
    quiet_statement,
    statement_alternatives,
    value_alternatives,
)
from .probes import ENTER, HITS, SWITCH, TURN, BrokenTwin, Probes, StepLimit

__all__ = ["Arm", "BrokenTwin", "Metaprogram", "Mutant", "Probes", "StepLimit", "instrument"]

LEFT_OUT_SHARE = 0.15
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Metaprogram:
    """An instrumented module. `code` is to be run in a namespace that `Probes` has prepared.

    `arms[i].id == i`, `mutants[i].id == i`. `lines` are the first lines of statements that coverage.py counts;
    `entries` maps a function's qualified name to the arm that its entry takes.
    """

    code: CodeType
    arms: List[Arm]
    mutants: List[Mutant]
    lines: Tuple[int, ...]
    entries: Dict[str, int]


def instrument(
    source: str, filename: str, *, mutants: bool = True, forced_mutant: Optional[int] = None, at_import: bool = False
) -> Metaprogram:
    """Instrument `source`. With `forced_mutant` that mutant is built in for good, also where it runs at import.

    With `at_import` the switch is asked at import as well: the code can be run again, another mutant on each time.

    Raises SyntaxError for a source that does not compile.
    """
    tree = ast.parse(source, filename)
    plan = plan_arms(tree, source, filename)
    entries = {arm.function: arm.id for arm in plan.arms if arm.kind == "entry"}
    work = _Instrumenter(plan, source, mutants, forced_mutant, at_import)
    tree.body = work.body(tree.body)
    ast.fix_missing_locations(tree)
    code = compile(tree, filename, "exec", dont_inherit=True)
    lines = tuple(sorted(plan.statements - plan.excluded - _docstring_lines(tree)))
    return Metaprogram(code, plan.arms, _limit_left_out(work.mutants), lines, entries)


def _docstring_lines(tree: ast.Module) -> Set[int]:
    lines: Set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS)) and node.body and _is_text(node.body[0]):
            lines.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return lines


def _limit_left_out(mutants: List[Mutant]) -> List[Mutant]:
    """Take mutants back in, the most telling reasons first, until at most 15 % are left out."""
    spare = sum(1 for mutant in mutants if mutant.left_out) - int(len(mutants) * LEFT_OUT_SHARE)
    result = list(mutants)
    for reason in ("internal assertion", "text of a repr", "metadata", ""):
        for position in range(len(result) - 1, -1, -1):
            mutant = result[position]
            if spare > 0 and mutant.left_out and reason in ("", mutant.left_out):
                result[position] = replace(mutant, left_out="")
                spare -= 1
    return result


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _name(name: str) -> ast.Name:
    return ast.Name(id=name, ctx=ast.Load())


def _call(name: str) -> ast.Call:
    return ast.Call(func=_name(name), args=[], keywords=[])


class _Instrumenter:
    """Rebuilds statements and expressions; mutants are numbered in the order in which they are met."""

    def __init__(
        self, plan: ArmPlan, source: str, with_mutants: bool, forced: Optional[int], at_import: bool = False
    ) -> None:
        self.marks = plan.marks
        self.plan = plan
        self.lines = source.splitlines(keepends=True)
        self.with_mutants = with_mutants
        self.forced = forced
        self.at_import = at_import
        self.mutants: List[Mutant] = []
        self.names: List[str] = []
        self.depth = 0  # function bodies around the current node; 0 runs at import
        self.quiet: List[str] = []
        self.serial: Dict[str, int] = {}

    # probes

    def hits(self, node: ast.AST, place: str, at: ast.AST) -> List[ast.stmt]:
        """Stores for the arms that are taken at this place."""
        stores: List[ast.stmt] = []
        for arm in self.marks.get((id(node), place), ()):
            target = ast.Subscript(value=_name(HITS), slice=ast.Constant(value=arm), ctx=ast.Store())
            stores.append(ast.Assign(targets=[target], value=ast.Constant(value=1)))
        return [_locate(store, at) for store in stores]

    def tick(self, name: str, at: ast.AST) -> Any:
        return _locate(ast.Expr(value=_call(name)), at)

    # mutants

    def text(self, node: Any) -> str:
        """The source of a node, on one line, at most 60 characters."""
        line, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        first, last = node.col_offset, node.end_col_offset
        chunk = self.lines[line : end + 1]
        if not chunk:
            return ""
        raw = [part.encode("utf-8", "surrogatepass") for part in chunk]
        raw[-1] = raw[-1][:last]
        raw[0] = raw[0][first:]
        text = " ".join(b"".join(raw).decode("utf-8", "replace").split())
        return text if len(text) <= 60 else text[:57] + "..."

    def number(self, node: Any, found: Iterable[Alternative]) -> List[Tuple[int, Any]]:
        """Give each alternative its id; returns (id, node) pairs."""
        numbered: List[Tuple[int, Any]] = []
        if not self.with_mutants:
            return numbered
        line = self.plan.starts.get(node.lineno, node.lineno)
        if line in self.plan.excluded or node.lineno in self.plan.excluded:
            return numbered
        reason = next((quiet for quiet in reversed(self.quiet) if quiet), "")
        for alternative in found:
            place = "%d:%d:%s" % (node.lineno, node.col_offset, alternative.operator.replace(" ", "-"))
            self.serial[place] = serial = self.serial.get(place, -1) + 1
            mutant = Mutant(
                len(self.mutants), "%s:%d" % (place, serial), alternative.operator, node.lineno, ".".join(self.names),
                alternative.original, alternative.replacement, self.depth == 0, reason,
            )  # fmt: skip
            self.mutants.append(mutant)
            numbered.append((mutant.id, alternative.node))
        return numbered

    def choose(self, node: ast.expr, numbered: List[Tuple[int, Any]], rebuild: Any) -> Any:
        """The expression with its alternatives behind the switch. `rebuild` makes the instrumented original."""
        for mutant, other in numbered:
            if mutant == self.forced:
                rebuild()
                return _locate(other, node)
        original = rebuild()
        if not numbered or (self.depth == 0 and not self.at_import):
            return original
        first, last = numbered[0][0], numbered[-1][0]
        chain = numbered[-1][1]
        for mutant, other in reversed(numbered[:-1]):
            chain = ast.IfExp(test=_is_on(mutant), body=other, orelse=chain)
        test = _is_on(first) if first == last else _is_between(first, last)
        return _locate(ast.IfExp(test=test, body=chain, orelse=original), node)

    # expressions

    def expr(self, node: Any, truths: Tuple[bool, ...] = (), none: str = "") -> Any:
        """An expression in a place where it is evaluated. `truths`: it is a condition; `none`: it may become None."""
        if node is None or not isinstance(node, ast.expr):
            return node
        found: List[Alternative] = []
        if self.with_mutants:
            text = self.text(node)
            found.extend(condition_alternatives(node, text, truths) if truths else ())
            found.extend(value_alternatives(node, none, text) if none else ())
            if isinstance(getattr(node, "ctx", None) or ast.Load(), ast.Load):
                found.extend(expression_alternatives(node, text))
        numbered = self.number(node, found)
        return self.choose(node, numbered, lambda: self.inside(node))

    def inside(self, node: Any) -> Any:
        """Rebuild what an expression is made of."""
        if isinstance(node, (ast.Constant, ast.Name)):
            return node
        if isinstance(node, ast.Lambda):
            return self.function_expression(node)
        if isinstance(node, ast.IfExp):
            node.test = self.expr(node.test, (True, False))
            node.body, node.orelse = self.expr(node.body), self.expr(node.orelse)
        elif isinstance(node, ast.JoinedStr):
            for value in node.values:
                if isinstance(value, ast.FormattedValue):
                    value.value = self.expr(value.value)
        elif type(node).__name__ in ("TemplateStr", "Interpolation"):
            return node
        elif isinstance(node, ast.Call):
            self.quiet.append(quiet_call(node))
            self.fields(node)
            self.quiet.pop()
        else:
            self.fields(node)
        return node

    def fields(self, node: ast.AST) -> None:
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, field, self.expr(value))
            elif isinstance(value, list):
                setattr(node, field, [self.part(item) for item in value])
            elif isinstance(value, (ast.keyword, ast.comprehension)) or type(value).__name__ == "Index":
                self.part(value)

    def part(self, item: Any) -> Any:
        if isinstance(item, ast.expr):
            return self.expr(item)
        if isinstance(item, ast.keyword):
            item.value = self.expr(item.value)
        elif isinstance(item, ast.comprehension):
            item.iter = self.expr(item.iter)
            item.ifs = [self.expr(test, (True, False)) for test in item.ifs]
        return item

    def function_expression(self, node: ast.Lambda) -> ast.Lambda:
        self.arguments(node.args)
        self.names.append("<lambda>")
        self.depth += 1
        body = self.expr(node.body)
        self.depth -= 1
        self.names.pop()
        test = ast.Compare(left=_call(ENTER), ops=[ast.Is()], comparators=[ast.Constant(value=None)])
        node.body = _locate(ast.IfExp(test=test, body=body, orelse=ast.Constant(value=None)), node.body)
        return node

    def arguments(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.expr(default) for default in arguments.defaults]
        arguments.kw_defaults = [self.expr(default) for default in arguments.kw_defaults]

    # statements

    def body(self, body: List[ast.stmt]) -> List[ast.stmt]:
        result: List[ast.stmt] = []
        for statement in body:
            if _is_text(statement) or isinstance(statement, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)):
                result.append(statement)
                continue
            after = self.hits(statement, "after", statement)
            self.quiet.append(quiet_statement(statement, self.names[-1] if self.names else ""))
            result.extend(self.statement(statement))
            self.quiet.pop()
            result.extend(after)
        return result

    def statement(self, node: ast.stmt) -> List[ast.stmt]:
        if isinstance(node, _FUNCTIONS):
            return [self.function(node)]
        if isinstance(node, ast.ClassDef):
            return [self.class_body(node)]
        if isinstance(node, ast.If):
            return [self.condition(node)]
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            return [self.loop(node)]
        if type(node).__name__ == "Match":
            return [self.match(node)]
        if type(node).__name__ in ("Try", "TryStar"):
            return [self.attempt(node)]
        if isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                item.context_expr, item.optional_vars = self.expr(item.context_expr), self.expr(item.optional_vars)
            node.body = self.body(node.body)
            return [node]
        if type(node).__name__ == "TypeAlias":
            return [node]
        return self.simple(node)

    def simple(self, node: Any) -> List[ast.stmt]:
        numbered = self.number(node, statement_alternatives(node, self.text(node)) if self.with_mutants else ())
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            if isinstance(node, ast.Assign):
                node.targets = [self.expr(target) for target in node.targets]
            else:
                node.target = self.expr(node.target)
            node.value = self.expr(node.value, none="assigned value")
        elif isinstance(node, ast.Return):
            node.value = self.expr(node.value, none="returned value")
        else:
            self.fields(node)
        return self.choose_statement(node, numbered)

    def choose_statement(self, node: ast.stmt, numbered: List[Tuple[int, Any]]) -> List[ast.stmt]:
        for mutant, other in numbered:
            if mutant == self.forced:
                return [other]
        if not numbered or (self.depth == 0 and not self.at_import):
            return [node]
        current = node
        for mutant, other in reversed(numbered):
            current = _locate(ast.If(test=_is_on(mutant), body=[other], orelse=[current]), node)
        return [current]

    def function(self, node: Any) -> Any:
        entry = self.hits(node, "entry", node)
        node.decorator_list = [self.expr(decorator) for decorator in node.decorator_list]
        self.arguments(node.args)
        self.names.append(node.name)
        self.quiet.append(quiet_statement(node, node.name))
        self.depth += 1
        head = 1 if node.body and _is_text(node.body[0]) else 0
        entry.append(self.tick(ENTER, node.body[head] if head < len(node.body) else node.body[0]))
        node.body = node.body[:head] + entry + self.body(node.body[head:])
        self.depth -= 1
        self.quiet.pop()
        self.names.pop()
        return node

    def class_body(self, node: ast.ClassDef) -> ast.stmt:
        node.decorator_list = [self.expr(decorator) for decorator in node.decorator_list]
        node.bases = [self.expr(base) for base in node.bases]
        node.keywords = [self.part(keyword) for keyword in node.keywords]
        self.names.append(node.name)
        node.body = self.body(node.body)
        self.names.pop()
        return node

    def condition(self, node: ast.If) -> ast.stmt:
        body, orelse = self.hits(node, "body", node.body[0]), self.hits(node, "else", node)
        if not constant_test(node.test)[0]:
            node.test = self.expr(node.test, (True, False))
        node.body = body + self.body(node.body)
        node.orelse = orelse + self.body(node.orelse)
        return node

    def loop(self, node: Any) -> Any:
        body, orelse = self.hits(node, "body", node.body[0]), self.hits(node, "else", node)
        if isinstance(node, ast.While):
            node.test = self.expr(node.test, () if constant_test(node.test)[0] else (False,))
        else:
            node.target, node.iter = self.expr(node.target), self.expr(node.iter)
        node.body = [*body, self.tick(TURN, node.body[0]), *self.body(node.body)]
        node.orelse = orelse + self.body(node.orelse)
        return node

    def match(self, node: Any) -> Any:
        node.subject = self.expr(node.subject)
        for case in node.cases:
            case.guard = self.expr(case.guard, (True, False))
            case.body = self.hits(case, "body", case.body[0]) + self.body(case.body)
        missed = self.hits(node, "none", node)
        if missed and not is_irrefutable(node.cases[-1]):
            syntax: Any = ast  # 3.10 and newer
            anything = _locate(syntax.MatchAs(pattern=None, name=None), node)
            node.cases.append(syntax.match_case(pattern=anything, guard=None, body=missed))
        return node

    def attempt(self, node: Any) -> Any:
        node.body = self.body(node.body)
        for handler in node.handlers:
            handler.type = self.expr(handler.type)
            swallowed = ast.copy_location(ast.Raise(exc=None, cause=None), handler)
            alternative = Alternative("exception handler", swallowed, "except", "raise again")
            numbered = self.number(handler, [alternative] if self.with_mutants else ())
            again = self.choose_statement(_locate(ast.Pass(), handler.body[0]), numbered)
            body = self.hits(handler, "body", handler.body[0]) + self.body(handler.body)
            handler.body = (again if numbered and not isinstance(again[0], ast.Pass) else []) + body
        node.orelse, node.finalbody = self.body(node.orelse), self.body(node.finalbody)
        return node


def _is_on(mutant: int) -> ast.expr:
    return ast.Compare(left=_name(SWITCH), ops=[ast.Eq()], comparators=[ast.Constant(value=mutant)])


def _is_between(first: int, last: int) -> ast.expr:
    low, high = ast.Constant(value=first), ast.Constant(value=last)
    return ast.Compare(left=low, ops=[ast.LtE(), ast.LtE()], comparators=[_name(SWITCH), high])


def _locate(node: Any, like: ast.AST) -> Any:
    """Give a new node, and what it is made of, the place of an old one."""
    return ast.fix_missing_locations(ast.copy_location(node, like))


def __getattr__(name: str) -> Any:
    """`load` and `load_all` live in `loading`, which needs this module first."""
    if name in ("load", "load_all"):
        from . import loading

        return getattr(loading, name)
    raise AttributeError(name)
