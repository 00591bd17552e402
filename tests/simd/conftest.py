"""What the tests of the kernels share: every path that runs here, and the truth in float64 with its stated bounds.

The bounds are those of the docstring of aqe.simd; SMALLEST is what float32 may lose to underflow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aqe import simd

ROUNDING = 6e-8
SMALLEST = 1e-36
Array = np.ndarray[Any, Any]
Truth = Callable[[str, Array, Array], tuple[float, float]]


@pytest.fixture(params=[name for name in simd.PATHS if name in simd.paths()], scope="module")
def path(request: pytest.FixtureRequest) -> simd.Kernels:
    """The kernels of one path; the id of a failing test names it."""
    return simd.kernels(request.param)


def _truth(metric: str, a: Array, b: Array) -> tuple[float, float]:
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    if metric == "dot":
        room = (a.size / 8 + 8) * ROUNDING * float(np.abs(wide_a) @ np.abs(wide_b))
        return float(wide_a @ wide_b), room + SMALLEST
    if metric == "l2":
        square = float(((wide_a - wide_b) ** 2).sum())
        return square, (a.size / 4 + 16) * ROUNDING * square + SMALLEST
    norms = math.sqrt(wide_a @ wide_a) * math.sqrt(wide_b @ wide_b)
    return (float(wide_a @ wide_b) / norms if norms else 0.0), (a.size / 2 + 16) * ROUNDING


@pytest.fixture(scope="session")
def truth() -> Truth:
    """A function: the answer of dot, cosine or l2 in float64, and the distance from it that a path may have."""
    return _truth
