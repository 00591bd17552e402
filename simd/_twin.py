"""The kernels in NumPy, with the checks and the interface of the C paths: what runs where nothing was compiled."""

from __future__ import annotations

import sys

import numpy as np

from aqe.simd import _tokeniser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from typing_extensions import Buffer

    Floats = NDArray[np.float32]
    Handle = _tokeniser.Vocabulary

_SMALLEST_SAFE, _LARGEST_SAFE = 1e-25, 1e37  # the same borders as in scan.c
_ORDERS = ("", "@", "=", "<" if sys.byteorder == "little" else ">")
_KINDS = {"f": "float32", "b": "int8"}
_BLOCK_ROWS = 4096


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


def _take_pair(args: tuple[Buffer, ...]) -> tuple[Floats, Floats]:
    if len(args) != 2:
        raise TypeError(f"expected 2 arguments a and b, got {len(args)}")
    a, b = _take(args[0], 1, "a"), _take(args[1], 1, "b")
    if a.size != b.size:
        raise ValueError(f"a has {a.size} items and b has {b.size}: they must be equal")
    return a, b


def dot(*args: Buffer) -> float:
    """Sum of a[i] * b[i] over two float32 buffers of equal length."""
    a, b = _take_pair(args)
    with np.errstate(all="ignore"):
        return float(a @ b)


def squared_distance(*args: Buffer) -> float:
    """Sum of (a[i] - b[i]) ** 2 over two float32 buffers of equal length."""
    a, b = _take_pair(args)
    with np.errstate(all="ignore"):
        gap = a - b
        return float(gap @ gap)


def cosine(*args: Buffer) -> float:
    """Cosine of the angle between two float32 buffers, -1 to 1; 0 where one is zero."""
    a, b = _take_pair(args)
    return float(_cosines_in_double(b[np.newaxis], a)[0])


def _cosines_in_double(matrix: Floats, query: Floats) -> NDArray[np.float64]:
    wide, target = matrix.astype(np.float64), query.astype(np.float64)
    with np.errstate(all="ignore"):
        products = wide @ target
        norms = np.sqrt(np.einsum("ij,ij->i", wide, wide)) * np.sqrt(target @ target)
        found: NDArray[np.float64] = np.clip(products / norms, -1.0, 1.0)
    found[(norms == 0) & ~np.isnan(products)] = 0.0
    return found


def _cosines(matrix: Floats, query: Floats) -> Floats:
    square = float(query @ query)
    squares = np.einsum("ij,ij->i", matrix, matrix)
    ratios = (matrix @ query) / (np.sqrt(squares.astype(np.float64)) * np.sqrt(square))
    found: Floats = np.clip(ratios, -1.0, 1.0).astype(np.float32)
    safe = (squares >= _SMALLEST_SAFE) & (squares <= _LARGEST_SAFE) & (_SMALLEST_SAFE <= square <= _LARGEST_SAFE)
    if not safe.all():
        found[~safe] = _cosines_in_double(matrix[~safe], query)
    return found


def _distances(matrix: Floats, query: Floats) -> Floats:
    found = np.empty(len(matrix), np.float32)
    for start in range(0, len(matrix), _BLOCK_ROWS):
        gaps = matrix[start : start + _BLOCK_ROWS] - query
        found[start : start + _BLOCK_ROWS] = np.einsum("ij,ij->i", gaps, gaps)
    return found


def _best(costs: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Rows of the k lowest costs, lowest first; ties by row, NaN last."""
    if k * 4 < len(costs):
        border = np.partition(costs, k - 1)[k - 1]
        rows = np.flatnonzero(~(costs > border))
    else:
        rows = np.arange(len(costs))
    return rows[np.argsort(costs[rows], kind="stable")][:k]


def top_k(matrix: Buffer, query: Buffer, k: int, metric: int) -> tuple[list[int], list[float]]:
    """Rows and scores of the best k rows, best first; metric 0 is dot, 1 cosine, 2 squared distance."""
    table, target = _take(matrix, 2, "matrix"), _take(query, 1, "query")
    if table.shape[1] != target.size:
        raise ValueError(
            f"query has {target.size} items and the rows of matrix have {table.shape[1]}: they must be equal"
        )
    with np.errstate(all="ignore"):
        scores = (np.matmul, _cosines, _distances)[metric](table, target)
        rows = _best(scores if metric == 2 else -scores, min(k, len(scores)))
    return rows.tolist(), scores[rows].tolist()


def tokens(data: bytes) -> list[bytes]:
    """The stems of a text, in order, with repetitions."""
    return _tokeniser.tokens(_bytes(data, "data"))


def vocabulary(words: tuple[bytes, ...], buckets: int, seed: int) -> Handle:
    """The handle that `bag` and `embed` take; Python's own dictionaries keep the order of their slots secret."""
    return _tokeniser.Vocabulary(words, buckets=buckets)


def bag(handle: Handle, data: bytes, k: float) -> tuple[list[int], list[float]]:
    """The rows that a text stands for, and the weight of each."""
    return handle.bag(_bytes(data, "data"), k=k)


def embed(handle: Handle, texts: tuple[bytes, ...], rows: Buffer, scales: Buffer, k: float, out: Buffer) -> None:
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


PATHS = {"numpy": (dot, cosine, squared_distance, top_k, tokens, vocabulary, bag, embed)}
