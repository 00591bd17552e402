"""The scan for the best rows of int8 and of packed bits: exact on every path, against a full sort in NumPy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aqe import simd

Array = np.ndarray[Any, Any]
METRICS = ("dot", "l2", "hamming")
WIDTHS = (*range(1, 10), 16, 24, 31, 32, 33, 48, 56, 63, 64, 65, 96, 100, 120, 127, 128, 129, 136, 200, 384)


def numbers(metric: str, matrix: Array, query: Array) -> Array:
    """What the metric makes of each row, in int64."""
    if metric == "hamming":
        return np.unpackbits(matrix ^ query, axis=1).sum(axis=1, dtype=np.int64)
    wide, target = matrix.astype(np.int64), query.astype(np.int64)
    return wide @ target if metric == "dot" else ((wide - target) ** 2).sum(axis=1)


def ranked(metric: str, matrix: Array, query: Array, mask: Array | None, k: int) -> tuple[list[int], list[int]]:
    """Rows and scores of the best k by a full sort; ties by row."""
    found = numbers(metric, matrix, query)
    allowed = np.arange(len(matrix)) if mask is None else np.flatnonzero(mask)
    order = allowed[np.argsort(-found[allowed] if metric == "dot" else found[allowed], kind="stable")][:k]
    return order.tolist(), found[order].tolist()


def agrees(path: simd.Kernels, metric: Any, matrix: Array, query: Array, mask: Array | None, k: int) -> None:
    """Assert that a path finds what a full sort finds."""
    if metric == "hamming":
        matrix, query = matrix.view(np.uint8), query.view(np.uint8)
    rows, scores = path.topk(matrix, query, k, metric=metric, mask=mask)
    assert (rows.dtype, scores.dtype) == (np.int64, np.int64)
    assert (rows.tolist(), scores.tolist()) == ranked(metric, matrix, query, mask, k)


@st.composite
def scans(draw: st.DrawFn) -> tuple[Array, Array, Array | None]:
    """Rows of bytes, a query that fits them, and a mask or none; ties and the ends of the range are likely."""
    few = st.sampled_from([0, 1, -1, -128, 127]) | st.integers(-128, 127)
    rows, n = draw(st.integers(0, 30)), draw(st.integers(0, 20) | st.sampled_from([48, 64, 65, 96]))
    matrix = draw(arrays.arrays(np.int8, (rows, n), elements=few))
    return matrix, draw(arrays.arrays(np.int8, n, elements=few)), draw(st.none() | arrays.arrays(np.bool_, rows))


@given(scan=scans(), k=st.integers(1, 40), metric=st.sampled_from(METRICS))
@settings(max_examples=30, deadline=None)
def test_the_best_of_bytes_and_bits_are_those_of_a_full_sort(
    path: simd.Kernels, scan: tuple[Array, Array, Array | None], k: int, metric: str
) -> None:
    """Whatever the bytes, the mask and k, rows and exact scores are those of NumPy's sort, ties by row."""
    agrees(path, metric, *scan, k)


@pytest.mark.parametrize("metric", METRICS)
def test_rows_of_every_width_are_ranked(path: simd.Kernels, metric: str) -> None:
    """Codes and rows of any width are ranked right, whole words and odd ones, in blocks and in what is left of them."""
    random = np.random.default_rng(11)
    for n in WIDTHS:
        matrix = random.integers(-128, 128, (263, n)).astype(np.int8)
        agrees(path, metric, matrix, random.integers(-128, 128, n).astype(np.int8), None, 12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_masks_of_any_density_hold(path: simd.Kernels, metric: str, share: float) -> None:
    """Where a mask allows few rows, and where it allows most, no other row is found and no allowed one is missed."""
    random = np.random.default_rng(12)
    matrix = random.integers(-128, 128, (1500, 48)).astype(np.int8)
    mask = random.random(1500) < share
    mask[-1] = True
    agrees(path, metric, matrix, matrix[700], mask, 9)
    agrees(path, metric, matrix, matrix[-1], mask, 1500)


@pytest.mark.parametrize("metric", [*METRICS, "cosine"])
@pytest.mark.parametrize("sparse", [1, 2, 40])
def test_masks_of_changing_density_keep_the_order(path: simd.Kernels, metric: Any, sparse: int) -> None:
    """Where blocks of which few rows are allowed stand before blocks of which most are, equal rows keep their order."""
    random = np.random.default_rng(15)
    matrix = random.integers(-2, 3, (256 * (sparse + 2), 48)).astype(np.int8)[random.integers(0, 6, 256 * (sparse + 2))]
    mask = np.arange(len(matrix)) % 37 == 3
    mask[256 * sparse : 256 * (sparse + 1)] = np.arange(256) % 10 != 0
    query = matrix[3].copy()
    for k in (1, 5, len(matrix)):
        if metric != "cosine":
            agrees(path, metric, matrix, query, mask, k)
            continue
        every, allowed = path.cosine(query, matrix), np.flatnonzero(mask)
        rows, scores = path.topk(matrix, query, k, metric="cosine", mask=mask)
        order = allowed[np.argsort(-every[allowed], kind="stable")][:k]
        assert (rows.tolist(), scores.tolist()) == (order.tolist(), every[order].tolist())


@pytest.mark.parametrize("n", [40_000, 65_537, 140_000])
def test_long_rows_of_the_largest_numbers_do_not_overflow(path: simd.Kernels, n: int) -> None:
    """Rows so long that a sum of 32 bits would overflow are exact, also where every number is the lowest."""
    matrix = np.full((9, n), -128, np.int8)
    matrix[3:] = 127
    for metric in METRICS:
        agrees(path, metric, matrix, matrix[0], None, 5)


def test_cosines_of_bytes_are_ranked(path: simd.Kernels) -> None:
    """Cosines of int8 are float32, highest first, as float64 has them; a zero row has 0, between the two signs."""
    random = np.random.default_rng(13)
    matrix = random.integers(-128, 128, (900, 40)).astype(np.int8)
    matrix[5], query = 0, matrix[77].copy()
    wide, target = matrix.astype(float), query.astype(float)
    lengths = np.sqrt((wide**2).sum(axis=1)) * np.sqrt(target @ target)
    expected = np.where(lengths > 0, wide @ target / np.where(lengths > 0, lengths, 1), 0)
    for k in (1, 7, 900):
        rows, scores = path.topk(matrix, query, k, metric="cosine")
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, np.sort(expected)[::-1][:k], atol=1e-6)
        np.testing.assert_allclose(scores, expected[rows], atol=1e-6)
        assert len(set(rows.tolist())) == k
    every = path.cosine(query, np.tile(matrix, (4, 1)))
    rows, scores = path.topk(np.tile(matrix, (4, 1)), query, 50, metric="cosine")
    order = np.argsort(-every, kind="stable")[:50]
    assert (rows.tolist(), scores.tolist()) == (order.tolist(), every[order].tolist())
    assert path.topk(matrix * 0, query, 3, metric="cosine")[1].tolist() == [0.0] * 3


