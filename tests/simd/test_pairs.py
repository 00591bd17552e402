"""dot, cosine, l2 and hamming of two vectors: every path against NumPy in float64, and against the same refusals."""

from __future__ import annotations

import math
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
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 129, 384, 385, 1024)
lengths = st.sampled_from(SIZES[:21]) | st.integers(0, 140)
sane = st.floats(-1e3, 1e3, width=32)
ELEMENTS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "float32": (np.float32, sane),
    "float16": (np.float16, st.floats(-100, 100, width=16)),
    "bfloat16": (np.float32, sane),
    "int8": (np.int8, st.integers(-128, 127)),
}


def pairs(elements: st.SearchStrategy[Any], dtype: Any = np.float32) -> st.SearchStrategy[list[Array]]:
    """Strategy for two vectors of one length, with odd tails."""
    return lengths.flatmap(lambda n: st.lists(arrays.arrays(dtype, n, elements=elements), min_size=2, max_size=2))


def cases() -> st.SearchStrategy[tuple[str, str, list[Array]]]:
    """Strategy for a kind, a metric and a pair of that kind."""
    kinds = st.sampled_from(list(ELEMENTS))
    return kinds.flatmap(
        lambda kind: st.tuples(st.just(kind), st.sampled_from(METRICS), pairs(ELEMENTS[kind][1], ELEMENTS[kind][0]))
    )


def brain(items: Array) -> tuple[Array, Array]:
    """Float32 items as bfloat16 in uint16, by cutting, and as the float32 that those are."""
    upper = (items.view(np.uint32) >> 16).astype(np.uint16)
    return upper, (upper.astype(np.uint32) << 16).view(np.float32)


def agrees(path: simd.Kernels, truth: Truth, case: tuple[str, str, list[Array]]) -> None:
    """Assert that the answer is within the stated bound of that in float64; of int8, that it is exact."""
    kind, metric, (a, b) = case
    if kind == "bfloat16":
        (low, a), (high, b) = brain(a), brain(b)
        answer = getattr(path, metric)(low, high, dtype="bfloat16")
    else:
        answer = getattr(path, metric)(a, b)
    expected, room = truth(metric, a, b)
    if kind == "int8" and metric != "cosine":
        assert isinstance(answer, int)
        room = 0.0
    assert abs(answer - expected) <= room


@given(case=cases())
@settings(max_examples=20, deadline=None)
def test_pair_agrees_with_float64(path: simd.Kernels, truth: Truth, case: tuple[str, str, list[Array]]) -> None:
    """Of every kind each function agrees with NumPy in float64 within the stated bound, whatever the length."""
    agrees(path, truth, case)


@pytest.mark.services
@given(case=cases())
@settings(max_examples=500, deadline=None)
def test_many_pairs_agree_with_float64(path: simd.Kernels, truth: Truth, case: tuple[str, str, list[Array]]) -> None:
    """Hundreds of pairs find no kind, metric or length that misses the stated bound."""
    agrees(path, truth, case)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_every_half_is_read_as_what_it_is(path: simd.Kernels, kind: str) -> None:
    """Each of the 65,536 halves times one is itself: denormal, infinite and NaN ones too."""
    halves = np.arange(65536, dtype=np.uint16)
    if kind == "float16":
        table, one = halves.view(np.float16).reshape(-1, 1), np.ones(1, np.float16)
        expected = table[:, 0].astype(np.float32)
        found = path.matvec(table, one)
    else:
        expected = (halves.astype(np.uint32) << 16).view(np.float32)
        found = path.matvec(halves.reshape(-1, 1), np.array([0x3F80], np.uint16), dtype="bfloat16")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [65_535, 65_536, 65_537, 300_001])
def test_long_int8_sums_do_not_overflow(path: simd.Kernels, n: int) -> None:
    """The largest products over more items than 32 bits could add up are still exact."""
    low = np.full(n, -128, np.int8)
    assert (path.dot(low, low), path.l2(low, np.full(n, 127, np.int8))) == (n * 16384, n * 255**2)


