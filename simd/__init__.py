"""Vector kernels and the tokeniser of texts, on the fastest path that this machine has.

The paths `avx512`, `avx512vnni`, `avx2`, `sse4`, `neon` and `portable` are C, `numpy` is their twin for installs
without a compiler; all give the same answers to rounding. The environment variable AQE_SIMD forces one; this file is
the only place that chooses. What offers a contiguous buffer will do (a NumPy array, an `array.array`, a memoryview), at
any address.

`dot`, `cosine`, `l2` (the squared distance) take float32, float16 or int8, both of one kind, and bfloat16 as uint16
with `dtype="bfloat16"`; `hamming` takes packed bits as uint8, and `topk` all of these (scores of int8, cosines apart,
and of bits are int64). Two vectors give a number, a vector and a matrix an array with an item for each row, two
matrices a matrix. Sums of int8 and of bits are exact; of floats, every item is read as
float32 and the sum kept in float32, so that for vectors of n items

- a dot product is off by at most (n / 8 + 8) * 6e-8 * sum(|a[i] * b[i]|),
- a squared distance by (n / 4 + 16) * 6e-8 times itself,
- a cosine by (n / 2 + 16) * 6e-8, and an item of a normalised vector by (n / 8 + 8) * 6e-8 times itself,
- a probability of softmax by (n / 8 + 2 * (max(x) - x[i]) + 24) * 6e-8 times itself; one below e ** -87 may be 0.

What exceeds float32 becomes inf (a cosine never does, and a normalised vector neither; a dot product does where the
whole sum exceeds it, whatever its parts do), NaN in gives NaN out and comes
last in a ranking, the cosine of a zero vector is 0, and so is a sum of no items. Softmax of a row with NaN or plus
infinity, or of nothing but minus infinity, is NaN; minus infinity beside other items gives 0. Stems are the same bytes
on every path; the rules are in `_tokeniser`.

>>> from array import array
>>> from aqe import simd
>>> simd.dot(array("f", [1, 2, 3]), array("f", [4, 5, 6]))
32.0
>>> simd.hamming(bytes([0b1010]), bytes([0b0110]))
2
>>> simd.tokens(b"parseHTTPHeader parses headers")
[b'pars', b'http', b'header', b'pars', b'header']
>>> rows = memoryview(array("f", [1, 0, 0, 1, 1, 1])).cast("B").cast("f", (3, 2))
>>> places, scores = simd.topk(rows, array("f", [2, 1]), 2)
>>> places.tolist(), scores.tolist()
([2, 0], [3.0, 2.0])
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # spelled out, so that importing this package loads nothing else
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from aqe.simd._bm25 import Postings
    from aqe.simd._bound import Bound
    from aqe.simd._forms import Answer, Items, Metric, Path
    from aqe.simd._fusion import Apart, Fused, fuse, fuse_sides
    from aqe.simd._hybrid import Hybrid
    from aqe.simd._lexicon import Lexicon
    from aqe.simd._listed import best_listed, rank_lists
    from aqe.simd._odds import Features, TextOdds, Words
    from aqe.simd._vectors import Vectors
    from aqe.simd._vocabulary import Vocabulary

    def dot(a: Items, b: Items, /, *, dtype: str | None = None) -> Answer: ...
    def cosine(a: Items, b: Items, /, *, dtype: str | None = None) -> Answer: ...
    def l2(a: Items, b: Items, /, *, dtype: str | None = None) -> Answer: ...
    def hamming(a: Items, b: Items, /) -> Answer: ...
    def normalize(rows: Items, /, *, out: Items | None = None) -> NDArray[Any]: ...
    def softmax(rows: Items, /, *, out: Items | None = None) -> NDArray[Any]: ...
    def matvec(matrix: Items, vector: Items, /, *, dtype: str | None = None) -> NDArray[Any]: ...
    def topk(
        matrix: Items,
        query: Items,
        k: int,
        *,
        metric: Metric = "dot",
        mask: Items | None = None,
        dtype: str | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...
    def tokens(data: bytes, /) -> list[bytes]: ...
    def vocabulary(words: Iterable[bytes], *, buckets: int) -> Vocabulary: ...
    def text_odds(bias: float, features: Features, words: Words) -> TextOdds: ...


__all__ = [
    "Apart",
    "Bound",
    "Fused",
    "Hybrid",
    "Kernels",
    "Lexicon",
    "PathUnavailable",
    "Postings",
    "TextOdds",
    "Vectors",
    "Vocabulary",
    "active",
    "best_listed",
    "cosine",
    "dot",
    "features",
    "fuse",
    "fuse_sides",
    "hamming",
    "kernels",
    "l2",
    "matvec",
    "normalize",
    "paths",
    "rank_lists",
    "softmax",
    "text_odds",
    "tokens",
    "topk",
    "vocabulary",
]

PATHS = ("avx512", "avx512vnni", "avx2", "sse4", "neon", "portable", "numpy")
_PLAIN = ("cosine", "dot", "hamming", "l2", "matvec", "normalize", "softmax", "tokens")
_FUNCTIONS = (*_PLAIN, "text_odds", "topk", "vocabulary")
_ELSEWHERE = {
    "Apart": "_fusion",
    "Bound": "_bound",
    "Fused": "_fusion",
    "Hybrid": "_hybrid",
    "Lexicon": "_lexicon",
    "Postings": "_bm25",
    "TextOdds": "_odds",
    "Vectors": "_vectors",
    "Vocabulary": "_vocabulary",
    "best_listed": "_listed",
    "fuse": "_fusion",
    "fuse_sides": "_fusion",
    "rank_lists": "_listed",
}
"""What is loaded when it is first asked for, and from where."""


class PathUnavailable(ValueError):
    """A path was asked for, by name or through AQE_SIMD, that is unknown or not to be had on this machine."""


class Kernels:
    """The kernels of one path: `name`, and the functions `dot`, `cosine`, `l2`, `hamming`, `normalize`, `softmax`,
    `matvec`, `topk`, `tokens` (the stems of a text, in order), `vocabulary` and `text_odds`."""

    __slots__ = ("_path", "name", *_PLAIN)

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path
        for function in _PLAIN:
            setattr(self, function, getattr(path, function))

    def topk(
        self,
        matrix: Items,
        query: Items,
        k: int,
        *,
        metric: Metric = "dot",
        mask: Items | None = None,
        dtype: str | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the rows of `matrix` (int64) nearest to `query` and their scores, best first, at most `k`.

        `metric` is "dot" or "cosine" (highest first) or "l2" (lowest first); of packed bits in uint8 it must be
        "hamming" (lowest first). Scores are float32; those of bits, and "dot" and "l2" of int8, are exact int64.
        `mask` holds a bool or uint8 for each row: rows where it is 0 are passed over. Ties go to the lower row and NaN
        comes last. The GIL is released on the C paths. Raises TypeError or ValueError for what does not fit.
        """
        from aqe.simd import _forms

        return _forms.topk(self._path, matrix, query, k, metric, mask, dtype)

    def vocabulary(self, words: Iterable[bytes], *, buckets: int) -> Vocabulary:
        """Return the vocabulary of these stems, in row order, with `buckets` rows for the 4-grams of all others.

        Raises ValueError for a stem that stands twice, is empty or longer than 64 bytes.
        """
        from aqe.simd._vocabulary import Vocabulary

        path = self._path
        return Vocabulary(words, buckets, (path.vocabulary, path.bag, path.embed, path.embedding, path.vector))

    def text_odds(self, bias: float, features: Features, words: Words) -> TextOdds:
        """Return the linear model over texts that adds these to `bias`: a row of five for each of 16 `features`, a
        weight and a rarity for each of the known `words` (`_odds` says what they mean).

        Raises ValueError for other features, and for a word that is empty or not in small letters.
        """
        from aqe.simd._odds import TextOdds

        path = self._path
        return TextOdds(bias, features, words, (path.odds, path.log_odds, path.odds_word))


def _native_paths() -> Mapping[str, Path]:
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
    if name in _ELSEWHERE:
        from importlib import import_module

        found = globals()[name] = getattr(import_module(f"aqe.simd.{_ELSEWHERE[name]}"), name)
        return found
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function = globals()[name] = getattr(_active(), name)
    return function


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
