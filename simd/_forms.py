"""What the kernels take and in which forms: one pair, a query with many rows, many with many, the best of many.

The same for every path: buffers are checked here, in the same words, and a path is left with what fits. C calls in here
for everything but its quickest calls.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from aqe.simd import _native, _twin

    Path = _native.Path | _twin.Path
    Metric = Literal["dot", "cosine", "l2", "hamming"]
    Taken = tuple[memoryview, int]
    Items = Buffer | NDArray[Any]  # what offers a buffer; NumPy's stubs say so from Python 3.12 on only
    Answer = Any  # a number for two vectors, an array for rows

METRICS = ("dot", "cosine", "l2", "hamming")  # their places are the numbers that C knows them by
F32, F16, BF16, I8, BITS = range(5)  # and so are those of the kinds
_NAMES = ("float32", "float16", "uint16", "int8", "uint8")
_FORMATS = "feHbB"
_NUMBERS = (F32, F16, I8)
_ORDERS = ("", "@", "=", "<" if sys.byteorder == "little" else ">")
_MOST = 2**62
_BLOCK_BYTES = 1 << 18  # rows of the larger side that stay in a cache while the smaller side passes over them


def dot(path: Path, *args: Items, dtype: str | None = None) -> Answer:
    """Sums of products, of each with each: two vectors, a vector and the rows of a matrix, or the rows of two."""
    return _each_with_each(path, 0, _NUMBERS, args, dtype)


def cosine(path: Path, *args: Items, dtype: str | None = None) -> Answer:
    """Cosines, of each with each."""
    return _each_with_each(path, 1, _NUMBERS, args, dtype)


def l2(path: Path, *args: Items, dtype: str | None = None) -> Answer:
    """Squared distances, of each with each."""
    return _each_with_each(path, 2, _NUMBERS, args, dtype)


def hamming(path: Path, *args: Items) -> Answer:
    """Differing bits of packed codes, of each with each."""
    return _each_with_each(path, 3, (BITS,), args, None)


def matvec(path: Path, *args: Items, dtype: str | None = None) -> NDArray[Any]:
    """The dot product of each row of a matrix with a vector."""
    if len(args) != 2:
        raise TypeError(f"expected 2 arguments matrix and vector, got {len(args)}")
    kinds = _kinds(_NUMBERS, dtype)
    (matrix, kind), (vector, other) = take(args[0], "matrix", kinds, (2,)), take(args[1], "vector", kinds, (1,))
    _check_kinds(("matrix", kind), ("vector", other))
    return _rows(path, kind, 0, _fitting(vector, "vector", matrix, "matrix"), matrix)


def normalize(path: Path, *args: Items, out: Items | None = None) -> NDArray[Any]:
    """Each row divided by its length."""
    return _row_by_row(path._normalize, args, out)


def softmax(path: Path, *args: Items, out: Items | None = None) -> NDArray[Any]:
    """Each row as probabilities."""
    return _row_by_row(path._softmax, args, out)


def topk(
    path: Path, matrix: Items, query: Items, k: int, metric: Metric, mask: Items | None, dtype: str | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows and scores of the best k rows that the mask allows, best first."""
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(f"metric must be 'dot', 'cosine', 'l2' or 'hamming', got {metric!r}")
    from aqe.simd._given import as_k
    from aqe.simd._ids import refuse_masked

    for given, name in ((matrix, "matrix"), (query, "query"), (mask, "mask")):
        refuse_masked(given, name)
    wanted = min(as_k(k), _MOST)
    if metric == "hamming" and dtype is not None:
        raise ValueError(f"dtype must be None with metric 'hamming', whose rows are packed bits, got {dtype!r}")
    kinds = (BITS,) if metric == "hamming" else _kinds(_NUMBERS, dtype)
    (table, kind), (target, other) = take(matrix, "matrix", kinds, (2,)), take(query, "query", kinds, (1,))
    _check_kinds(("matrix", kind), ("query", other))
    _fitting(target, "query", table, "matrix")
    rows, n = _shape(table)
    allowed = b"" if mask is None else _mask(mask, rows)
    import numpy as np

    places, scores = path._scan(
        kind, METRICS.index(metric), np.asarray(target), np.asarray(table), allowed, rows, n, wanted
    )
    return np.frombuffer(places, np.int64).copy(), np.frombuffer(scores, result_of(kind, METRICS.index(metric))).copy()


