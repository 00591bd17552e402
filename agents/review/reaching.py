"""Which test files may reach a module, by what imports what: a superset of the tests that run its code in process."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from aqe.engine.index.files import find_files
from aqe.engine.index.indexing import is_test_file

_IMPORT = re.compile(
    r"^[^\S\n]*(?:from[^\S\n]+(?P<origin>[.\w]+)[^\S\n]+import[^\S\n]*(?P<names>\([^)]*\)|[^\n]*)"
    r"|import[^\S\n]+(?P<modules>[^\n]*))",
    re.MULTILINE,
)


def reaching_tests(folder: Path, changed: Iterable[str]) -> list[str]:
    """The test files below `folder` that import one of the changed files, directly or through others; nearest first.

    Paths are posix and relative to `folder`. A changed test file counts as reached.
    """
    files = {file.name: file.path for file in find_files(folder)[0] if file.name.endswith(".py")}
    by_name = {name: path for path in files for name in _module_names(path, files)}
    importers: dict[str, set[str]] = defaultdict(set)
    for path, place in files.items():
        try:
            text = place.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for target in _targets(path, text, by_name, files):
            importers[target].add(path)
    reached: dict[str, int] = {}
    waiting = [(path, 0) for path in changed]
    for path, distance in waiting:
        if path in reached:
            continue
        reached[path] = distance
        waiting += [(one, distance + 1) for one in sorted(importers[path])]
    tests = [path for path in reached if path in files and _holds_tests(path)]
    return sorted(tests, key=lambda path: (reached[path], path))


def _holds_tests(path: str) -> bool:
    last = path.rpartition("/")[2]
    return is_test_file(path) and (last.startswith("test") or last.endswith("_test.py"))


def _module_names(path: str, files: Mapping[str, Path]) -> Iterator[str]:
    """The names under which a file is imported: from the folder above its outermost package, and from the root."""
    parts = path.removesuffix(".py").split("/")
    first = len(parts) - 1
    while first > 0 and "/".join([*parts[:first], "__init__.py"]) in files:
        first -= 1
    for begin in {0, first}:
        yield ".".join(parts[begin:]).removesuffix(".__init__")


def _targets(path: str, text: str, by_name: Mapping[str, str], files: Mapping[str, Path]) -> Iterator[str]:
    """The project's files that a file's imports run, and the conftest files that pytest reads for it."""
    for match in _IMPORT.finditer(text):
        for name in _imported(match, path):
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                target = by_name.get(".".join(parts[:end]))
                if target is not None:
                    yield target
    if is_test_file(path):
        folders = path.split("/")[:-1]
        for end in range(len(folders) + 1):
            conftest = "/".join([*folders[:end], "conftest.py"])
            if conftest in files and conftest != path:
                yield conftest


def _imported(match: re.Match[str], path: str) -> Iterator[str]:
    if match["modules"] is not None:
        for part in match["modules"].split(","):
            yield part.split(" as ")[0].strip()
        return
    origin = match["origin"]
    dots = len(origin) - len(origin.lstrip("."))
    if dots:
        package = path.removesuffix(".py").split("/")[:-dots]
        origin = ".".join([*package, *([origin.lstrip(".")] if origin.lstrip(".") else [])])
    yield origin
    for part in match["names"].strip("()").split(","):
        word = part.split("#")[0].split(" as ")[0].strip()
        if word.isidentifier():
            yield f"{origin}.{word}"
