"""How searches by meaning are answered in each namespace of a store, and what share of the exact answer they find."""

from __future__ import annotations

from typing import Any

import apsw

from aqe.engine.memory.codes import Codes, Measured
from aqe.engine.memory.contents import SearchFigures

SAMPLE = 32
MOST_COMPARED = 4_000_000
"""Vectors that a measurement compares at most, over all its exact searches of one namespace."""

FEWEST = 4


def search_figures(connection: apsw.Connection, codes: Codes, *, load: bool) -> tuple[SearchFigures, ...]:
    """The figures of each namespace and space with a vector, in the caller's read transaction.

    Recall is measured on points half-way between two vectors, against an exact search; with `load` what has files is
    opened first. Where codes are not at hand vec0 answers, which looks at every vector and misses none.
    """
    sql = (
        "SELECT embedder, namespace, embedder_id, count(*) FROM memories JOIN embedders ON embedder = number"
        " WHERE valid_to IS NULL GROUP BY 1, 2 ORDER BY 1, 2"
    )
    rows: list[Any] = connection.execute(sql).fetchall()
    at_hand = codes.measure(connection, sample=SAMPLE, most=MOST_COMPARED, fewest=FEWEST, load=load)
    exact = Measured(1.0, 1.0, "vec0")
    found = []
    for table, namespace, embedder, count in rows:
        seen = at_hand.get((table, namespace), exact)
        found.append(SearchFigures(embedder, namespace, count, seen.structure, seen.recall, seen.scanned))
    return tuple(found)
