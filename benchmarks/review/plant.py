"""One planted change: the files of a package that the head has otherwise, and what a review should say of them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plant:
    """`kind` is the row of the table ("behaviour", "harmless", "clone", ...), `operator` what was done, `name` the
    qualified name of the function it was done to. `files` maps a path of the package to its text in the head; `base`
    likewise for files that the base has otherwise than the package. A finding counts when its rule is one of `rules`
    (exact, or a prefix that ends in `*`) and lies in `path`, or anywhere where `path` is empty."""

    kind: str
    operator: str
    package: str
    path: str
    name: str
    files: Mapping[str, str]
    rules: tuple[str, ...] = ("behaviour-changed",)
    base: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Function:
    """A function of a source text, with its place in it."""

    qualname: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    is_method: bool

    @property
    def body(self) -> list[ast.stmt]:
        """Its statements without the docstring."""
        return self.node.body[1:] if ast.get_docstring(self.node, clean=False) is not None else self.node.body


class Text:
    """A source text that single nodes are replaced in; columns of the tree count bytes of UTF-8."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self.lines = text.encode("utf-8").split(b"\n")

    def functions(self) -> Iterator[Function]:
        """Functions and methods at module and class level that do something."""
        yield from self._functions(self.tree, "", is_method=False)

    def _functions(self, holder: ast.AST, prefix: str, *, is_method: bool) -> Iterator[Function]:
        for node in ast.iter_child_nodes(holder):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found = Function(prefix + node.name, node, is_method)
                if found.body and not all(isinstance(one, ast.Pass | ast.Raise) for one in found.body):
                    yield found
            elif isinstance(node, ast.ClassDef):
                yield from self._functions(node, f"{prefix}{node.name}.", is_method=True)
            elif isinstance(node, ast.If | ast.Try):
                yield from self._functions(node, prefix, is_method=is_method)

    def source(self, node: ast.AST) -> str:
        """The text of a node."""
        return ast.get_source_segment(self.text, node) or ""

    def indent(self, node: ast.stmt) -> str:
        """The white space before a statement."""
        return " " * node.col_offset

    def replaced(self, edits: list[tuple[ast.AST, str]]) -> str:
        """The text with nodes replaced; they must not overlap."""
        spans = [(*self._span(node), text) for node, text in edits]
        data = b"\n".join(self.lines)
        for first, end, text in sorted(spans, reverse=True):
            data = data[:first] + text.encode("utf-8") + data[end:]
        return data.decode("utf-8")

    def statement(self, node: ast.stmt, text: str) -> str:
        """The text with one statement replaced by lines that are indented as it is."""
        inside = textwrap.indent(text, self.indent(node)).lstrip(" ")
        return self.replaced([(node, inside)])

    def _span(self, node: Any) -> tuple[int, int]:
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, column: int) -> int:
        return sum(len(one) + 1 for one in self.lines[: line - 1]) + column


def same_tree(one: str, other: str) -> bool:
    """Whether two texts have the same syntax tree. Raises `SyntaxError`."""
    return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
