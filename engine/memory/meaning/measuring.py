"""How searches by meaning are answered in each namespace of a store, and what share of the exact answer they find."""

from __future__ import annotations

from typing import Any

import apsw

from aqe.engine.memory.contents import SearchFigures
from aqe.engine.memory.meaning.codes import Codes

SAMPLE = 32
MOST_COMPARED = 4_000_000
"""Vectors that a measurement compares at most, over all its exact searches of one namespace."""

FEWEST = 4
GRAPH_S = 60.0
"""How long a measurement waits for a graph."""


def search_figures(connection: apsw.Connection, codes: Codes, *, load: bool) -> tuple[SearchFigures, ...]:
    """The figures of each namespace and space with a vector, in the caller's read transaction.

    Recall is measured on points between vectors and away from them, against an exact search; with `load` what has files
    is opened first. Where codes are not at hand vec0 answers, which looks at every vector and misses none.
    """
    sql = (
        "SELECT embedder, namespace, embedder_id, count(*) FROM memories JOIN embedders ON embedder = number"
        " WHERE valid_to IS NULL GROUP BY 1, 2 ORDER BY 1, 2"
    )
    rows: list[Any] = connection.execute(sql).fetchall()
    if load:
        codes.open_files(connection)
    at_hand = codes.at_hand(connection)
    found = []
    for table, namespace, embedder, count in rows:
        part = at_hand.get((table, namespace))
        if part is None or not len(part.vectors):
            found.append(SearchFigures(embedder, namespace, count, "vec0", 1.0, 1.0))
            continue
        if part.graph is not None and load:
            part.graph.wait(GRAPH_S)
        searched, sample = part.searched, max(FEWEST, min(SAMPLE, MOST_COMPARED // len(part.vectors)))
        try:
            recall, scanned = round(searched.recall(sample=sample, k=10), 4), round(searched.last_scanned, 4)
        except ValueError:
            if not codes.spare_damaged():
                raise
            found.append(SearchFigures(embedder, namespace, count, "vec0", 1.0, 1.0))
            continue
        found.append(SearchFigures(embedder, namespace, count, searched.structure, recall, scanned))
    return tuple(found)