@given(pair=pairs(st.integers(0, 255), np.uint8))
@settings(max_examples=15, deadline=None)
def test_hamming_counts_differing_bits(path: simd.Kernels, pair: list[Array]) -> None:
    """hamming is the number of bits in which the packed codes differ, at any length."""
    a, b = pair
    assert path.hamming(a, b) == int(np.unpackbits(a ^ b).sum())


def test_hamming_takes_bytes(path: simd.Kernels) -> None:
    """Whatever holds bytes will do, and of no bytes the answer is 0."""
    assert (path.hamming(b"\xff\x00\x0f", bytearray(b"\x00\x00\x00")), path.hamming(b"", b"")) == (12, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_pair_reads_every_item(path: simd.Kernels, truth: Truth, metric: str) -> None:
    """No length loses its tail: changing the last item changes the answer as float64 says."""
    for n in SIZES:
        a = np.linspace(-1, 1, n, dtype=np.float32)
        b = np.cos(a)
        b[-1:] += 3
        expected, room = truth(metric, a, b)
        assert abs(getattr(path, metric)(a, b) - expected) <= room, n


@given(pair=pairs(st.floats(width=32)))
@settings(max_examples=15, deadline=None)
def test_pair_survives_any_bits(path: simd.Kernels, pair: list[Array]) -> None:
    """With any float32 at all a function answers a float, and NaN in gives NaN out."""
    for metric in METRICS:
        answer = getattr(path, metric)(*pair)
        assert isinstance(answer, float)
        if np.isnan(pair[0]).any() or np.isnan(pair[1]).any():
            assert math.isnan(answer)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1.0, 1e15, 1e25, 1e38])
def test_cosine_is_right_at_any_scale(path: simd.Kernels, truth: Truth, scale: float) -> None:
    """Cosine neither underflows nor overflows where the squares of the items would."""
    a = np.array([1, 2, 3, 0.5, 1], np.float32) * np.float32(scale)
    b = np.array([2, -1, 1, 0.5, 1], np.float32)
    expected, _ = truth("cosine", a, b)
    assert path.cosine(a, b) == pytest.approx(expected, abs=1e-6)
    assert path.cosine(np.stack([a] * 5), b).tolist() == pytest.approx([expected] * 5, abs=1e-6)


def test_cosine_stays_within_one(path: simd.Kernels) -> None:
    """The cosine of a vector with itself never exceeds 1 by rounding."""
    a = np.full(1000, 0.1, np.float32)
    assert 1 - 1e-6 < path.cosine(a, a) <= 1.0
    assert path.cosine(np.stack([a, a]), np.stack([a, a])).max() <= 1.0


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int8])
def test_cosine_of_a_zero_vector_is_zero(path: simd.Kernels, kind: Any) -> None:
    """A zero vector has cosine 0 with everything but NaN."""
    zero, one = np.zeros(3, kind), np.ones(3, kind)
    assert (path.cosine(zero, one), path.cosine(one, zero), path.cosine(zero, zero)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.int8])
def test_empty_vectors_give_zero(path: simd.Kernels, kind: Any) -> None:
    """Over no items each function gives 0."""
    none = np.empty(0, kind)
    assert (path.dot(none, none), path.cosine(none, none), path.l2(none, none)) == (0.0, 0.0, 0.0)


def test_infinity_follows_ieee(path: simd.Kernels) -> None:
    """Infinite items give infinite or NaN sums as IEEE 754 says, and sums beyond float32 become infinite."""
    up, one = np.array([np.inf, 1], np.float32), np.ones(2, np.float32)
    assert path.dot(up, one) == math.inf
    assert path.l2(up, one) == math.inf
    assert math.isnan(path.l2(up, up))
    assert math.isnan(path.cosine(up, one))
    huge = np.full(4, 3e38, np.float32)
    assert path.dot(huge, huge) == math.inf


