"""Ranks what of some passages can be quoted by how well it answers a question.

A conditional logit of a few figures, fitted and judged by benchmarks/fit_answers.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aqe.engine.providers.answer_forms import forms_of
from aqe.engine.providers.bags import words_of
from aqe.engine.providers.likeness import likeness
from aqe.engine.providers.meanings import meanings, unit_rows
from aqe.engine.providers.plain_words import small_words
from aqe.engine.providers.prepared import AROUND, NAMED, OWN, UNITS, WHOLE, Floats, Parts, parts_of
from aqe.engine.providers.quotable import Unit

if TYPE_CHECKING:
    from aqe.engine.providers.extractive import Passage
    from aqe.engine.providers.question import Question

RANKED = 32
"""Units that are looked at for quotes, the best ones."""

SHORT = 2.0
"""So much rarity is added to each text, or one of a single word would tell more than a sentence."""

FEWEST_PAIRS = 3

NEARLY = 0.6
"""A unit has a term, as far as its rarity among the units goes, that one of its words is this near to."""

UNLISTED = 0.8
"""What a word that is not in the table of meanings makes of a text."""

COVERAGE = ("in the unit", "in its lead", "in the passage", "meant in the unit", "meant in its lead")

_WORD = re.compile(r"[\w'-]+")
_TESTS = re.compile(
    r"\b(?:which|what|where|whose) (?:\w+ )?tests?\b|\btests? (?:for|of|that|which|covers?|checks?|shows?|proves?)\b|"
    r"\b(?:is|are|gets?|how|where) (?:\w+ ){0,4}tested\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Scored:
    """A unit with its passage, its place among the units of the field, the row of its figures, the score that they
    make, and its share of all units' chances to be the answer, if there is one."""

    passage: Passage
    unit: Unit
    place: int
    row: Floats
    score: float
    chance: float

    @property
    def figures(self) -> dict[str, float]:
        """The figures by their names."""
        return dict(zip(FIGURES, self.row.tolist(), strict=True))


@dataclass(frozen=True)
class Field:
    """The units of some passages before they are ranked: their figures (n, len(FIGURES)), how near each comes to the
    question (n,), and what the question's weightiest word weighs that none of the passages comes near to; the
    question's `terms` with their `weights` (t,), how much each makes of what a text means, 0 where it weighs nothing
    (t,), what each `means` (t, d), and how near each unit, and its passage with it, comes to each (n, t)."""

    units: tuple[tuple[Passage, Unit], ...]
    figures: Floats
    reach: Floats
    missing: float
    terms: tuple[str, ...]
    weights: Floats
    telling: NDArray[np.float32]
    means: NDArray[np.float32]
    near: Floats
    around: Floats


def field_of(asked: Question, passages: Sequence[Passage]) -> Field | None:
    """The units of the passages with their figures; None where there is none."""
    parts = parts_of(passages) if passages else None
    if parts is None or not len(parts.passage):
        return None
    table, terms = meanings(), tuple(asked.weights)
    own = table.places([*terms, *words_of(asked.text)])
    rows = table.rows(own)  # in one go: each look at the table costs
    vectors = unit_rows(rows)
    cosines = parts.cosines(rows[: len(terms)])
    alike = likeness(asked.weights, asked.names, [part.every for part in parts.each], parts.words, cosines)
    weights = np.array(alike.weights)
    share = _shares(weights)
    strengths = alike.strengths(parts.numbers)
    figures = np.zeros((len(FIGURES), len(parts.passage)))
    held, around = _put_coverage(figures, strengths, parts, share)
    near, wide = _nearest(cosines, parts)
    near = np.maximum(near, held)
    around = np.maximum(near, np.maximum(wide, around))
    reach = _put_nearness(figures, share, near, around, parts.passage)
    _put_telling(figures, alike.told(strengths), parts)
    said = len(terms) + np.flatnonzero(own[len(terms) :] >= 0)
    _put_meanings(figures, parts, _sum_of(vectors[said], table.weights[own[said]]))
    _put_phrases(figures, asked.text, parts)
    _put_of_passages(figures, asked, passages, parts)
    _put_of_units(figures, asked, parts)
    telling = table.weights[own[: len(terms)]]
    telling[own[: len(terms)] < 0] = UNLISTED
    telling[weights <= 0.0] = 0.0
    far = (1.0 - np.maximum.reduce(near, axis=0)).tolist()
    missing = max(map(math.prod, zip(telling.tolist(), map(math.sqrt, alike.weights), far, strict=True)))
    units = tuple([(passages[at], unit) for at, part in enumerate(parts.each) for unit in part.units])
    means = vectors[: len(terms)]
    return Field(units, figures.T, reach, missing, terms, weights, telling, means, near, around)


