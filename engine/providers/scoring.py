"""Ranks what of some passages can be quoted by how well it answers a question.

A conditional logit of a few figures, fitted and judged by benchmarks/fit_answers.py.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made_by
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aqe.engine.providers.answer_forms import forms_of
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

NEARLY = 0.6
"""A unit has a term, as far as its rarity among the units goes, that one of its words is this near to."""

UNLISTED = 0.8
"""What a word that is not in the table of meanings makes of a text."""

_WORD = re.compile(r"[\w'-]+")
_TESTS = re.compile(
    r"\b(?:which|what|where|whose) (?:\w+ )?tests?\b|\btests? (?:for|of|that|which|covers?|checks?|shows?|proves?)\b|"
    r"\b(?:is|are|gets?|how|where) (?:\w+ ){0,4}tested\b",
    re.IGNORECASE,
)
_NEWS = re.compile(r"change|history|news|release", re.IGNORECASE)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """A passage taken apart: its units, what of each is compared by meaning, the words of each, of what leads to each,
    of what each names, and of the whole passage; the places of the units' words in the table of meanings, and how many
    each unit has; for the forms of answers that were asked for so far, which of the units offer one; and, once a
    question was compared with it, what the units and the whole mean (one array)."""

    units: tuple[Unit, ...]
    texts: tuple[str, ...]
    words: tuple[frozenset[str], ...]
    leads: tuple[frozenset[str], ...]
    named: tuple[frozenset[str], ...]
    every: frozenset[str]
    places: NDArray[np.intp]
    counts: NDArray[np.intp]
    offers: dict[re.Pattern[str], NDArray[np.bool_]] = made_by(default_factory=dict)
    meant: list[NDArray[np.float32]] = made_by(default_factory=list)


@dataclass(frozen=True)
class Scored:
    """A unit with its passage, its place among the units of the field, its figures, the score that they make, and its
    share of all units' chances to be the answer, if there is one."""

    passage: Passage
    unit: Unit
    place: int
    figures: Mapping[str, float]
    score: float
    chance: float


@dataclass(frozen=True)
class Field:
    """The units of some passages before they are ranked: their figures (n, len(FIGURES)), how near each comes to the
    question (n,), and what the question's weightiest word weighs that none of the passages comes near to; the
    question's `terms` with their `weights` (t,), how much each makes of what a text means, 0 where it weighs nothing
    (t,), and how near each unit, and its passage with it, comes to each (n, t)."""

    units: tuple[tuple[Passage, Unit], ...]
    figures: Floats
    reach: Floats
    missing: float
    terms: tuple[str, ...]
    weights: Floats
    telling: Floats
    near: Floats
    around: Floats


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
    places, back = np.unique(np.concatenate([parts.places for parts in apart]), return_inverse=True)
    alike = likeness(asked.weights, asked.names, [parts.every for parts in apart], places)
    every, _ = _strengths(alike, [parts.every for parts in apart])
    sizes = [len(parts.units) for parts in apart]
    figures = np.zeros((len(units), len(FIGURES)))
    columns = {name: figures[:, at] for at, name in enumerate(FIGURES)}
    held, around = _put_coverage(columns, alike, apart, every)
    near, wide = _nearest(alike, apart, back)
    near = np.maximum(near, held)
    around = np.maximum(near, np.maximum(wide, around))
    reach = _put_nearness(columns, alike, near, around, sizes)
    _put_telling(columns, alike, apart)
    columns["meaning"][:], columns["passage meaning"][:] = _meanings(asked.text, apart)
    columns["phrases"][:] = _phrases(asked.text, [text for parts in apart for text in parts.texts])
    _put_of_passages(columns, asked, passages, sizes)
    _put_of_units(columns, asked, [unit for _, unit in units])
    columns["asked for"][:] = _offered(forms_of(asked.text), apart)
    weights = np.array(alike.weights)
    telling = _telling(alike) * (weights > 0)
    missing = float((telling * np.sqrt(weights) * (1.0 - near.max(axis=0))).max(initial=0.0))
    return Field(units, figures, reach, missing, alike.terms, weights, telling, near, around)


def _put_coverage(
    columns: Mapping[str, Floats], alike: Likeness, apart: Sequence[Prepared], wide: Floats
) -> tuple[Floats, Floats]:
    """How much of the question's weight stands in each unit, in what leads to it and in its passage; returns how well
    each unit with its lead holds each term by a word of its stem, and how well its passage does."""
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
    hard = np.maximum(same, above)
    return hard, np.maximum(hard, around)


