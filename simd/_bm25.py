"""BM25 over texts that are terms already: who wants words of prose makes them first (`aqe.simd.tokens`).

The score is that of SQLite's FTS5, operation by operation, so both give the same numbers and rank alike: the sum over
the terms of idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length)), where idf is
ln((N - n + 0.5) / (n + 0.5)), but 0.000001 at least (Robertson and Zaragoza, The probabilistic relevance framework:
BM25 and beyond, 2009; the floor is FTS5's). The best are found exactly by MaxScore (Turtle and Flood 1995) over lists
in the order of adding; simd/postings/rank.c says how.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aqe import simd
from aqe.simd import _forks
from aqe.simd._given import as_k, as_whole
from aqe.simd._ids import Ids, as_ids, last_of_each

Scores = NDArray[np.float64]
MOST_DOCUMENTS = 1 << 24
LONGEST_TERM = 65_535
_MOST_GROUPS = 2**31 - 1


class _Index(Protocol):
    def add(self, ids: Ids, groups: NDArray[np.int32], documents: tuple[bytes, ...], /) -> None: ...
    def extend(self, term: bytes, ids: Ids, frequencies: NDArray[np.int32], /) -> None: ...
    def delete(self, ids: Ids, /) -> int: ...
    def search(
        self, terms: tuple[bytes, ...], k: int, groups: NDArray[np.bool_] | None, allow: Ids | None, /
    ) -> tuple[Any, Any]: ...
    def scores(self, terms: tuple[bytes, ...], ids: Ids, /) -> Any: ...
    def counts(self, terms: tuple[bytes, ...], groups: NDArray[np.bool_] | None, most: int, /) -> list[int]: ...
    def size(self, groups: NDArray[np.bool_], /) -> int: ...
    def documents(self) -> int: ...
    def has(self, id: int, /) -> bool: ...
    def figures(self) -> dict[str, int]: ...
    def hold(self, patience_s: float, /) -> bool: ...
    def let_go(self) -> None: ...
    def begin_anew(self, is_held: bool, /) -> None: ...


_AT_FORKS = _forks.AtForks[Any](
    hold=lambda postings, patience_s: postings._index.hold(patience_s),
    let_go=lambda postings: postings._index.let_go(),
    begin_anew=lambda postings, is_held: postings._index.begin_anew(is_held),
)


class Postings:
    """The documents of each term, by 64-bit ids of the caller's; at most 16,777,216 documents. Scores are BM25 as
    SQLite's FTS5 has it (Robertson and Zaragoza, 2009).

    A document is bytes: its terms, with repetitions, between spaces. Each document may have a group, a number from 0
    on, by which searches can be narrowed. Every method sees a whole state and may be called from any thread; long
    searches let other threads run. All paths (AQE_SIMD) give the same bits. Errors are TypeError and ValueError.

    >>> postings = Postings()
    >>> postings.add([7, 9], [b"red green red", b"green blue"])
    >>> ids, scores = postings.search([b"blue"], 5)
    >>> ids.tolist(), len(postings)
    ([9], 2)
    """

    def __init__(self, *, k1: float = 1.2, b: float = 0.75) -> None:
        """`k1` (0 or more) says how soon more of the same term adds nothing, `b` (0 to 1) how much length matters."""
        if not 0 <= k1 < float("inf"):
            raise ValueError(f"k1 must be 0 or more, got {k1}")
        if not 0 <= b <= 1:
            raise ValueError(f"b must be from 0 to 1, got {b}")
        self._index = _index(simd.active(), float(k1), float(b))
        _forks.watch(self, _AT_FORKS)

    def add(self, ids: Iterable[int], documents: Sequence[bytes], *, groups: Iterable[int] | None = None) -> None:
        """Add documents; one whose id is there replaces it, of equal ids the last counts. Without `groups` all are of
        group 0."""
        numbers, texts = as_ids(ids), _documents(documents)
        places = np.zeros(len(numbers), np.int32) if groups is None else _groups(groups)
        if not len(numbers) == len(texts) == len(places):
            raise ValueError(
                f"{len(numbers)} ids, {len(texts)} documents and {len(places)} groups: they must be equally many"
            )
        kept = last_of_each(numbers)
        if kept is not None:
            numbers, places, texts = numbers[kept], places[kept], tuple(texts[at] for at in kept.tolist())
        self._index.add(numbers, places, texts)

    def extend(self, term: bytes, ids: Iterable[int], frequencies: Iterable[int]) -> None:
        """Say that `term` stands in documents that are there, so many times in each: to fill many documents (added as
        b"") term by term. The ids come in the order in which the documents were added, each term once."""
        (name,) = _terms([term])
        numbers, often = as_ids(ids), as_ids(frequencies, "frequencies")
        if len(often) and not (often.min() > 0 and often.max() < 2**31):
            raise ValueError("frequencies must be at least 1 and less than 2**31")
        self._index.extend(name, numbers, often.astype(np.int32))

    def delete(self, ids: Iterable[int]) -> int:
        """Forget documents; returns how many of the ids were there."""
        return self._index.delete(as_ids(ids))

    def search(
        self,
        terms: Sequence[bytes],
        k: int,
        *,
        groups: NDArray[np.bool_] | None = None,
        allow: Iterable[int] | None = None,
    ) -> tuple[Ids, Scores]:
        """The ids and scores of the `k` best documents that hold any of the terms, best first, equals by id.

        `groups[g]` says whether documents of group g may be found (those beyond its end may not), `allow` names the ids
        that may. How rare a term is counts over all documents in either case.
        """
        wanted = min(as_k(k), MOST_DOCUMENTS)
        only = None if allow is None else as_ids(allow, "allow")
        ids, scores = self._index.search(_terms(terms), wanted, _mask(groups), only)
        return np.frombuffer(ids, np.int64), np.frombuffer(scores, np.float64)

    def scores(self, terms: Sequence[bytes], ids: Iterable[int]) -> Scores:
        """The score of each of some documents: 0 where none of the terms stands in it, or where it is not there."""
        return np.frombuffer(self._index.scores(_terms(terms), as_ids(ids)), np.float64)

    def counts(
        self, terms: Sequence[bytes], *, groups: NDArray[np.bool_] | None = None, most: int = MOST_DOCUMENTS
    ) -> list[int]:
        """In how many documents (of those `groups`) each of the terms stands. A term of more than `most` documents is
        counted in all of them, which takes no time."""
        return self._index.counts(_terms(terms), _mask(groups), min(max(as_whole(most, "most"), 0), MOST_DOCUMENTS))

    def size(self, groups: NDArray[np.bool_]) -> int:
        """How many documents are of those groups."""
        return self._index.size(np.ascontiguousarray(groups, np.bool_))

    def figures(self) -> dict[str, int]:
        """The numbers of `documents`, of their `tokens` (the sum of their lengths), of `terms` and `postings` (those of
        deleted documents too, until they are dropped), and the `bytes` of memory."""
        return self._index.figures()

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._index.figures()["bytes"]

    def __len__(self) -> int:
        return self._index.documents()

    def __contains__(self, id: object) -> bool:
        return isinstance(id, int) and -(2**63) <= id < 2**63 and self._index.has(id)


def _index(path: str, k1: float, b: float) -> _Index:
    if path != "numpy":
        try:
            from aqe.simd._postings import Index
        except ImportError:
            pass
        else:
            made: _Index = Index(k1, b, int.from_bytes(os.urandom(8), "little"))
            return made
    from aqe.simd._postings_twin import Index as Twin

    return Twin(k1, b)


def _terms(given: Sequence[bytes]) -> tuple[bytes, ...]:
    terms = tuple(given) if not isinstance(given, (bytes, str)) else (given,)
    if not set(map(type, terms)) <= {bytes}:
        wrong = next((term for term in terms if not isinstance(term, bytes)), None)
        if wrong is not None:
            raise TypeError(f"a term must be bytes, got {type(wrong).__name__}")
    if (longest := max(map(len, terms), default=0)) > LONGEST_TERM:
        raise ValueError(f"a term must have at most {LONGEST_TERM} bytes, got {longest}")
    return terms


def _documents(given: Sequence[bytes]) -> tuple[bytes, ...]:
    if isinstance(given, (bytes, str)):
        raise TypeError(f"documents must be a sequence of bytes, got {type(given).__name__}")
    texts = tuple(given)
    for text in texts:
        if not isinstance(text, bytes):
            raise TypeError(f"a document must be bytes, got {type(text).__name__}")
        if len(text) >= 2**31:
            raise ValueError(f"a document must have less than 2**31 bytes, got {len(text)}")
    return texts


def _mask(groups: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return None if groups is None else np.ascontiguousarray(groups, np.bool_)


def _groups(given: Iterable[int]) -> NDArray[np.int32]:
    numbers = as_ids(given, "groups")
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() <= _MOST_GROUPS):
        raise ValueError("groups must be at least 0 and less than 2**31")
    return numbers.astype(np.int32)
