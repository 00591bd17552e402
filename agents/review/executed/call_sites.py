"""Calls of what changed in tests and other modules of the project: their arguments are inputs for both versions."""

from __future__ import annotations

import ast
import contextlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from aqe.agents.generate.target import python_files
from aqe.engine.marker import is_ours

MAX_FILES_SEEN = 3000
MAX_FILES = 16
MAX_BYTES = 300_000
MAX_FILE_BYTES = 200_000
MOST_CALLS = 200
Sources = tuple[tuple[str, str], ...]


def find_call_sites(
    project: Path, wanted: Mapping[str, Iterable[str]], *, skip: Iterable[Path], end: float
) -> dict[str, Sources]:
    """For each module of `wanted` (dotted name to names that changed in it) the files that mention the module and call
    one of the names, tests first, each with the text of those calls alone. `skip` are the modules' own files, `end` is
    when the search stops (`time.monotonic`)."""
    calls = {module: _calling(names) for module, names in wanted.items()}
    lasts = {module: module.rpartition(".")[2] for module in wanted}
    tops = {module: module.partition(".")[0] for module in wanted}
    found: dict[str, list[tuple[bool, str, str]]] = {module: [] for module in wanted}
    own = {path.resolve() for path in skip}
    for path in python_files(project, MAX_FILES_SEEN):
        if time.monotonic() > end:
            break
        text = _text(path)
        for module, pattern in calls.items():
            is_near = lasts[module] in text or tops[module] in text
            if is_near and pattern.search(text) and path.resolve() not in own and not is_ours(path):
                name = path.relative_to(project).as_posix()
                found[module].append((not _is_test(path), name, text))
    return {module: _bounded(sorted(rows), _lasts(wanted[module])) for module, rows in found.items()}


def _lasts(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.rpartition(".")[2] for name in names)


def _calling(names: Iterable[str]) -> re.Pattern[str]:
    last = sorted(_lasts(names))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, last))})\(") if last else re.compile(r"(?!)")


def _is_test(path: Path) -> bool:
    return path.stem.startswith("test_") or path.stem.endswith("_test") or bool({"tests", "test"} & {*path.parts})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_FILE_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _bounded(rows: Sequence[tuple[bool, str, str]], names: frozenset[str]) -> Sources:
    kept: list[tuple[str, str]] = []
    size = 0
    for _, name, text in rows[:MAX_FILES]:
        size += len(text)
        if size > MAX_BYTES:
            break
        calls = _calls_in(text, names)
        if calls:
            kept.append((name, calls))
    return tuple(kept)


def _calls_in(text: str, names: frozenset[str]) -> str:
    """The calls of the names, one a line; empty for what is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _callee(node.func) in names and len(found) < MOST_CALLS:
            with contextlib.suppress(RecursionError):  # a call around an expression of a thousand terms
                found[ast.unparse(node)] = None
    return "\n".join(found)


def _callee(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
