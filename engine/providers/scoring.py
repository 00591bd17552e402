"""Ranks what of some passages can be quoted by how well it answers a question, and says how sure that is.

Two linear models with few figures each, fitted and judged by benchmarks/fit_answers.py: a conditional logit ranks the
units, a logistic regression says how likely a right one is among the quotes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aqe.engine.providers.answer_forms import forms_of, share_offered
from aqe.engine.providers.bags import words_of
from aqe.engine.providers.likeness import Likeness, likeness
from aqe.engine.providers.meanings import meanings
from aqe.engine.providers.plain_words import small_words
from aqe.engine.providers.quotable import Form, Unit, units_of
from aqe.engine.providers.unit_names import name_of

if TYPE_CHECKING:
    from aqe.engine.providers.extractive import Passage
    from aqe.engine.providers.question import Question

RANKED = 32
"""Units that are looked at for quotes, the best ones."""

SHORT = 2.0
"""So much rarity is added to each text, or one of a single word would tell more than a sentence."""

FEWEST_PAIRS = 3

_WORD = re.compile(r"[\w'-]+")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """A passage taken apart: its units, what of each is compared by meaning, the words of each, of what leads to each,
    of what each names, and of the whole passage; the places of the units' words in the table of meanings, and how many
    each unit has."""

    units: tuple[Unit, ...]
    texts: tuple[str, ...]
    words: tuple[frozenset[str], ...]
    leads: tuple[frozenset[str], ...]
    named: tuple[frozenset[str], ...]
    every: frozenset[str]
    places: NDArray[np.intp]
    counts: NDArray[np.intp]


@dataclass(frozen=True)
class Scored:
    """A unit with its passage, figures, the score that they make, and its share of all units' chances to be the answer,
    if there is one."""

    passage: Passage
    unit: Unit
    figures: Mapping[str, float]
    score: float
    chance: float


@dataclass(frozen=True)
class Field:
    """The units of some passages before they are ranked: their figures (n, len(FIGURES)), what the question's terms
    weigh, and how well a word of any passage stands for each by its stem or ending."""

    units: tuple[tuple[Passage, Unit], ...]
    figures: Floats
    weights: Floats
    anywhere: Floats


@lru_cache(maxsize=512)
def prepared(text: str, name: str, file: str, form: Form) -> Prepared:
    """A passage taken apart, kept for the next question that finds it."""
    units = tuple(unit for unit in units_of(text, form) if unit.kind != "heading")
    texts = tuple(" ".join(f"{unit.lead or unit.after} {unit.text}".split()) for unit in units)
    named, whole = words_of(name), words_of(text)
    words = tuple(words_of(unit.text) for unit in units)
    before = tuple(words_of(unit.lead or unit.after) for unit in units)
    listed = list(whole)
    known = {word: at for word, at in zip(listed, meanings().places(listed).tolist(), strict=True) if at >= 0}
    places = [[known[word] for word in one & known.keys()] for one in (*map(frozenset.union, words, before), whole)]
    return Prepared(
        units,
        texts,
        words,
        tuple(words_of(unit.lead) | named for unit in units),
        tuple(frozenset(word for word in words_of(name_of(unit)) - small_words() if len(word) > 1) for unit in units),
        whole | named | words_of(file),
        np.array([at for one in places for at in one], np.intp),
        np.array([len(one) for one in places], np.intp),
    )


def field_of(asked: Question, passages: Sequence[Passage]) -> Field | None:
    """The units of the passages with their figures; None where there is none."""
    apart = [prepared(one.text, one.name, one.file or "", one.form) for one in passages]
    units = tuple((one, unit) for one, parts in zip(passages, apart, strict=True) for unit in parts.units)
    if not units:
        return None
    places = np.unique(np.concatenate([parts.places for parts in apart]), return_index=True)[0]  # spares numpy.ma
    alike = likeness(asked.weights, asked.names, [parts.every for parts in apart], places)
    wide, _ = _strengths(alike, [parts.every for parts in apart])
    figures = np.zeros((len(units), len(FIGURES)))
    columns = {name: figures[:, at] for at, name in enumerate(FIGURES)}
    _put_coverage(columns, alike, apart, wide)
    _put_telling(columns, alike, apart)
    columns["meaning"][:], columns["passage meaning"][:] = _meanings(asked.text, apart)
    columns["phrases"][:] = _phrases(asked.text, [text for parts in apart for text in parts.texts])
    _put_of_passages(columns, asked, passages, [len(parts.units) for parts in apart])
    _put_of_units(columns, asked, [unit for _, unit in units])
    return Field(units, figures, np.array(alike.weights), wide.max(axis=0))


def _put_coverage(columns: Mapping[str, Floats], alike: Likeness, apart: Sequence[Prepared], wide: Floats) -> None:
    """How much of the question's weight stands in each unit, in what leads to it and in its passage."""
    weights = np.array(alike.weights)
    share = weights / (float(weights.sum()) or 1.0)
    same, soft = _strengths(alike, [words for parts in apart for words in parts.words])
    above, meant = _strengths(alike, [words for parts in apart for words in parts.leads])
    around = np.repeat(wide, [len(parts.units) for parts in apart], axis=0)
    held = np.maximum(np.maximum(same, soft), above)
    for name, strengths in (
        ("in the unit", same),
        ("in its lead", np.maximum(0.0, above - same)),
        ("in the passage", np.maximum(np.maximum(same, above), around)),
        ("meant in the unit", np.maximum(0.0, soft - same)),
        ("meant in its lead", np.maximum(0.0, meant - held)),
    ):
        columns[name][:] = np.einsum("ij,j->i", strengths, share)  # not by BLAS, whose buffers are megabytes


