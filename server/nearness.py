"""How near a hit is by itself: the words of the query that it holds, and the cosine. The score orders the hits of one
answer only: the best has 1 however little it has to do with the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aqe.engine.memory.terms.stop_words import without_stop_words
from aqe.engine.memory.terms.text import query_terms, subtokens

if TYPE_CHECKING:
    from aqe.engine.memory import Hit


def telling_words(query: str) -> frozenset[str]:
    """The stems of a query without the words that nearly every text has.

    >>> sorted(telling_words("How are the totals rounded?"))
    ['round', 'total']
    """
    terms = query_terms(query)
    return frozenset(terms[place] for place in without_stop_words(terms, query))


def held(words: frozenset[str], text: str) -> int:
    """How many of `words` a text holds, in whatever form.

    >>> held(telling_words("How are the totals rounded?"), "We round a total up.")
    2
    """
    return len(words.intersection(subtokens(text)))


def shown_words(words: frozenset[str], hit: Hit) -> str:
    """What a hit holds of the words, as "2 of 3 words"."""
    return f"{held(words, hit.memory.text)} of {len(words)} word{'' if len(words) == 1 else 's'}"


def is_far(words: frozenset[str], hits: Sequence[Hit]) -> bool:
    """Whether not one hit holds a word of the query: they are the nearest by meaning, however far that is."""
    return bool(words and hits) and not any(held(words, hit.memory.text) for hit in hits)
