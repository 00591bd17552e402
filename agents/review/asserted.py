"""What a test asserts of a function: that it raises, or something about its result or about what the call changed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Literal

from aqe.agents.changes import Definition

About = Literal["raises", "value"]
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def asserted(tree: ast.Module, test: Definition, name: str) -> frozenset[About]:
    """What the test (a definition of this tree) asserts of the function with that qualified name.

    A result counts where the call stands in an assertion, or where an assertion has a name that holds the result or the
    object whose method was called. Of a method of the language, like `__init__`, its class is looked for.

    >>> from aqe.agents.changes import definitions
    >>> text = "def test_a(cart):\\n    cart.add(1)\\n    assert len(cart) == 1\\n"
    >>> sorted(asserted(ast.parse(text), definitions(text)[0], "Cart.add"))
    ['value']
    """
    owner, _, last = name.rpartition(".")
    if last.startswith("__") and last.endswith("__"):
        last = owner.rpartition(".")[2] or last
    node = next((one for one in _functions(tree) if one.lineno <= test.body_line <= (one.end_lineno or 0)
                 and one.name == test.qualname.rpartition(".")[2]), None)  # fmt: skip
    return frozenset() if node is None else frozenset(_about(node, last))


def _functions(tree: ast.Module) -> Iterator[_Function]:
    return (node for node in ast.walk(tree) if isinstance(node, _Function))


def _about(test: _Function, name: str) -> Iterator[About]:
    holding = _holding(test, name)
    for node in ast.walk(test):
        if isinstance(node, (ast.With, ast.AsyncWith)) and any(_is_raises(item.context_expr) for item in node.items):
            if any(_calls(inner, name) for statement in node.body for inner in ast.walk(statement)):
                yield "raises"
        elif _is_raises(node):
            if name in _names(node):
                yield "raises"
        elif isinstance(node, ast.Assert) or _is_assertion(node):
            checked = node.test if isinstance(node, ast.Assert) else node
            if any(_calls(inner, name) for inner in ast.walk(checked)) or holding & _names(checked):
                yield "value"


def _holding(test: _Function, name: str) -> frozenset[str]:
    """The names that hold a result of the function, or the object on which it was called."""
    held: set[str] = set()
    for node in ast.walk(test):
        if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.value, ast.Name):
            held.add(node.value.id)
        value = getattr(node, "value", None)
        if not isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) or not isinstance(value, ast.AST):
            continue
        if any(_calls(inner, name) for inner in ast.walk(value)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            held |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return frozenset(held)


def _calls(node: ast.AST, name: str) -> bool:
    """Whether a node is a call of the function, or has its attribute, as a property is read."""
    if isinstance(node, ast.Attribute):
        return node.attr == name
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _names(node: ast.AST) -> set[str]:
    return {
        one.id if isinstance(one, ast.Name) else one.attr
        for one in ast.walk(node)
        if isinstance(one, (ast.Name, ast.Attribute))
    }


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    func = node.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _is_raises(node: ast.AST) -> bool:
    called = _called(node)
    return called == "raises" or called.startswith(("assertRaises", "assert_raises"))


def _is_assertion(node: ast.AST) -> bool:
    return _called(node).lower().startswith(("assert", "expect")) and not _is_raises(node)