def _put_telling(columns: Mapping[str, Floats], alike: Likeness, apart: Sequence[Prepared]) -> None:
    """How much of each unit, and of what it names, tells of what is asked."""
    told = {word: alike.told(word) for word in alike.relevant}
    columns["told"][:] = _shares_told(told, [words for parts in apart for words in parts.words])
    columns["name"][:] = [
        sum(map(told.__getitem__, words & told.keys())) / len(words) if words else 0.0
        for parts in apart
        for words in parts.named
    ]


def _put_of_passages(
    columns: Mapping[str, Floats], asked: Question, passages: Sequence[Passage], sizes: Sequence[int]
) -> None:
    """What the units have from the passage that they are of; `sizes` says how many each has."""
    best = max(passage.score for passage in passages) or 1.0
    tests = "tests wanted" if "test" in asked.weights else "tests"
    for name, of_each in (
        ("search", [passage.score / best for passage in passages]),
        ("passage cosine", [passage.vector_score or 0.0 for passage in passages]),
        ("docs", [passage.namespace.endswith("/docs") for passage in passages]),
        (tests, [passage.namespace.endswith("/tests") for passage in passages]),
    ):
        columns[name][:] = np.repeat(of_each, sizes)


def _put_of_units(columns: Mapping[str, Floats], asked: Question, units: Sequence[Unit]) -> None:
    """The form and the length of each unit, and which of the question's numbers and identifiers it has."""
    forms = forms_of(asked.text)
    columns["asked for"][:] = [share_offered(forms, unit.text) for unit in units]
    columns["length"][:] = np.log(np.maximum(10, [len(unit.text) for unit in units]) / 120)
    for at, unit in enumerate(units):
        columns["form"][at] = fits(asked.kind, unit.kind, unit.text)
        if unit.kind in columns:
            columns[unit.kind][at] = 1.0
    if asked.keys:
        columns["key"][:] = [_share(asked.keys, unit.text) for unit in units]


def rank(field: Field, weights: Mapping[str, float] | None = None, most: int = RANKED) -> list[Scored]:
    """The `most` best units by the score of their figures, best first, with their chances among all."""
    chosen = RANKING if weights is None else weights
    scores = np.einsum("ij,j->i", field.figures, [chosen.get(name, 0.0) for name in FIGURES])
    order = np.argsort(-scores, kind="stable")
    odds = np.exp(scores - scores[order[0]])
    chances = odds / odds.sum()
    return [
        Scored(
            field.units[at][0],
            field.units[at][1],
            dict(zip(FIGURES, field.figures[at].tolist(), strict=True)),
            float(scores[at]),
            float(chances[at]),
        )
        for at in order[:most].tolist()
    ]


def _strengths(alike: Likeness, texts: Sequence[frozenset[str]]) -> tuple[Floats, Floats]:
    found = [alike.of(words) for words in texts]
    return np.array([same for same, _ in found]), np.array([soft for _, soft in found])


def _shares_told(told: Mapping[str, float], texts: Sequence[frozenset[str]]) -> list[float]:
    """The share of each text, by the rarity of its words among the texts, that tells of what is asked."""
    counts = Counter(chain.from_iterable(texts))
    rare = {word: 0.0 if word in small_words() else math.log(1 + len(texts) / count) for word, count in counts.items()}
    return [
        sum(rare[word] * told[word] for word in words & told.keys()) / (sum(map(rare.__getitem__, words)) + SHORT)
        for words in texts
    ]


