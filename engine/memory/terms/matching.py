"""What words find by FTS5, for the searches of several scopes together: one pass over the rows that the terms stand in.

The index knows no namespaces, and to look each row's up costs as much again as to rank it, so they are looked up of the
best rows alone, and kept until they change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import apsw

from aqe import simd
from aqe.engine.memory.terms.occurrences import UNKNOWN, KnownRows
from aqe.engine.memory.terms.text import match_expression

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.search.ranking import Scope
    from aqe.engine.memory.terms.occurrences import Groups, Ids, Ranked

ONE_PASS = 50_000
"""Rows, summed over the terms of a query, that one pass reads; above, each scope asks for itself."""


class Matched:
    """The rows that any of some terms finds, with their BM25. `known` has what was read of rows, and learns what is
    looked up. Whoever calls is in a read transaction."""

    def __init__(self, connection: apsw.Connection, terms: Sequence[str], known: KnownRows) -> None:
        self._connection = connection
        self._known = known
        found = known.ranked(connection, terms) if terms else None
        self._rows, self._scores = found or _ranked_by_fts5(connection, terms)
        self._groups: Groups | None = None

    def best(self, k: int, scope: Scope) -> Ranked:
        """The `k` best rows of a scope without a condition with their BM25, best first; of equals the oldest."""
        if scope.is_nothing or not len(self._rows):
            return self._rows[:0], self._scores[:0]
        if scope.is_everything:
            return simd.best_listed(self._rows, self._scores, k)
        known, connection = self._known, self._connection
        if self._groups is None:
            self._groups = known.groups(connection, self._rows)
        wide = k
        while True:
            among = known.among(scope)
            rows, scores = simd.best_listed(self._rows, self._scores, wide, groups=self._groups, among=among)
            places = self._rows.searchsorted(rows)
            unknown = places[self._groups[places] == UNKNOWN]
            if not len(unknown):
                return rows[:k], scores[:k]
            self._groups[unknown] = known.look_up(connection, self._rows[unknown])
            wide *= 4

    def scores(self, rows: Sequence[int]) -> dict[int, float]:
        """BM25 of those of `rows` that any of the terms stands in."""
        import numpy as np

        found = self._scores_of(np.array(rows, np.int64)).tolist()
        return {row: score for row, score in zip(rows, found, strict=True) if score}

    def found(self, k: int, scope: Scope, rows: NDArray[np.int64]) -> tuple[Ranked, NDArray[np.float64]]:
        """The `k` best rows of a scope with their BM25, and that of `rows`, 0 where no term is."""
        return self.best(k, scope), self._scores_of(rows)

    def _scores_of(self, rows: Ids) -> NDArray[np.float64]:
        import numpy as np

        if not len(self._rows):
            return np.zeros(len(rows), np.float64)
        places = np.minimum(self._rows.searchsorted(rows), len(self._rows) - 1)
        scores = self._scores[places]
        scores[self._rows[places] != rows] = 0.0
        return scores


def _ranked_by_fts5(connection: apsw.Connection, terms: Sequence[str]) -> Ranked:
    """The rows that any of the terms stands in, by number, and their BM25."""
    import numpy as np

    sql = "SELECT rowid, -rank FROM texts WHERE texts MATCH ?"
    found: Any = connection.execute(sql, (match_expression(terms),)) if terms else ()
    ranks: dict[int, float] = dict(found)
    rows = np.fromiter(ranks, np.int64, len(ranks))
    order = np.argsort(rows, kind="stable")
    return rows[order], np.fromiter(ranks.values(), np.float64, len(ranks))[order]
