"""Passages of Python source, by its syntax tree: the module's own lines, classes, functions and methods."""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Iterator, Sequence

from aqe.engine.errors import UserError
from aqe.engine.index.passages import Passage, lines_of, split

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Body = Sequence[ast.stmt]


def decode_source(data: bytes) -> str:
    """Source as `tokenize.open` decodes it: by its BOM or coding line.

    Raises `UserError` (syntax-error) where that names no encoding, or the bytes are not in it, or are half characters.
    """
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
        text.encode("utf-8")
        return text
    except (SyntaxError, UnicodeError, LookupError) as exc:
        raise UserError(f"It cannot be decoded: {exc}.", code="syntax-error", fix="Mend its encoding.") from exc


def read_source(text: str) -> list[Passage]:
    """The passages of a module. Raises `UserError` (syntax-error) with the line where Python cannot parse it."""
    lines = lines_of(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        where = f" in line {exc.lineno}" if isinstance(exc, SyntaxError) and exc.lineno else ""
        what = exc.msg if isinstance(exc, SyntaxError) else type(exc).__name__
        raise UserError(f"{what}{where}", code="syntax-error", fix="Mend it.") from exc
    return sorted(_body(lines, tree.body, 1, len(lines), "", "module"), key=lambda one: one.first)


def _body(lines: Sequence[str], body: _Body, first: int, last: int, name: str, kind: str) -> Iterator[Passage]:
    """The lines of a module or class that belong to no definition in it, then each definition."""
    start = first
    for node in body:
        if not isinstance(node, _Definition):
            continue
        above = _top(lines, node, start)
        yield from split(lines, start, above - 1, name, kind, _borders(body, start, above))
        yield from _definition(lines, node, above, f"{name}.{node.name}" if name else node.name)
        start = (node.end_lineno or node.lineno) + 1
    yield from split(lines, start, last, name, kind, _borders(body, start, last + 1))


def _definition(lines: Sequence[str], node: _Definition, first: int, name: str) -> Iterator[Passage]:
    last = node.end_lineno or node.lineno
    if isinstance(node, ast.ClassDef):
        yield from _body(lines, node.body, first, last, name, "class")
    else:
        yield from split(lines, first, last, name, "function", _starts(node.body))


def _top(lines: Sequence[str], node: _Definition, lowest: int) -> int:
    """The first line of a definition with its decorators and the comment right above it."""
    top = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    while top > lowest and lines[top - 2].lstrip().startswith("#"):
        top -= 1
    return top


def _borders(body: _Body, first: int, end: int) -> list[int]:
    return [node.lineno for node in body if first <= node.lineno < end]


def _starts(body: _Body) -> list[int]:
    """Where a long function may be cut: before a statement, at any depth."""
    return [inner.lineno for node in body for inner in ast.walk(node) if isinstance(inner, ast.stmt)]