def take(item: Any, name: str, kinds: tuple[int, ...], dimensions: tuple[int, ...]) -> Taken:
    """The item as a contiguous buffer of one of these kinds, and which one; TypeError or ValueError otherwise."""
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)  # not there: nothing has a mask
    if masked is not None and isinstance(item, masked):
        raise TypeError(f"{name} must not be a masked array: choose its items or fill them first")
    try:
        view = memoryview(item)
    except (TypeError, ValueError, BufferError):
        got = type(item).__name__
        raise TypeError(f"{name} must be a buffer of {_or(kinds)} such as a NumPy array, got {got}") from None
    kind = next((kind for kind in kinds if view.format in [order + _FORMATS[kind] for order in _ORDERS]), None)
    if kind is None:
        raise TypeError(_refusal(name, kinds, view.format))
    if view.ndim not in dimensions:
        wanted = " or ".join(map(str, dimensions))
        raise ValueError(f"{name} must have {wanted} dimension(s), got {view.ndim}")
    if not view.c_contiguous:
        raise ValueError(f"{name} must be contiguous: pass numpy.ascontiguousarray({name})")
    return view, kind


def _or(kinds: tuple[int, ...]) -> str:
    names = [_NAMES[kind] for kind in kinds]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _refusal(name: str, kinds: tuple[int, ...], got: str) -> str:
    told = [f"{_NAMES[kind]} ('{_FORMATS[kind]}')" for kind in kinds]
    told[0] = f"{_NAMES[kinds[0]]} (buffer format '{_FORMATS[kinds[0]]}')"
    hint = ""
    if F16 in kinds and got.lstrip("@=<>") == "H":
        hint = "; pass dtype='bfloat16' where these are the upper halves of float32"
    elif I8 in kinds and got.lstrip("@=<>") == "B":
        hint = "; packed bits go with hamming"
    return f"{name} must hold {' or '.join(filter(None, (', '.join(told[:-1]), told[-1])))}, got '{got}'{hint}"


def _kinds(kinds: tuple[int, ...], dtype: str | None) -> tuple[int, ...]:
    if dtype is None:
        return kinds
    if dtype != "bfloat16":
        raise ValueError(f"dtype must be None or 'bfloat16', got {dtype!r}")
    return (BF16,)


def _check_kinds(first: tuple[str, int], second: tuple[str, int]) -> None:
    if first[1] != second[1]:
        held = f"{first[0]} holds {_NAMES[first[1]]} and {second[0]} {_NAMES[second[1]]}"
        raise TypeError(f"{held}: they must hold the same")


def _shape(view: memoryview) -> tuple[int, int]:
    assert view.shape is not None
    return view.shape[0], view.shape[1]


def _fitting(vector: memoryview, name: str, matrix: memoryview, other: str) -> memoryview:
    (items,), (_, n) = vector.shape or (0,), _shape(matrix)
    if items != n:
        raise ValueError(f"{name} has {items} items and the rows of {other} have {n}: they must be equal")
    return vector


def _mask(mask: Any, rows: int) -> memoryview:
    try:
        view = memoryview(mask)
    except (TypeError, ValueError, BufferError):
        got = type(mask).__name__
        raise TypeError(f"mask must be a buffer of bool or uint8 such as a NumPy array, got {got}") from None
    if view.format.lstrip("@=<>") not in ("?", "B"):
        raise TypeError(f"mask must hold bool (buffer format '?') or uint8 ('B'), got '{view.format}'")
    if view.ndim != 1:
        raise ValueError(f"mask must have 1 dimension(s), got {view.ndim}")
    if not view.c_contiguous:
        raise ValueError("mask must be contiguous: pass numpy.ascontiguousarray(mask)")
    if len(view) != rows:
        raise ValueError(f"mask has {len(view)} items and matrix {rows} rows: they must be equal")
    return view


def _each_with_each(
    path: Path, metric: int, kinds: tuple[int, ...], args: tuple[Items, ...], dtype: str | None
) -> Answer:
    if len(args) != 2:
        raise TypeError(f"expected 2 arguments a and b, got {len(args)}")
    kinds = _kinds(kinds, dtype)
    (a, kind), (b, other) = take(args[0], "a", kinds, (1, 2)), take(args[1], "b", kinds, (1, 2))
    _check_kinds(("a", kind), ("b", other))
    if a.ndim == b.ndim == 1:
        if len(a) != len(b):
            raise ValueError(f"a has {len(a)} items and b has {len(b)}: they must be equal")
        return path._pair(kind, metric, a, b)
    if a.ndim == 1:
        return _rows(path, kind, metric, _fitting(a, "a", b, "b"), b)
    if b.ndim == 1:
        return _rows(path, kind, metric, _fitting(b, "b", a, "a"), a)
    if _shape(a)[1] != _shape(b)[1]:
        raise ValueError(f"the rows of a have {_shape(a)[1]} items and those of b {_shape(b)[1]}: they must be equal")
    return _matrix(path, kind, metric, a, b)