@pytest.mark.parametrize("n", [2, 3, 8, 33, 64, 129, 700])
def test_order_of_summing_does_not_show(path: simd.Kernels, n: int) -> None:
    """A sum whose parts exceed float32 is that of the whole, on every path and in every form."""
    signs = np.where(np.arange(n) < n // 2, 1, -1) * (1 - n % 2 * (np.arange(n) == n - 1))
    huge = np.full(n, 3e38, np.float32)
    for other, expected in ((3e38 * signs, 0.0), (np.abs(np.eye(n)[0]) + signs, 3e38), (signs + 1.0, math.inf)):
        b = other.astype(np.float32)
        rows = np.stack([b] * 5)
        found = [path.dot(huge, b), *path.matvec(rows, huge), *path.dot(rows, huge), *path.topk(rows, huge, 9)[1]]
        found += path.dot(np.stack([huge, huge]), rows).ravel().tolist()
        assert found == pytest.approx([expected] * 26, rel=1e-6, abs=0), other
        halves = brain(huge)[0], brain(b)[0]
        truth = math.fsum(np.multiply(*(brain(item)[1].astype(np.float64) for item in (huge, b))))
        assert path.dot(*halves, dtype="bfloat16") == (pytest.approx(truth, rel=1e-6) if truth < 3.4e38 else math.inf)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_unaligned_vectors_are_read_in_place(path: simd.Kernels, metric: str, kind: Any) -> None:
    """A buffer at an odd address gives the same answer as an aligned copy."""
    store = bytearray(4 * 37 + 1)
    crooked = np.frombuffer(store, kind, 37, offset=1)
    crooked[:] = np.linspace(-2, 2, 37)
    other = np.sin(np.arange(37)).astype(kind)
    function = getattr(path, metric)
    assert not crooked.flags.aligned
    assert function(crooked, other) == pytest.approx(function(crooked.copy(), other), rel=1e-6)
    assert function(memoryview(crooked), other) == function(crooked, other)


def test_any_float32_buffer_will_do(path: simd.Kernels) -> None:
    """array.array, memoryview, read-only arrays and subclasses of arrays are accepted as they are."""
    frozen = np.array([1, 2, 3], np.float32)
    frozen.flags.writeable = False
    plain = array("f", [1, 2, 3])
    assert path.dot(plain, memoryview(plain)) == path.dot(frozen, plain) == path.dot(frozen, frozen) == 14.0
    assert path.dot(frozen.view(np.recarray), frozen) == 14.0


def test_long_vectors_are_summed(path: simd.Kernels, truth: Truth) -> None:
    """Vectors beyond the quick calls of C, which run without the GIL, obey the same bound."""
    a, b = np.sin(np.arange(70_001, dtype=np.float32)), np.cos(np.arange(70_001, dtype=np.float32))
    for metric in METRICS:
        expected, room = truth(metric, a, b)
        assert abs(getattr(path, metric)(a, b) - expected) <= room


ONE = np.ones(3, np.float32)
BYTES = ONE.view("u1")
TABLE = np.ones((4, 3), np.float32)
HALVES = np.ones(3, np.uint16)
REFUSALS: list[tuple[str, Callable[[simd.Kernels], Any], type[Exception], str]] = [
    ("float64", lambda p: p.dot(ONE.astype(np.float64), ONE), TypeError, r"^a must hold float32 \(.*, got 'd'$"),
    ("int32", lambda p: p.cosine(ONE, ONE.astype(np.int32)), TypeError, "b must hold float32 .*got 'i'"),
    ("swapped bytes", lambda p: p.dot(ONE.astype(">f4"), ONE), TypeError, "a must hold float32 .*got '>f'"),
    ("bytes", lambda p: p.dot(b"123456789012", ONE), TypeError, "a must hold float32 .*got 'B'"),
    ("two bytes", lambda p: p.dot(b"1234", b"1234"), TypeError, "a must hold float32 .*got 'B'"),
    ("bytes cosine", lambda p: p.cosine(b"1234", b"1234"), TypeError, "a must hold float32 .*got 'B'"),
    ("bytes l2", lambda p: p.l2(b"1234", b"1234"), TypeError, "a must hold float32 .*got 'B'"),
    ("list", lambda p: p.dot([1.0, 2.0, 3.0], ONE), TypeError, "a must be a buffer of float32, .*int8 .*got list"),
    ("masked a", lambda p: p.dot(np.ma.array(ONE), ONE), TypeError, "^a must not be a masked array"),
    ("masked b", lambda p: p.l2(ONE, np.ma.array(ONE, mask=True)), TypeError, "^b must not be a masked array"),
    ("masked bits", lambda p: p.hamming(np.ma.array(BYTES), BYTES), TypeError, "^a must not be a mask"),
    ("masked rows", lambda p: p.softmax(np.ma.array(ONE)), TypeError, "^rows must not be a masked array"),
    ("masked vector", lambda p: p.matvec(ONE[None], np.ma.array(ONE)), TypeError, "^vector must not be a masked array"),
    ("no buffer", lambda p: p.dot(ONE, np.array(["now"], "M8")), TypeError, "b must be a buffer .*got ndarray"),
    ("lengths", lambda p: p.l2(ONE, ONE[:2]), ValueError, "a has 3 items and b has 2: they must be equal"),
    ("kinds", lambda p: p.dot(ONE, ONE.astype("e")), TypeError, "a holds float32 and b float16: .*the same"),
    ("ambiguous", lambda p: p.dot(HALVES, HALVES), TypeError, "got 'H'; pass dtype='bfloat16'"),
    ("not halves", lambda p: p.dot(ONE, ONE, dtype="bfloat16"), TypeError, "a must hold uint16 .*got 'f'"),
    ("dtype", lambda p: p.l2(ONE, ONE, dtype="float8"), ValueError, "dtype must be None or 'bfloat16', got 'float8'"),
    ("three dimensions", lambda p: p.dot(TABLE[None], ONE), ValueError, r"a must have 1 or 2 dimension\(s\), got 3"),
    ("strided", lambda p: p.dot(np.ones(6, np.float32)[::2], ONE), ValueError, "a must be contiguous.*ascontiguous"),
    ("strided b", lambda p: p.l2(ONE, np.ones(6, np.float32)[::2]), ValueError, "b must be contiguous.*ascontiguous"),
    ("arguments", lambda p: p.dot(ONE), TypeError, "expected 2 arguments a and b, got 1"),
    ("bits of floats", lambda p: p.hamming(ONE, ONE), TypeError, r"a must hold uint8 \(buffer format 'B'\), got 'f'"),
    ("bits of bool", lambda p: p.hamming(ONE > 0, ONE > 0), TypeError, "a must hold uint8 .*got '?'"),
    ("bits lengths", lambda p: p.hamming(b"12", b"1"), ValueError, "a has 2 items and b has 1: they must be equal"),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_bad_input_is_refused_in_the_same_words(
    path: simd.Kernels, call: Callable[[simd.Kernels], Any], kind: type[Exception], sentence: str
) -> None:
    """What does not fit is refused by every path with the same sentence, naming the argument and what was seen."""
    with pytest.raises(kind, match=sentence):
        call(path)


def test_a_refused_buffer_is_not_held(path: simd.Kernels) -> None:
    """After an error or an answer no buffer stays locked: its owner can be resized."""
    store, other = array("f", [1, 2, 3]), array("f", [1, 2])
    path.dot(store, store)
    with pytest.raises(ValueError, match="must be equal"):
        path.dot(store, other)
    with pytest.raises(ValueError, match="dimension"):
        path.topk(store, store, 1)
    store.append(4)
    other.append(3)
    assert len(store) == 4
