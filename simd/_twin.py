"""The kernels in NumPy, with the interface of the C paths: what runs where nothing was compiled."""

from __future__ import annotations

import sys

import numpy as np

from aqe.simd import _forms, _odds, _tokeniser
from aqe.simd._forms import BITS, I8, widened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from aqe.simd._forms import Items

    Floats = NDArray[np.float32]
    Handle = _tokeniser.Vocabulary

_SMALLEST_SAFE, _LARGEST_SAFE = 1e-25, 1e37  # the same borders as in pairs.c
_LOWEST = np.float32(-87.0)  # as in softmax.h
_ORDERS = ("", "@", "=", "<" if sys.byteorder == "little" else ">")
_KINDS = {"f": "float32", "b": "int8"}
_BLOCK_ROWS = 4096
_ONES = np.array([byte.bit_count() for byte in range(256)], np.uint8)


def _take(item: Buffer, dimensions: int, name: str, kind: str = "f") -> NDArray[Any]:
    try:
        view = memoryview(item)
    except (TypeError, ValueError, BufferError):
        got = type(item).__name__
        raise TypeError(f"{name} must be a buffer of {_KINDS[kind]} such as a NumPy array, got {got}") from None
    if view.format not in {order + kind for order in _ORDERS}:
        raise TypeError(f"{name} must hold {_KINDS[kind]} (buffer format '{kind}'), got '{view.format}'")
    if view.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimension(s), got {view.ndim}")
    if not view.c_contiguous:
        raise ValueError(f"{name} must be contiguous: pass numpy.ascontiguousarray({name})")
    return np.asarray(view)


def _cosines_in_double(matrix: NDArray[Any], query: NDArray[Any]) -> NDArray[np.float64]:
    wide, target = matrix.astype(np.float64), query.astype(np.float64)
    products = wide @ target
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide)) * np.sqrt(target @ target)
    found: NDArray[np.float64] = np.clip(products / norms, -1.0, 1.0)
    found[(norms == 0) & ~np.isnan(products)] = 0.0
    return found


def _cosines(matrix: NDArray[Any], query: NDArray[Any]) -> NDArray[np.float64]:
    if matrix.dtype != np.float32:
        return _cosines_in_double(matrix, query)
    square = float(query @ query)
    squares = np.einsum("ij,ij->i", matrix, matrix)
    ratios = (matrix @ query) / np.sqrt(squares.astype(np.float64) * square)
    found: NDArray[np.float64] = np.clip(ratios, -1.0, 1.0)
    safe = (squares >= _SMALLEST_SAFE) & (squares <= _LARGEST_SAFE) & (_SMALLEST_SAFE <= square <= _LARGEST_SAFE)
    if not safe.all():
        found[~safe] = _cosines_in_double(matrix[~safe], query)
    return found


