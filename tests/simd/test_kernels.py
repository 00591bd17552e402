"""Every path of aqe.simd against NumPy in float64, and against the same refusals.

Tolerance: float32 rounds each product and each sum, in at least 8 lanes, so an answer may be off by
(n / 8 + 8) * 2**-24 times the sum of the magnitudes that were added;
for differences each term carries one rounding more.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aqe import simd

Floats = np.ndarray[Any, np.dtype[np.float32]]
METRICS = ("dot", "cosine", "squared_distance")
SIZES = (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 100, 384, 385, 1024)
AVAILABLE = simd.paths()

sane = st.floats(-1e3, 1e3, width=32)
any_float = st.floats(width=32)


@pytest.fixture(params=[name for name in ("avx2", "portable", "numpy") if name in AVAILABLE], scope="module")
def path(request: pytest.FixtureRequest) -> simd.Kernels:
    """The kernels of one path; the id of a failing test names it."""
    return simd.kernels(request.param)


def vectors(elements: st.SearchStrategy[float], count: int = 2) -> st.SearchStrategy[list[Floats]]:
    """Strategy for `count` float32 vectors of one length, with odd tails."""
    lengths = st.sampled_from(SIZES[:14]) | st.integers(0, 70)
    return lengths.flatmap(
        lambda n: st.lists(arrays.arrays(np.float32, n, elements=elements), min_size=count, max_size=count)
    )


def tables() -> st.SearchStrategy[tuple[Floats, Floats]]:
    """Strategy for a matrix and a query that fits it, with ties made likely."""
    few = st.sampled_from([0.0, 1.0, -1.0, 0.5]) | sane
    shapes = st.tuples(st.integers(0, 40), st.integers(0, 20))
    return shapes.flatmap(
        lambda shape: st.tuples(
            arrays.arrays(np.float32, shape, elements=few), arrays.arrays(np.float32, shape[1], elements=few)
        )
    )


def slack(n: int, magnitude: float) -> float:
    """How far a float32 sum of n terms may be off; see the head of this file."""
    return (n / 8 + 10) * 2.0**-24 * magnitude + 1e-37


def expected(metric: str, a: Floats, b: Floats) -> tuple[float, float]:
    """The answer in float64 and the distance from it that float32 may have."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    if metric == "dot":
        return float(wide_a @ wide_b), slack(a.size, float(np.abs(wide_a) @ np.abs(wide_b)))
    if metric == "squared_distance":
        squares = (wide_a - wide_b) ** 2
        return float(squares.sum()), 2 * slack(a.size, float(squares.sum()))
    norms = math.sqrt(wide_a @ wide_a) * math.sqrt(wide_b @ wide_b)
    return (float(wide_a @ wide_b) / norms if norms else 0.0), slack(a.size, 4.0)


@pytest.mark.parametrize("metric", METRICS)
@given(pair=vectors(sane))
@settings(max_examples=120, deadline=None)
def test_pair_kernel_agrees_with_float64(path: simd.Kernels, metric: str, pair: list[Floats]) -> None:
    """Each pair kernel agrees with NumPy in float64 within the stated tolerance, whatever the length."""
    answer = getattr(path, metric)(*pair)
    truth, tolerance = expected(metric, *pair)
    assert abs(answer - truth) <= tolerance


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", SIZES)
def test_pair_kernel_reads_every_item(path: simd.Kernels, metric: str, n: int) -> None:
    """No length loses its tail: changing the last item changes the answer as float64 says."""
    a = np.linspace(-1, 1, n, dtype=np.float32)
    b = np.cos(a)
    b[-1:] += 3
    truth, tolerance = expected(metric, a, b)
    assert abs(getattr(path, metric)(a, b) - truth) <= tolerance


