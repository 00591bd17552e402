"""What words find by FTS5, for the searches of several scopes together: one pass over the rows that the terms stand in.

The index knows no namespaces, and to look each row's up costs as much again as to rank it, so they are looked up of the
best rows alone, and kept while no memory changes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.text import match_expression

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.ranking import Scope

ONE_PASS = 4000
"""Rows, summed over the terms of a query, that one pass reads; above, each scope asks for itself."""

KEPT = 50_000
_NAMES = "SELECT row, namespace FROM memories WHERE row IN (SELECT value FROM json_each(?))"


class Matched:
    """The rows that any of some terms finds, with their BM25. `names` has the namespaces of rows as far as they are
    known, and learns those that are looked up. Whoever calls is in a read transaction."""

    def __init__(self, connection: apsw.Connection, terms: Sequence[str], names: dict[int, str]) -> None:
        self._connection = connection
        self._names = names
        sql = "SELECT rowid, rank FROM texts WHERE texts MATCH ?"
        found: Any = connection.execute(sql, (match_expression(terms),)) if terms else ()
        self._ranks: dict[int, float] = dict(found)
        self._order: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None

    def best(self, k: int, scope: Scope) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The `k` best rows of a scope without a condition with their BM25, best first; of equals the oldest."""
        rows, scores = self._best_first()
        if scope.is_nothing:
            return rows[:0], scores[:0]
        if scope.is_everything:
            return rows[:k], scores[:k]
        wide = 2 * k
        while True:
            some = rows[:wide].tolist()
            self._look_up(some)
            names = [self._names.get(row) for row in some]  # none: a row of the index alone, which a repair takes out
            places = [at for at, name in enumerate(names) if name is not None and scope.has(name)]
            if len(places) >= k or len(some) < wide:
                return rows[places[:k]], scores[places[:k]]
            wide *= 4

    def _best_first(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if self._order is None:
            import numpy as np

            count = len(self._ranks)
            rows = np.fromiter(self._ranks, np.int64, count)
            ranks = np.fromiter(self._ranks.values(), np.float64, count)
            order = np.lexsort((rows, ranks))
            self._order = rows[order], -ranks[order]
        return self._order

    def scores(self, rows: Sequence[int]) -> dict[int, float]:
        """BM25 of those of `rows` that any of the terms stands in."""
        ranks = self._ranks
        return {row: -ranks[row] for row in rows if row in ranks}

    def found(
        self, k: int, scope: Scope, rows: NDArray[np.int64]
    ) -> tuple[tuple[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]:
        """The `k` best rows of a scope with their BM25, and that of `rows`, 0 where no term is."""
        import numpy as np

        get = self._ranks.get
        others = np.array([get(row, 0.0) for row in rows.tolist()], np.float64)
        return self.best(k, scope), -others

    def _look_up(self, rows: Sequence[int]) -> None:
        names = self._names
        if missing := [row for row in rows if row not in names]:
            if len(names) > KEPT:
                names.clear()
                missing = list(rows)
            found: Any = self._connection.execute(_NAMES, (json.dumps(missing),))
            names.update(found)
