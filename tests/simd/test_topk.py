"""The scan for the best rows of a matrix, with and without a mask: every path against a full ranking in float64."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aqe import simd

Array = np.ndarray[Any, Any]
Truth = Callable[[str, Array, Array], tuple[float, float]]
METRICS = ("dot", "cosine", "l2")


@st.composite
def scans(draw: st.DrawFn) -> tuple[Array, Array, Array | None, str]:
    """A matrix, a query that fits it, a mask or none, and a metric; ties are likely."""
    few = st.sampled_from([0.0, 1.0, -1.0, 0.5]) | st.floats(-1e3, 1e3, width=32)
    rows, n = draw(st.integers(0, 40)), draw(st.integers(0, 20))
    matrix = draw(arrays.arrays(np.float32, (rows, n), elements=few))
    query = draw(arrays.arrays(np.float32, n, elements=few))
    mask = draw(st.none() | arrays.arrays(np.bool_, rows))
    return matrix, query, mask, draw(st.sampled_from(METRICS))


def rank_is_right(
    truth: Truth, metric: str, matrix: Array, query: Array, allowed: Array, k: int, found: tuple[Array, Array]
) -> None:
    """Assert that rows are distinct and allowed, scores true, in order, and that no row left out is clearly better."""
    rows, scores = found[0].tolist(), found[1].tolist()
    assert len(rows) == len(set(rows)) == len(scores) == min(k, len(allowed))
    assert set(rows) <= set(allowed.tolist())
    cost = 1.0 if metric == "l2" else -1.0
    truths = {row: truth(metric, query, matrix[row]) for row in allowed.tolist()}
    for row, score in zip(rows, scores, strict=True):
        assert abs(score - truths[row][0]) <= truths[row][1] + abs(truths[row][0]) * 2.0**-23
    assert [cost * score for score in scores] == sorted(cost * score for score in scores)
    if rows:
        worst, room = truths[rows[-1]]
        left_out = set(truths) - set(rows)
        assert all(cost * truths[row][0] >= cost * worst - 2 * (room + truths[row][1]) for row in left_out)


@given(scan=scans(), k=st.integers(1, 50))
@settings(max_examples=20, deadline=None)
def test_topk_ranks_as_float64(
    path: simd.Kernels, truth: Truth, scan: tuple[Array, Array, Array | None, Any], k: int
) -> None:
    """The scan returns at most k distinct allowed rows with true scores, best first, and leaves no better row out."""
    matrix, query, mask, metric = scan
    allowed = np.arange(len(matrix)) if mask is None else np.flatnonzero(mask)
    found = path.topk(matrix, query, k, metric=metric, mask=mask)
    rank_is_right(truth, metric, matrix, query, allowed, k, found)


@pytest.mark.parametrize("metric", METRICS)
def test_topk_finds_the_best_of_many(path: simd.Kernels, truth: Truth, metric: Any) -> None:
    """Over thousands of rows the scan finds what a full sort in float64 finds, and the same under a mask."""
    random = np.random.default_rng(7)
    matrix = random.standard_normal((3001, 49)).astype(np.float32)
    query = random.standard_normal(49).astype(np.float32)
    mask = random.random(3001) < 0.1
    for given_mask, allowed in ((None, np.arange(3001)), (mask, np.flatnonzero(mask))):
        found = path.topk(matrix, query, 25, metric=metric, mask=given_mask)
        rank_is_right(truth, metric, matrix, query, allowed, 25, found)


@pytest.mark.parametrize("allowed", [1, 3, 4, 5, 20, 63, 64, 65, 79, 80, 81, 84, 129])
def test_topk_looks_at_every_allowed_row(path: simd.Kernels, allowed: int) -> None:
    """However many rows a mask allows, each is looked at once, the last one too, under its own number."""
    matrix = np.random.default_rng(allowed).permutation(3 * allowed).astype(np.float32).reshape(-1, 1)
    mask = np.arange(3 * allowed) % 3 == 2
    rows, scores = path.topk(matrix, np.ones(1, np.float32), 3 * allowed, mask=mask)
    wanted = np.flatnonzero(mask)[np.argsort(-matrix[mask, 0])]
    assert (rows.tolist(), scores.tolist()) == (wanted.tolist(), matrix[wanted, 0].tolist())


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_topk_scans_narrow_rows(path: simd.Kernels, truth: Truth, kind: str) -> None:
    """Rows of float16, and of bfloat16 in uint16, are ranked as the float32 that they are."""
    random = np.random.default_rng(3)
    wide = random.standard_normal((200, 33)).astype(np.float16).astype(np.float32)
    if kind == "bfloat16":
        wide = (wide.view(np.uint32) >> 16 << 16).view(np.float32)
        narrow, dtype = (wide.view(np.uint32) >> 16).astype(np.uint16), kind
    else:
        narrow, dtype = wide.astype(np.float16), None
    found = path.topk(narrow, narrow[17].copy(), 9, metric="l2", dtype=dtype)
    rank_is_right(truth, "l2", wide, wide[17], np.arange(200), 9, found)
    assert (found[0][0], found[1][0]) == (17, 0.0)


@pytest.mark.parametrize("metric", METRICS)
def test_topk_breaks_ties_by_row(path: simd.Kernels, metric: Any) -> None:
    """Equal rows come in the order in which they stand."""
    matrix = np.tile(np.array([1, 0], np.float32), (200, 1))
    rows, _ = path.topk(matrix, np.array([1, 0], np.float32), 9, metric=metric)
    assert rows.tolist() == list(range(9))


@pytest.mark.parametrize("metric", METRICS)
def test_topk_puts_nan_last(path: simd.Kernels, metric: Any) -> None:
    """A row with NaN comes after every other row, worst finite and infinite ones included."""
    matrix = np.array([[np.nan, 0], [-1, 0], [np.nan, 1], [1, 0], [5, 5]], np.float32)
    rows, scores = path.topk(matrix, np.array([1, 0], np.float32), 5, metric=metric)
    assert rows[3:].tolist() == [0, 2]
    assert np.isnan(scores).tolist() == [False, False, False, True, True]
    assert 0 not in path.topk(matrix, np.array([1, 0], np.float32), 3, metric=metric)[0]


def test_topk_puts_nan_behind_minus_infinity(path: simd.Kernels) -> None:
    """A score of minus infinity still ranks before NaN, also when only one place is left."""
    matrix = np.array([[np.nan], [-np.inf], [np.nan], [-np.inf], *([[np.nan]] * 20)], np.float32)
    assert path.topk(matrix, np.ones(1, np.float32), 3)[0].tolist() == [1, 3, 0]


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0)])
def test_topk_of_an_empty_matrix(path: simd.Kernels, shape: tuple[int, int]) -> None:
    """No rows give no answer; rows of no items all score 0."""
    for metric in METRICS:
        rows, scores = path.topk(np.empty(shape, np.float32), np.empty(shape[1], np.float32), 10, metric=metric)
        assert (rows.tolist(), scores.tolist()) == (list(range(shape[0])), [0.0] * shape[0])


def test_topk_gives_all_rows_when_k_is_larger(path: simd.Kernels) -> None:
    """A k beyond the number of rows, however large, gives every row that the mask allows."""
    matrix = np.array([[1], [3], [2]], np.float32)
    rows, scores = path.topk(matrix, np.ones(1, np.float32), 10**20)
    assert (rows.tolist(), scores.tolist()) == ([1, 2, 0], [3.0, 2.0, 1.0])
    assert path.topk(matrix, np.ones(1, np.float32), 9, mask=bytes([0, 1, 1]))[0].tolist() == [1, 2]


def test_topk_answers_with_arrays_of_its_own(path: simd.Kernels) -> None:
    """Rows are int64, scores float32, and both may be written to."""
    rows, scores = path.topk(np.eye(4, dtype=np.float32), np.ones(4, np.float32), 2)
    rows += 1
    scores += 1
    assert (rows.dtype, scores.dtype, rows.tolist(), scores.tolist()) == (np.int64, np.float32, [1, 2], [2.0, 2.0])


def test_a_mask_that_allows_nothing_gives_nothing(path: simd.Kernels) -> None:
    """With every row masked out there is no answer, and no row of NaN sneaks in."""
    rows, scores = path.topk(np.full((9, 2), np.nan, np.float32), np.ones(2, np.float32), 3, mask=np.zeros(9, bool))
    assert (rows.tolist(), scores.tolist()) == ([], [])


def test_unaligned_matrix_is_scanned_in_place(path: simd.Kernels) -> None:
    """A matrix at an odd address is ranked as its aligned copy."""
    store = bytearray(4 * 30 + 1)
    crooked = np.frombuffer(store, np.float32, 30, offset=1).reshape(10, 3)
    crooked[:] = np.sin(np.arange(30)).reshape(10, 3)
    query = np.ones(3, np.float32)
    assert path.topk(crooked, query, 4)[0].tolist() == path.topk(crooked.copy(), query, 4)[0].tolist()


ONE = np.ones(3, np.float32)
TABLE = np.ones((4, 3), np.float32)
ALL = np.ones(4, np.bool_)
REFUSALS: list[tuple[str, Callable[[simd.Kernels], Any], type[Exception], str]] = [
    ("fortran", lambda p: p.topk(np.asfortranarray(TABLE), ONE, 1), ValueError, "matrix must be contiguous"),
    ("vector as matrix", lambda p: p.topk(ONE, ONE, 1), ValueError, r"matrix must have 2 dimension\(s\), got 1"),
    ("row length", lambda p: p.topk(TABLE, ONE[:2], 1), ValueError, "query has 2 items and the rows of matrix have 3"),
    ("query kind", lambda p: p.topk(TABLE, [1.0], 1), TypeError, "query must be a buffer of float32.*got list"),
    ("kinds", lambda p: p.topk(TABLE, ONE.astype("e"), 1), TypeError, "matrix holds float32 and query float16"),
    ("k zero", lambda p: p.topk(TABLE, ONE, 0), ValueError, "k must be at least 1, got 0"),
    ("k float", lambda p: p.topk(TABLE, ONE, 1.0), TypeError, "k must be a whole number, got float"),
    ("metric", lambda p: p.topk(TABLE, ONE, 1, metric="l3"), ValueError, "metric must be 'dot', .*got 'l3'"),
    ("hamming", lambda p: p.topk(TABLE, ONE, 1, metric="hamming"), TypeError, "matrix must hold uint8 .*got 'f'"),
    ("mask length", lambda p: p.topk(TABLE, ONE, 1, mask=ALL[:3]), ValueError, "mask has 3 items and matrix 4 rows"),
    ("mask kind", lambda p: p.topk(TABLE, ONE, 1, mask=TABLE[0]), TypeError, r"mask must hold bool .*, got 'f'"),
    ("mask list", lambda p: p.topk(TABLE, ONE, 1, mask=[True]), TypeError, "mask must be a buffer of bool .*got list"),
    ("mask shape", lambda p: p.topk(TABLE, ONE, 1, mask=TABLE > 0), ValueError, "mask must have 1 dim.*got 2"),
    ("mask stride", lambda p: p.topk(TABLE, ONE, 1, mask=np.ones(8, bool)[::2]), ValueError, "mask must be contig"),
    ("empty mask", lambda p: p.topk(TABLE, ONE, 1, mask=b""), ValueError, "mask has 0 items and matrix 4 rows"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_bad_scan_is_refused_in_the_same_words(
    path: simd.Kernels, call: Callable[[simd.Kernels], Any], kind: type[Exception], sentence: str
) -> None:
    """What does not fit is refused by every path with the same sentence, naming the argument and what was seen."""
    with pytest.raises(kind, match=sentence):
        call(path)


def test_a_scan_lets_other_threads_run() -> None:
    """While a C scan runs, another thread of Python goes on; nothing but the scan gives it a turn here."""
    native = [name for name in simd.paths() if name != "numpy"]
    matrix, query = np.ones((20_000, 256), np.float32), np.ones(256, np.float32)
    turns, done = [0], threading.Event()

    def take_turns() -> None:
        while not done.is_set():
            turns[0] += 1
            time.sleep(0)

    before = sys.getswitchinterval()
    other = threading.Thread(target=take_turns)
    other.start()
    try:
        sys.setswitchinterval(60)
        for name in native or ["numpy"]:
            seen = turns[0]
            tries = 0
            while turns[0] == seen and tries < 1000:
                simd.kernels(name).topk(matrix, query, 5)
                tries += 1
            assert turns[0] > seen
    finally:
        sys.setswitchinterval(before)
        done.set()
        other.join()