@pytest.mark.parametrize("metric", METRICS)
@given(pair=vectors(any_float))
@settings(max_examples=120, deadline=None)
def test_pair_kernel_survives_any_bits(path: simd.Kernels, metric: str, pair: list[Floats]) -> None:
    """With any float32 at all a kernel answers a float, and NaN in gives NaN out."""
    answer = getattr(path, metric)(*pair)
    assert isinstance(answer, float)
    if np.isnan(pair[0]).any() or np.isnan(pair[1]).any():
        assert math.isnan(answer)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1.0, 1e15, 1e25, 1e38])
def test_cosine_is_right_at_any_scale(path: simd.Kernels, scale: float) -> None:
    """Cosine neither underflows nor overflows where the squares of the items would."""
    a = np.array([1, 2, 3, 0.5, 1], np.float32) * np.float32(scale)
    b = np.array([2, -1, 1, 0.5, 1], np.float32)
    truth, _ = expected("cosine", a, b)
    assert path.cosine(a, b) == pytest.approx(truth, abs=1e-6)


def test_cosine_stays_within_one(path: simd.Kernels) -> None:
    """The cosine of a vector with itself never exceeds 1 by rounding."""
    a = np.full(1000, 0.1, np.float32)
    assert 1 - 1e-6 < path.cosine(a, a) <= 1.0


def test_cosine_of_a_zero_vector_is_zero(path: simd.Kernels) -> None:
    """A zero vector has cosine 0 with everything but NaN."""
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    assert (path.cosine(zero, one), path.cosine(one, zero), path.cosine(zero, zero)) == (0.0, 0.0, 0.0)


def test_empty_vectors_give_zero(path: simd.Kernels) -> None:
    """Over no items each kernel gives 0."""
    none = np.empty(0, np.float32)
    assert (path.dot(none, none), path.cosine(none, none), path.squared_distance(none, none)) == (0.0, 0.0, 0.0)


def test_infinity_follows_ieee(path: simd.Kernels) -> None:
    """Infinite items give infinite or NaN sums as IEEE 754 says, and sums beyond float32 become infinite."""
    up, one = np.array([np.inf, 1], np.float32), np.ones(2, np.float32)
    assert path.dot(up, one) == math.inf
    assert path.squared_distance(up, one) == math.inf
    assert math.isnan(path.squared_distance(up, up))
    assert math.isnan(path.cosine(up, one))
    huge = np.full(4, 3e38, np.float32)
    assert path.dot(huge, huge) == math.inf


@pytest.mark.parametrize("metric", METRICS)
def test_unaligned_vectors_are_read_in_place(path: simd.Kernels, metric: str) -> None:
    """A buffer at an odd address gives the same answer as an aligned copy."""
    store = bytearray(4 * 37 + 1)
    crooked = np.frombuffer(store, np.float32, 37, offset=1)
    crooked[:] = np.linspace(-2, 2, 37)
    straight, other = crooked.copy(), np.sin(np.arange(37)).astype(np.float32)
    assert not crooked.flags.aligned
    assert getattr(path, metric)(crooked, other) == pytest.approx(getattr(path, metric)(straight, other), rel=1e-6)


def test_unaligned_matrix_is_scanned_in_place(path: simd.Kernels) -> None:
    """A matrix at an odd address is ranked as its aligned copy."""
    store = bytearray(4 * 30 + 1)
    crooked = np.frombuffer(store, np.float32, 30, offset=1).reshape(10, 3)
    crooked[:] = np.sin(np.arange(30)).reshape(10, 3)
    query = np.ones(3, np.float32)
    assert path.top_k(crooked, query, 4)[0] == path.top_k(crooked.copy(), query, 4)[0]


def test_any_float32_buffer_will_do(path: simd.Kernels) -> None:
    """array.array, memoryview and read-only arrays are accepted as they are."""
    frozen = np.array([1, 2, 3], np.float32)
    frozen.flags.writeable = False
    plain = array("f", [1, 2, 3])
    assert path.dot(plain, memoryview(plain)) == path.dot(frozen, plain) == 14.0


