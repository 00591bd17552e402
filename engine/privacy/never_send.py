"""Files whose text never leaves: which ones the globs of `privacy.never_send` name, and whether a text quotes one.

The globs are those of .gitignore: a pattern without a slash means a name at any depth, `**` any number of folders, a
folder all that lies below it.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

WITHHELD = "[withheld: privacy.never_send]"
LINES = 3
SHORTEST = 40
SHORTEST_WHOLE = 12
LARGEST_BYTES = 2_000_000
LOOK_AGAIN_S = 5.0
_PASSED_BY = frozenset((".git", ".hg", ".aqe", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox"))


class NeverSend:
    """The globs of one project, and the passages of the files that they name."""

    def __init__(self, project: Path, globs: Sequence[str]) -> None:
        self.globs = tuple(globs)
        self._project = project
        self._regex = _matcher(self.globs)
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._files: dict[str, tuple[tuple[int, int], frozenset[int]]] = {}

    def covers(self, path: str | os.PathLike[str] | None) -> bool:
        """Whether a glob names the file; a path may be absolute, relative to the project, and end with :LINE."""
        if not path or self._regex is None:
            return False
        name = _relative(self._project, os.fspath(path))
        return self._regex.fullmatch(name) is not None

    def source_of(self, texts: Iterable[str]) -> str | None:
        """The first covered file of which a text holds three successive lines (or all, if it has fewer); else None."""
        if self._regex is None:
            return None
        held = {mark for text in texts for mark in _passages(text, whole=False)}
        with self._lock:
            self._look()
            return next((name for name, (_, marks) in self._files.items() if not marks.isdisjoint(held)), None)

    def files(self) -> list[str]:
        """The files that the globs name now, relative to the project and posix."""
        return [] if self._regex is None else sorted(name for name, _ in self._covered_files())

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_AGAIN_S:
            return
        self._looked = now
        fresh = {}
        for name, status in self._covered_files():
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._files.get(name)
            fresh[name] = known if known is not None and known[0] == stamp else (stamp, self._marks(name))
        self._files = fresh

    def _covered_files(self) -> Iterator[tuple[str, os.stat_result]]:
        assert self._regex is not None
        for folder, folders, files in os.walk(self._project):
            folders[:] = [name for name in folders if name not in _PASSED_BY]
            for file in files:
                path = Path(folder, file)
                name = path.relative_to(self._project).as_posix()
                if self._regex.fullmatch(name) is not None:
                    try:
                        status = path.stat()
                    except OSError:
                        continue
                    if status.st_size <= LARGEST_BYTES:
                        yield name, status

    def _marks(self, name: str) -> frozenset[int]:
        try:
            text = (self._project / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return frozenset()
        return frozenset(_passages(text, whole=True))


def _passages(text: str, *, whole: bool) -> Iterator[int]:
    """A number for each run of successive lines; blank lines, imports and indents are left out.

    Of a file that is `whole`, runs of three lines that are long enough to be its own, or all of a shorter file; of a
    text that may hold some of it, every run that could be such a one.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith(("import ", "from "))]
    sizes = (min(LINES, len(lines)),) if whole else range(1, LINES + 1)
    least = 0 if not whole else SHORTEST if len(lines) > LINES else SHORTEST_WHOLE
    for size in sizes:
        for start in range(len(lines) - size + 1):
            passage = "\n".join(lines[start : start + size])
            if passage and len(passage) >= least:
                yield hash((size, passage))


@lru_cache(maxsize=64)
def _matcher(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    if not globs:
        return None
    return re.compile("|".join(f"(?:{_translated(glob)})" for glob in globs), re.DOTALL)


def _translated(glob: str) -> str:
    pattern = glob.strip().removeprefix("./")
    anchored = "/" in pattern.rstrip("/")
    parts = re.split(r"(\*\*/|/\*\*$|\*\*|\*|\?)", pattern.strip("/"))
    words = {"**/": "(?:[^/]+/)*", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(words.get(part, re.escape(part)) for part in parts)
    return f"{'' if anchored else '(?:.*/)?'}{body}(?:/.*)?"


def _relative(project: Path, path: str) -> str:
    name = re.sub(r":\d+\Z", "", path.replace("\\", "/"))
    if os.path.isabs(name):
        try:
            return Path(name).resolve().relative_to(project.resolve()).as_posix()
        except ValueError:
            return name.lstrip("/")
    return os.path.normpath(PurePosixPath(name).as_posix()).replace("\\", "/")
