"""`Vectors` and `Postings` of the same ids, searched by words and meaning together.

Where both are C the search is one call: neither side's candidates become Python objects, and what one side holds of the
other's rows is read while it is at hand (`simd/postings/hybrid.c`). Elsewhere the same is done step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd import _recall
from aqe.simd._bm25 import Postings
from aqe.simd._fusion import DIGITS, Apart, Found, fuse_sides, is_share
from aqe.simd._given import as_k, as_rows, unmasked
from aqe.simd._ids import Ids
from aqe.simd._rows import LEVELS
from aqe.simd._state import State
from aqe.simd._vectors import Vectors

if TYPE_CHECKING:
    from aqe.simd._vectors import Floats, Rescore

_WIDEST = 1_000_000


class Hybrid:
    """The vectors and the texts of some things, by the same ids; `groups` narrows the texts as in `Postings.search`.

    >>> import numpy as np
    >>> from aqe.simd import Hybrid, Postings, Vectors
    >>> vectors, postings = Vectors(2), Postings()
    >>> vectors.add([7, 8], np.array([[1, 0], [0, 2]], np.float32))
    >>> postings.add([7, 8], [b"red green", b"red"])
    >>> [(row, score) for row, score, *_ in Hybrid(vectors, postings).search(np.array([0, 1], "f"), [b"green"], 2, 0.9)]
    [(8, 1.0), (7, 0.0)]
    """

    def __init__(self, vectors: Vectors, postings: Postings, *, groups: NDArray[np.bool_] | None = None) -> None:
        if vectors.metric != "cosine":
            raise ValueError(f"vectors must be compared by cosine, not by {vectors.metric}")
        self.vectors, self.postings = vectors, postings
        self._groups = None if groups is None else np.ascontiguousarray(groups, np.bool_)
        self._state: State | None = None
        self._native: Any = None

    def search(
        self,
        query: Any,
        terms: Iterable[bytes],
        k: int,
        share: float | Apart,
        *,
        wide: int = 50,
        floor: float = 0.0,
        rescore: Rescore | None = None,
    ) -> list[Found]:
        """The `k` best of the `wide` best of either side, as `fuse_sides` makes them one: (id, score, BM25, cosine),
        best first. None where no cosine reaches `floor`, unless that is 0.

        `rescore` gives the float32 rows (n, dim) of the ids of rows of which only codes are kept and of which estimates
        leave open whether they are among the best: the cosines that are found are exact then.

        Raises ValueError and TypeError for what does not fit, as `Vectors.search` and `Postings.search` do.
        """
        vectors = self.vectors
        state = vectors._state
        if state is not self._state:
            state = self._prepare()
        if self._native is None or not (1 <= wide <= _WIDEST and is_share(share)) or k.__class__ is not int or k < 1:
            return self._by_steps(query, tuple(terms), as_k(k), share, wide, floor, rescore)
        exact = None if rescore is None or not state.bits else self._cosines(query, rescore)
        candidates = _recall.candidates(state.count, wide) if state.coded else 0
        words = terms if terms.__class__ is tuple else tuple(terms)
        try:
            found: list[Found] = self._native.search(unmasked(query), words, wide, candidates, k, share, floor, exact)
        except (TypeError, BufferError):
            return self._by_steps(query, words, k, share, wide, floor, rescore)
        vectors._scanned = 1.0
        return found

    def _prepare(self) -> State:
        """Have what one call needs of the vectors as they are now, or know that it does not do."""
        vectors, index = self.vectors, self.postings._index
        with vectors._publishing:
            state = vectors._state
            known = None if state.lists is not None else state.index.in_order()
        self._native = None if known is None else _native(index, state, self._groups, known)
        self._state = state if known is not None or state.lists is not None else None
        return state

    def _by_steps(
        self,
        query: Any,
        terms: tuple[bytes, ...],
        k: int,
        share: float | Apart,
        wide: int,
        floor: float,
        rescore: Rescore | None,
    ) -> list[Found]:
        near = self.vectors.search(query, wide, rescore=rescore)
        if floor > 0 and round(float(near[1].max(initial=-1.0)), DIGITS) < floor:
            return []
        text = self.postings.search(terms, wide, groups=self._groups)
        cosines = self.vectors.scores(query, text[0])
        if rescore is not None and self.vectors._state.bits:
            cold = self._of_codes_alone(text[0])
            if cold.any():
                cosines[cold] = self._cosines(query, rescore)(text[0][cold])
        return fuse_sides(text, cosines, near, self.postings.scores(terms, near[0]), share, k)

    def _of_codes_alone(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of these ids are of rows of which only the code is kept."""
        vectors = self.vectors
        with vectors._publishing:
            rows = vectors._state.index.find(ids)
            cold = rows >= 0
            cold[cold] = vectors._table.levels_of(rows[cold]) == LEVELS.index("bits")
        return cold

    def _cosines(self, query: Any, rescore: Rescore) -> Callable[[Any], Floats]:
        """What gives the cosines of ids (an array, or its bytes) with the query by rows that are made anew."""
        vectors = self.vectors

        def cosines(given: Any) -> Floats:
            ids = np.frombuffer(given, np.int64)
            rows = vectors._table.unit(as_rows(rescore(ids), len(ids), vectors.dim))
            found: Floats = rows @ vectors._table.unit(vectors._query_of(query)[np.newaxis])[0]
            return found

        return cosines


def _native(index: Any, state: State, groups: NDArray[np.bool_] | None, known: tuple[Ids, Ids]) -> Any:
    """One call for both sides; None where one of them is not C."""
    try:
        from aqe.simd import _postings
    except ImportError:
        return None
    if not (isinstance(index, _postings.Index) and hasattr(state.snapshot, "near")):
        return None
    return _postings.Hybrid(index, state.snapshot.near(), state.count, groups, *known)
