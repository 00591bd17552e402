"""Which memory is in which tier: by the rank of its decayed accesses among all that have a vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aqe.engine.memory.tiers.forms import HOT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INERTIA = 0.02
"""A row moves only where its rank is this share of all rows beyond the edge between two tiers, so that none goes to
and fro."""


@dataclass(frozen=True)
class Thresholds:
    """The share of the rows, most recalled first, that each tier takes, in percent; what is left is cold."""

    hot_percent: float = 20.0
    warm_percent: float = 40.0
    int8_percent: float = 30.0

    @property
    def percents(self) -> tuple[float, float, float, float]:
        """The share of each of the four tiers as they come out, in percent."""
        hot, warm, small = self.edges
        return _percent(hot), _percent(warm - hot), _percent(small - warm), _percent(1.0 - small)

    @property
    def edges(self) -> tuple[float, float, float]:
        """Where each tier but the last ends, as a share of all rows."""
        hot = self.hot_percent / 100
        warm = hot + self.warm_percent / 100
        return min(hot, 1.0), min(warm, 1.0), min(warm + self.int8_percent / 100, 1.0)


def assign(
    scores: NDArray[np.float64], now: NDArray[np.int8], pinned: NDArray[np.bool_], thresholds: Thresholds
) -> NDArray[np.int8]:
    """The tier of each row from its decayed accesses; `now` are the tiers they are in (0 to 3). Pinned rows are hot.

    Of equal scores the later row ranks higher: it is the younger one.
    """
    import numpy as np

    count = len(scores)
    order = np.lexsort((-np.arange(count), -scores))
    place = np.empty(count, np.float64)
    place[order] = (np.arange(count) + 0.5) / max(1, count)
    wanted = np.searchsorted(np.array(thresholds.edges), place, side="right").astype(np.int8)
    edges = np.array([0.0, *thresholds.edges, 1.0])
    beyond = np.where(wanted < now, edges[now] - place, place - edges[np.minimum(now + 1, 4)])
    wanted = np.where((wanted != now) & (beyond < INERTIA) & (count * INERTIA >= 1), now, wanted)
    return np.where(pinned, HOT, wanted).astype(np.int8)


def _percent(share: float) -> float:
    return round(100 * share, 4)