def _shares(weights: Floats) -> Floats:
    """Weights as shares of their sum."""
    made: Floats = weights / (float(weights.sum()) or 1.0)
    return made


def _put_coverage(figures: Floats, strengths: Floats, parts: Parts, share: Floats) -> tuple[Floats, Floats]:
    """How much of the question's weight stands in each unit, in what leads to it and in its passage; returns how well
    each unit with its lead holds each term by a word of its stem, and how well its passage does."""
    count, terms = len(parts.passage), len(share)
    strengths = parts.over(np.maximum, strengths, UNITS, WHOLE)
    exact, alikes = strengths[:, :terms], strengths[:, terms:]
    same, above, around = exact[:count], exact[count : 2 * count], exact[2 * count :][parts.passage]
    soft, meant = alikes[:count], alikes[count : 2 * count]
    hard = np.maximum(same, above)
    around = np.maximum(hard, around)
    several = np.array([same, above - same, around, soft - same, meant - np.maximum(hard, soft)])
    covered = np.einsum("kij,j->ki", np.maximum(several, 0.0, out=several), share)  # not by BLAS: its buffers are large
    figures[: len(COVERAGE)] = covered
    return hard, around


def _nearest(cosines: NDArray[np.float32], parts: Parts) -> tuple[Floats, Floats]:
    """How near the nearest word of each unit with what comes before it, and of its passage, is to each term."""
    nearest = parts.over(np.maximum, cosines, WHOLE, AROUND, numbered=False).astype(np.float64)
    wholes = len(parts.each)
    return nearest[wholes:], nearest[:wholes][parts.passage]


def _put_nearness(figures: Floats, share: Floats, near: Floats, wide: Floats, passage: NDArray[np.intp]) -> Floats:
    """How near the nearest words of each unit come to the question's (late interaction as in Khattab and Zaharia,
    "ColBERT", 2020, over single words): in the unit by how few of the units have each term, in its passage and in the
    units beside it by the terms' weights. Returned is what those make of each unit."""
    rare = np.log1p(len(near) / (1.0 + np.add.reduce(near > NEARLY, axis=0))) * (share > 0)
    figures[_AT["near"]] = np.einsum("ij,j->i", near, _shares(rare))
    figures[_AT["near in the passage"]] = np.einsum("ij,j->i", wide, share)
    reach: Floats = np.einsum("ij,j->i", near, share)
    together = passage[1:] == passage[:-1]
    beside = figures[_AT["beside"]]
    beside[1:] = reach[:-1] * together
    beside[:-1] = np.maximum(beside[:-1], reach[1:] * together)
    return reach


def _put_telling(figures: Floats, told: Floats, parts: Parts) -> None:
    """How much of each unit, by the rarity of its words among the units, and of what it names, tells of what is asked,
    when it is told how much each word does."""
    counts = np.bincount(parts.numbered_of(UNITS), minlength=len(told))
    rare = np.log1p(len(parts.passage) / np.maximum(counts, 1))
    rare[parts.small] = 0.0
    figures[_AT["told"]] = parts.over(np.add, rare * told, UNITS) / (parts.over(np.add, rare, UNITS) + SHORT)
    figures[_AT["name"]] = parts.over(np.add, told, NAMED) / np.maximum(1, parts.counts_of(NAMED) - 1)


def _put_meanings(figures: Floats, parts: Parts, about: NDArray[np.float32]) -> None:
    """How near the words of each unit, and those of its passage, are in what they mean to what the question does."""
    meant = [part.meant[0] for part in parts.each]
    near = np.einsum("ij,j->i", np.concatenate([*(one.whole for one in meant), *(one.units for one in meant)]), about)
    figures[_AT["meaning"]] = near[len(meant) :]
    figures[_AT["passage meaning"]] = near[: len(meant)][parts.passage]


