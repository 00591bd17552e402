"""The postings in NumPy, with the interface and the numbers of simd/postings/: what runs where nothing was compiled."""

from __future__ import annotations

import functools
import math
import re
import threading
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from aqe.simd._forks import torn
from aqe.simd._ids import Ids

_MOST_DOCUMENTS = 1 << 24


P = ParamSpec("P")
T = TypeVar("T")


def _by_one(method: Callable[Concatenate[Index, P], T]) -> Callable[Concatenate[Index, P], T]:
    """One thread at a time works on an index, so that each sees it whole."""

    @functools.wraps(method)
    def locked(self: Index, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            if self._is_torn:
                raise torn("postings")
            return method(self, *args, **kwargs)

    return locked


class Index:
    """What `aqe.simd._postings.Index` is; it reads every list of a query to its end."""

    def __init__(self, k1: float, b: float) -> None:
        self._k1, self._b = k1, b
        self._lock = threading.Lock()
        self._is_torn = False
        self._lists: dict[bytes, tuple[array[int], array[int]]] = {}
        self._ids, self._groups, self._lengths = array("q"), array("i"), array("q")
        self._alive = bytearray()
        self._documents: dict[int, int] = {}
        self._tokens = 0

    @_by_one
    def add(self, ids: Ids, groups: NDArray[np.int32], documents: tuple[bytes, ...]) -> None:
        if not all(isinstance(text, bytes) for text in documents):
            raise TypeError("a document must be bytes")
        self._squeeze()
        if len(self._ids) + len(documents) > _MOST_DOCUMENTS:
            raise ValueError(f"postings hold at most {_MOST_DOCUMENTS} documents")
        for id, group, text in zip(ids.tolist(), groups.tolist(), documents, strict=True):
            self._drop(id)
            terms = [term for term in text.split(b" ") if term]
            number = self._documents[id] = len(self._ids)
            self._ids.append(id)
            self._groups.append(group)
            self._lengths.append(len(terms))
            self._alive.append(1)
            self._tokens += len(terms)
            for term, often in Counter(terms).items():
                self._append(term, number, often)

    @_by_one
    def extend(self, term: bytes, ids: Ids, frequencies: NDArray[np.int32]) -> None:
        if len(ids) != len(frequencies):
            raise ValueError(f"{len(ids)} ids and {len(frequencies)} frequencies: they must be equal")
        numbers = [self._documents.get(id, -1) for id in ids.tolist()]
        held = self._lists.get(term)
        before = held[0][-1] if held else -1
        if any(number <= last for number, last in zip(numbers, [before, *numbers], strict=False)):
            raise ValueError("the documents of a term must be there and come in their order")
        often_by_number = list(zip(numbers, frequencies.tolist(), strict=True))
        if any(self._lengths[number] + often >= 2**32 for number, often in often_by_number):
            raise ValueError("a document must have less than 2**32 terms")
        for number, often in often_by_number:
            self._lengths[number] += often
            self._tokens += often
            self._append(term, number, often)

    @_by_one
    def delete(self, ids: Ids) -> int:
        return sum(self._drop(id) for id in ids.tolist())

    @_by_one
    def search(
        self, terms: tuple[bytes, ...], k: int, groups: NDArray[np.bool_] | None, allow: Ids | None
    ) -> tuple[bytearray, bytearray]:
        sums, found = self._summed(terms)
        if groups is not None:
            found = self._inside(found, groups)
        if allow is not None:
            found = found[np.isin(np.frombuffer(self._ids, np.int64)[found], allow)]
        ids, scores = np.frombuffer(self._ids, np.int64)[found], sums[found]
        best = np.lexsort((ids, -scores))[:k]
        return bytearray(ids[best].tobytes()), bytearray(scores[best].tobytes())

    @_by_one
    def scores(self, terms: tuple[bytes, ...], ids: Ids) -> bytearray:
        sums, _ = self._summed(terms)
        numbers = (self._documents.get(id, -1) for id in ids.tolist())
        return bytearray(np.array([sums[at] if at >= 0 else 0.0 for at in numbers], np.float64).tobytes())

    @_by_one
    def counts(self, terms: tuple[bytes, ...], groups: NDArray[np.bool_] | None, most: int) -> list[int]:
        lists = (self._list(term)[0] for term in terms)
        return [len(one) if groups is None or len(one) > most else len(self._inside(one, groups)) for one in lists]

    @_by_one
    def size(self, groups: NDArray[np.bool_]) -> int:
        return len(self._inside(np.flatnonzero(np.frombuffer(self._alive, np.bool_)), groups)) if self._alive else 0

    @_by_one
    def documents(self) -> int:
        return len(self._documents)

    @_by_one
    def has(self, id: int) -> bool:
        return id in self._documents

    @_by_one
    def figures(self) -> dict[str, int]:
        listed = sum(len(numbers) for numbers, _ in self._lists.values())
        names = sum(len(term) + 200 for term in self._lists)  # a bytes, two arrays, a tuple and a slot
        return {
            "documents": len(self._documents),
            "tokens": self._tokens,
            "terms": len(self._lists),
            "postings": listed,
            "bytes": 8 * listed + names + 130 * len(self._ids),
        }

    def hold(self, patience_s: float) -> bool:
        """Have all others wait until `let_go`, as while a process is forked; whether that came about in time."""
        return self._lock.acquire(timeout=patience_s)

    def let_go(self) -> None:
        self._lock.release()

    def begin_anew(self, is_held: bool) -> None:
        """In a forked process: the lock, unless it was held for the fork, may be a thread's that is not here."""
        self._is_torn |= not (is_held or self._lock.acquire(blocking=False))
        self._lock = threading.Lock()

    def _summed(self, terms: tuple[bytes, ...]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """The score of every document by its number, and the live ones that any term stands in."""
        sums = np.zeros(len(self._ids), np.float64)
        live = len(self._documents)
        mean = self._tokens / live if self._tokens else 1.0
        lengths = np.frombuffer(self._lengths, np.int64) if live else np.zeros(0, np.int64)
        for term in terms:
            numbers, often = self._list(term)
            if not len(numbers):
                continue
            weight = math.log((live - len(numbers) + 0.5) / (len(numbers) + 0.5))
            weight = weight if weight > 0 else 1e-6
            share = self._b * lengths[numbers].astype(np.float64) / mean
            norm = self._k1 * (1 - self._b + share)
            sums[numbers] += weight * (often * (self._k1 + 1.0) / (often + norm))
        return sums, np.flatnonzero(sums)

    def _list(self, term: bytes) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The live documents of a term, and how often it stands in each."""
        held = self._lists.get(term)
        if held is None:
            return np.zeros(0, np.intp), np.zeros(0, np.float64)
        numbers = np.frombuffer(held[0], np.int32).astype(np.intp)
        alive = np.frombuffer(self._alive, np.bool_)[numbers]
        return numbers[alive], np.frombuffer(held[1], np.int32)[alive].astype(np.float64)

    def _inside(self, found: NDArray[np.intp], groups: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Those of some documents that are of these groups."""
        places = np.frombuffer(self._groups, np.int32)[found]
        known = np.flatnonzero(places < len(groups))
        return found[known[groups[places[known]]]]

    def _append(self, term: bytes, number: int, often: int) -> None:
        numbers, frequencies = self._lists.setdefault(term, (array("i"), array("i")))
        numbers.append(number)
        frequencies.append(often)

    def _drop(self, id: int) -> bool:
        number = self._documents.pop(id, -1)
        if number < 0:
            return False
        self._alive[number] = 0
        self._tokens -= self._lengths[number]
        return True

    def _squeeze(self) -> None:
        """Drop what is deleted once it is more than half."""
        if len(self._ids) - len(self._documents) <= len(self._documents) + 1024:
            return
        alive = np.frombuffer(bytes(self._alive), np.bool_)
        numbers = np.cumsum(alive) - 1
        for term, (held, often) in list(self._lists.items()):
            old = np.frombuffer(held, np.int32).copy()
            kept = alive[old]
            if not kept.any():
                del self._lists[term]
                continue
            new = numbers[old[kept]].astype(np.int32)
            self._lists[term] = (
                array("i", new.tobytes()),
                array("i", np.frombuffer(often, np.int32)[kept].astype(np.int32).tobytes()),
            )
        for name in ("_ids", "_groups", "_lengths"):
            items: array[int] = getattr(self, name)
            setattr(
                self,
                name,
                array(items.typecode, [item for item, is_alive in zip(items, alive, strict=True) if is_alive]),
            )
        self._alive = bytearray(b"\1" * len(self._ids))
        self._documents = {id: number for number, id in enumerate(self._ids)}


_RUN = re.compile(r"\w+", re.ASCII)
_WORD = re.compile(r"[^\W_]+", re.ASCII)
_OF_A_NAME = re.compile(r"[^\W_]_[^\W_]|[a-z][A-Z]", re.ASCII)
_LONGEST_WORD, _MOST_TERMS = 64, 64


class Lexicon:
    """What `aqe.simd._postings.Lexicon` is."""

    def __init__(self, stop_words: tuple[bytes, ...]) -> None:
        self._stop_words = frozenset(stop_words)
        self._terms: dict[str, tuple[bytes, ...]] = {}

    def __len__(self) -> int:
        return len(self._terms)

    def learn(self, word: bytes, terms: tuple[bytes, ...]) -> None:
        if not 1 <= len(word) <= _LONGEST_WORD or len(terms) > _LONGEST_WORD:
            raise ValueError(f"a word must have 1 to {_LONGEST_WORD} bytes and no more terms")
        self._terms.setdefault(word.decode("ascii"), terms)

    def choose(
        self, index: Index, text: str, groups: NDArray[np.bool_] | None, few: int, fewest: int, most: int, budget: int
    ) -> bytes | tuple[tuple[bytes, ...], tuple[bytes, ...]] | None:
        if not text.isascii():
            return None
        named: dict[bytes, bool] = {}  # the terms in order; whether each is part of a name
        for run in _RUN.findall(text):
            is_name = _OF_A_NAME.search(run) is not None
            for word in _WORD.findall(run):
                if len(word) > _LONGEST_WORD:
                    return None
                if word not in self._terms:
                    return bytes(word, "ascii")
                for term in self._terms[word]:
                    named[term] = named.get(term, False) or is_name
                if len(named) > _MOST_TERMS:
                    return None
        terms = tuple(named)
        counts = dict(zip(terms, index.counts(terms, None, 0), strict=True))
        inside = dict(zip(terms, index.counts(terms, groups, few), strict=True))
        asked = [term for term in terms if named[term] or term not in self._stop_words]
        if len(asked) < len(terms) and not any(counts[term] for term in asked):
            asked = [*terms]
        if len(asked) > 1:
            asked = sorted((term for term in asked if counts[term]), key=counts.__getitem__)
        chosen = postings = 0
        for term in asked[:most]:
            if 2 * counts[term] > index.documents() or (chosen >= fewest and postings + counts[term] > budget):
                break
            chosen += 1
            postings += counts[term]
        return tuple(asked[:chosen] or asked), tuple(term for term in terms if not inside[term])
