"""Which rows of a store are prose, so that a search weighs each memory by what it is (`weights`).

The first searches read the texts of their candidates. After a few, those of all rows are read once, in the background
where they are many, and the log of changes keeps what they are up to date. The project index and the knowledge are
never prose here: they have the weight of code, by which they were measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.file.aside import ReadAside
from aqe.engine.memory.file.changelog import Mark, read_mark, rows_since
from aqe.engine.memory.file.namespaces import end_of
from aqe.engine.memory.search.filters import namespace_sql
from aqe.engine.memory.search.ranking import SHELVES
from aqe.engine.memory.search.weights import LOOKED_AT, is_prose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEARCHES = 3
"""Searches after which all rows are read."""

ASIDE = 5_000
"""Rows from which they are read in the background."""

MOST_CHANGED = 2_000
"""Changed rows above which everything is read anew."""

FEW = 256
"""Rows that are read at the first search: so many texts take a millisecond or two."""

_LOOK = 1000
_TEXTS = f"SELECT row, substr(text, 1, {LOOKED_AT}) FROM memories"
_AMONG = f"{_TEXTS} WHERE row IN (SELECT value FROM json_each(?))"


@dataclass
class _Held:
    """True for each current row, by its number, that is prose, as of a moment."""

    marked: NDArray[np.bool_]
    mark: Mark


class Kinds:
    """What the rows of one store are. Whoever calls holds the store's lock and is in a read transaction."""

    def __init__(self, database: Path, *, reopen: Callable[[Path], apsw.Connection]) -> None:
        self._held: _Held | None = None
        self._searches = 0
        self._aside = ReadAside("aqe-kinds", database, reopen, lambda *given: _read(*given))

    def marked(self, connection: apsw.Connection, number: int) -> NDArray[np.bool_] | None:
        """True for each row (by its number) that is prose, as of the caller's transaction, whose last change has this
        number; None while that is not at hand."""
        if (made := self._aside.taken()) is not None:
            (self._held,) = made
            self._searches = 0 if self._held is not None else -1000  # else asked again much later
        if self._held is None and not self._load(connection):
            return None
        held = self._held
        if held is None or held.mark.number > number:
            return None
        if held.mark.number < number:
            held = self._follow(connection, held)
        return None if held is None else held.marked

    def among(self, connection: apsw.Connection, number: int, rows: Collection[int], *, past: bool = False) -> set[int]:
        """Those of `rows` that are prose; some of the `past` may have ended."""
        marked = None if past else self.marked(connection, number)
        if marked is None:
            return _prose_of(connection, rows)
        return {row for row in rows if row < len(marked) and marked[row]}

    def close(self) -> None:
        """Wait for what is being read in the background."""
        self._aside.close()

    def _load(self, connection: apsw.Connection) -> bool:
        """Read all rows after a few searches, or have them read; whether that is done."""
        self._searches += 1
        if self._searches <= SEARCHES and (self._searches != 1 or _count(connection, FEW + 1) > FEW):
            return False
        if _count(connection, ASIDE) >= ASIDE and self._aside.begin():
            return False
        self._held = _read(connection, lambda: False)
        return self._held is not None

    def _follow(self, connection: apsw.Connection, held: _Held) -> _Held | None:
        """Bring what is held to the moment of the transaction, or drop it."""
        import numpy as np

        mark, rows = read_mark(connection), rows_since(connection, held.mark)
        if rows is None or len(rows) > MOST_CHANGED:
            self._held, self._searches = None, SEARCHES
            return None
        prose = _prose_of(connection, rows)
        if prose and max(prose) >= len(held.marked):
            room = np.zeros(max(max(prose) + 1, 2 * len(held.marked)), np.bool_)
            room[: len(held.marked)] = held.marked
            held.marked = room
        for row in rows:
            if row < len(held.marked):
                held.marked[row] = row in prose
        held.mark = mark
        return held


def _outside() -> list[tuple[str, str]]:
    """The names between those of the shelves: from one on, and below the other."""
    bounds, at = list[tuple[str, str]](), ""
    for start in sorted(SHELVES):
        if start > at:
            bounds.append((at, start))
        at = end_of(start)
    return [*bounds, (at, chr(sys.maxunicode))]


_OUTSIDE = _outside()
_CURRENT = "valid_to IS NULL AND namespace >= ? AND namespace < ?"


def _prose_of(connection: apsw.Connection, rows: Collection[int]) -> set[int]:
    where, bound = namespace_sql(None, SHELVES)
    found = connection.execute(f"{_AMONG} AND {where}", (json.dumps([*rows]), *bound))
    return {int(row) for row, text in found if is_prose(str(text))}


def _count(connection: apsw.Connection, most: int) -> int:
    """How many current rows there are outside of the shelves, up to `most`."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM memories WHERE {_CURRENT} LIMIT ?)"
    return sum(int(connection.execute(sql, (*bounds, most)).get) for bounds in _OUTSIDE)


def _read(connection: apsw.Connection, is_over: Callable[[], bool]) -> _Held | None:
    """What all current rows are; None where the work is over."""
    import numpy as np

    mark = read_mark(connection)
    newest: Any = connection.execute("SELECT max(row) FROM memories").get or 0
    marked = np.zeros(newest + 1, np.bool_)
    for bounds in _OUTSIDE:
        for at, (row, text) in enumerate(connection.execute(f"{_TEXTS} WHERE {_CURRENT}", bounds)):
            marked[row] = is_prose(str(text))
            if at % _LOOK == 0 and is_over():
                return None
    return _Held(marked, mark)
