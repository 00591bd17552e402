"""The branch arms of a module, numbered: which way each `if`, loop and `case` can go, as coverage.py counts it.

An arm is a pair (line, target): the line that decides and the first line that runs next; a negative target is the
exit of the function, class or module that starts on that line. Where both lines agree there is no arm. `counted` arms
are those that coverage.py's branch figure counts; the others (`except` clauses, function entries, arms into excluded
lines) only guide a search.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Set, Tuple

from .exclusions import excluded_lines, first_lines, statement_lines

Mark = Tuple[int, str]  # (id of the node, place): where a probe has to stand


@dataclass(frozen=True)
class Arm:
    """One way a branch can go. `line` and `target` are 1-based; `function` is the qualified name it lies in."""

    id: int
    line: int
    target: int
    function: str
    kind: str
    counted: bool = True


@dataclass
class ArmPlan:
    """The arms and, for each place in the tree, the ids of the arms that are taken there."""

    arms: List[Arm]
    marks: Dict[Mark, List[int]]
    statements: Set[int]
    excluded: Set[int]
    starts: Dict[int, int]


def plan_arms(tree: ast.Module, source: str, filename: str) -> ArmPlan:
    """Number the arms of `tree`, which was parsed from `source`."""
    starts = first_lines(source)
    code = compile(tree, filename, "exec", dont_inherit=True)
    plan = ArmPlan([], {}, statement_lines(code, starts), excluded_lines(tree, source, starts), starts)
    _Planner(plan).module(tree)
    plan.arms = _count(plan)
    return plan


def _count(plan: ArmPlan) -> List[Arm]:
    """Flag the arms that coverage.py counts: two or more ways out of a line, excluded lines apart."""
    exits: Dict[int, Set[int]] = {}
    for arm in plan.arms:
        if arm.counted and arm.line not in plan.excluded and arm.target not in plan.excluded:
            exits.setdefault(arm.line, set()).add(arm.target)
    return [
        replace(arm, counted=arm.counted and len(exits.get(arm.line, ())) > 1 and arm.target in exits[arm.line])
        for arm in plan.arms
    ]


def constant_test(node: ast.expr) -> Tuple[bool, bool]:
    """Whether a condition is a compile-time constant, and its truth."""
    if isinstance(node, ast.Constant):
        return True, bool(node.value)
    if isinstance(node, ast.Name) and node.id == "__debug__":
        return True, True
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        known, value = constant_test(node.operand)
        return known, not value
    if isinstance(node, ast.BoolOp):
        parts = [constant_test(value) for value in node.values]
        if all(known for known, _ in parts):
            truths = [value for _, value in parts]
            return True, any(truths) if isinstance(node.op, ast.Or) else all(truths)
    return False, False


def is_irrefutable(case: Any) -> bool:
    """Whether a `case` clause matches whatever reaches it."""
    if case.guard is not None:
        return False
    pattern = case.pattern
    while True:
        name = type(pattern).__name__
        if name == "MatchOr":
            pattern = pattern.patterns[-1]
        elif name == "MatchAs" and pattern.pattern is not None:
            pattern = pattern.pattern
        else:
            return name == "MatchAs"


class _Planner:
    """Walks statements with the line that runs after each, so that every arm knows its target."""

    def __init__(self, plan: ArmPlan) -> None:
        self.plan = plan
        self.names: List[str] = []
        self.jumps: Dict[str, int] = {"Return": -1, "Raise": -1}
        self.known: Dict[Tuple[int, int, bool], int] = {}

    def line(self, node: Any) -> int:
        """The line coverage.py gives a statement: its first, or that of its first decorator."""
        number: int = node.lineno
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.decorator_list:
            number = node.decorator_list[0].lineno
        return self.plan.starts.get(number, number)

    def arm(self, node: ast.AST, place: str, line: int, target: int, kind: str, counted: bool = True) -> None:
        if counted and line == target:
            counted = False
        key = (line, target, counted)
        found = self.known.get(key) if counted else None
        if found is None:
            found = len(self.plan.arms)
            self.plan.arms.append(Arm(found, line, target, ".".join(self.names), kind, counted))
            self.known[key] = found
        self.plan.marks.setdefault((id(node), place), []).append(found)

    def first(self, body: List[ast.stmt], after: int) -> int:
        for statement in body:
            if self.line(statement) in self.plan.statements:
                return self.line(statement)
        return after

    def module(self, tree: ast.Module) -> None:
        self.body(tree.body, -1)

    def body(self, body: List[ast.stmt], after: int) -> None:
        for position, statement in enumerate(body):
            if self.line(statement) in self.plan.statements:
                self.statement(statement, self.first(body[position + 1 :], after))

    def statement(self, node: Any, after: int) -> None:
        name = type(node).__name__
        if name == "If":
            self.condition(node, after)
        elif name in ("For", "AsyncFor", "While"):
            self.loop(node, after)
        elif name == "Match":
            self.match(node, after)
        elif name in ("Try", "TryStar"):
            self.attempt(node, after)
        elif name in ("With", "AsyncWith"):
            self.body(node.body, after)
        elif name in ("FunctionDef", "AsyncFunctionDef", "ClassDef"):
            self.definition(node, after)

    def definition(self, node: Any, after: int) -> None:
        body: List[ast.stmt] = node.body
        start = self.line(node)
        is_class = isinstance(node, ast.ClassDef)
        if self.first(body, 0) == start:
            self.arm(node, "after", start, after, "definition")
            self.arm(node, "after" if is_class else "entry", start, -start, "one-line body")
        self.names.append(node.name)
        outer = self.jumps
        self.jumps = {"Return": -start, "Raise": -start}
        if not is_class:
            self.arm(node, "entry", node.lineno, -node.lineno, "entry", counted=False)
            self.names.append("<locals>")
        self.body(body, -start)
        self.jumps = outer
        del self.names[-1 if is_class else -2 :]

    def condition(self, node: ast.If, after: int) -> None:
        start = self.plan.starts.get(node.test.lineno, node.test.lineno)
        known, value = constant_test(node.test)
        if not known or value:
            target = self.first(node.body, after)
            if target == start:  # on one line: the arm leads to where the line's last statement goes
                target = self.jumps.get(type(node.body[-1]).__name__, after)
            self.arm(node, "body", start, target, "if true")
            self.body(node.body, after)
        if not known or not value:
            self.arm(node, "else", start, self.first(node.orelse, after), "if false")
            self.body(node.orelse, after)

    def loop(self, node: Any, after: int) -> None:
        is_while = isinstance(node, ast.While)
        head = node.test if is_while else node.iter
        start = self.plan.starts.get(head.lineno, head.lineno)
        known = is_while and constant_test(head)[0]
        self.arm(node, "body", start, self.first(node.body, start), "loop entered")
        outer = self.jumps
        self.jumps = dict(outer, Break=after, Continue=start)
        self.body(node.body, start)
        self.jumps = outer
        orelse: List[ast.stmt] = node.orelse
        if orelse or not known:
            self.arm(node, "else", start, self.first(orelse, after), "loop ended")
        self.body(orelse, after)

    def match(self, node: Any, after: int) -> None:
        cases = node.cases
        heads = [self.plan.starts.get(case.pattern.lineno, case.pattern.lineno) for case in cases]
        for position, case in enumerate(cases):
            last = position + 1 == len(cases)
            self.arm(case, "body", heads[position], self.first(case.body, after), "case matched")
            if not last:
                passed_over = cases[position + 1 :]
                self.skip(node, passed_over, heads[position], heads[position + 1])
            elif not is_irrefutable(case):
                self.skip(node, [], heads[position], after)
            self.body(case.body, after)

    def skip(self, node: ast.AST, later: List[ast.AST], line: int, target: int) -> None:
        """A case that did not match is seen where a later one does, or where none does."""
        for case in later:
            self.arm(case, "body", line, target, "case passed over")
        if not later or not is_irrefutable(later[-1]):
            self.arm(node, "none", line, target, "case passed over")

    def attempt(self, node: Any, after: int) -> None:
        final: List[ast.stmt] = node.finalbody
        onward = self.first(final, after)
        orelse: List[ast.stmt] = node.orelse
        outer = self.jumps
        if node.handlers:
            self.jumps = dict(outer, Raise=self.line(node.handlers[0]))
        self.body(node.body, self.first(orelse, onward))
        self.jumps = outer
        for handler in node.handlers:
            head = self.line(handler)
            self.arm(handler, "body", head, self.first(handler.body, onward), "exception caught", counted=False)
            self.body(handler.body, onward)
        self.body(orelse, onward)
        self.body(final, after)
