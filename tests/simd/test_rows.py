"""A query with many rows, many with many, softmax and normalising: every path against NumPy in float64."""

from __future__ import annotations

from array import array
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
ROUNDING = 6e-8
RANDOM = np.random.default_rng(11)
MANY = RANDOM.standard_normal((13, 37)).astype(np.float32)
FEW = RANDOM.standard_normal((6, 37)).astype(np.float32)
BYTES = RANDOM.integers(-128, 128, (9, 37), dtype=np.int8)


def close(truth: Truth, metric: str, found: Array, a: Array, b: Array) -> None:
    """Assert that found[i, j] is the metric of a[i] and b[j] within its bound, in float32."""
    assert (found.dtype, found.shape) == (np.float32, (len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            expected, room = truth(metric, x, y)
            assert abs(found[i, j] - expected) <= room + abs(expected) * 2.0**-23


@pytest.mark.parametrize("metric", METRICS)
def test_a_vector_goes_with_each_row(path: simd.Kernels, truth: Truth, metric: str) -> None:
    """A vector and a matrix, in either order, give a float32 array with an item for each row, however many."""
    function = getattr(path, metric)
    for rows in range(7):
        close(truth, metric, function(FEW[0], MANY[:rows])[None], FEW[:1], MANY[:rows])
        close(truth, metric, function(MANY[:rows], FEW[0])[None], FEW[:1], MANY[:rows])


@pytest.mark.parametrize("metric", METRICS)
def test_many_go_with_many(path: simd.Kernels, truth: Truth, metric: str) -> None:
    """Two matrices give the float32 matrix of each row of the first with each of the second."""
    function = getattr(path, metric)
    close(truth, metric, function(MANY, FEW), MANY, FEW)
    close(truth, metric, function(FEW, MANY), FEW, MANY)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_narrow_rows_are_read_as_float32(path: simd.Kernels, truth: Truth, metric: str, kind: str) -> None:
    """Rows of float16 and of bfloat16 give what the same numbers give in float32."""
    wide = (MANY.view(np.uint32) >> 16 << 16).view(np.float32)
    narrow, named = (wide.view(np.uint32) >> 16).astype(np.uint16), {"dtype": kind}
    if kind == "float16":
        wide, named = MANY.astype(np.float16).astype(np.float32), {}
        narrow = wide.astype(np.float16)
    function = getattr(path, metric)
    close(truth, metric, function(narrow[2], narrow, **named)[None], wide[2:3], wide)
    close(truth, metric, function(narrow, narrow[:5], **named), wide, wide[:5])


def test_whole_rows_are_exact(path: simd.Kernels) -> None:
    """Rows of int8 and of packed bits give exact int64 arrays in every form."""
    wide = BYTES.astype(np.int64)
    products, bits = wide @ wide.T, np.unpackbits(BYTES.view(np.uint8), axis=1).astype(int)
    differing = (bits[:, None] != bits[None]).sum(axis=2)
    squares = np.diag(products)[:, None] - 2 * products + np.diag(products)
    codes = BYTES.view(np.uint8)
    for function, items, expected in (
        (path.dot, BYTES, products),
        (path.l2, BYTES, squares),
        (path.hamming, codes, differing),
    ):
        one, all_of_them = function(items[3], items), function(items, items)
        assert one.dtype == all_of_them.dtype == np.int64
        np.testing.assert_array_equal(one, expected[3])
        np.testing.assert_array_equal(all_of_them, expected)
    lengths = np.sqrt(np.diag(products))
    np.testing.assert_allclose(path.cosine(BYTES, BYTES), products / np.outer(lengths, lengths), atol=1e-6)


def test_matvec_is_the_dot_of_each_row(path: simd.Kernels, truth: Truth) -> None:
    """matvec gives the dot product of each row with the vector, for small matrices, large ones and none."""
    large = RANDOM.standard_normal((700, 130)).astype(np.float32)
    for matrix in (MANY, large, MANY[:0], np.empty((3, 0), np.float32)):
        vector = np.cos(np.arange(matrix.shape[1])).astype(np.float32)
        close(truth, "dot", path.matvec(matrix, vector)[None], vector[None], matrix)
    np.testing.assert_array_equal(path.matvec(BYTES, BYTES[1]), BYTES.astype(int) @ BYTES[1].astype(int))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_empty_rows_give_empty_or_zero(path: simd.Kernels, shape: tuple[int, int]) -> None:
    """No rows give an empty answer; rows of no items give 0."""
    rows = np.empty(shape, np.float32)
    for metric in METRICS:
        assert getattr(path, metric)(rows, rows).tolist() == [[0.0] * shape[0]] * shape[0]
        assert getattr(path, metric)(rows, np.empty(shape[1], np.float32)).tolist() == [0.0] * shape[0]


def test_odd_rows_follow_the_rules_of_pairs(path: simd.Kernels) -> None:
    """In every form a zero row has cosine 0, one with NaN is NaN, tiny and huge ones have their true cosine."""
    odd = np.array([[0, 0], [np.nan, 1], [1e-30, 1e-30], [3e38, 3e38], [np.inf, 1]], np.float32)
    one = np.array([[1, 0]], np.float32)
    expected = [0.0, np.nan, 0.5**0.5, 0.5**0.5, np.nan]
    np.testing.assert_allclose(path.cosine(odd, one[0]), expected, rtol=1e-6)
    np.testing.assert_allclose(path.cosine(odd, one)[:, 0], expected, rtol=1e-6)


def softmax_truth(row: Array) -> tuple[Array, Array]:
    """Softmax in float64, and the bound stated for each item."""
    gaps = row.astype(np.float64) - row.max()
    found = np.exp(gaps) / np.exp(gaps).sum()
    return found, (row.size / 8 + 2 * -gaps + 24) * ROUNDING * found + 2e-38


rows_of_floats = st.integers(1, 70).flatmap(
    lambda n: arrays.arrays(np.float32, n, elements=st.floats(-120, 120, width=32))
)


@given(row=rows_of_floats)
@settings(max_examples=15, deadline=None)
def test_softmax_agrees_with_float64(path: simd.Kernels, row: Array) -> None:
    """Every probability is within the stated bound of float64, and a far smaller item gives 0."""
    expected, room = softmax_truth(row)
    found = path.softmax(row)
    assert (np.abs(found - expected) <= room).all()
    assert (found[row < row.max() - 88] == 0).all()


@pytest.mark.parametrize("n", [1, 7, 16, 31, 33, 768, 1024])
def test_softmax_of_every_row(path: simd.Kernels, n: int) -> None:
    """A matrix gives the softmax of each row, each adding up to 1."""
    rows = (RANDOM.standard_normal((3, n)) * 5).astype(np.float32)
    found = path.softmax(rows)
    assert np.abs(found.sum(axis=1, dtype=np.float64) - 1).max() < 1e-5
    for row, answer in zip(rows, found, strict=True):
        expected, room = softmax_truth(row)
        assert (np.abs(answer - expected) <= room).all()


@pytest.mark.parametrize("n", [1, 3, 9, 40])
@pytest.mark.parametrize("place", [0, -1])
def test_softmax_of_what_is_not_finite(path: simd.Kernels, n: int, place: int) -> None:
    """NaN, plus infinity, or nothing but minus infinity make a row NaN; minus infinity beside others gives 0."""
    for odd in (np.nan, np.inf):
        row = np.zeros(n, np.float32)
        row[place] = odd
        assert np.isnan(path.softmax(row)).all()
    assert np.isnan(path.softmax(np.full(n, -np.inf, np.float32))).all()
    row = np.zeros(n + 1, np.float32)
    row[place] = -np.inf
    found = path.softmax(row)
    assert found[place] == 0
    assert found.sum() == pytest.approx(1, abs=1e-6)


@given(row=rows_of_floats)
@settings(max_examples=15, deadline=None)
def test_normalize_agrees_with_float64(path: simd.Kernels, row: Array) -> None:
    """Every item of a normalised vector is within the stated bound of float64; a zero vector stays zero."""
    wide = row.astype(np.float64)
    length = np.sqrt(wide @ wide)
    expected = wide / length if length else wide
    assert (np.abs(path.normalize(row) - expected) <= (row.size / 8 + 8) * ROUNDING * np.abs(expected) + 1e-37).all()


@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-25, 1.0, 1e25, 1e38])
def test_normalize_is_right_at_any_scale(path: simd.Kernels, scale: float) -> None:
    """Neither tiny nor huge vectors lose their direction, beside rows that are zero or of ordinary length."""
    rows = np.array([[2, 1, 2], [0, 0, 0], [2, 1, 2]], np.float32)
    rows[0] *= np.float32(scale)
    expected = rows[0].astype(np.float64) / np.sqrt((rows[0].astype(np.float64) ** 2).sum())
    np.testing.assert_allclose(path.normalize(rows), [expected, [0, 0, 0], [2 / 3, 1 / 3, 2 / 3]], rtol=1e-6)


