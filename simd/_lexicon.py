"""From a question to the terms that are asked for: those that few documents have, by what is known of its words.

A term weighs by how rare it is, and costs what it stands in, so of a long question the rarest terms are asked for, as
long as the documents that they stand in are few (the budget), and none that more than half of the documents have. Where
both `Postings` and this are C it is one call (`simd/postings/lexicon.c`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from aqe.simd._bm25 import Postings, _mask, _terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Chosen = tuple[tuple[bytes, ...], tuple[bytes, ...]]

MOST_TERMS = 64
"""Different terms of a text that is read here."""

MOST_WORDS = 65_536
"""Words that are kept; beyond them all are learnt anew."""

LONGEST = 8192
"""Characters of a text that is read: for each of its words that is new it is read again."""

_HIGHEST = 2**32 - 1


class _Words(Protocol):
    def learn(self, word: bytes, terms: tuple[bytes, ...], /) -> None: ...
    def choose(
        self, index: Any, text: str, groups: Any, few: int, fewest: int, most: int, budget: int, /
    ) -> bytes | Chosen | None: ...
    def __len__(self) -> int: ...


class Lexicon:
    """The terms of words, learnt as questions bring them. `terms_of` gives the terms of a run of ASCII letters and
    digits, always the same; of the `stop_words`, terms as well, none is asked for but within a name (`to_dict`,
    `assertIn`), or where a question has nothing else that any document has. Threads may share one.

    >>> postings = Postings()
    >>> postings.add([1, 2, 3], [b"to be", b"to do", b"to dict"])
    >>> Lexicon(lambda word: [word.lower()], [b"to"]).choose(postings, "To do or not", few=0)
    ((b'do',), (b'or', b'not'))
    """

    def __init__(self, terms_of: Callable[[bytes], Sequence[bytes]], stop_words: Iterable[bytes] = ()) -> None:
        self._terms_of = terms_of
        self._stop_words = tuple(stop_words)
        self._words: _Words | None = None

    def choose(
        self,
        postings: Postings,
        text: str,
        *,
        groups: NDArray[np.bool_] | None = None,
        few: int = 100,
        fewest: int = 4,
        most: int = 16,
        budget: int = 2000,
    ) -> Chosen | None:
        """The terms of `text` to ask `postings` for, the rarest first, and all that stand nowhere; None for a text that
        is not ASCII, is longer than 8,192 characters, has a word of more than 64 letters or more than 64 different
        terms.

        At most `most` terms are asked for; beyond `fewest`, those whose documents are within the `budget` together. All
        are asked for where that leaves none. Nowhere is a term that no document has, or of at most `few` documents none
        of the `groups`. Raises TypeError for what is no text, and for terms that are no bytes; ValueError for numbers
        below 0 or beyond 32 bits.
        """
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        if not (0 <= few <= _HIGHEST and 0 <= fewest <= _HIGHEST and 0 <= most <= _HIGHEST and 0 <= budget <= _HIGHEST):
            raise ValueError(f"few, fewest, most and budget must be from 0 to {_HIGHEST}")
        if len(text) > LONGEST:
            return None
        if groups is not None:
            groups = _mask(groups)
        index, words = postings._index, self._words
        if words is None or words.__class__.__module__ != index.__class__.__module__:
            words = self._words = _made(index, self._stop_words)
        while True:
            found = words.choose(index, text, groups, few, fewest, most, budget)
            if not isinstance(found, bytes):
                return found
            if len(words) >= MOST_WORDS:
                words = self._words = _made(index, self._stop_words)
            terms = _terms(self._terms_of(found))
            if len(terms) > MOST_TERMS:
                return None
            words.learn(found, terms)


def _made(index: Any, stop_words: tuple[bytes, ...]) -> _Words:
    """What works with an index: C with C."""
    made: _Words = sys.modules[index.__class__.__module__].Lexicon(stop_words)
    return made