def result_of(kind: int, metric: int) -> str:
    """Sums of whole numbers are exact, all else is float32."""
    return "int64" if kind == BITS or (kind == I8 and metric != 1) else "float32"


def _rows(path: Path, kind: int, metric: int, query: memoryview, matrix: memoryview) -> NDArray[Any]:
    import numpy as np

    rows, n = _shape(matrix)
    out = np.empty(rows, result_of(kind, metric))
    path._rows(kind, metric, np.asarray(query), np.asarray(matrix), out, rows, n)
    return out


def _matrix(path: Path, kind: int, metric: int, a: memoryview, b: memoryview) -> NDArray[Any]:
    """The rows of two matrices, each with each: products of floats by NumPy's matrix product, the rest by rows."""
    import numpy as np

    if metric < 2 and kind <= BF16:
        left, right = widened(np.asarray(a), kind), widened(np.asarray(b), kind)
        if metric == 1:
            left, right = normalize(path, left), normalize(path, right)
        with np.errstate(all="ignore"):
            products: NDArray[Any] = np.matmul(left, right.T)
            if metric == 0 and not np.isfinite(products.sum()):
                _sum_anew(path, kind, np.asarray(a), np.asarray(b), products)
            return np.clip(products, -1.0, 1.0, out=products) if metric == 1 else products
    if _shape(a)[0] > _shape(b)[0]:
        return np.ascontiguousarray(_matrix(path, kind, metric, b, a).T)
    return _row_blocks(path, kind, metric, np.asarray(a), np.asarray(b))


def _sum_anew(path: Path, kind: int, a: NDArray[Any], b: NDArray[Any], products: NDArray[Any]) -> None:
    """Put what the path makes of a row in the place of products that are not finite: a part of a sum may have left
    float32 that the whole of it does not."""
    import numpy as np

    for row, query in enumerate(a):
        lost = np.flatnonzero(~np.isfinite(products[row]))
        if len(lost):
            made = np.empty(len(lost), np.float32)
            path._rows(kind, 0, query, b[lost], made, len(lost), b.shape[1])
            products[row, lost] = made


def _row_blocks(path: Path, kind: int, metric: int, few: NDArray[Any], many: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    found = np.empty((len(few), len(many)), result_of(kind, metric))
    step = max(1, _BLOCK_BYTES // max(1, many.shape[1] * many.itemsize))
    for start in range(0, len(many), step):
        block = many[start : start + step]
        for row, query in enumerate(few):
            path._rows(kind, metric, query, block, found[row, start : start + step], len(block), many.shape[1])
    return found


def widened(items: NDArray[Any], kind: int) -> NDArray[Any]:
    """Items of one of the float kinds as float32."""
    if kind == F32:
        return items
    if kind == F16:
        return items.astype("float32")
    return (items.astype("uint32") << 16).view("float32")


def _row_by_row(work: Any, args: tuple[Items, ...], out: Items | None) -> NDArray[Any]:
    import numpy as np

    if len(args) != 1:
        raise TypeError(f"expected 1 argument rows, got {len(args)}")
    rows = np.asarray(take(args[0], "rows", (F32,), (1, 2))[0])
    made = np.empty(rows.shape, np.float32)
    target = made if out is None else _target(out, rows)
    apart = target.ctypes.data == rows.ctypes.data or not np.may_share_memory(rows, target)
    into = target if apart else made
    work(rows, into, 1 if rows.ndim == 1 else len(rows), rows.shape[-1])
    if into is not target:
        target[...] = made
    return target


def _target(out: Items, rows: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    view, _ = take(out, "out", (F32,), (rows.ndim,))
    if view.readonly:
        raise ValueError("out must be writable")
    if view.shape != rows.shape:
        shapes = (" x ".join(map(str, shape)) for shape in (rows.shape, view.shape or ()))
        raise ValueError("out must be {}, got {}".format(*shapes))
    return out if isinstance(out, np.ndarray) else np.asarray(view)
