"""The kernels in NumPy, with the checks and the interface of the C paths: what runs where nothing was compiled."""

from __future__ import annotations

import sys

import numpy as np

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray
    from typing_extensions import Buffer

    Floats = NDArray[np.float32]

_SMALLEST_SAFE, _LARGEST_SAFE = 1e-25, 1e37  # the same borders as in scan.c
_NATIVE = ("f", "@f", "=f", "<f" if sys.byteorder == "little" else ">f")
_BLOCK_ROWS = 4096


def _take(item: Buffer, dimensions: int, name: str) -> Floats:
    try:
        view = memoryview(item)
    except (TypeError, ValueError, BufferError):
        kind = type(item).__name__
        raise TypeError(f"{name} must be a buffer of float32 such as a NumPy array, got {kind}") from None
    if view.format not in _NATIVE:
        raise TypeError(f"{name} must hold float32 (buffer format 'f'), got '{view.format}'")
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


PATHS = {"numpy": (dot, cosine, squared_distance, top_k)}