def _phrases(question: str, texts: Sequence[str]) -> list[float]:
    """The share of the question's pairs of words in a row that stand in each text so."""
    words = _WORD.findall(question.lower())
    telling = {word for word in words if len(word) > 2 and not words_of(word) <= small_words()}
    pairs = {f"{a} {b}" for a, b in pairwise(words) if a in telling or b in telling}
    most = max(FEWEST_PAIRS, len(pairs))
    lowered = [text.lower() for text in texts]
    return [sum(pair in text for pair in pairs) / most for text in lowered]


def _meanings(question: str, apart: Sequence[Prepared]) -> tuple[Floats, Floats]:
    """How near the words of each unit, and those of its passage, are to those of the question in what they mean."""
    table = meanings()
    asked = table.places(words_of(question))
    asked = asked[asked >= 0]
    places = np.concatenate([asked, *(parts.places for parts in apart)])
    counts = np.concatenate([[len(asked)], *(parts.counts for parts in apart)])
    rows = table.of_texts(places, counts)
    near = np.asarray(np.einsum("ij,j->i", rows[1:], rows[0]), np.float64)
    ends = np.cumsum([len(parts.counts) for parts in apart])
    wholes = ends - 1
    return np.delete(near, wholes), np.repeat(near[wholes], [len(parts.units) for parts in apart])


def _share(keys: Sequence[str], text: str) -> float:
    """The share of some numbers and identifiers that stand in a text as they are."""
    lowered = text.lower()
    return sum(_stands(key, lowered) for key in keys) / len(keys)


def _stands(key: str, text: str) -> bool:
    if not key[0].isdigit():
        return key in text
    return re.search(rf"(?<![\d.]){re.escape(key)}(?!\d|\.\d)", text) is not None


@lru_cache(maxsize=8192)
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
    "in the unit": 1.93,
    "in its lead": 1.49,
    "in the passage": 1.61,
    "meant in the unit": 3.30,
    "meant in its lead": 1.60,
    "meaning": 3.77,
    "passage meaning": 3.33,
    "search": 2.90,
    "passage cosine": 0.22,
    "form": 0.82,
    "key": 0.90,
    "prose": 1.02,
    "row": 1.51,
    "signature": 0.54,
    "docs": 0.26,
    "tests": -1.59,
    "tests wanted": 0.46,
    "told": 1.99,
    "name": 1.64,
    "phrases": 2.22,
    "asked for": 2.38,
    "length": 0.56,
}
"""Fitted by benchmarks/fit_answers.py, as are the weights of the confidence."""

FIGURES = tuple(RANKING)


EVIDENCE = (
    "in the unit",
    "in its lead",
    "in the passage",
    "meant in the unit",
    "meant in its lead",
    "meaning",
    "passage meaning",
    "search",
    "passage cosine",
    "key",
)
"""The figures that tell how much of the question stands there; the others tell which of several units it is."""

COVERED = ("in the unit", "in its lead", "meant in the unit")


def features(
    asked: Question, field: Field, ranked: Sequence[Scored], weights: Mapping[str, float] | None = None
) -> dict[str, float]:
    """The figures that the confidence is made of: what of the best unit's score is evidence, and the share of the
    question that stands in the unit or what leads to it; how far the question has the unit's name, and whether the unit
    is of a test, as those are found by a word or two; what share of the kinds of things asked for the unit does not
    offer; what the weightiest word weighs that stands in no passage; what share of the question's numbers and
    identifiers the passage lacks.
    """
    best = ranked[0]
    passage = best.passage
    around = " ".join((passage.text, passage.name, passage.file or ""))
    chosen = RANKING if weights is None else weights
    return {
        "evidence": sum(chosen[name] * best.figures[name] for name in EVIDENCE),
        "covered": sum(best.figures[name] for name in COVERED),
        "name": best.figures["name"],
        "tests": best.figures["tests"],
        "form missing": 1.0 - best.figures["asked for"] if forms_of(asked.text) else 0.0,
        "unknown word": float((field.weights * (field.anywhere == 0.0)).max(initial=0.0)),
        "keys missing": 1.0 - _share(asked.keys, around) if asked.keys else 0.0,
    }


WEIGHTS: dict[str, float] = {
    "evidence": 0.22,
    "covered": 1.38,
    "name": -1.14,
    "tests": -1.14,
    "form missing": -0.41,
    "unknown word": -0.60,
    "keys missing": -0.77,
}
BIAS = -1.60


def confidence_of(
    found: Mapping[str, float], weights: Mapping[str, float] = WEIGHTS, bias: float | None = None
) -> float:
    """How likely one of the quotes answers, by the figures of `features`."""
    sum_of = (BIAS if bias is None else bias) + sum(weight * found[name] for name, weight in weights.items())
    return 1.0 / (1.0 + math.exp(-sum_of))
