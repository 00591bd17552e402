"""Examples to cases: doctests, sentences of docstrings, calls in existing tests and other modules."""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from .docstrings import Example, doctest_examples
from .namespace import Namespace
from .reading import Target
from .recipes import Case, Late, Recipe, Step, recipe_of

_Last = Tuple[Optional[Target], List[Step], Optional[Step]]


@dataclasses.dataclass
class ExampleCase:
    """A case from an example; `is_whole` when its own lines explain every name in it."""

    case: Case
    example: Example
    is_whole: bool = True


class Examples:
    """Turns example text into cases of the subject's targets."""

    def __init__(self, targets: Sequence[Target], names: Namespace) -> None:
        self.names = names
        self.by_name: Dict[str, List[Target]] = {}
        self.by_path = {target.qualname: target for target in targets}
        for target in targets:
            self.by_name.setdefault(target.name, []).append(target)

    def from_docstrings(self, targets: Sequence[Target], module_doc: str) -> List[ExampleCase]:
        """All examples of the targets' own docstrings and of the module's."""
        found: List[ExampleCase] = []
        for target in targets:
            for example in target.doc.examples:
                made = self.case(example, target)
                if made is not None:
                    found.append(made)
        for example in doctest_examples(module_doc):
            made = self.case(example, None)
            if made is not None:
                found.append(made)
        return found

    def case(self, example: Example, owner: Optional[Target]) -> Optional[ExampleCase]:
        """The case of one example, or None when it does not concern a target or cannot be read."""
        home = self.names.module.__name__
        assumed = {home, home.split(".")[0]} & set(sys.modules)
        aliases: Dict[str, Any] = {part: sys.modules[part] for part in assumed}
        steps: List[Step] = []
        try:
            for line in example.setup:
                made = self._setup(line, aliases)
                if made is not None:
                    steps.append(made)
            body = ast.parse(example.call.strip(), mode="eval").body
            call = _Renamer(self.names, aliases).visit(body)
        except (SyntaxError, ValueError, LookupError):
            return None
        target, more, last = self._last(call, owner, steps)
        if target is None or last is None:
            return None
        case = Case(target.qualname, (*_needed([*steps, *more], last), last), example.origin, example.expected)
        text = "\n".join([*example.setup, example.call])
        leans = any(
            re.search(r"\b%s\." % part, text) and not re.search(r"import %s\b" % part, text) for part in assumed
        )
        return ExampleCase(case, example, not leans)

    def _setup(self, line: str, aliases: Dict[str, Any]) -> Optional[Step]:
        """One line of set-up: imports are followed, assignments and bare calls become steps."""
        tree = ast.parse(line)
        if len(tree.body) != 1:
            raise LookupError(line)
        node = tree.body[0]
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            try:
                exec(compile(tree, "<example>", "exec"), aliases)
            except Exception:  # what an example imports need not be installed
                raise LookupError(line) from None
            return None
        renamer = _Renamer(self.names, aliases)
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            step = _step_of(renamer.visit(node.value))
            return dataclasses.replace(step, bind=node.targets[0].id)
        if isinstance(node, ast.Expr):
            return _step_of(renamer.visit(node.value))
        if isinstance(node, (ast.AugAssign, ast.Delete, ast.Assign)):
            return Step("", ast.unparse(renamer.visit(node)), is_statement=True)
        raise LookupError(line)

    def _last(
        self, call: ast.expr, owner: Optional[Target], steps: List[Step]
    ) -> Tuple[Optional[Target], List[Step], Optional[Step]]:
        if isinstance(call, ast.Call) and not any(isinstance(arg, ast.Starred) for arg in call.args):
            path = ast.unparse(call.func)
            direct = self.by_path.get(path)
            if direct is not None and direct.flavour in ("function", "init", "static", "classmethod"):
                step = _step_of(call)
                return direct, [], dataclasses.replace(step, form=direct.form, awaits=direct.awaits)
            if isinstance(call.func, ast.Attribute):
                made = self._method(call, call.func, owner, steps)
                if made is not None:
                    return made
        target = owner if owner is not None else self._mentioned(call)
        return target, [], Step("", ast.unparse(call))

    def _method(
        self, call: ast.Call, func: ast.Attribute, owner: Optional[Target], steps: List[Step]
    ) -> Optional[_Last]:
        """`Thing(1).method(2)` and `thing.method(2)`: the receiver gets a line of its own."""
        found = [t for t in self.by_name.get(func.attr, ()) if t.flavour == "method"]
        target = owner if owner in found else found[0] if found else None
        if target is None:
            return None
        step = _step_of(call)
        if isinstance(func.value, ast.Name) and any(one.bind == func.value.id for one in steps):
            return target, [], dataclasses.replace(step, receiver=func.value.id, form=target.form, awaits=target.awaits)
        if not isinstance(func.value, ast.Call):
            return None
        name = target.owner.__name__.lower() if target.owner is not None else "thing"
        name = name if name not in self.names.globals else "a_" + name
        maker = dataclasses.replace(_step_of(func.value), bind=name)
        last = dataclasses.replace(
            step, callee="%s.%s" % (name, func.attr), receiver=name, form=target.form, awaits=target.awaits
        )
        return target, [maker], last

    def _mentioned(self, node: ast.AST) -> Optional[Target]:
        for part in ast.walk(node):
            name = part.attr if isinstance(part, ast.Attribute) else part.id if isinstance(part, ast.Name) else ""
            if name in self.by_name:
                return self.by_name[name][0]
        return None

    # ------------------------------------------------------------ call sites

    def from_sources(
        self, sources: Sequence[Tuple[str, str]]
    ) -> Iterator[Tuple[Target, Tuple[Recipe, ...], Tuple[Tuple[str, Recipe], ...]]]:
        """Arguments written as plain data at call sites of the targets."""
        for _, text in sources:
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    for target in self.by_name.get(name, ())[:2]:
                        try:
                            step = _step_of(node, plain_only=True)
                        except (LookupError, ValueError):
                            continue
                        yield target, step.args, step.kwargs


