"""BM25 of the rows that some terms stand in, from FTS5's list of where each term occurs (fts5vocab).

FTS5 looks the length of each row up that it ranks, which is two thirds of what ranking takes. Here lengths are kept
while no memory changes; those that are not known yet are looked up in one go. The scores are FTS5's, operation by
operation; the first ones of a store are compared with its own, and where they differ, FTS5 ranks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import log
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.text import match_expression

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ranked = tuple[NDArray[np.int64], NDArray[np.float64]]

K1, B = 1.2, 0.75
LEAST_WEIGHT = 1e-6
"""What FTS5 gives a term that stands in half of the rows or more."""

MOST_ROWS = 1 << 24
KEPT = 50_000
_NAMES = "SELECT row, namespace FROM memories WHERE row IN (SELECT value FROM json_each(?))"
_LENGTHS = "SELECT id, sz FROM texts_docsize WHERE id IN (SELECT value FROM json_each(?))"
_PLACES = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.places USING fts5vocab('main', 'texts', 'instance')"
_OF_TERM = "SELECT count(*), group_concat(doc) FROM temp.places WHERE term = ?"
_TOTALS = "SELECT block FROM texts_data WHERE id = 1"
"""FTS5's averages record: the number of rows, then that of the tokens of each column."""


class KnownRows:
    """What was read of the rows of one store, namespaces and lengths, until it is forgotten because a memory changed.
    Whoever calls holds the store's lock and is in a read transaction."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._lengths: NDArray[np.int32] | None = None  # by row, 0 for one that is not known
        self._rows = self._tokens = 0
        self._differs: bool | None = None

    def forget(self) -> None:
        """A memory changed."""
        self._names.clear()
        self._lengths = None

    def names(self, connection: apsw.Connection, rows: Sequence[int]) -> list[str | None]:
        """The namespace of each row; None for a row of the index alone, which a repair takes out."""
        names = self._names
        if missing := [row for row in rows if row not in names]:
            if len(names) > KEPT:
                names.clear()
                missing = list(rows)
            found: Any = connection.execute(_NAMES, (json.dumps(missing),))
            names.update(found)
        return [names.get(row) for row in rows]

    def ranked(self, connection: apsw.Connection, terms: Sequence[str]) -> Ranked | None:
        """The rows that any of the terms stands in, by number, and their BM25; None where FTS5 has to rank them."""
        if self._differs:
            return None
        found = self._occurring(connection, terms)
        if self._differs is None and found is not None:
            self._differs = not _is_as_fts5_says(connection, terms, *found)
        return None if self._differs else found

    def _occurring(self, connection: apsw.Connection, terms: Sequence[str]) -> Ranked | None:
        import numpy as np

        connection.execute(_PLACES)
        each: list[Any] = [connection.execute(_OF_TERM, (term,)).get for term in terms]
        places = np.fromstring(",".join([listed for count, listed in each if count]), np.int64, sep=",")
        owners = np.repeat(np.arange(len(each)), [count for count, _ in each])
        starts = np.flatnonzero(_first_of_runs(places) | _first_of_runs(owners))
        often = np.diff(starts, append=len(places)).astype(np.float64)
        rows, owners = places[starts], owners[starts]
        lengths = self._lengths_of(connection, rows)
        if lengths is None:
            return None
        counts = np.bincount(owners, minlength=len(each))
        weights = np.array([_weight(self._rows, count) for count in counts.tolist()], np.float64)[owners]
        norms = K1 * (1 - B + B * lengths / (self._tokens / self._rows))
        scores = weights * (often * (K1 + 1.0) / (often + norms))
        order = np.argsort(rows, kind="stable")  # of a row its terms stay in their order, so that sums are FTS5's too
        rows = rows[order]
        first = _first_of_runs(rows)
        sums: Any = np.bincount(np.cumsum(first) - 1, weights=scores[order])
        return rows[first], sums

    def _lengths_of(self, connection: apsw.Connection, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """The number of tokens of each of some rows; None where one is in no place where it can be known."""
        import numpy as np

        if self._lengths is None:
            newest = connection.execute("SELECT max(row) FROM memories").get or 0
            totals = _numbers(connection.execute(_TOTALS).get or b"")
            if newest > MOST_ROWS or len(totals) != 2 or not all(totals):
                return None
            self._rows, self._tokens = totals
            self._lengths = np.zeros(newest + 1, np.int32)
        known = self._lengths
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(known):
            return None
        lengths = known[rows]
        if not lengths.all():
            missing = np.unique(rows[lengths == 0]).tolist()
            for row, size in connection.execute(_LENGTHS, (json.dumps(missing),)):
                (known[row],) = _numbers(size)
            lengths = known[rows]
        return lengths.astype(np.float64) if lengths.all() else None


def _first_of_runs(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some values are others than the one before."""
    import numpy as np

    first = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return first


def _weight(rows: int, count: int) -> float:
    weight = log((rows - count + 0.5) / (count + 0.5))
    return weight if weight > 0 else LEAST_WEIGHT


def _numbers(packed: Iterable[int]) -> list[int]:
    """SQLite's varints, of less than nine bytes each."""
    found, number = [], 0
    for byte in packed:
        number = number << 7 | byte & 127
        if byte < 128:
            found.append(number)
            number = 0
    return found


def _is_as_fts5_says(
    connection: apsw.Connection, terms: Sequence[str], rows: NDArray[np.int64], scores: NDArray[np.float64]
) -> bool:
    """Whether the first row that FTS5 finds has this score there."""
    sql = "SELECT rowid, -rank FROM texts WHERE texts MATCH ? LIMIT 1"
    said: Any = connection.execute(sql, (match_expression(terms),)).fetchone()
    return (said is None and not len(rows)) or (said is not None and said == (rows[:1].sum(), scores[:1].sum()))
