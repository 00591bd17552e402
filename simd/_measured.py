"""Scores of rows that a caller names, by the best that is kept of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aqe.simd._given import unmasked
from aqe.simd._ids import as_ids

if TYPE_CHECKING:
    from aqe.simd._vectors import Floats, Vectors


def scores_of(vectors: Vectors, query: Any, ids: Any) -> Floats:
    """As `Vectors.scores`."""
    wanted = as_ids(ids)
    with vectors._publishing:
        state = vectors._state
        known = state.index.in_order()
        asked = wanted if known is not None else state.index.find(wanted)
    held, rows = (None, None) if known is None else known
    scores: Floats = np.empty(len(wanted), np.float32)
    try:
        state.snapshot.measure(unmasked(query), asked, held, rows, scores)
    except (TypeError, ValueError, BufferError):
        state.snapshot.measure(vectors._query_of(query), asked, held, rows, scores)
    if state.bits:
        _fill(vectors, query, wanted, scores)
    return scores


def _fill(vectors: Vectors, query: Any, wanted: Any, scores: Floats) -> None:
    """Estimates for the rows of which only the code is kept."""
    places = np.flatnonzero(np.isnan(scores))
    if len(places):
        ids, estimates = vectors.exact(query, len(places), allow=wanted[places])
        known = dict(zip(ids.tolist(), estimates.tolist(), strict=True))
        scores[places] = [known.get(one, np.nan) for one in wanted[places].tolist()]
