"""The search of an inverted file in NumPy: the same lists in the same order, the same rule to stop, exact scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd._rows import BLOCK, Floats

AT_ONCE = 16
DOT, L2 = 0, 2

Numbers = NDArray[np.int64]
Score = Callable[[Numbers], tuple[Numbers, Floats]]


@dataclass(frozen=True)
class Lists:
    """The interface of `_funnel.Lists`; raises ValueError for arrays that do not fit each other."""

    centroids: NDArray[np.int8]
    scales: Floats
    halves: Floats
    starts: Numbers
    blocks: NDArray[np.uint8]
    row_of: NDArray[np.int32]

    def __post_init__(self) -> None:
        count = len(self.scales)
        fits = self.centroids.shape[0] == count == len(self.halves) and len(self.starts) == count + 1
        fits &= len(self.row_of) == len(self.blocks) * BLOCK and self.starts[0] == 0
        if not fits or (np.diff(self.starts) < 0).any() or self.starts[-1] != len(self.blocks):
            raise ValueError("the lists do not fit each other")

    def order(self, query: Floats, metric: int) -> NDArray[np.intp]:
        """The lists that hold anything, nearest first."""
        near = (self.centroids @ query) * self.scales
        if metric != DOT:
            near -= self.halves
        order = np.argsort(-near, kind="stable")
        return order[np.diff(self.starts)[order] > 0]


def probe(lists: Lists, order: NDArray[np.intp], k: int, patience: int, score: Score, best: Any) -> tuple[Any, int]:
    """Look through lists until the best k stay the same for `patience` of them; (the best, blocks looked at).

    `score(rows)` gives the rows of these that may be found and their scores, highest best; `best` is what it gave for
    rows that stand in no list.
    """
    rows, scores = best
    looked = changed = at = 0
    while at < len(order) and at < changed + patience:
        some = order[at : at + AT_ONCE]
        at += len(some)
        spans = [np.arange(lists.starts[one], lists.starts[one + 1]) for one in some]
        blocks = np.concatenate(spans)
        looked += len(blocks)
        found = lists.row_of.reshape(-1, BLOCK)[blocks].ravel()
        new_rows, new_scores = score(np.unique(found[found >= 0]).astype(np.int64))
        before = rows[:k]
        rows, scores = np.concatenate([rows, new_rows]), np.concatenate([scores, new_scores])
        rows, first = np.unique(rows, return_index=True)
        kept = np.argsort(-scores[first], kind="stable")[:k]
        rows, scores = rows[kept], scores[first][kept]
        if len(before) != len(rows) or (before != rows).any():
            changed = at
    return (rows, scores), looked
