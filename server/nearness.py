"""How near a hit is by itself: the words of the query that it holds, and the cosine. The score orders the hits of one
answer only: the best has 1 however little it has to do with the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def held_of_each(query: str, hits: Sequence[Hit]) -> list[dict[str, int]]:
    """For each hit how many telling words of the query it holds, and how many there are, as the faces name them."""
    words = telling_words(query)
    return [{"words_held": held(words, hit.memory.text), "words_asked": len(words)} for hit in hits]


def shown_words(counts: Mapping[str, int]) -> str:
    """What a hit holds of the words, as "2 of 3 words"; "" where the query has none that tells something."""
    asked = counts["words_asked"]
    return f"{counts['words_held']} of {asked} word{'' if asked == 1 else 's'}" if asked else ""


def is_far(counts: Sequence[Mapping[str, int]]) -> bool:
    """Whether not one hit holds a word of the query: they are the nearest by meaning, however far that is."""
    return any(one["words_asked"] for one in counts) and not any(one["words_held"] for one in counts)
