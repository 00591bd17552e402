"""`Bound`: no vector has a higher cosine with a query than it says, and it says little more than the nearest has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Bound, _funnel_path

PATHS = [name for name in simd.PATHS if name in simd.paths()]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path that every bound made in the test uses; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    return str(request.param)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(1, 90),
    dim=st.integers(1, 400),
    seed=st.integers(0, 9),
    length=st.sampled_from([1e-30, 1e-6, 1.0, 1e6, 1e30]),
    spiky=st.booleans(),
)
def test_no_cosine_is_above_the_bound(path: str, count: int, dim: int, seed: int, length: float, spiky: bool) -> None:
    """Whatever the lengths and the shape of vectors and query, the nearest is not nearer than the bound."""
    chance = np.random.default_rng(seed)
    rows = chance.standard_normal((count, dim)).astype(np.float32)
    if spiky:
        rows[:, 0] *= 1000
    query = (rows[seed % count] + chance.standard_normal(dim) / 3) * length
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1) * np.linalg.norm(query)
    best = (rows.astype(np.float64) @ query / lengths).max()
    bound = Bound(rows * np.float32(3)).of(query.astype(np.float32))
    assert bound >= best - 1e-6
    assert bound <= best + (2 * dim**0.5 / 127 if 1e-6 <= length <= 1e6 else 3)


def test_zeros_come_near_nothing(path: str) -> None:
    """Rows of zeros have cosine 0 with everything, and a query of zeros is no nearer than 1."""
    assert 0 <= Bound(np.zeros((2, 5), np.float32)).of(np.ones(5, np.float32)) < 1e-3
    assert Bound(np.ones((2, 5), np.float32)).of(np.zeros(5, np.float32)) >= 0


def test_queries_are_taken_as_vectors_take_them(path: str) -> None:
    """A list, halves and a view with gaps have the bound of the same float32 items."""
    rows = np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32)
    bound, query = Bound(rows), rows[2].astype(np.float16).astype(np.float32)
    for same in (query.tolist(), query.astype(np.float16), np.repeat(query, 2)[::2]):
        assert bound.of(same) == bound.of(query)


@pytest.mark.parametrize(
    ("rows", "query", "error"),
    [
        (np.zeros((0, 4), np.float32), None, ValueError),
        (np.zeros(4, np.float32), None, ValueError),
        (np.full((1, 4), np.nan, np.float32), None, ValueError),
        (np.zeros((1, 4), np.int64), None, TypeError),
        (np.ones((1, 4), np.float32), np.ones(3, np.float32), ValueError),
        (np.ones((1, 4), np.float32), np.ones(4), TypeError),
    ],
)
def test_what_does_not_fit_is_refused(path: str, rows: Any, query: Any, error: type[Exception]) -> None:
    """Rows and queries of another shape, kind or with NaN raise TypeError or ValueError."""
    with pytest.raises(error):
        Bound(rows).of(query)
