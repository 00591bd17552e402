"""Whether the file that a memory is about is still what it was when the memory was written.

A memory with a file of the project keeps that file's digest. Whoever shows it compares: the file's size and times are
looked at (two microseconds), and its content is read again only where they changed. A file that is gone makes the
memory stale too; one that never was there tells nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from aqe.engine.memory.entry import Hit, Memory, SearchAnswer

LARGEST = 16_000_000
"""Bytes of a file whose content is looked at."""

KNOWN = 2048
GONE = "gone"
LOWERED = 0.5
"""What is left of the score of a stale hit where stale ones are ranked lower."""

Policy = Literal["mark", "lower", "hide"]
Stamp = tuple[int, int, int, int]


class FileDigests:
    """The digests of files under one project's folder, each read when its stamp changed; safe between threads."""

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[Stamp, str]] = OrderedDict()

    def digest(self, file: str) -> str:
        """The digest of a file (relative to the project, posix): "" where it lies elsewhere or cannot be told, `GONE`
        where it is not there."""
        path = self._path(file)
        if path is None:
            return ""
        try:
            status = path.stat()
            if not path.is_file() or status.st_size > LARGEST:
                return ""
            stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            with self._lock:
                known = self._known.get(file)
            if known is not None and known[0] == stamp:
                return known[1]
            if self._root is None or not path.resolve().is_relative_to(self._root.resolve()):
                return ""
            made = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        except FileNotFoundError:
            return GONE
        except (OSError, ValueError):
            return ""
        with self._lock:
            self._known[file] = stamp, made
            self._known.move_to_end(file)
            while len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return made

    def within(self, file: str) -> str:
        """A file as a memory names it: relative to the project where it is one of it, with slashes."""
        if self._root is None or "\0" in file or (not file.startswith(("/", "./", ".\\")) and ":" not in file[:2]):
            return file
        path = Path(file)
        for root in (self._root, self._root.resolve()):
            if path.is_absolute() and path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return path.as_posix()

    def at_birth(self, file: str) -> str:
        """What a new memory keeps of its file: its digest, or "" where there is nothing to compare with later."""
        found = self.digest(file) if file else ""
        return "" if found == GONE else found

    def is_stale(self, memory: Memory) -> bool:
        """Whether the file behind a memory changed since, or went."""
        if not memory.file_digest:
            return False
        found = self.digest(memory.provenance.file)
        return bool(found) and found != memory.file_digest

    def marked(self, memory: Memory) -> Memory:
        """The memory, said to be stale where it is."""
        return replace(memory, stale=True) if memory.file_digest and self.is_stale(memory) else memory

    def _path(self, file: str) -> Path | None:
        if self._root is None or not file or "\0" in file or Path(file).is_absolute():
            return None
        return self._root / file


def by_freshness(hits: Sequence[Hit], policy: Policy, k: int) -> tuple[Hit, ...]:
    """The `k` best hits when stale ones are only marked, ranked lower, or left out."""
    if policy == "hide":
        return tuple(hit for hit in hits if not hit.memory.stale)[:k]
    if policy == "lower" and any(hit.memory.stale for hit in hits):
        lowered = [replace(hit, score=hit.score * LOWERED) if hit.memory.stale else hit for hit in hits]
        return tuple(sorted(lowered, key=lambda hit: -hit.score)[:k])
    return tuple(hits[:k])


def file_warning(root: Path, file: str) -> str:
    """What is to be said where the file that a memory is about is not in the project at `root`, or cannot be looked at,
    else nothing."""
    if not file or not isinstance(file, str):
        return ""
    files = FileDigests(root)
    found = files.digest(files.within(file))
    if found not in ("", GONE):
        return ""
    what = "The project has no file" if found == GONE else "Outside of the project, or no file to compare, is"
    return f"{what} {file!r:.200}, so nothing will tell when this is stale."


def fresh_answer(
    found: SearchAnswer, again: Callable[[int], SearchAnswer], policy: Policy, k: int, most: int
) -> SearchAnswer:
    """What a search for `k` found, with its stale hits ranked lower or left out, and others in their places: asked
    `again` for more, up to `most`, until no hit further down could be among the `k` best."""
    if policy == "mark" or not any(hit.memory.stale for hit in found.hits):
        return found
    wide = k
    while True:
        hits = by_freshness(found.hits, policy, k)
        are_all = len(found.hits) < wide or wide >= most
        if are_all or (len(hits) == k and (policy == "hide" or hits[-1].score >= found.hits[-1].score)):
            return replace(found, hits=hits)
        wide = min(2 * wide + 20, most)
        found = again(wide)
