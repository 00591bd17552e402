"""The tests of a source text, and what their statements do: calls, assertions, names."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from aqe.agents.changes.definition import without_docstring
from aqe.agents.review.sources import Source

Function = ast.FunctionDef | ast.AsyncFunctionDef

_SAYS_SO = ("assert", "expect", "raises", "warns", "fail", "should", "deprecated_call")
_MAY_SAY_SO = ("verify", "check", "ensure", "validate", "compare", "match")
_HELPING = frozenset(
    {"tests", "test", "testing", "conftest", "helpers", "helper", "util", "utils", "support", "common"}
)
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class TestFunction:
    """One test as its author wrote it: the function, the class around it (None at module level), its qualified name."""

    __test__ = False

    node: Function
    owner: ast.ClassDef | None
    name: str

    @property
    def parameters(self) -> frozenset[str]:
        """The names of its parameters: fixtures and parametrised values."""
        arguments = self.node.args
        return frozenset(one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))

    @cached_property
    def body(self) -> list[ast.stmt]:
        """Its statements without the docstring."""
        return without_docstring(self.node.body)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of its statements, but nothing from inside functions, classes and lambdas in them."""
        return tuple(own_nodes(self.body))

    @cached_property
    def calls(self) -> tuple[ast.Call, ...]:
        """Every call that the test itself makes."""
        return tuple(node for node in self.nodes if isinstance(node, ast.Call))


def find_tests(source: Source) -> list[TestFunction]:
    """The functions and methods that pytest or unittest would collect from a test file."""
    if source.tree is None or not source.is_test:
        return []
    found = [TestFunction(node, None, node.name) for node in functions(source.tree.body) if _is_test(node)]
    for owner in (node for node in source.tree.body if isinstance(node, ast.ClassDef)):
        bases = {last_name(base) for base in owner.bases}
        if owner.name.startswith("Test") or any("TestCase" in base for base in bases):
            methods = (node for node in functions(owner.body) if _is_test(node))
            found += [TestFunction(node, owner, f"{owner.name}.{node.name}") for node in methods]
    return found


def _is_test(node: Function) -> bool:
    return node.name.startswith("test") and not any(last_name(one) == "fixture" for one in node.decorator_list)


def functions(body: list[ast.stmt]) -> Iterator[Function]:
    """The functions among statements, those under `if` and `try` included."""
    for node in body:
        if isinstance(node, Function):
            yield node
        elif isinstance(node, (ast.If, ast.Try)):
            yield from functions([*node.body, *node.orelse])


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name, an attribute or a call of one; empty for anything else."""
    if isinstance(node, ast.Call):
        return dotted(node.func)
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def last_name(node: ast.AST) -> str:
    """The last part of a dotted name."""
    return dotted(node).rpartition(".")[2]


def own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every node of the statements in no order, but nothing from inside functions, classes and lambdas in them."""
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _INNER):
            waiting += ast.iter_child_nodes(node)


@dataclass(frozen=True)
class Checks:
    """Which statements of one test file check something, by `assert` or by a call of what asserts."""

    helpers: frozenset[str]
    imported_to_help: frozenset[str]
    imported: frozenset[str]

    def holds(self, node: ast.AST) -> bool:
        """Whether a statement checks something, looking into functions inside it too."""
        return any(self.is_check(one) for one in ast.walk(node))

    def is_check(self, node: ast.AST) -> bool:
        """Whether this very node is an assertion, a `raise`, or a call that asserts."""
        if isinstance(node, (ast.Assert, ast.Raise)):
            return True
        if not isinstance(node, ast.Call):
            return False
        name, whole = last_name(node), dotted(node)
        if any(word in name.lower() for word in _SAYS_SO) or name in self.helpers:
            return True
        root = whole.partition(".")[0]
        if root in self.imported_to_help:
            return True
        return root not in self.imported and any(word in name.lower() for word in _MAY_SAY_SO)


def checks_of(source: Source) -> Checks:
    """What counts as a check in a test file: its own functions that assert, and what it imports from test code."""
    assert source.tree is not None
    own = {node.name: node for node in ast.walk(source.tree) if isinstance(node, Function)}
    helping, imported = set(), set()
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = "." * getattr(node, "level", 0) + (getattr(node, "module", "") or "")
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                imported.add(name)
                parts = {*module.split("."), *(alias.name.split(".") if isinstance(node, ast.Import) else ())}
                if parts & _HELPING and name not in ("pytest", "unittest"):
                    helping.add(name)
    helpers: frozenset[str] = frozenset()
    for _ in range(3):  # helpers of helpers
        checks = Checks(helpers, frozenset(helping), frozenset(imported))
        helpers = frozenset(name for name, node in own.items() if any(map(checks.holds, node.body)))
    return Checks(helpers, frozenset(helping), frozenset(imported))


def blocks(node: ast.AST) -> list[list[ast.stmt]]:
    """The lists of statements inside a compound statement, definitions apart."""
    if isinstance(node, _INNER):
        return []
    found = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
    found += [one.body for one in (*getattr(node, "handlers", []), *getattr(node, "cases", []))]
    return [block for block in found if isinstance(block, list) and block]


def statement_lists(body: list[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """`body` and each list of statements inside it, definitions apart."""
    yield body
    for node in body:
        for block in blocks(node):
            yield from statement_lists(block)
