"""The functions and classes of a source text, with a digest that formatting, comments and docstrings leave alone."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Definition:
    """One function, method or class.

    `first_line` includes decorators, `body_line` is that of the first statement inside; all are 1-based. `digest` is
    the same for two definitions that differ in formatting, comments and docstrings only.
    """

    qualname: str
    kind: Literal["function", "class"]
    first_line: int
    body_line: int
    last_line: int
    digest: str


def definitions(text: str) -> tuple[Definition, ...]:
    """The definitions of a source text in the order of their lines, inner ones after the one that holds them.

    A function inside a function is named as Python names it. Raises `SyntaxError`.

    >>> [one.qualname for one in definitions("class A:\\n  def f(self):\\n    def g(): pass\\n")]
    ['A', 'A.f', 'A.f.<locals>.g']
    """
    return tuple(_found(ast.parse(text).body, ""))


def definition_at(found: Iterable[Definition], line: int) -> Definition | None:
    """The innermost definition that holds the line; None at module level.

    >>> text = "import os\\nclass A:\\n  def f(self):\\n    pass\\n"
    >>> definition_at(definitions(text), 4).qualname, definition_at(definitions(text), 1)
    ('A.f', None)
    """
    holding = [one for one in found if one.first_line <= line <= one.last_line]
    return max(holding, key=lambda one: (one.first_line, -one.last_line), default=None)


def digest_of(node: ast.AST) -> str:
    """A digest of what a node does: its syntax tree without positions and docstrings."""
    return hashlib.sha256(_shape(node).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _found(body: Iterable[ast.stmt], prefix: str) -> Iterator[Definition]:
    waiting = [(node, prefix) for node in body][::-1]
    while waiting:
        node, prefix = waiting.pop()
        if isinstance(node, (*_Function, ast.ClassDef)):
            name = prefix + node.name
            is_class = isinstance(node, ast.ClassDef)
            yield Definition(
                qualname=name,
                kind="class" if is_class else "function",
                first_line=min([node.lineno, *(one.lineno for one in node.decorator_list)]),
                body_line=_first_line(node.body[0]),
                last_line=node.end_lineno or node.lineno,
                digest=digest_of(node),
            )
            inner, inner_prefix = list(node.body), f"{name}." if is_class else f"{name}.<locals>."
        else:
            inner, inner_prefix = list(_statements_in(node)), prefix
        waiting += [(one, inner_prefix) for one in reversed(inner)]


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _statements_in(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a compound statement, whatever list they stand in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, (ast.excepthandler, ast.match_case)):
            yield from _statements_in(child)


def _shape(node: ast.AST) -> str:
    """The tree as text. A sum of thousands of terms is a tree as deep, so what remains stands on a list of its own."""
    parts: list[str] = []
    waiting: list[object] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, _Plain):
            parts.append(one.text)
        elif isinstance(one, ast.AST):
            inner: list[object] = [_Plain(f"{type(one).__name__}(")]
            for name, value in ast.iter_fields(one):
                if name == "body" and isinstance(one, (*_Function, ast.ClassDef, ast.Module)):
                    value = without_docstring(value)
                inner += [_Plain(f"{name}="), value, _Plain(",")]
            waiting += reversed([*inner, _Plain(")")])
        elif isinstance(one, list):
            waiting += reversed([_Plain("["), *(part for item in one for part in (item, _Plain(","))), _Plain("]")])
        else:
            parts.append(repr(one))
    return "".join(parts)


@dataclass(frozen=True)
class _Plain:
    """Text that goes into a shape as it is."""

    text: str


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a body without a leading text."""
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_text else body