def test_codes_at_an_odd_address_are_scanned_in_place(path: simd.Kernels) -> None:
    """Codes need no alignment, and nothing behind the last one is read as part of it."""
    store = np.random.default_rng(14).integers(0, 256, 48 * 40 + 1).astype(np.uint8)
    crooked = store[1:].reshape(40, 48)
    query = crooked[33].copy()
    rows, scores = path.topk(crooked, query, 4, metric="hamming")
    assert (rows.tolist(), scores.tolist()) == ranked("hamming", crooked, query, None, 4)


BITS, BYTES = np.ones((4, 3), np.uint8), np.ones((4, 3), np.int8)
REFUSALS: list[tuple[str, Callable[[simd.Kernels], Any], type[Exception], str]] = [
    ("bits", lambda p: p.topk(BITS, BITS[0], 1), TypeError, "matrix must hold .*got 'B'; packed bits go with hamming"),
    ("bytes", lambda p: p.topk(BYTES, BYTES[0], 1, metric="hamming"), TypeError, "matrix must hold uint8 .*got 'b'"),
    ("query", lambda p: p.topk(BYTES, BITS[0], 1), TypeError, "query must hold .*got 'B'"),
    ("kinds", lambda p: p.topk(BYTES, BITS[0].astype("f"), 1), TypeError, "matrix holds int8 and query float32"),
    ("length", lambda p: p.topk(BITS, BITS[0, :2], 1, metric="hamming"), ValueError, "query has 2 items and the rows"),
    (
        "dtype",
        lambda p: p.topk(BITS, BITS[0], 1, metric="hamming", dtype="bfloat16"),
        ValueError,
        "dtype must be None with metric 'hamming'.*got 'bfloat16'",
    ),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_rows_that_do_not_go_with_the_metric_are_refused(
    path: simd.Kernels, call: Callable[[simd.Kernels], Any], kind: type[Exception], sentence: str
) -> None:
    """Bits go with hamming and nothing else does: every path says so with the same sentence."""
    with pytest.raises(kind, match=sentence):
        call(path)


RACE = """
import sys, threading, time
import numpy as np
from aqe import simd

kernels, rows = simd.kernels(sys.argv[1]), np.random.default_rng(0).integers(-128, 128, (20_000, 64)).astype(np.int8)
sparse, full = np.arange(len(rows)) % 32 == 0, np.ones(len(rows), bool)
mask, done = sparse.copy(), []


def flip():
    while not done:
        mask[:] = full
        mask[:] = sparse


threading.Thread(target=flip, daemon=True).start()
for _ in range(400):
    found = kernels.topk(rows, rows[5], 10, metric="dot", mask=mask)[0].tolist()
    assert len(set(found)) == len(found) == 10, found
done.append(1)
"""


@pytest.mark.services
def test_mask_that_another_thread_changes_is_no_crash(path: simd.Kernels) -> None:
    """A scan whose mask changes under it finds some rows that were allowed at some time, each once."""
    done = subprocess.run([sys.executable, "-c", RACE, path.name], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_ranked_is_refused(path: simd.Kernels) -> None:
    """Masked arrays, whose masks would go unseen, and metrics that are no names are refused."""
    rows = np.zeros((4, 8), np.int8)
    for matrix, mask in ((np.ma.array(rows, mask=True), None), (rows, np.ma.array(np.ones(4, bool)))):
        with pytest.raises(TypeError, match="must not be a masked array"):
            path.topk(matrix, rows[0], 2, mask=mask)
    with pytest.raises(ValueError, match="metric must be"):
        path.topk(rows, rows[0], 2, metric=np.array(["dot", "l2"]))