def _nearest(alike: Likeness, apart: Sequence[Prepared], back: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """How near the nearest word of each unit with what comes before it, and of its passage, is to each term; `back`
    says which row of `alike.near` each of the passages' words is."""
    counts = np.concatenate([parts.counts for parts in apart])
    nearest = np.zeros((len(counts), len(alike.terms)))
    full = np.flatnonzero(counts)
    if len(full):
        starts = (np.cumsum(counts) - counts)[full]
        nearest[full] = np.maximum.reduceat(alike.near[back], starts, axis=0)
    wholes = np.cumsum([len(parts.counts) for parts in apart]) - 1
    return np.delete(nearest, wholes, axis=0), np.repeat(nearest[wholes], [len(parts.units) for parts in apart], axis=0)


def _put_nearness(
    columns: Mapping[str, Floats], alike: Likeness, near: Floats, wide: Floats, sizes: Sequence[int]
) -> Floats:
    """How near the nearest words of each unit come to the question's (late interaction as in Khattab and Zaharia,
    "ColBERT", 2020, over single words): in the unit by how few of the units have each term, in its passage and in the
    units beside it by the terms' weights. Returned is what those make of each unit."""
    weights = np.array(alike.weights)
    share = weights / (float(weights.sum()) or 1.0)
    rare = np.log1p(len(near) / (1.0 + (near > NEARLY).sum(axis=0))) * (weights > 0)
    columns["near"][:] = np.einsum("ij,j->i", near, rare / (float(rare.sum()) or 1.0))
    columns["near in the passage"][:] = np.einsum("ij,j->i", wide, share)
    reach: Floats = np.einsum("ij,j->i", near, share)
    passage = np.repeat(np.arange(len(sizes)), sizes)
    together = passage[1:] == passage[:-1]
    beside = columns["beside"]
    beside[1:] = np.where(together, reach[:-1], 0.0)
    beside[:-1] = np.maximum(beside[:-1], np.where(together, reach[1:], 0.0))
    return reach


def _telling(alike: Likeness) -> Floats:
    """How much each term makes of what a text means."""
    table = meanings()
    places = table.places(alike.terms)
    return np.where(places >= 0, table.weights[places], UNLISTED)


def _put_telling(columns: Mapping[str, Floats], alike: Likeness, apart: Sequence[Prepared]) -> None:
    """How much of each unit, and of what it names, tells of what is asked."""
    told = {word: alike.told(word) for word in alike.relevant}
    columns["told"][:] = _shares_told(told, [words for parts in apart for words in parts.words])
    columns["name"][:] = [
        sum(map(told.__getitem__, words & told.keys())) / len(words) if words else 0.0
        for parts in apart
        for words in parts.named
    ]


def _offered(forms: Sequence[re.Pattern[str]], apart: Sequence[Prepared]) -> Floats:
    """What share of the forms asked for each unit offers; 0 where none of a known form is."""
    for parts in apart:
        for form in forms:
            if form not in parts.offers:
                parts.offers[form] = np.array([form.search(unit.text) is not None for unit in parts.units], bool)
    offered = [np.concatenate([parts.offers[form] for parts in apart]) for form in forms]
    return np.mean(offered, axis=0) if forms else np.zeros(sum(len(parts.units) for parts in apart))


def _put_of_passages(
    columns: Mapping[str, Floats], asked: Question, passages: Sequence[Passage], sizes: Sequence[int]
) -> None:
    """What the units have from the passage that they are of; `sizes` says how many each has."""
    best = max(passage.score for passage in passages) or 1.0
    tests = "tests wanted" if _TESTS.search(asked.text) else "tests"
    for name, of_each in (
        ("search", [passage.score / best for passage in passages]),
        ("passage cosine", [passage.vector_score or 0.0 for passage in passages]),
        ("setting", [passage.form == "settings" for passage in passages]),
        ("docs", [passage.namespace.endswith("/docs") and tests == "tests" for passage in passages]),
        (tests, [passage.namespace.endswith("/tests") for passage in passages]),
        ("news", [_NEWS.search(passage.file or "") is not None for passage in passages]),
    ):
        columns[name][:] = np.repeat(of_each, sizes)


def _put_of_units(columns: Mapping[str, Floats], asked: Question, units: Sequence[Unit]) -> None:
    """The form and the length of each unit, and which of the question's numbers and identifiers it has."""
    columns["length"][:] = np.log(np.maximum(10, [len(unit.text) for unit in units]) / 120)
    columns["odd length"][:] = columns["length"] ** 2 * [unit.kind not in ("row", "signature") for unit in units]
    for at, unit in enumerate(units):
        columns["form"][at] = fits(asked.kind, unit.kind, unit.text)
        if unit.kind in columns:
            columns[unit.kind][at] = 1.0
    if asked.keys:
        columns["key"][:] = [share_of(asked.keys, unit.text) for unit in units]


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
            at,
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
    if missing := [parts for parts in apart if not parts.meant]:
        made = table.of_texts(
            np.concatenate([parts.places for parts in missing]), np.concatenate([parts.counts for parts in missing])
        )
        for parts, rows in zip(
            missing, np.split(made, np.cumsum([len(one.counts) for one in missing])[:-1]), strict=True
        ):
            parts.meant.append(rows.copy())
    (about,) = table.of_texts(asked, np.array([len(asked)], np.intp))
    near = np.asarray(np.einsum("ij,j->i", np.concatenate([parts.meant[0] for parts in apart]), about), np.float64)
    ends = np.cumsum([len(parts.counts) for parts in apart])
    wholes = ends - 1
    return np.delete(near, wholes), np.repeat(near[wholes], [len(parts.units) for parts in apart])


def share_of(keys: Sequence[str], text: str) -> float:
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
