"""A source text as the review reads it: its tree, its definitions, and the normalised statement at a line."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from aqe.agents.changes import Changes, Definition, definitions
from aqe.engine.index.indexing import is_test_file

_BLOCKS = frozenset({"body", "orelse", "finalbody", "handlers", "cases"})


@dataclass(frozen=True)
class Source:
    """One side of one changed Python file. `path` is the head's name on both sides, so that a renamed file matches.

    `touched` are the 1-based lines that are only on this side.
    """

    path: str
    text: str
    touched: frozenset[int]

    @property
    def is_test(self) -> bool:
        """Whether the file holds tests, by pytest's customs."""
        return is_test_file(self.path)

    @cached_property
    def tree(self) -> ast.Module | None:
        """The syntax tree; None where this Python cannot parse the text."""
        return parse(self.text)

    @cached_property
    def definitions(self) -> tuple[Definition, ...]:
        """Functions and classes; none where the text cannot be parsed."""
        return definitions(self.text) if self.tree is not None else ()

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text without their ends."""
        return self.text.splitlines()

    def name_at(self, line: int) -> str:
        """The qualified name of the innermost definition at a line; empty at module level."""
        return self._names.get(line, "")

    @cached_property
    def _names(self) -> dict[int, str]:
        """The name of the innermost definition at each line that has one: what begins later lies within."""
        found: dict[int, str] = {}
        for one in sorted(self.definitions, key=lambda one: (one.first_line, -one.last_line)):
            found.update(dict.fromkeys(range(one.first_line, one.last_line + 1), one.qualname))
        return found

    def statement_at(self, line: int) -> str:
        """The innermost statement that begins at or holds the line, without formatting; of a block its head only."""
        node = self._innermost(line)
        if node is not None:
            return normalised(node)
        return " ".join(self.lines[line - 1].split()) if 0 < line <= len(self.lines) else ""

    def _innermost(self, line: int) -> ast.stmt | ast.excepthandler | None:
        best: ast.stmt | ast.excepthandler | None = None
        waiting: list[ast.AST] = [self.tree] if self.tree is not None else []
        while waiting:
            for child in ast.iter_child_nodes(waiting.pop()):
                if isinstance(child, (ast.stmt, ast.excepthandler)):
                    first, last = extent(child)
                    if not first <= line <= last:
                        continue
                    if best is None or child.lineno >= best.lineno:
                        best = child
                if not isinstance(child, ast.expr):
                    waiting.append(child)
        return best


def parse(text: str) -> ast.Module | None:
    """The tree of a text, or None where it is no Python that this interpreter knows."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def extent(node: ast.stmt | ast.excepthandler) -> tuple[int, int]:
    """First line, decorators included, and last line of a statement."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)]), node.end_lineno or node.lineno


def normalised(node: ast.stmt | ast.excepthandler) -> str:
    """A statement printed anew, so that formatting and comments do not count; a block without what it holds."""
    blocks = [name for name, value in ast.iter_fields(node) if name in _BLOCKS and isinstance(value, list)]
    head = copy.copy(node)
    for name in blocks:
        setattr(head, name, [ast.Pass()] if name == "body" else [])
    try:
        return ast.unparse(ast.fix_missing_locations(head)).removesuffix("\n    pass")
    except (ValueError, AttributeError, RecursionError):
        return type(node).__name__


def printed(node: ast.AST) -> str:
    """A node as source; of an expression of a thousand terms, which nobody would read, only what kind it is."""
    try:
        return ast.unparse(node)
    except (ValueError, RecursionError):
        return type(node).__name__


def sources_of(changes: Changes, *, head: bool) -> tuple[Source, ...]:
    """The changed Python files as they are on one side; files without text there are left out."""
    return tuple(_sources(changes, head))


def _sources(changes: Changes, head: bool) -> Iterator[Source]:
    for change in changes.files:
        text = change.new_text if head else change.old_text
        name = change.path if head else change.old_path or change.path
        if text is not None and name.endswith(".py"):
            yield Source(change.path, text, change.added if head else change.removed)