def _sum_of(vectors: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What words mean together, zeros where there is none."""
    if not len(vectors):
        return np.zeros(vectors.shape[1], np.float32)
    (made,) = unit_rows(np.add.reduceat(vectors * weights[:, None], [0], axis=0))
    return np.asarray(made, np.float32)


def _put_phrases(figures: Floats, question: str, parts: Parts) -> None:
    """The share of the question's pairs of words in a row that stand in each unit and what comes before it so."""
    words = _WORD.findall(question.lower())
    telling = {word for word in words if len(word) > 2 and not words_of(word) <= small_words()}
    pairs = {f"{a} {b}" for a, b in pairwise(words) if a in telling or b in telling}
    most, row, first = max(FEWEST_PAIRS, len(pairs)), figures[_AT["phrases"]], 0
    for part in parts.each:
        here = [pair for pair in pairs if pair in part.lowered]
        if here:
            texts = part.lowered.split("\n")
            row[first : first + len(texts)] = [sum([pair in text for pair in here]) / most for text in texts]
        first += len(part.units)


def _put_of_passages(figures: Floats, asked: Question, passages: Sequence[Passage], parts: Parts) -> None:
    """What the units have from the passage that they are of."""
    best = max([one.score for one in passages]) or 1.0
    tests = "tests wanted" if "test" in asked.text.lower() and _TESTS.search(asked.text) else "tests"
    of_each = {
        "search": [one.score / best for one in passages],
        "passage cosine": [one.vector_score or 0.0 for one in passages],
        "setting": [one.form == "settings" for one in passages],
        "docs": [one.namespace.endswith("/docs") and tests == "tests" for one in passages],
        tests: [one.namespace.endswith("/tests") for one in passages],
        "news": [part.is_news for part in parts.each],
    }
    figures[[_AT[name] for name in of_each]] = np.array([*of_each.values()], np.float64)[:, parts.passage]


def _put_of_units(figures: Floats, asked: Question, parts: Parts) -> None:
    """The form and the length of each unit, what share of the kinds of things asked for it offers (0 where none of a
    known kind is), and which of the question's numbers and identifiers it has."""
    each, forms = parts.each, forms_of(asked.text)
    figures[_OWN] = np.concatenate([part.own for part in each], axis=1)
    for part in each:
        if asked.kind not in part.fitting:
            part.fitting[asked.kind] = np.array([fits(asked.kind, one.kind, one.text) for one in part.units], bool)
        for form in forms:
            if form not in part.offers:
                part.offers[form] = np.array([form.search(unit.text) is not None for unit in part.units], bool)
    figures[_AT["form"]] = np.concatenate([part.fitting[asked.kind] for part in each])
    for form in forms:
        figures[_AT["asked for"]] += np.concatenate([part.offers[form] for part in each])
    if forms:
        figures[_AT["asked for"]] /= len(forms)
    if asked.keys:
        figures[_AT["key"]] = [share_of(asked.keys, unit.text) for part in each for unit in part.units]


def rank(field: Field, weights: Mapping[str, float] | None = None, most: int = RANKED) -> Iterator[Scored]:
    """The `most` best units by the score of their figures, best first, with their chances among all."""
    chosen = _RANKING if weights is None else np.array([weights.get(name, 0.0) for name in FIGURES])
    scores = np.einsum("ij,j->i", field.figures, chosen)
    order = np.argsort(-scores, kind="stable")
    odds = np.exp(scores - scores[order[0]])
    chances = odds / odds.sum()
    for at in order[:most].tolist():
        passage, unit = field.units[at]
        yield Scored(passage, unit, at, field.figures[at], float(scores[at]), float(chances[at]))


def share_of(keys: Sequence[str], text: str) -> float:
    """The share of some numbers and identifiers that stand in a text as they are."""
    lowered = text.lower()
    return sum(_stands(key, lowered) for key in keys) / len(keys)


def _stands(key: str, text: str) -> bool:
    if not key[0].isdigit():
        return key in text
    return re.search(rf"(?<![\d.]){re.escape(key)}(?!\d|\.\d)", text) is not None


def fits(kind: str, form: str, text: str) -> bool:
    """Whether a unit of that form and text has the form of an answer to that kind of question."""
    if kind == "number":
        return bool(re.search(r"\d|\b(?:one|two|three|four|five|ten|once|twice|half|quarter|thousand)\b", text))
    if kind == "where":
        return form == "signature" or "/" in text or "file" in text
    if kind == "why":
        return bool(re.search(r"\b(?:because|so that|since|so|otherwise|therefore|as)\b", text))
    if kind == "how":
        return form in ("prose", "signature", "example")
    return form in ("prose", "row", "signature")


RANKING = {
    "in the unit": 1.73,
    "in its lead": 1.16,
    "in the passage": -0.63,
    "meant in the unit": 2.03,
    "meant in its lead": 0.26,
    "meaning": 2.57,
    "passage meaning": 1.61,
    "search": 2.92,
    "passage cosine": -0.62,
    "form": 0.96,
    "key": 0.80,
    "prose": 0.52,
    "row": -0.02,
    "signature": -0.43,
    "docs": 0.85,
    "tests": -2.81,
    "tests wanted": 0.47,
    "told": 0.85,
    "name": 0.82,
    "phrases": 1.98,
    "asked for": 1.57,
    "length": 0.20,
    "near": 4.78,
    "near in the passage": 2.79,
    "beside": 0.55,
    "odd length": -0.32,
    "code": 0.55,
    "setting": -1.59,
    "news": -0.81,
}
"""Fitted by benchmarks/fit_answers.py."""

FIGURES = tuple(RANKING)

_RANKING = np.array([*RANKING.values()])
_AT: Mapping[str, int] = {name: at for at, name in enumerate(FIGURES)}
_OWN = [_AT[name] for name in OWN]
