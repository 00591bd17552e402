"""What words find by FTS5, for the searches of several scopes together: one pass over the rows that the terms stand in.

The index knows no namespaces, and to look each row's up costs as much again as to rank it, so they are looked up of the
best rows alone, and kept while no memory changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.text import match_expression

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.occurrences import KnownRows, Ranked
    from aqe.engine.memory.ranking import Scope

ONE_PASS = 4000
"""Rows, summed over the terms of a query, that one pass reads; above, each scope asks for itself."""


class Matched:
    """The rows that any of some terms finds, with their BM25. `known` has what was read of rows, and learns what is
    looked up. Whoever calls is in a read transaction."""

    def __init__(self, connection: apsw.Connection, terms: Sequence[str], known: KnownRows) -> None:
        self._connection = connection
        self._known = known
        found = known.ranked(connection, terms) if terms else None
        self._rows, self._scores = found or _ranked_by_fts5(connection, terms)
        self._best: Ranked | None = None

    def best(self, k: int, scope: Scope) -> Ranked:
        """The `k` best rows of a scope without a condition with their BM25, best first; of equals the oldest."""
        rows, scores = self._best_first()
        if scope.is_nothing:
            return rows[:0], scores[:0]
        if scope.is_everything:
            return rows[:k], scores[:k]
        wide = 2 * k
        while True:
            names = self._known.names(self._connection, rows[:wide].tolist())
            inside = {name for name in {*names} if name is not None and scope.has(name)}
            places = [at for at, name in enumerate(names) if name in inside]
            if len(places) >= k or len(names) < wide:
                return rows[places[:k]], scores[places[:k]]
            wide *= 4

    def _best_first(self) -> Ranked:
        if self._best is None:
            import numpy as np

            order = np.argsort(-self._scores, kind="stable")
            self._best = self._rows[order], self._scores[order]
        return self._best

    def scores(self, rows: Sequence[int]) -> dict[int, float]:
        """BM25 of those of `rows` that any of the terms stands in."""
        import numpy as np

        found = self._scores_of(np.array(rows, np.int64)).tolist()
        return {row: score for row, score in zip(rows, found, strict=True) if score}

    def found(self, k: int, scope: Scope, rows: NDArray[np.int64]) -> tuple[Ranked, NDArray[np.float64]]:
        """The `k` best rows of a scope with their BM25, and that of `rows`, 0 where no term is."""
        return self.best(k, scope), self._scores_of(rows)

    def _scores_of(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        import numpy as np

        if not len(self._rows):
            return np.zeros(len(rows), np.float64)
        places = np.minimum(np.searchsorted(self._rows, rows), len(self._rows) - 1)
        return np.where(self._rows[places] == rows, self._scores[places], 0.0)


def _ranked_by_fts5(connection: apsw.Connection, terms: Sequence[str]) -> Ranked:
    """The rows that any of the terms stands in, by number, and their BM25."""
    import numpy as np

    sql = "SELECT rowid, -rank FROM texts WHERE texts MATCH ?"
    found: Any = connection.execute(sql, (match_expression(terms),)) if terms else ()
    ranks: dict[int, float] = dict(found)
    rows = np.fromiter(ranks, np.int64, len(ranks))
    order = np.argsort(rows, kind="stable")
    return rows[order], np.fromiter(ranks.values(), np.float64, len(ranks))[order]
