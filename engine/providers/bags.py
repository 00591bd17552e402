"""The words of a text as they are matched: made once for a text, since passages come back question after question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from aqe.engine.memory.text import subtokens

KEPT = 8192
"""Texts whose bags are kept; a unit of a passage takes about 1 kB."""

KIN = 0.8
SAME_START = 4
_SPELLINGS = (("enc", "ens"), ("our", "or"), ("ogu", "og"), ("is", "iz"), ("ys", "yz"))


@dataclass(frozen=True, eq=False)
class Bag:
    """The stems of a text, and those of four letters or more by their first four."""

    words: frozenset[str]
    by_start: Mapping[str, tuple[str, ...]]


@lru_cache(maxsize=KEPT)
def bag_of(text: str) -> Bag:
    """The words of a text."""
    return bag_of_words(frozenset(subtokens(text)))


def bag_of_words(words: frozenset[str]) -> Bag:
    """Stems as a bag, such as the terms of a question."""
    by_start: dict[str, tuple[str, ...]] = {}
    for word in words:
        if len(word) >= SAME_START:
            by_start[word[:SAME_START]] = (*by_start.get(word[:SAME_START], ()), word)
    return Bag(words, by_start)


def match(term: str, *bags: Bag) -> float:
    """1 if the term is a word of one of the bags, `KIN` if one differs from it only in its ending, else 0.

    >>> match("queu", bag_of("a queue")), match("german", bag_of("in Germany")), match("cat", bag_of("category"))
    (0.8, 0.8, 0.0)
    """
    for bag in bags:
        if term in bag.words:
            return 1.0
    if len(term) < SAME_START:
        return 0.0
    start = term[:SAME_START]
    for bag in bags:
        for word in bag.by_start.get(start, ()):
            if is_kin(term, word):
                return KIN
    return 0.0


def matches(terms: Bag, bag: Bag) -> dict[str, float]:
    """`match` of each of some terms that is above 0.

    >>> matches(bag_of("german cats"), bag_of("in Germany"))
    {'german': 0.8}
    """
    found = dict.fromkeys(terms.words & bag.words, 1.0)
    for start in terms.by_start.keys() & bag.by_start.keys():
        words = bag.by_start[start]
        for term in terms.by_start[start]:
            if term not in found and any(is_kin(term, word) for word in words):
                found[term] = KIN
    return found


def is_kin(a: str, b: str) -> bool:
    """Whether the shorter stem begins the longer one: `german` and `germani`, `queu` and `queue`."""
    same = min(len(a), len(b))
    longer = max(len(a), len(b)) - same
    return a[:same] == b[:same] and (longer <= 1 if same == SAME_START else same > SAME_START and longer <= 3)


def is_variant(a: str, b: str) -> bool:
    """Whether two stems differ in their ending or their spelling alone."""
    return is_kin(a, b) or spelling(a) == spelling(b)


def spelling(stem: str) -> str:
    """A stem with the American ending where it has a British one.

    >>> [spelling(stem) for stem in ("licenc", "colour", "catalogu", "organis", "list")]
    ['licens', 'color', 'catalog', 'organiz', 'list']
    """
    for british, american in _SPELLINGS:
        if stem.endswith(british) and len(stem) > len(british) + 2:
            return stem[: -len(british)] + american
    return stem


def variants_of(stem: str) -> list[str]:
    """A stem in the other spelling, British or American, where there is one.

    >>> variants_of("licenc"), variants_of("color"), variants_of("list")
    (['licens'], ['colour'], [])
    """
    pairs = [*_SPELLINGS, *((american, british) for british, american in _SPELLINGS)]
    return [
        stem[: -len(one)] + other
        for one, other in pairs
        if stem.endswith(one) and len(stem) > len(one) + 2 and not stem.endswith(other)
    ]