def _dots(matrix: NDArray[Any], query: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = matrix @ query
    lost = np.flatnonzero(~np.isfinite(found))
    if len(lost):  # a part of the sum left float32: does the whole?
        found[lost] = _dots_in_double(matrix[lost], query)
    return found


def _dots_in_double(matrix: NDArray[Any], query: NDArray[Any]) -> NDArray[np.float64]:
    """What `dot_in_double` of pairs.c makes of each row."""
    total, lost = np.zeros((2, len(matrix)))
    for column, factor in zip(matrix.T.astype(np.float64), query.astype(np.float64), strict=True):
        product = column * factor
        after = total + product
        lost += np.where(abs(total) >= abs(product), (total - after) + product, (product - after) + total)
        total = after
    return np.where(np.isfinite(total), total + lost, total)


def _distances(matrix: NDArray[Any], query: NDArray[Any]) -> NDArray[Any]:
    gaps = matrix - query
    found: NDArray[Any] = np.einsum("ij,ij->i", gaps, gaps)
    return found


def _differing(matrix: NDArray[Any], query: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = _ONES[matrix ^ query].sum(axis=1, dtype=np.int64)
    return found


_WORK = (_dots, _cosines, _distances, _differing)


def _made(items: Items, kind: int) -> NDArray[Any]:
    """Items as what NumPy can add up: floats as float32, int8 as int64."""
    array = np.asarray(items)
    if kind == I8:
        return array.astype(np.int64)
    return array if kind == BITS else widened(array, kind)


def _best(costs: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Places of the k lowest costs, lowest first; ties by place, NaN last."""
    if k * 4 < len(costs):
        border = np.partition(costs, k - 1)[k - 1]
        rows = np.flatnonzero(~(costs > border))
    else:
        rows = np.arange(len(costs))
    return rows[np.argsort(costs[rows], kind="stable")][:k]


class Path:
    """The path `numpy`: the methods are those of a C path."""

    def dot(self, *args: Items, dtype: str | None = None) -> _forms.Answer:
        """Sum of a[i] * b[i].

        Vectors (n,) or matrices (rows, n): two vectors give a number, a vector and a matrix (rows,), two matrices
        (rows, rows). Both hold float32, float16, int8, or bfloat16 as uint16 with dtype="bfloat16".
        Gives float32, of int8 exact int64.
        Raises TypeError for what holds anything else, ValueError for shapes that do not fit.
        """
        return _forms.dot(self, *args, dtype=dtype)

    def cosine(self, *args: Items, dtype: str | None = None) -> _forms.Answer:
        """Cosine of the angle between a and b, -1 to 1; 0 where one is zero.

        Vectors (n,) or matrices (rows, n): two vectors give a number, a vector and a matrix (rows,), two matrices
        (rows, rows). Both hold float32, float16, int8, or bfloat16 as uint16 with dtype="bfloat16".
        Gives float32.
        Raises TypeError for what holds anything else, ValueError for shapes that do not fit.
        """
        return _forms.cosine(self, *args, dtype=dtype)

    def l2(self, *args: Items, dtype: str | None = None) -> _forms.Answer:
        """Sum of (a[i] - b[i]) ** 2: the squared distance.

        Vectors (n,) or matrices (rows, n): two vectors give a number, a vector and a matrix (rows,), two matrices
        (rows, rows). Both hold float32, float16, int8, or bfloat16 as uint16 with dtype="bfloat16".
        Gives float32, of int8 exact int64.
        Raises TypeError for what holds anything else, ValueError for shapes that do not fit.
        """
        return _forms.l2(self, *args, dtype=dtype)

    def hamming(self, *args: Items) -> _forms.Answer:
        """Bits in which the packed bits of a and b differ.

        Vectors (n,) or matrices (rows, n): two vectors give a number, a vector and a matrix (rows,), two matrices
        (rows, rows). Both hold uint8.
        Gives exact int64.
        Raises TypeError for what holds anything else, ValueError for shapes that do not fit.
        """
        return _forms.hamming(self, *args)

    def normalize(self, *args: Items, out: Items | None = None) -> NDArray[Any]:
        """Each row divided by its length; a zero row stays zero.

        Of a vector (n,) or a matrix (rows, n) of float32; what comes of it has the same shape, and lies in `out`
        where that is given, which may be `rows` itself.
        Raises TypeError for what holds anything else, ValueError for shapes that do not fit.
        """
        return _forms.normalize(self, *args, out=out)

    def softmax(self, *args: Items, out: Items | None = None) -> NDArray[Any]:
        """exp(row - max(row)), divided by its sum, of each row.

        Of a vector (n,) or a matrix (rows, n) of float32; what comes of it has the same shape, and lies in `out`
        where that is given, which may be `rows` itself.
        Raises TypeError for what holds anything else, ValueError for shapes that do not fit.
        """
        return _forms.softmax(self, *args, out=out)

    def matvec(self, *args: Items, dtype: str | None = None) -> NDArray[Any]:
        """The dot product of each row of matrix (rows, n) with vector (n,): (rows,), of the kinds of `dot`.

        Raises TypeError for what holds anything else, ValueError for shapes that do not fit.
        """
        return _forms.matvec(self, *args, dtype=dtype)

    def _pair(self, kind: int, metric: int, a: Items, b: Items) -> float | int:
        out = np.empty(1, np.float64 if metric == 1 else _forms.result_of(kind, metric))
        table = np.asarray(b)
        self._rows(kind, metric, a, table[np.newaxis], out, 1, table.size)
        number: float | int = out[0].item()
        return number

    def _rows(self, kind: int, metric: int, query: Items, matrix: Items, out: NDArray[Any], rows: int, n: int) -> None:
        """Fill `out` with the query and each row."""
        target, table = _made(query, kind), np.asarray(matrix)
        with np.errstate(all="ignore"):
            for start in range(0, rows, _BLOCK_ROWS):
                block = _made(table[start : start + _BLOCK_ROWS], kind)
                out[start : start + _BLOCK_ROWS] = _WORK[metric](block, target)

    def _scan(
        self,
        kind: int,
        metric: int,
        query: NDArray[Any],
        matrix: NDArray[Any],
        mask: Any,
        rows: int,
        n: int,
        k: int,
    ) -> tuple[bytes, bytes]:
        """Rows (int64) and scores of the best k that the mask allows; one of no bytes allows all."""
        scores = np.empty(rows, _forms.result_of(kind, metric))
        self._rows(kind, metric, query, matrix, scores, rows, n)
        allowed = np.flatnonzero(np.array(mask)) if len(memoryview(mask)) else np.arange(rows)
        with np.errstate(all="ignore"):
            costs = scores[allowed] if metric >= 2 else -scores[allowed]
        found = allowed[_best(costs, min(k, len(costs)))]
        return found.astype(np.int64).tobytes(), scores[found].tobytes()

    def _normalize(self, matrix: Floats, out: Floats, rows: int, n: int) -> None:
        """Fill `out` with each row divided by its length."""
        source, target = matrix.reshape(rows, n), out.reshape(rows, n)
        with np.errstate(all="ignore"):
            squares = np.einsum("ij,ij->i", source, source)
            safe = (squares >= _SMALLEST_SAFE) & (squares <= _LARGEST_SAFE)
            wide = source[~safe].astype(np.float64)
            lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
            lengths[lengths == 0] = np.inf
            factors = (1 / np.sqrt(squares[:, np.newaxis], dtype=np.float64)).astype(np.float32)
            np.multiply(source, factors, out=target)
            target[~safe] = wide / lengths[:, np.newaxis]

    def _softmax(self, matrix: Floats, out: Floats, rows: int, n: int) -> None:
        """Fill `out` with each row as probabilities."""
        if not n:
            return
        source, target = matrix.reshape(rows, n), out.reshape(rows, n)
        with np.errstate(all="ignore"):
            gaps = source - source.max(axis=1, keepdims=True)
            np.exp(gaps, out=target)
            target[gaps < _LOWEST] = 0
            target /= target.sum(axis=1, keepdims=True)

    def tokens(self, data: bytes) -> list[bytes]:
        """The stems of a text (UTF-8 bytes), in order, with repetitions."""
        return _tokeniser.tokens(_bytes(data, "data"))

    def vocabulary(self, words: tuple[bytes, ...], buckets: int, seed: int) -> Handle:
        """The handle that `bag` and `embed` take; Python's own dictionaries keep the order of their slots secret."""
        return _tokeniser.Vocabulary(words, buckets=buckets)

    def bag(self, handle: Handle, data: bytes, k: float) -> tuple[list[int], list[float]]:
        """The rows that a text stands for, and the weight of each."""
        return handle.bag(_bytes(data, "data"), k=k)

    def embed(
        self, handle: Handle, texts: tuple[bytes, ...], rows: Buffer, scales: Buffer, k: float, out: Buffer
    ) -> None:
        """Write the unit vector of each text into `out`."""
        table, factors, target = _take(rows, 2, "rows", "b"), _take(scales, 1, "scales"), _take(out, 2, "out")
        if memoryview(out).readonly:
            raise ValueError("out must be writable")
        _check_table(handle.words + handle.buckets, table, factors, target, len(texts))
        taken = [_bytes(text, "a text") for text in texts]
        for at, text in enumerate(taken):
            found, weights = handle.bag(text, k=k)
            if not found:
                target[at] = 0
                continue
            mix = np.array(weights, np.float32) * factors[found]
            total = mix @ table[found].astype(np.float32)
            length = float(np.sqrt(np.square(total, dtype=np.float64).sum()))
            target[at] = total / length if length > 0 else 0

    def embedding(self, handle: Handle, rows: Buffer, scales: Buffer, k: float) -> tuple[Any, ...]:
        """The handle that `vector` takes."""
        table, factors = _take(rows, 2, "rows", "b"), _take(scales, 1, "scales")
        needed = handle.words + handle.buckets
        if len(table) != needed or len(factors) != needed:
            raise ValueError(
                f"rows and scales have {len(table)} and {len(factors)} rows and the vocabulary {needed}: they must be"
                " equal"
            )
        return handle, table, factors, k

    def vector(self, held: tuple[Any, ...], data: bytes) -> bytearray:
        """The unit vector of one text as float32 bytes."""
        handle, table, factors, k = held
        out = np.empty((1, table.shape[1]), np.float32)
        self.embed(handle, (_bytes(data, "data"),), table.data, factors.data, k, out.data)
        return bytearray(out.tobytes())

    def odds(self, bias: float, features: bytes, words: tuple[bytes, ...], weighed: bytes, seed: int) -> _odds.Reader:
        """The handle that `log_odds` and `odds_word` take."""
        rows = np.frombuffer(features, np.float64).reshape(-1, 5).tolist()
        pairs = np.frombuffer(weighed, np.float64).reshape(-1, 2).tolist()
        known = {word: (weight, rarity) for word, (weight, rarity) in zip(words, pairs, strict=True)}
        return _odds.Reader(bias, rows, lambda word: known.get(word))

    def log_odds(self, handle: _odds.Reader, text: str) -> float:
        """The log-odds of a text."""
        return handle.read(text)

    def odds_word(self, handle: _odds.Reader, word: bytes) -> tuple[float, float] | None:
        """The weight and rarity of a word, None where it has none."""
        return handle.word(word)


def _check_table(needed: int, table: NDArray[Any], factors: Floats, target: Floats, texts: int) -> None:
    if len(table) != needed:
        raise ValueError(f"rows has {len(table)} rows and the vocabulary {needed}: they must be equal")
    if len(factors) != needed:
        raise ValueError(f"scales has {len(factors)} items and the vocabulary {needed} rows: they must be equal")
    if target.shape != (texts, table.shape[1]):
        got = " x ".join(map(str, target.shape))
        raise ValueError(f"out must be {texts} x {table.shape[1]}, got {got}")


def _bytes(data: bytes, name: str) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"{name} must be bytes, got {type(data).__name__}")
    return data


PATHS = {"numpy": Path()}
