"""What was recalled a moment ago is not stored again.

An assistant that is given a memory tends to remember it anew, in its own words or its own frame ("Remember: ..."), and
a memory fills with copies of itself. So each search and each answer notes which memories it showed, for this process
and (through the access counts) for the next ones; a text that says nothing beyond one of them is answered with that
one's id. Only what the text adds decides: one number, one sign, one name or one negation more, or the same in another
order, and it is a memory of its own.

A text from a shelf (the project index, the knowledge) that is repeated into another namespace counts too; a memory of
another ordinary namespace does not, since the caller wants it in both. An id of the caller is always a row of its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from aqe.engine.memory.entry import Memory
from aqe.engine.memory.growth.likeness import LONGEST, adds_nothing
from aqe.engine.memory.rows import COLUMNS, read_memory
from aqe.engine.memory.search.ranking import SHELVES

WINDOW_S = 3600.0
MOST = 256
"""The memories that are looked at, those recalled last."""

MOST_TEXTS = 64
"""More texts at a time are an import, not what somebody says about what they were shown."""

MOST_WAITING = 128
"""Searches whose memories wait to be sorted in, so that each costs a microsecond."""

Key = tuple[str, str]


@dataclass
class Lately:
    """What was recalled from one store: when (monotonic) and the text as it was then, None where it was not at hand;
    up to when the accesses of other processes were read (microseconds); and what was shown since, not yet sorted in,
    with how much may wait so."""

    shown: OrderedDict[Key, tuple[float, str | None]] = field(default_factory=OrderedDict)
    seen: int = 0
    waiting: list[tuple[float, Sequence[Memory | Key]]] = field(default_factory=list)
    most: int = MOST_WAITING

    def add(self, shown: Sequence[Memory | Key]) -> None:
        """Note that memories, or such by namespace and id alone, were shown just now: appending needs no lock."""
        self.waiting.append((time.monotonic(), shown))
        if len(self.waiting) >= self.most or len(shown) > MOST_TEXTS:
            with _lock:
                self._shorten()

    def _taken(self) -> list[tuple[float, Sequence[Memory | Key]]]:
        """What waits, which then waits no more; others may append meanwhile."""
        taken = self.waiting[:]
        del self.waiting[: len(taken)]
        return taken

    def _shorten(self) -> None:
        """Let only that wait of which some memory was not shown later, and few more than those that count. A memory is
        known by the object that it is, which costs a tenth of asking for its name; one that was made twice is two."""
        left: list[tuple[float, Sequence[Memory | Key]]] = []
        known: set[object] = set()
        for at, shown in reversed(self._taken()):
            before = len(known)
            if shown and isinstance(shown[0], Memory):
                known.update(map(id, shown))
            else:
                known.update([id(one) if isinstance(one, Memory) else one for one in shown])
            if len(known) > before:
                left.append((at, shown))
            if len(known) >= 2 * MOST:
                break
        self.waiting[:0] = reversed(left)
        self.most = len(left) + MOST_WAITING

    def note(self, key: Key, at: float, text: str | None) -> None:
        """Note one as shown at `at` (monotonic). `_lock` is held, here and below."""
        self.shown[key] = at, text if text is None else text[:LONGEST]
        self.shown.move_to_end(key)

    def forget_oldest(self) -> None:
        """Keep `MOST` of them."""
        while len(self.shown) > MOST:
            self.shown.popitem(last=False)

    def sort_in(self) -> None:
        """Note what was shown since, the last `MOST` memories of it."""
        newest: dict[Key, tuple[float, str | None]] = {}
        for at, shown in reversed(self._taken()):
            for one in reversed(shown):
                if isinstance(one, Memory):
                    newest.setdefault((one.namespace, one.id), (at, one.text))
                else:
                    newest.setdefault(one, (at, None))
            if len(newest) >= MOST:
                self.shown.clear()
                break
        for key, (at, text) in reversed(newest.items()):
            self.note(key, at, text)
        self.forget_oldest()


_lock = threading.Lock()
_lately: dict[Path, Lately] = {}


def lately_recalled(path: Path) -> Lately:
    """What any part of this process recalled from the store at `path`."""
    with _lock:
        return _lately.setdefault(path, Lately())


def said_already(
    connection: apsw.Connection, path: Path, text: str, namespace: str, *, now: int, window_s: float = WINDOW_S
) -> Memory | None:
    """The memory, recalled within the window by this process or another, beyond which `text` says nothing, where it
    would be a copy of that one."""
    if len(text) > LONGEST or window_s <= 0:
        return None
    for key, known in _shown(connection, path, now, window_s):
        if key[0] != namespace and not key[0].startswith(SHELVES):
            continue
        if known is None or known == text or adds_nothing(text, known):
            memory = _current(connection, key, now)
            if memory is None:
                continue
            if memory.text == text or adds_nothing(text, memory.text[:LONGEST]):
                return memory
    return None


def _shown(connection: apsw.Connection, path: Path, now: int, window_s: float) -> Iterator[tuple[Key, str | None]]:
    """What was recalled within the window, the last ones first."""
    newest = connection.execute("SELECT max(last_at) FROM accesses").get or 0
    with _lock:
        known = _lately.get(path)
        if known is not None:
            known.sort_in()
        seen = max(0 if known is None else known.seen, int(now - window_s * 1e6))
        if newest > seen:
            known = _lately.setdefault(path, Lately())
            _read_others(connection, known, seen, now)
            known.seen = newest
        least = time.monotonic() - window_s
        found = [] if known is None else [(key, text) for key, (at, text) in known.shown.items() if at >= least]
    return reversed(found)


def _read_others(connection: apsw.Connection, known: Lately, seen: int, now: int) -> None:
    """Take in what other processes recalled since."""
    sql = (
        "SELECT namespace, id, substr(text, 1, ?), last_at FROM accesses JOIN memories USING (row) WHERE last_at > ?"
        " AND valid_to IS NULL ORDER BY last_at DESC LIMIT ?"
    )
    rows: list[Any] = connection.execute(sql, (LONGEST, seen, MOST)).fetchall()
    for namespace, id, text, last_at in reversed(rows):
        if (namespace, id) not in known.shown:
            known.note((namespace, id), time.monotonic() - max(0, now - last_at) / 1e6, text)
    known.forget_oldest()


def _current(connection: apsw.Connection, key: Key, now: int) -> Memory | None:
    sql = f"SELECT {COLUMNS} WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    row: Any = connection.execute(sql, key).fetchone()
    memory = None if row is None else read_memory(row)
    return None if memory is None or (memory.expires_at is not None and memory.expires_at <= now) else memory
