"""Whether anything in some small namespaces comes near a query at all: one product in place of a search of each."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aqe import simd

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.meaning.parts import Part

MOST_ROWS = 1024
KEPT = 4
SLACK = 1e-4
"""A cosine that misses the least by less is left to a search, which rounds as searches do."""


@dataclass(frozen=True)
class Few:
    """The vectors of some small parts as one matrix, and how near they can be to a query as their short forms tell."""

    rows: NDArray[np.float32]
    bound: simd.Bound

    def may_reach(self, query: NDArray[np.float32], least: float) -> bool:
        """Whether any of these unit vectors may have a cosine of `least` with the query."""
        if self.bound.of(query) < least - SLACK:
            return False
        best = float(simd.matvec(self.rows, query).max())
        return best >= (least - SLACK) * math.sqrt(float(simd.dot(query, query)))


@dataclass(frozen=True)
class _Known:
    """The vectors of some parts as of their versions; the parts are held, so that none takes another's place."""

    parts: tuple[Part, ...]
    versions: tuple[int, ...]
    few: Few


class Reach:
    """The vectors of small namespaces as one matrix, made anew when one of them changed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, ...], _Known] = OrderedDict()

    def may(self, parts: Sequence[Part], query: NDArray[np.float32], least: float) -> bool:
        """Whether any vector of `parts` may have a cosine of `least` with the query; True too where they are many."""
        sizes = [len(part.vectors) for part in parts]
        if not 0 < sum(sizes) <= MOST_ROWS:
            return sum(sizes) > 0
        return self._few(parts).may_reach(query, least)

    def few(self, parts: Sequence[Part]) -> Few | None:
        """The vectors of parts as they are now; None where they are many or none."""
        return self._few(parts) if 0 < sum(len(part.vectors) for part in parts) <= MOST_ROWS else None

    def _few(self, parts: Sequence[Part]) -> Few:
        import numpy as np

        names, versions = tuple([id(part) for part in parts]), tuple([part.version for part in parts])
        known = self._kept.get(names)
        if known is None or known.versions != versions:
            rows = np.concatenate([part.vectors.get(part.vectors.ids) for part in parts])
            known = self._kept[names] = _Known(tuple(parts), versions, Few(rows, simd.Bound(rows)))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return known.few
