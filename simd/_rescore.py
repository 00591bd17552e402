"""Rows of which too little is kept for a score: those that came near are scored by vectors that are made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aqe.simd._funnel_twin import COSINE, L2, measured_scores, prepared, unit
from aqe.simd._given import as_rows
from aqe.simd._rows import LEVELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from aqe.simd._ids import Ids
    from aqe.simd._rows import Coding

    Floats = NDArray[np.float32]
    Rescore = Callable[[Ids], Floats]

FEWEST, FOR_EACH = 100, 10
"""Rows at least, and for each one asked for, that are looked through for some that may be better than estimated."""

DOUBT = 2.0
"""How many times its usual error an estimate may be too low for the row to be made anew."""


def looked_through(k: int) -> int:
    """How many rows a search for k is to find before those in doubt are made anew."""
    return max(FEWEST, FOR_EACH * k)


def best(
    ids: Ids,
    scores: Floats,
    levels: NDArray[np.uint8],
    query: Floats,
    k: int,
    *,
    metric: int,
    coding: Coding | None,
    rescore: Rescore,
) -> tuple[Ids, Floats]:
    """The best k of what a search found, best first. `rescore` is asked for the demoted rows among the first 2k + 12,
    and then for those whose estimates leave it open whether they belong to the best."""
    query, sign = prepared(query, metric), np.float32(-1 if metric == L2 else 1)
    found = scores * sign
    bits = levels == LEVELS.index("bits")
    demoted = levels >= LEVELS.index("int8")
    first = demoted & (np.arange(len(ids)) < 2 * k + 12)
    _put(found, first, ids, query, metric, sign, rescore)
    if coding is not None and (bits & ~first).any() and len(ids) > k:
        border = np.partition(found, len(found) - k)[len(found) - k]
        gap = query - coding.mean
        doubt = DOUBT * coding.spread * float(np.sqrt(gap @ gap)) * (2 if metric == L2 else 1)
        _put(found, bits & ~first & (found + doubt >= border), ids, query, metric, sign, rescore)
    order = np.argsort(-found, kind="stable")[:k]
    return ids[order], found[order] * sign


def _put(
    found: Floats, chosen: NDArray[np.bool_], ids: Ids, query: Floats, metric: int, sign: Any, rescore: Rescore
) -> None:
    """Score the chosen rows by their vectors, made anew."""
    if not chosen.any():
        return
    rows = as_rows(rescore(ids[chosen]), int(chosen.sum()), len(query))
    found[chosen] = sign * measured_scores(unit(rows) if metric == COSINE else rows, query, metric)
