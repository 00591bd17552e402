"""The words of a text as they are matched: made once for a text, since passages come back question after question."""

from __future__ import annotations

from functools import lru_cache

from aqe.engine.memory.terms.text import subtokens

KEPT = 8192
"""Texts whose bags are kept; a unit of a passage takes about 1 kB."""

KIN = 0.8
SAME_START = 4
_SPELLINGS = (("enc", "ens"), ("our", "or"), ("ogu", "og"), ("is", "iz"), ("ys", "yz"))


@lru_cache(maxsize=KEPT)
def words_of(text: str) -> frozenset[str]:
    """The stems of a text."""
    return frozenset(subtokens(text))


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
