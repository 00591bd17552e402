"""Whether a node id can name a test, read from its file without running it."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

EMPTY_BASES = ("TestCase", "IsolatedAsyncioTestCase", "object")  # classes that bring no tests of their own


def doubt(project: Path, nodeid: str) -> str:
    """Why no test of this name is seen in its file, with the nearest name; "" where there is one or there may be.

    A case in brackets is not looked at, nor is what a file makes while it runs: a name that is assigned or imported,
    methods of a class with bases, anything beside `from ... import *`, and doctests.
    """
    path, _, node = nodeid.partition("::")
    names = node.partition("[")[0].split("::")
    if not path.endswith(".py") or "." in node.partition("[")[0]:
        return ""
    try:
        body: Sequence[ast.stmt] = ast.parse((project / path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return ""
    for name in names:
        known = dict(_bound(body))
        if name not in known and "*" not in known:
            near = difflib.get_close_matches(name, known, 1)
            return f"{path} defines no {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        found = known.get(name)
        if not isinstance(found, ast.ClassDef) or not all(map(_is_empty, found.bases)):
            return ""
        body = found.body
    return ""


def _is_empty(base: ast.expr) -> bool:
    name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    return name in EMPTY_BASES


def _bound(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """The names that these statements bind, also within `if`, `try`, `for` and `with`."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield statement.name, statement
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name.partition(".")[0], statement) for alias in statement.names)
        else:
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    yield inner.id, statement
            for field in ("body", "orelse", "finalbody"):
                yield from _bound(getattr(statement, field, ()))
            for handler in getattr(statement, "handlers", ()):
                yield from _bound(handler.body)
