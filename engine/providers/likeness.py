"""How far the words of passages stand for the terms of a question: as they are, by their ending, or by their meaning.

Each distinct word of the passages is compared with the terms once; a text then holds a term as well as its best word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aqe.engine.providers.bags import KIN, SAME_START, is_variant
from aqe.engine.providers.meanings import meanings
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
    word, and how well by meaning; and how near each word of the table that the passages have is to each term in
    meaning, whether it stands for it or not (words, terms), 0 to 1."""

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    relevant: Mapping[str, Sequence[tuple[int, float, float]]]
    near: NDArray[np.float32]

    def strengths(self, texts: Sequence[frozenset[str]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How well texts with these words hold each term (texts, terms): by a word of the same stem or one that differs
        in its ending, and by a synonym or a word that is near in meaning (0 to 1 each)."""
        known = frozenset(self.relevant)
        keys: dict[frozenset[str], int] = {}
        which = [keys.setdefault(words & known, len(keys)) for words in texts]
        same = [[0.0] * len(self.terms) for _ in keys]
        alike = [[0.0] * len(self.terms) for _ in keys]
        for at, key in enumerate(keys):
            for word in key:
                for place, exact, soft in self.relevant[word]:
                    same[at][place] = max(same[at][place], exact)
                    alike[at][place] = max(alike[at][place], soft)
        return np.array(same)[which], np.array(alike)[which]

    def told(self, word: str) -> float:
        """How much a word tells of what is asked: how well it stands for its best term, less for a common term."""
        return max(
            (max(exact, soft) * min(1.0, TELLING * self.weights[place]) for place, exact, soft in self.relevant[word]),
            default=0.0,
        )


def likeness(
    weights: Mapping[str, float],
    names: frozenset[str],
    texts: Sequence[frozenset[str]],
    places: NDArray[np.intp],
    near: NDArray[np.float32],
) -> Likeness:
    """How the words of some passages, each as the set of its stems, stand for the terms of a question; `places` is
    where the distinct ones stand in the table of meanings, and `near` the cosine of each to each term.

    A synonym weighs no more than its own rarity among the passages lets it: one that stands in all of them says little.
    Names have no synonyms.
    """
    terms, weighed = tuple(weights), dict(weights)
    words = frozenset().union(*texts)
    starts = {term[:SAME_START] for term in terms if len(term) >= SAME_START}
    akin = [word for word in words if word[:SAME_START] in starts]
    relevant: dict[str, list[tuple[int, float, float]]] = {}
    for place, term in enumerate(terms):
        kin = [word for word in akin if word[:SAME_START] == term[:SAME_START] and word != term]
        kin = [word for word in kin if len(word) >= SAME_START and is_variant(term, word)]
        for word in kin:
            relevant.setdefault(word, []).append((place, KIN, 0.0))
        if term in words:
            relevant.setdefault(term, []).append((place, 1.0, 0.0))
        elif kin:  # the store has not this form of the word, but it has the word
            weighed[term] *= max(0.1, min(_rarity(word, texts) for word in kin))
    telling = [term for term in terms if term not in names and not term.isdigit() and term not in small_words()]
    numbers = {term: place for place, term in enumerate(terms)}
    for (term, word), soft in _meant(telling, words, places, near[:, [numbers[term] for term in telling]]).items():
        rare = _rarity(word, texts) / max(0.05, weighed[term])
        strength = soft * min(1.0, 1.5 * rare)
        if strength > 0.05:
            relevant.setdefault(word, []).append((numbers[term], 0.0, strength))
    return Likeness(terms, tuple(weighed.values()), relevant, np.maximum(near, 0.0, out=near))


def _meant(
    terms: Sequence[str], words: frozenset[str], places: NDArray[np.intp], near: NDArray[np.float32]
) -> Mapping[tuple[str, str], float]:
    """Pairs of a term and another word that means the like, with how well it stands for it; `near` is how near the
    words at the places are to the terms."""
    found: dict[tuple[str, str], float] = {}
    table = meanings()
    for at, row in zip(*np.nonzero(near > NEAR), strict=True):
        word = table.word(int(places[at]))
        if word != terms[row] and word not in small_words() and len(word) > 2:
            found[terms[row], word] = min(1.0, (float(near[at, row]) - NEAR) / (FULL - NEAR))
    for term in terms:
        for word in synonyms_of(term) & words:
            found[term, word] = max(SYNONYM, found.get((term, word), 0.0))
    return found


def _rarity(word: str, texts: Sequence[frozenset[str]]) -> float:
    """How telling a word is among some texts, from about 0 (all have it) to 1 (none has it)."""
    count, total = sum([word in words for words in texts]), len(texts)
    return math.log(1 + (total - count + 0.5) / (count + 0.5)) / math.log(1 + (total + 0.5) / 0.5)
