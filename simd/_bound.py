"""How near the nearest of some vectors can be to a query, read from a quarter of their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd import _funnel_path
from aqe.simd._given import as_floats, as_rows, unmasked

_ROUNDING = 1e-4
"""What float32 may lose of sums of rows of length one."""


class Bound:
    """The highest cosine that any of some vectors (n, dim) can have with a query: by their int8 forms, and what these
    are off by at most (Cauchy-Schwarz). The vectors, float32 or float16, may be of any length; a zero vector has cosine
    0 with everything. Raises ValueError where there is none, TypeError for another dtype.

    >>> import numpy as np
    >>> from aqe.simd import Bound
    >>> bound = Bound(np.array([[1, 0], [0.6, 0.8]], np.float32))
    >>> 0.8 <= bound.of(np.array([0, 2], np.float32)) < 0.82
    True
    """

    def __init__(self, rows: Any) -> None:
        taken = as_floats(rows, "rows")
        if taken.ndim != 2 or not taken.size:
            raise ValueError("rows must be at least one, of at least one item")
        kernels = _funnel_path.chosen()
        unit = np.empty_like(taken)
        kernels.unit(as_rows(taken, len(taken), taken.shape[1]), unit)
        self._values, self._scales = np.empty(unit.shape, np.int8), np.empty(len(unit), np.float32)
        kernels.int8(unit, self._values, self._scales)
        gaps = unit - self._values * self._scales[:, None]
        self._gap = float(np.sqrt(np.einsum("ij,ij->i", gaps, gaps).max())) + _ROUNDING
        self._kernels, self._dim = kernels, taken.shape[1]

    def of(self, query: Any) -> float:
        """No row has a higher cosine with the query; the highest is less than 0.02 below it for usual vectors.

        Raises ValueError for another length, TypeError for another dtype; NaN where the query holds NaN.
        """
        try:
            best: float = self._kernels.bound(unmasked(query), self._values, self._scales)
        except (TypeError, ValueError, BufferError):
            best = self._kernels.bound(self._taken(query), self._values, self._scales)
        return best + self._gap

    def _taken(self, query: Any) -> NDArray[np.float32]:
        taken = as_floats(query, "query")
        if taken.shape != (self._dim,):
            raise ValueError(f"query must have {self._dim} items, got {' x '.join(map(str, taken.shape))}")
        return taken
