"""The functions of a source file as risk sees them: their lines, their complexity, what handles errors, what calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

MODULE = "<module>"
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)
_DECISIONS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.IfExp, ast.ExceptHandler, ast.Assert, ast.comprehension)


@dataclass(frozen=True)
class Call:
    """A call as it stands in the source: `f(...)` has the owner "", `a.b.f(...)` has "a.b", `x().f(...)` has "?"."""

    name: str
    owner: str


@dataclass(frozen=True)
class Function:
    """A function, or what of a module or class stands outside functions (`is_function` is False).

    `lines` are all 1-based lines that belong to it and to nothing inside it that has a row of its own; `body_line` is
    that of its first statement. `complexity` is McCabe's: one and one more for each decision.
    """

    name: str
    first_line: int
    body_line: int
    last_line: int
    is_function: bool
    lines: frozenset[int]
    complexity: int
    handlers: tuple[tuple[int, int], ...] = ()
    raises: frozenset[int] = frozenset()

    @property
    def is_public(self) -> bool:
        """Whether no part of the name says that it is internal; a dunder method is public."""
        parts = self.name.replace("<locals>.", "").split(".")
        return "<locals>" not in self.name and all(not _is_internal(part) for part in parts)


@dataclass(frozen=True)
class Structure:
    """A file: its functions, each call, the names it imports (`name -> (module, level, original)`) and its branches.

    `branches` maps the line of a compound statement to its kind ("if", "while", "for", "case", "except") and the
    line at which its body begins.
    """

    functions: tuple[Function, ...]
    calls: tuple[Call, ...]
    imports: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    branches: dict[int, tuple[str, int]] = field(default_factory=dict)


def read_structure(text: str) -> Structure:
    """The structure of a source text; raises `SyntaxError`."""
    tree = ast.parse(text)
    found: list[Function] = []
    taken = _collect(tree.body, "", found)
    everything = frozenset(range(1, text.count("\n") + 2))
    last = max(1, text.count("\n") + (not text.endswith("\n")))
    outside = [node for node in tree.body if not isinstance(node, (*_Function, ast.ClassDef))]
    found.append(Function(MODULE, 1, 1, last, False, everything - taken, _complexity(outside)))
    nodes = list(ast.walk(tree))
    calls = tuple(_calls(nodes))
    return Structure(tuple(found), calls, dict(_imports(nodes)), dict(_branches(nodes)))


def branch_in_words(structure: Structure, first: int, last: int) -> str:
    """A branch that no test takes, in words.

    >>> structure = read_structure("def f(a):\\n    if a:\\n        return 1\\n    return 2\\n")
    >>> branch_in_words(structure, 2, 3), branch_in_words(structure, 2, 4)
    ('the condition on line 2 is never true', 'the condition on line 2 is never false')
    """
    kind, body = structure.branches.get(first, ("", 0))
    into = body == last
    if kind in ("if", "while"):
        return f"the condition on line {first} is never {'true' if into else 'false'}"
    if kind == "for":
        return f"the loop on line {first} never {'has an item' if into else 'comes to its end'}"
    if kind == "case":
        return f"the case on line {first} {'never matches' if into else 'always matches'}"
    if kind == "except":
        return f"the handler on line {first} {'never catches' if into else 'catches whatever comes'}"
    return f"line {first} never {'leaves' if last < 0 else f'goes on to line {last}'}"


def _collect(body: list[ast.stmt], prefix: str, found: list[Function]) -> frozenset[int]:
    """Add the functions and classes of `body` to `found`; the lines that they take."""
    taken: frozenset[int] = frozenset()
    for node in body:
        if isinstance(node, (*_Function, ast.ClassDef)):
            taken |= _definition(node, prefix, found)
        else:
            taken |= _collect(list(_statements(node)), prefix, found)
    return taken


def _definition(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, prefix: str, found: list[Function]
) -> frozenset[int]:
    """One function or class and all in it. Its header runs with what is around it, and is that one's."""
    name = prefix + node.name
    is_class = isinstance(node, ast.ClassDef)
    last = node.end_lineno or node.lineno
    place = len(found)
    inner = _collect(node.body, f"{name}." if is_class else f"{name}.<locals>.", found)
    body = frozenset(range(_body_line(node), last + 1))
    own = Function(
        name=name,
        first_line=min([node.lineno, *(one.lineno for one in node.decorator_list)]),
        body_line=_body_line(node),
        last_line=last,
        is_function=not is_class,
        lines=body - inner,
        complexity=_complexity(node.body),
        handlers=tuple(_handlers(node.body)),
        raises=frozenset(one.lineno for one in _own_nodes(node.body) if isinstance(one, ast.Raise)),
    )
    found.insert(place, own)
    return body


def _body_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    first = node.body[0]
    decorators: list[ast.expr] = getattr(first, "decorator_list", [])
    return min([first.lineno, *(one.lineno for one in decorators)])


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements inside a compound statement."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, (ast.excepthandler, ast.match_case)):
            yield from _statements(child)


def _own_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes of `body` but those inside functions and classes that stand in it."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*_Function, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)


def _complexity(body: list[ast.stmt]) -> int:
    """McCabe's number: one, and one more for each place where the way parts."""
    total = 1
    for node in _own_nodes(body):
        if isinstance(node, _DECISIONS):
            total += 1
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
        elif isinstance(node, ast.match_case):
            is_default = isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None and node.guard is None
            total += not is_default
        if isinstance(node, ast.comprehension):
            total += len(node.ifs)
    return total


def _handlers(body: list[ast.stmt]) -> Iterator[tuple[int, int]]:
    for node in _own_nodes(body):
        if isinstance(node, ast.ExceptHandler):
            yield node.lineno, node.end_lineno or node.lineno


def _calls(nodes: list[ast.AST]) -> Iterator[Call]:
    for node in nodes:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield Call(node.func.id, "")
            elif isinstance(node.func, ast.Attribute):
                yield Call(node.func.attr, _dotted(node.func.value) or "?")


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def _imports(nodes: list[ast.AST]) -> Iterator[tuple[str, tuple[str, int, str]]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, (alias.name, 0, "")
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, (node.module or "", node.level, alias.name)


def _branches(nodes: list[ast.AST]) -> Iterator[tuple[int, tuple[str, int]]]:
    for node in nodes:
        if isinstance(node, ast.If | ast.While):
            yield node.lineno, ("if" if isinstance(node, ast.If) else "while", node.body[0].lineno)
        elif isinstance(node, ast.For | ast.AsyncFor):
            yield node.lineno, ("for", node.body[0].lineno)
        elif isinstance(node, ast.match_case):
            yield node.pattern.lineno, ("case", node.body[0].lineno)
        elif isinstance(node, ast.ExceptHandler):
            yield node.lineno, ("except", node.body[0].lineno)


def _is_internal(part: str) -> bool:
    return part.startswith("_") and not (part.startswith("__") and part.endswith("__"))
