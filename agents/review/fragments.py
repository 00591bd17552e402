"""Statements as shapes: the syntax tree with names and values blind, so that copies under other names are equal."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from aqe.agents.changes.definition import without_docstring

_SKIPPED = frozenset({"ctx", "lineno", "col_offset", "end_lineno", "end_col_offset", "type_comment", "kind"})
_Left = ast.AST | str | tuple[ast.AST, str, object]
_BREAKS = (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Statement:
    """One statement with all that it holds. `first` and `last` are lines, decorators included.

    `defines` is the name of the function or class that it is, else empty. `names`, `called` and `values` are what is
    blind in `shape`, in the order of the text: variables and parameters, functions that are called by a bare name, and
    values. `statements` and `nodes` are its size.
    """

    shape: str
    first: int
    last: int
    statements: int
    nodes: int
    names: tuple[str, ...]
    called: tuple[str, ...]
    values: tuple[str, ...]
    defines: str = ""


@dataclass(frozen=True)
class Run:
    """Consecutive statements of one block; `name` is the qualified name of the definition around it."""

    path: str
    name: str
    statements: tuple[Statement, ...]

    @cached_property
    def shapes(self) -> tuple[str, ...]:
        """The shape of each statement."""
        return tuple(one.shape for one in self.statements)


def runs_of(path: str, tree: ast.Module | None) -> list[Run]:
    """Every block of a module as runs of statements, outer ones first; imports part a run."""
    return list(_runs(path, tree)) if tree is not None else []


def _runs(path: str, tree: ast.Module) -> Iterator[Run]:
    waiting: list[tuple[str, list[ast.stmt]]] = [("", tree.body)]
    while waiting:
        name, body = waiting.pop()
        parts: list[list[ast.stmt]] = [[]]
        for node in without_docstring(body):
            if isinstance(node, _BREAKS):
                parts.append([])
            else:
                parts[-1].append(node)
        for part in parts:
            if part:
                yield Run(path, name, tuple(map(_statement, part)))
        inner: list[tuple[str, list[ast.stmt]]] = []
        for node in body:
            named = node.name if isinstance(node, _INNER) else ""
            around = f"{name}.{named}" if name and named else named or name
            inner += [(around, block) for block in _blocks(node)]
        waiting += reversed(inner)


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list) and block:
            yield block
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body


class _Reader:
    """Collects the shape of one statement and what is blind in it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.names: list[str] = []
        self.called: list[str] = []
        self.values: list[str] = []
        self.statements = 0
        self.nodes = 0

    def read(self, node: ast.AST) -> None:
        """Add a node and all below it.

        A sum of thousands of terms is a tree as deep: what is left to be read stands in a list.
        """
        waiting: list[_Left] = [node]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                self.parts.append(one)
            else:
                waiting += reversed(self._field(*one) if isinstance(one, tuple) else self._node(one))

    def _node(self, node: ast.AST) -> list[_Left]:
        """Add a node; returns what is left of it to be read."""
        self.nodes += 1
        if isinstance(node, ast.stmt):
            self.statements += 1
        self.parts.append(type(node).__name__)
        if isinstance(node, ast.Name):
            self.names.append(node.id)
            return []
        if isinstance(node, ast.Constant):
            self._value(node)
            return []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            self.called.append(node.func.id)
        fields = [(node, field, value) for field, value in ast.iter_fields(node) if field not in _SKIPPED]
        return ["(", *fields, ")"]

    def _value(self, node: ast.Constant) -> None:
        if node.value is None or isinstance(node.value, bool) or node.value is Ellipsis:
            self.parts.append(repr(node.value))
        else:
            self.parts.append(type(node.value).__name__)
            self.values.append(repr(node.value))

    def _field(self, node: ast.AST, field: str, value: object) -> list[_Left]:
        """Add a field of a node, or without a field what stands bare in a list; returns what is left to be read."""
        if not field:
            self.names.append(str(value))
            return []
        if isinstance(value, ast.AST):
            return [value]
        if isinstance(value, list):
            items = without_docstring(value) if field == "body" and isinstance(node, _INNER) else value
            self.parts.append(f"[{len(items)}")
            return [item if isinstance(item, ast.AST) else (node, "", item) for item in items]
        if isinstance(value, str):
            is_kept = isinstance(node, (ast.Attribute, ast.keyword))
            self.parts.append(value if is_kept else "$")
            if not is_kept:
                self.names.append(value)
        else:
            self.parts.append(repr(value))
        return []


def _statement(node: ast.stmt) -> Statement:
    reader = _Reader()
    reader.read(node)
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return Statement(
        shape=hashlib.sha256(" ".join(reader.parts).encode("utf-8", "surrogatepass")).hexdigest()[:16],
        first=min([node.lineno, *(one.lineno for one in decorators)]),
        last=node.end_lineno or node.lineno,
        statements=reader.statements,
        nodes=reader.nodes,
        names=tuple(reader.names),
        called=tuple(reader.called),
        values=tuple(reader.values),
        defines=node.name if isinstance(node, _INNER) else "",
    )