def rank_is_right(metric: str, matrix: Floats, query: Floats, k: int, rows: list[int], scores: list[float]) -> None:
    """Assert that rows are distinct, scores true, in order, and that no row left out is clearly better."""
    assert len(rows) == len(set(rows)) == len(scores) == min(k, len(matrix))
    cost = 1.0 if metric == "squared_distance" else -1.0
    truths = [expected(metric, query, row) for row in matrix]
    for row, score in zip(rows, scores, strict=True):
        assert abs(score - truths[row][0]) <= truths[row][1] + abs(truths[row][0]) * 2.0**-23
    assert [cost * score for score in scores] == sorted(cost * score for score in scores)
    if rows:
        worst, room = truths[rows[-1]]
        left_out = set(range(len(matrix))) - set(rows)
        assert all(cost * truths[row][0] >= cost * worst - 2 * (room + truths[row][1]) for row in left_out)


@pytest.mark.parametrize("metric", METRICS)
@given(table=tables(), k=st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_top_k_ranks_as_float64(path: simd.Kernels, metric: Any, table: tuple[Floats, Floats], k: int) -> None:
    """The scan returns min(k, rows) distinct rows with true scores, best first, and leaves no better row out."""
    matrix, query = table
    rows, scores = path.top_k(matrix, query, k, metric=metric)
    rank_is_right(metric, matrix, query, k, rows, scores)


@pytest.mark.parametrize("metric", METRICS)
def test_top_k_finds_the_best_of_many(path: simd.Kernels, metric: Any) -> None:
    """Over thousands of rows the scan finds what a full sort in float64 finds."""
    random = np.random.default_rng(7)
    matrix = random.standard_normal((9000, 48)).astype(np.float32)
    query = random.standard_normal(48).astype(np.float32)
    rows, scores = path.top_k(matrix, query, 25, metric=metric)
    rank_is_right(metric, matrix, query, 25, rows, scores)


@pytest.mark.parametrize("metric", METRICS)
def test_top_k_breaks_ties_by_row(path: simd.Kernels, metric: Any) -> None:
    """Equal rows come in the order in which they stand."""
    matrix = np.tile(np.array([1, 0], np.float32), (200, 1))
    rows, _ = path.top_k(matrix, np.array([1, 0], np.float32), 9, metric=metric)
    assert rows == list(range(9))


@pytest.mark.parametrize("metric", METRICS)
def test_top_k_puts_nan_last(path: simd.Kernels, metric: Any) -> None:
    """A row with NaN comes after every other row, worst finite and infinite ones included."""
    matrix = np.array([[np.nan, 0], [-1, 0], [np.nan, 1], [1, 0], [5, 5]], np.float32)
    rows, scores = path.top_k(matrix, np.array([1, 0], np.float32), 5, metric=metric)
    assert rows[3:] == [0, 2]
    assert [math.isnan(score) for score in scores] == [False, False, False, True, True]
    assert 0 not in path.top_k(matrix, np.array([1, 0], np.float32), 3, metric=metric)[0]


def test_top_k_puts_nan_behind_minus_infinity(path: simd.Kernels) -> None:
    """A score of minus infinity still ranks before NaN, also when only one place is left."""
    matrix = np.array([[np.nan], [-np.inf], [np.nan], [-np.inf], *([[np.nan]] * 20)], np.float32)
    assert path.top_k(matrix, np.ones(1, np.float32), 3)[0] == [1, 3, 0]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
def test_top_k_of_an_empty_matrix(path: simd.Kernels, metric: Any, shape: tuple[int, int]) -> None:
    """No rows give no answer; rows of no items all score 0."""
    rows, scores = path.top_k(np.empty(shape, np.float32), np.empty(shape[1], np.float32), 10, metric=metric)
    assert (rows, scores) == (list(range(shape[0])), [0.0] * shape[0])


def test_top_k_gives_all_rows_when_k_is_larger(path: simd.Kernels) -> None:
    """A k beyond the number of rows, however large, gives every row."""
    matrix = np.array([[1], [3], [2]], np.float32)
    assert path.top_k(matrix, np.ones(1, np.float32), 10**20) == ([1, 2, 0], [3.0, 2.0, 1.0])


ONE = np.ones(3, np.float32)
TABLE = np.ones((4, 3), np.float32)
REFUSALS: list[tuple[str, Callable[[simd.Kernels], Any], type[Exception], str]] = [
    ("float64", lambda p: p.dot(ONE.astype(np.float64), ONE), TypeError, "a must hold float32 .*got 'd'"),
    ("int32", lambda p: p.cosine(ONE, ONE.astype(np.int32)), TypeError, "b must hold float32 .*got 'i'"),
    ("swapped bytes", lambda p: p.dot(ONE.astype(">f4"), ONE), TypeError, "a must hold float32 .*got '>f'"),
    ("bytes", lambda p: p.dot(b"123456789012", ONE), TypeError, "a must hold float32 .*got 'B'"),
    ("list", lambda p: p.dot([1.0, 2.0, 3.0], ONE), TypeError, "a must be a buffer of float32 .*got list"),
    ("no buffer", lambda p: p.dot(ONE, np.array(["now"], "M8")), TypeError, "b must be a buffer .*got ndarray"),
    ("lengths", lambda p: p.squared_distance(ONE, ONE[:2]), ValueError, "a has 3 items and b has 2"),
    ("matrix as vector", lambda p: p.dot(TABLE, ONE), ValueError, r"a must have 1 dimension\(s\), got 2"),
    ("strided", lambda p: p.dot(np.ones(6, np.float32)[::2], ONE), ValueError, "a must be contiguous.*ascontiguous"),
    ("arguments", lambda p: p.dot(ONE), TypeError, "expected 2 arguments a and b, got 1"),
    ("fortran", lambda p: p.top_k(np.asfortranarray(TABLE), ONE, 1), ValueError, "matrix must be contiguous"),
    ("vector as matrix", lambda p: p.top_k(ONE, ONE, 1), ValueError, r"matrix must have 2 dimension\(s\), got 1"),
    ("row length", lambda p: p.top_k(TABLE, ONE[:2], 1), ValueError, "query has 2 items and the rows of matrix have 3"),
    ("query kind", lambda p: p.top_k(TABLE, [1.0], 1), TypeError, "query must be a buffer of float32 .*got list"),
    ("k zero", lambda p: p.top_k(TABLE, ONE, 0), ValueError, "k must be at least 1, got 0"),
    ("k float", lambda p: p.top_k(TABLE, ONE, 1.5), TypeError, "float"),
    ("metric", lambda p: p.top_k(TABLE, ONE, 1, metric="l3"), ValueError, "metric must be 'dot', .*got 'l3'"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_bad_input_is_refused_in_the_same_words(
    path: simd.Kernels, call: Callable[[simd.Kernels], Any], kind: type[Exception], sentence: str
) -> None:
    """What does not fit is refused by every path with the same sentence, naming the argument and what was seen."""
    with pytest.raises(kind, match=sentence):
        call(path)


def test_a_scan_lets_other_threads_run() -> None:
    """While a C scan runs, another thread of Python goes on."""
    native = [name for name in AVAILABLE if name != "numpy"]
    matrix, query = np.ones((60_000, 256), np.float32), np.ones(256, np.float32)
    ticks, done = [0], threading.Event()

    def count() -> None:
        while not done.is_set():
            ticks[0] += 1

    other = threading.Thread(target=count)
    other.start()
    try:
        for name in native or ["numpy"]:
            before = ticks[0]
            for _ in range(5):
                simd.kernels(name).top_k(matrix, query, 5)
            assert ticks[0] > before
    finally:
        done.set()
        other.join()


def test_a_refused_buffer_is_not_held(path: simd.Kernels) -> None:
    """After an error or an answer no buffer stays locked: its owner can be resized."""
    store, other = array("f", [1, 2, 3]), array("f", [1, 2])
    path.dot(store, store)
    with pytest.raises(ValueError, match="must be equal"):
        path.dot(store, other)
    with pytest.raises(ValueError, match="dimension"):
        path.top_k(store, store, 1)
    store.append(4)
    other.append(3)
    assert len(store) == 4