def test_normalize_of_what_is_not_finite(path: simd.Kernels) -> None:
    """NaN makes a row NaN; by an infinite length infinite items give NaN and finite ones 0."""
    assert np.isnan(path.normalize(np.array([1, np.nan], np.float32))).all()
    np.testing.assert_array_equal(path.normalize(np.array([1, np.inf], np.float32)), np.array([0, np.nan], np.float32))


@pytest.mark.parametrize("name", ["normalize", "softmax"])
def test_rows_can_be_written_where_one_likes(path: simd.Kernels, name: str) -> None:
    """out= takes the answer: another array, the rows themselves, a part that overlaps them, or any writable buffer."""
    function = getattr(path, name)
    expected, store = function(MANY), MANY.copy()
    out = np.empty_like(MANY)
    assert function(MANY, out=out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(function(store, out=store), expected)
    line = np.append(np.float32(0), MANY[0])
    np.testing.assert_array_equal(function(line[1:], out=line[:-1]), expected[0])
    plain = array("f", [1.0, 2.0])
    function(plain, out=plain)
    assert list(plain) == function(np.array([1.0, 2.0], np.float32)).tolist()


@pytest.mark.parametrize("name", ["normalize", "softmax"])
def test_no_items_give_no_items(path: simd.Kernels, name: str) -> None:
    """Empty rows and rows of no items come back as they are."""
    for shape in ((0,), (0, 5), (4, 0)):
        assert getattr(path, name)(np.empty(shape, np.float32)).shape == shape


def test_unaligned_rows_are_read_in_place(path: simd.Kernels) -> None:
    """Rows at an odd address give what their aligned copy gives, also for int8 codes and outputs."""
    store = bytearray(4 * 40 + 1)
    crooked = np.frombuffer(store, np.float32, 40, offset=1).reshape(4, 10)
    crooked[:] = np.sin(np.arange(40)).reshape(4, 10)
    straight = crooked.copy()
    for function in (path.normalize, path.softmax):
        expected = function(straight)
        np.testing.assert_array_equal(function(crooked), expected)
        np.testing.assert_array_equal(function(straight, out=crooked), expected)
        crooked[:] = straight
    np.testing.assert_allclose(path.matvec(crooked, crooked[1]), straight @ straight[1], rtol=1e-5)


REFUSALS: list[tuple[str, Callable[[simd.Kernels], Any], type[Exception], str]] = [
    ("row length", lambda p: p.dot(MANY, FEW[0][:3]), ValueError, "b has 3 items and the rows of a have 37"),
    ("row lengths", lambda p: p.l2(MANY, FEW[:, :3].copy()), ValueError, "rows of a have 37 items and those of b 3"),
    ("kinds", lambda p: p.cosine(MANY, BYTES), TypeError, "a holds float32 and b int8: they must hold the same"),
    ("fortran", lambda p: p.hamming(np.ones((4, 3), "B", "F"), b"123"), ValueError, "a must be contiguous"),
    ("matvec order", lambda p: p.matvec(FEW[0], MANY), ValueError, r"matrix must have 2 dimension\(s\), got 1"),
    ("matvec length", lambda p: p.matvec(MANY, FEW[0][1:]), ValueError, "vector has 36 items and the rows of matrix"),
    ("matvec count", lambda p: p.matvec(MANY), TypeError, "expected 2 arguments matrix and vector, got 1"),
    ("float64", lambda p: p.softmax(np.ones(3)), TypeError, r"rows must hold float32 \(buffer format 'f'\), got 'd'"),
    ("float16", lambda p: p.normalize(np.ones(3, "e")), TypeError, "rows must hold float32 .*got 'e'"),
    ("list", lambda p: p.softmax([1.0]), TypeError, "rows must be a buffer of float32 such as .*got list"),
    ("cube", lambda p: p.softmax(np.ones((1, 1, 1), "f")), ValueError, r"rows must have 1 or 2 dim.*got 3"),
    ("strided", lambda p: p.normalize(MANY[:, ::2]), ValueError, "rows must be contiguous"),
    ("count", lambda p: p.softmax(MANY, MANY), TypeError, "expected 1 argument rows, got 2"),
    ("out shape", lambda p: p.softmax(MANY, out=FEW), ValueError, "out must be 13 x 37, got 6 x 37"),
    ("out kind", lambda p: p.softmax(MANY, out=MANY.astype("d")), TypeError, "out must hold float32 .*got 'd'"),
    ("out frozen", lambda p: p.softmax(MANY[0], out=bytes(148)), TypeError, "out must hold float32 .*got 'B'"),
    ("read-only", lambda p: p.normalize(MANY, out=np.broadcast_to(MANY, MANY.shape)), ValueError, "must be writable"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_bad_rows_are_refused_in_the_same_words(
    path: simd.Kernels, call: Callable[[simd.Kernels], Any], kind: type[Exception], sentence: str
) -> None:
    """What does not fit is refused by every path with the same sentence, naming the argument and what was seen."""
    with pytest.raises(kind, match=sentence):
        call(path)
