"""Vector kernels over float32 buffers and the tokeniser of texts, on the fastest path that this machine has.

Three paths give the same answers to rounding: `avx2` and `portable` are C, `numpy` is their twin for installs without
a compiler. The environment variable AQE_SIMD forces one; this file is the only place that chooses. Whatever offers a
contiguous float32 buffer will do (a NumPy array, an `array.array`, a memoryview), aligned or not. Sums are kept in
float32, so the error of a dot product is at most about (n / 8 + 8) * 6e-8 * sum(|a[i] * b[i]|), and what exceeds
float32 becomes inf. NaN in gives NaN out, and comes last in a ranking. Stems are the same bytes on every path; the
rules are in `_tokeniser`.

>>> from array import array
>>> from aqe import simd
>>> simd.dot(array("f", [1, 2, 3]), array("f", [4, 5, 6]))
32.0
>>> simd.tokens(b"parseHTTPHeader parses headers")
[b'pars', b'http', b'header', b'pars', b'header']
>>> rows = memoryview(array("f", [1, 0, 0, 1, 1, 1])).cast("B").cast("f", (3, 2))
>>> simd.top_k(rows, array("f", [2, 1]), 2)
([2, 0], [3.0, 2.0])
"""

from __future__ import annotations

import os
from operator import index

TYPE_CHECKING = False  # spelled out, so that importing this package loads nothing else
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Literal

    from typing_extensions import Buffer

    from aqe.simd._bm25 import Postings
    from aqe.simd._vectors import Vectors
    from aqe.simd._vocabulary import Bag, Embed, Make, Vocabulary

    Metric = Literal["dot", "cosine", "squared_distance"]
    Pair = Callable[[Buffer, Buffer], float]
    Scan = Callable[[Buffer, Buffer, int, int], tuple[list[int], list[float]]]
    Tokens = Callable[[bytes], list[bytes]]
    Path = tuple[Pair, Pair, Pair, Scan, Tokens, Make, Bag, Embed]

    def dot(a: Buffer, b: Buffer, /) -> float: ...
    def cosine(a: Buffer, b: Buffer, /) -> float: ...
    def squared_distance(a: Buffer, b: Buffer, /) -> float: ...
    def top_k(matrix: Buffer, query: Buffer, k: int, *, metric: Metric = "dot") -> tuple[list[int], list[float]]: ...
    def tokens(data: bytes, /) -> list[bytes]: ...
    def vocabulary(words: Iterable[bytes], *, buckets: int) -> Vocabulary: ...


__all__ = [
    "Kernels",
    "PathUnavailable",
    "Vectors",
    "Vocabulary",
    "active",
    "cosine",
    "dot",
    "features",
    "kernels",
    "paths",
    "squared_distance",
    "tokens",
    "top_k",
    "vocabulary",
]

PATHS = ("avx2", "portable", "numpy")
_METRICS = ("dot", "cosine", "squared_distance")
_MOST = 2**31 - 1
_FUNCTIONS = ("dot", "cosine", "squared_distance", "tokens", "top_k", "vocabulary")


class PathUnavailable(ValueError):
    """A path was asked for, by name or through AQE_SIMD, that is unknown or not to be had on this machine."""


class Kernels:
    """The kernels of one path: `name`, and the functions `dot`, `cosine`, `squared_distance`, `top_k`, `tokens` (the
    stems of a text, in order) and `vocabulary`."""

    __slots__ = ("_scan", "_words", "cosine", "dot", "name", "squared_distance", "tokens")

    def __init__(self, name: str, functions: Path) -> None:
        self.name = name
        self.dot, self.cosine, self.squared_distance, self._scan, self.tokens = functions[:5]
        self._words = functions[5:]

    def top_k(self, matrix: Buffer, query: Buffer, k: int, *, metric: Metric = "dot") -> tuple[list[int], list[float]]:
        """Return the rows of `matrix` nearest to `query` and their scores, best first, at most `k` of them.

        `metric` is "dot" or "cosine" (highest first) or "squared_distance" (lowest first). Ties go to the lower row
        and NaN comes last. The GIL is released on the C paths. Raises TypeError or ValueError for what does not fit.
        """
        if metric not in _METRICS:
            raise ValueError(f"metric must be 'dot', 'cosine' or 'squared_distance', got {metric!r}")
        if index(k) < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        return self._scan(matrix, query, min(index(k), _MOST), _METRICS.index(metric))

    def vocabulary(self, words: Iterable[bytes], *, buckets: int) -> Vocabulary:
        """Return the vocabulary of these stems, in row order, with `buckets` rows for the 4-grams of all others.

        Raises ValueError for a stem that stands twice, is empty or longer than 64 bytes.
        """
        from aqe.simd._vocabulary import Vocabulary

        return Vocabulary(words, buckets, self._words)


def _native_paths() -> dict[str, Path]:
    """Return the C paths that this CPU runs, best first; none where the extension was not built."""
    try:
        from aqe.simd._native import PATHS as found
    except ImportError:
        return {}
    return found


def paths() -> list[str]:
    """Return the names of the paths that can run here, best first."""
    return [*_native_paths(), "numpy"]


def kernels(path: str) -> Kernels:
    """Return the kernels of one path; raises PathUnavailable, with those to be had, when it cannot run here."""
    if path == "numpy":
        from aqe.simd._twin import PATHS as twin

        return Kernels("numpy", twin["numpy"])
    if path in (found := _native_paths()):
        return Kernels(path, found[path])
    reason = "cannot run on this machine" if path in PATHS else "is not a path of aqe.simd"
    raise PathUnavailable(f"{path!r} {reason}. Choose one of {', '.join(paths())}.")


_chosen: Kernels | None = None


def _active() -> Kernels:
    global _chosen
    if _chosen is None:
        forced = os.environ.get("AQE_SIMD", "")
        try:
            _chosen = kernels(forced or paths()[0])
        except PathUnavailable as refusal:
            raise PathUnavailable(f"AQE_SIMD: {refusal}") from None
    return _chosen


def active() -> str:
    """Return the name of the path in use: the one AQE_SIMD names, else the fastest."""
    return _active().name


def features() -> dict[str, bool]:
    """Say what this install and this CPU give: was the extension built, and each path that can run."""
    runnable = paths()
    return {"native": len(runnable) > 1, **{name: name in runnable for name in PATHS}}


def __getattr__(name: str) -> Any:
    if name == "Vocabulary":
        from aqe.simd._vocabulary import Vocabulary

        return Vocabulary
    if name == "Vectors":
        from aqe.simd._vectors import Vectors

        return Vectors
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = globals()[name] = getattr(_active(), name)
    return function


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