def _needed(steps: Sequence[Step], last: Step) -> List[Step]:
    """Only the lines that the last one depends on: those that bind or touch names it mentions."""
    wanted = _names(last)
    kept: List[Step] = []
    for step in reversed(steps):
        mine = _names(step)
        if (step.bind in wanted) or (step.bind is None and mine & wanted & {one.bind for one in steps if one.bind}):
            kept.append(step)
            wanted |= mine
    return kept[::-1]


def _names(step: Step) -> Any:
    try:
        return {node.id for node in ast.walk(ast.parse(step.expression())) if isinstance(node, ast.Name)}
    except SyntaxError:
        return set()


def _step_of(node: ast.expr, plain_only: bool = False) -> Step:
    if not isinstance(node, ast.Call):
        if plain_only:
            raise LookupError("not a call")
        return Step("", ast.unparse(node))
    args = [_recipe(arg, plain_only) for arg in node.args]
    kwargs = [(word.arg, _recipe(word.value, plain_only)) for word in node.keywords if word.arg is not None]
    if len(kwargs) != len(node.keywords):
        raise LookupError("** in a call")
    return Step(ast.unparse(node.func) if not plain_only else "", "{f}({args})", args=tuple(args), kwargs=tuple(kwargs))


def _recipe(node: ast.expr, plain_only: bool) -> Recipe:
    if isinstance(node, ast.Starred):
        raise LookupError("* in a call")
    try:
        made = recipe_of(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError):
        made = None
    if made is not None:
        return made
    if plain_only:
        raise LookupError("not plain data")
    return Late(ast.unparse(node))


class _Renamer(ast.NodeTransformer):
    """Rewrites names that only the example's own imports explain into names that a test file has."""

    def __init__(self, names: Namespace, aliases: Dict[str, Any]) -> None:
        self.names = names
        self.aliases = aliases

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in self.aliases and root.id not in self.names.globals:
            thing = eval(compile(ast.Expression(node), "<example>", "eval"), self.aliases)
            owner = getattr(thing, "__self__", None)
            if isinstance(owner, type):
                found = self.names.name_of(owner)
                found = "%s.%s" % (found, node.attr) if found else None
            else:
                found = self.names.name_of(thing)
            if found is None:
                raise LookupError(ast.unparse(node))
            return ast.copy_location(ast.parse(found, mode="eval").body, node)
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self.aliases and node.id not in self.names.globals and node.id != "__builtins__":
            found = self.names.name_of(self.aliases[node.id])
            if found is None:
                raise LookupError(node.id)
            return ast.copy_location(ast.parse(found, mode="eval").body, node)
        return node
