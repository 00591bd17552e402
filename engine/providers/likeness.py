"""How far the words of passages stand for the terms of a question: as they are, by their ending, or by their meaning.

Each distinct word of the passages is compared with the terms once; a text then holds a term as well as its best word.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aqe.engine.providers.bags import KIN, SAME_START, is_variant
from aqe.engine.providers.plain_words import small_words
from aqe.engine.providers.synonyms import synonyms_of

SYNONYM = 0.7
"""How well a synonym of the table stands for a term."""

NEAR, FULL = 0.45, 0.85
"""A word whose meaning is this near begins to stand for a term, and does so wholly."""

TELLING = 1.5
"""A term tells wholly from the weight on that is one by this."""


@dataclass(frozen=True)
class Likeness:
    """The terms with what they weigh; for each word that stands for any of them: the place of the term, how well as a
    word, and how well by meaning."""

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    relevant: Mapping[str, Sequence[tuple[int, float, float]]]

    def strengths(self, numbers: Mapping[str, int]) -> NDArray[np.float64]:
        """How well each of some numbered words stands for each term (words, 2 x terms): first as one of the same stem
        or one that differs in its ending, then as a synonym or a word that is near in meaning (0 to 1 each)."""
        made = np.zeros((len(numbers), 2 * len(self.terms)))
        for word, stands in self.relevant.items():
            row = made[numbers[word]]
            for place, exact, soft in stands:
                if exact:
                    row[place] = max(row[place], exact)
                if soft:
                    row[place + len(self.terms)] = max(row[place + len(self.terms)], soft)
        return made

    def told(self, strengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much each numbered word tells of what is asked: how well it stands for its best term, less for a common
        term."""
        tells = [min(1.0, TELLING * weight) for weight in self.weights]
        told: NDArray[np.float64] = np.maximum.reduce(strengths * [*tells, *tells], axis=1)
        return told


def likeness(
    weights: Mapping[str, float],
    names: frozenset[str],
    texts: Sequence[frozenset[str]],
    words: Sequence[str],
    near: NDArray[np.float32],
) -> Likeness:
    """How the words of some passages, each as the set of its stems, stand for the terms of a question; `near` is the
    cosine of each of some `words` of theirs to each term.

    A synonym weighs no more than its own rarity among the passages lets it: one that stands in all of them says little.
    Names have no synonyms.
    """
    terms, weighed = tuple(weights), dict(weights)
    every = frozenset().union(*texts)
    relevant: dict[str, list[tuple[int, float, float]]] = {}
    akin = _with_starts(terms, every)
    for place, term in enumerate(terms):
        kin = [word for word in akin.get(term[:SAME_START], ()) if word != term and is_variant(term, word)]
        for word in kin:
            relevant.setdefault(word, []).append((place, KIN, 0.0))
        if term in every:
            relevant.setdefault(term, []).append((place, 1.0, 0.0))
        elif kin:  # the store has not this form of the word, but it has the word
            weighed[term] *= max(0.1, min(_rarity(word, texts) for word in kin))
    telling = {
        term: place
        for place, term in enumerate(terms)
        if term not in names and not term.isdigit() and term not in small_words()
    }
    for (term, word), soft in _meant(terms, telling, every, words, near).items():
        rare = _rarity(word, texts) / max(0.05, weighed[term])
        strength = soft * min(1.0, 1.5 * rare)
        if strength > 0.05:
            relevant.setdefault(word, []).append((telling[term], 0.0, strength))
    return Likeness(terms, tuple(weighed.values()), relevant)


def _with_starts(terms: Sequence[str], words: frozenset[str]) -> Mapping[str, Sequence[str]]:
    """By the first letters of each term that has so many the words that begin with them."""
    found: dict[str, list[str]] = {term[:SAME_START]: [] for term in terms if len(term) >= SAME_START}
    starts = tuple(found)
    for word in [word for word in words if word.startswith(starts)] if starts else ():
        found[word[:SAME_START]].append(word)
    return found


def _meant(
    terms: Sequence[str],
    telling: Collection[str],
    every: frozenset[str],
    words: Sequence[str],
    near: NDArray[np.float32],
) -> Mapping[tuple[str, str], float]:
    """Pairs of a telling term and another word that means the like, with how well it stands for it; `near` is how near
    the words are to the terms."""
    found: dict[tuple[str, str], float] = {}
    ats, columns = np.nonzero(near > NEAR)
    for at, column, cosine in zip(ats.tolist(), columns.tolist(), near[ats, columns].tolist(), strict=True):
        word, term = words[at], terms[column]
        if word != term and term in telling and word not in small_words() and len(word) > 2:
            found[term, word] = min(1.0, (cosine - NEAR) / (FULL - NEAR))
    for term in telling:
        for word in synonyms_of(term) & every:
            found[term, word] = max(SYNONYM, found.get((term, word), 0.0))
    return found


def _rarity(word: str, texts: Sequence[frozenset[str]]) -> float:
    """How telling a word is among some texts, from about 0 (all have it) to 1 (none has it)."""
    count, total = sum([word in words for words in texts]), len(texts)
    return math.log(1 + (total - count + 0.5) / (count + 0.5)) / math.log(1 + (total + 0.5) / 0.5)
