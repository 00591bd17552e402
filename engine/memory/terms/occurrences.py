"""BM25 of the rows that some terms stand in, from FTS5's list of where each term occurs (fts5vocab).

FTS5 looks the length of each row up that it ranks, which is two thirds of what ranking takes. Here lengths are kept
until the log of changes names the row; those that are not known yet are looked up in one go. The scores are FTS5's,
operation by operation; the first ones of a store are compared with its own, and where they differ, FTS5 ranks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import apsw

from aqe import simd
from aqe.engine.memory.file.changelog import Mark, read_mark, rows_since
from aqe.engine.memory.terms.text import match_expression

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.search.ranking import Scope

    Ids = NDArray[np.int64]
    Ranked = tuple[Ids, NDArray[np.float64]]
    Groups = NDArray[np.int32]

MOST_ROWS = 1 << 24
"""The number of a row from which on nothing is kept."""

MOST_CHANGES = 5000
"""Changes above which all is forgotten, which takes less time than to read their log."""

UNKNOWN, NOWHERE, FIRST = 0, 1, 2
"""Groups: of a row whose namespace was not looked up, of one of the index alone, and of the first namespace."""

_NAMES = "SELECT row, namespace FROM memories WHERE row IN (SELECT value FROM json_each(?))"
_LENGTHS = "SELECT id, sz FROM texts_docsize WHERE id IN (SELECT value FROM json_each(?))"
_PLACES = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.places USING fts5vocab('main', 'texts', 'instance')"
_OF_TERM = "SELECT group_concat(doc) FROM temp.places WHERE term = ?"
_TOTALS = "SELECT block FROM texts_data WHERE id = 1"
"""FTS5's averages record: the number of rows, then that of the tokens of each column."""


class KnownRows:
    """What was read of the rows of one store: namespaces and lengths, until the rows change. Whoever calls
    holds the store's lock and is in a read transaction."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of the namespaces
        self._groups: Groups | None = None  # by row
        self._lengths: NDArray[np.int32] | None = None  # by row, 0 for one that is not known
        self._totals: tuple[int, ...] = ()
        self._mark: Mark | None = None
        self._is_current = False
        self._masks: dict[Any, NDArray[np.bool_]] = {}
        self._differs: bool | None = None

    def forget(self) -> None:
        """A memory changed: nothing is known any more of the rows that the log of changes names."""
        self._is_current = False

    def groups(self, connection: apsw.Connection, rows: Ids) -> Groups:
        """The group of each row, `UNKNOWN` as long as it was not looked up."""
        import numpy as np

        self._prepare(connection)
        known = self._groups
        return np.zeros(len(rows), np.int32) if known is None or not _are_in(rows, len(known)) else known[rows]

    def look_up(self, connection: apsw.Connection, rows: Ids) -> Groups:
        """The group of each of a few rows."""
        import numpy as np

        numbers, listed = self._numbers, rows.tolist()
        found: Any = connection.execute(_NAMES, (json.dumps(listed),))
        group_of = {row: numbers.setdefault(name, FIRST + len(numbers)) for row, name in found}
        groups = np.array([group_of.get(row, NOWHERE) for row in listed], np.int32)
        known = self._groups
        if known is not None and _are_in(rows, len(known)):
            known[rows] = groups
        return groups

    def among(self, scope: Scope) -> NDArray[np.bool_]:
        """Which groups are in a scope without a condition; a row that was not looked up may be."""
        import numpy as np

        asked = (scope.within, scope.without, len(self._numbers))
        mask = self._masks.get(asked)
        if mask is None:
            if len(self._masks) > 64:
                self._masks.clear()
            mask = self._masks[asked] = np.array([True, False, *map(scope.has, self._numbers)], np.bool_)
        return mask

    def ranked(self, connection: apsw.Connection, terms: Sequence[str]) -> Ranked | None:
        """The rows that any of the terms stands in, by number, and their BM25; None where FTS5 has to rank them."""
        if self._differs:
            return None
        self._prepare(connection)
        if self._lengths is None or len(self._totals) != 2 or not all(self._totals):
            return None
        connection.execute(_PLACES)
        lists = [connection.execute(_OF_TERM, (term,)).get or "" for term in terms]
        try:
            found = self._scored(connection, lists)
        except (ValueError, OverflowError):  # the lists or lengths of a damaged index
            return None
        if self._differs is None and found is not None and len(found[0]):
            self._differs = not _is_as_fts5_says(connection, terms, *found)
        return None if self._differs else found

    def _scored(self, connection: apsw.Connection, lists: Sequence[str]) -> Ranked | None:
        known, (documents, tokens) = self._lengths, self._totals
        if known is None:
            return None
        rows, scores, unknown = simd.rank_lists(lists, known, documents=documents, tokens=tokens)
        if not len(unknown):
            return rows, scores
        if not _are_in(unknown, len(known)):
            return None
        for row, size in connection.execute(_LENGTHS, (json.dumps(unknown.tolist()),)):
            (known[row],) = _numbers(size)
        rows, scores, unknown = simd.rank_lists(lists, known, documents=documents, tokens=tokens)
        return None if len(unknown) else (rows, scores)

    def _prepare(self, connection: apsw.Connection) -> None:
        """Room for what is known of rows, as of the caller's transaction; none where that would be too much."""
        if self._is_current:
            return
        import numpy as np

        before, self._mark, self._is_current = self._mark, read_mark(connection), True
        newest = connection.execute("SELECT max(row) FROM memories").get or 0
        self._totals = (*_numbers(connection.execute(_TOTALS).get),)
        changed = None
        if before is not None and self._mark.number - before.number <= MOST_CHANGES and newest < MOST_ROWS:
            changed = rows_since(connection, before)
        if changed is None:
            self._groups = self._lengths = None
        if newest < MOST_ROWS:
            gone = np.array([row for row in changed or () if row <= newest], np.int64)
            self._groups = _grown(self._groups, newest + 1, gone)
            self._lengths = _grown(self._lengths, newest + 1, gone)


def _grown(known: NDArray[np.int32] | None, size: int, gone: Ids) -> NDArray[np.int32]:
    """Room for so many rows, with what is known of them, but of those that changed."""
    import numpy as np

    if known is None:
        return np.zeros(size, np.int32)
    if size > len(known):
        known = np.concatenate([known, np.zeros(size // 4 + size - len(known), np.int32)])
    known[gone] = 0
    return known


def _are_in(rows: Ids, size: int) -> bool:
    return len(rows) == 0 or bool(0 <= rows.min() <= rows.max() < size)


def _numbers(packed: object) -> list[int]:
    """SQLite's varints, of less than nine bytes each; none of what a damaged index has in place of bytes."""
    found, number = list[int](), 0
    if not isinstance(packed, bytes):
        return found
    for byte in packed:
        number = number << 7 | byte & 127
        if byte < 128:
            found.append(number)
            number = 0
    return found


def _is_as_fts5_says(connection: apsw.Connection, terms: Sequence[str], rows: Ids, scores: NDArray[np.float64]) -> bool:
    """Whether the first row that FTS5 finds has this score there."""
    sql = "SELECT rowid, -rank FROM texts WHERE texts MATCH ? LIMIT 1"
    said: object = connection.execute(sql, (match_expression(terms),)).fetchone()
    return said == ((int(rows[0]), float(scores[0])) if len(rows) else None)
