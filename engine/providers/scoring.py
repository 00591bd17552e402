"""Ranks what of some passages can be quoted by how well it answers a question.

A conditional logit of a few figures, fitted and judged by benchmarks/fit_answers.py.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made_by
from functools import lru_cache
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aqe import simd
from aqe.engine.providers.answer_forms import forms_of
from aqe.engine.providers.bags import words_of
from aqe.engine.providers.likeness import Likeness, likeness
from aqe.engine.providers.meanings import meanings, unit_rows
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

COVERAGE = ("in the unit", "in its lead", "in the passage", "meant in the unit", "meant in its lead")
OWN = ("length", "odd length", "prose", "row", "signature", "code")

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
    """A passage taken apart: its units, each with what comes before it in small letters, the words of each, of what
    leads to each, of what each names, and of the whole passage; the places of the units' words in the table of
    meanings, and how many each unit has, the whole passage last; the figures that a unit has whatever is asked (units,
    len(OWN)). For what was asked so far: which units offer a form of answers, which fit a kind of question, and what
    the units and the whole mean (one array)."""

    units: tuple[Unit, ...]
    texts: tuple[str, ...]
    words: tuple[frozenset[str], ...]
    leads: tuple[frozenset[str], ...]
    named: tuple[frozenset[str], ...]
    every: frozenset[str]
    places: NDArray[np.intp]
    counts: NDArray[np.intp]
    own: Floats
    offers: dict[re.Pattern[str], NDArray[np.bool_]] = made_by(default_factory=dict)
    fitting: dict[str, NDArray[np.bool_]] = made_by(default_factory=dict)
    meant: list[NDArray[np.float32]] = made_by(default_factory=list)


@dataclass(frozen=True)
class Parts:
    """Some passages taken apart, one after the other: the passage of each unit; and, where the passages' texts lie
    among the units' (each passage's after its units'), the units' and the passages' own."""

    each: tuple[Prepared, ...]
    passage: NDArray[np.intp]
    units: NDArray[np.intp]
    wholes: NDArray[np.intp]


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
    telling: Floats
    means: NDArray[np.float32]
    near: Floats
    around: Floats


@lru_cache(maxsize=512)
def prepared(text: str, name: str, file: str, form: Form) -> Prepared:
    """A passage taken apart, kept for the next question that finds it."""
    units = tuple(unit for unit in units_of(text, form) if unit.kind != "heading")
    texts = tuple(" ".join(f"{unit.lead or unit.after} {unit.text}".split()).lower() for unit in units)
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
        _own(units),
    )


def _own(units: Sequence[Unit]) -> Floats:
    """The length and the kind of each unit, as `OWN` names them."""
    length = np.log(np.maximum(10, [len(unit.text) for unit in units]) / 120)
    odd = length**2 * [unit.kind not in ("row", "signature") for unit in units]
    return np.stack([length, odd, *([unit.kind == name for unit in units] for name in OWN[2:])], axis=1)


def field_of(asked: Question, passages: Sequence[Passage]) -> Field | None:
    """The units of the passages with their figures; None where there is none."""
    parts = _parts([prepared(one.text, one.name, one.file or "", one.form) for one in passages])
    apart = parts.each
    units = tuple((one, unit) for one, part in zip(passages, apart, strict=True) for unit in part.units)
    if not units:
        return None
    table, terms = meanings(), tuple(asked.weights)
    said = list(words_of(asked.text))
    places, back = table.distinct(np.concatenate([part.places for part in apart]))
    own = table.places([*terms, *said])
    rows = table.rows(np.concatenate([places, own]))  # in one go: each look at the table costs
    first, last = len(places), len(places) + len(terms)
    near = simd.cosine(rows[:first], rows[first:last])
    alike = likeness(asked.weights, asked.names, [part.every for part in apart], places, near)
    figures = np.zeros((len(units), len(FIGURES)))
    columns = {name: figures[:, at] for at, name in enumerate(FIGURES)}
    held, around = _put_coverage(columns, alike, parts)
    near, wide = _nearest(alike, parts, back)
    near = np.maximum(near, held)
    around = np.maximum(near, np.maximum(wide, around))
    reach = _put_nearness(columns, alike, near, around, parts.passage)
    _put_telling(columns, alike, apart)
    _make_meant(apart, places, rows[:first], back)
    _put_meanings(columns, parts, _meaning(own[len(terms) :], rows[last:]))
    columns["phrases"][:] = _phrases(asked.text, [text for part in apart for text in part.texts])
    _put_of_passages(columns, asked, passages, parts.passage)
    _put_of_units(columns, asked, apart)
    columns["asked for"][:] = _offered(forms_of(asked.text), apart)
    weights = np.array(alike.weights)
    telling = np.where(own[: len(terms)] >= 0, table.weights[own[: len(terms)]], UNLISTED) * (weights > 0)
    missing = float((telling * np.sqrt(weights) * (1.0 - near.max(axis=0))).max(initial=0.0))
    return Field(
        units, figures, reach, missing, alike.terms, weights, telling, unit_rows(rows[first:last]), near, around
    )


def _parts(apart: Sequence[Prepared]) -> Parts:
    sizes = np.array([len(part.units) for part in apart], np.intp)
    wholes = np.cumsum(sizes + 1) - 1
    passage = np.repeat(np.arange(len(sizes)), sizes)
    return Parts(tuple(apart), passage, np.arange(len(passage)) + passage, wholes)


def _put_coverage(columns: Mapping[str, Floats], alike: Likeness, parts: Parts) -> tuple[Floats, Floats]:
    """How much of the question's weight stands in each unit, in what leads to it and in its passage; returns how well
    each unit with its lead holds each term by a word of its stem, and how well its passage does."""
    weights = np.array(alike.weights)
    share = weights / (float(weights.sum()) or 1.0)
    apart, count = parts.each, len(parts.passage)
    texts = [words for part in apart for words in part.words] + [words for part in apart for words in part.leads]
    exact, alikes = alike.strengths([*texts, *(part.every for part in apart)])
    same, above, around = exact[:count], exact[count : 2 * count], exact[2 * count :][parts.passage]
    soft, meant = alikes[:count], alikes[count : 2 * count]
    hard = np.maximum(same, above)
    held = np.maximum(hard, soft)
    around = np.maximum(hard, around)
    strengths = np.stack(
        [same, np.maximum(0.0, above - same), around, np.maximum(0.0, soft - same), np.maximum(0.0, meant - held)]
    )
    covered = np.einsum("kij,j->ki", strengths, share)  # not by BLAS, whose buffers are megabytes
    for name, shares in zip(COVERAGE, covered, strict=True):
        columns[name][:] = shares
    return hard, around


def _nearest(alike: Likeness, parts: Parts, back: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """How near the nearest word of each unit with what comes before it, and of its passage, is to each term; `back`
    says which row of `alike.near` each of the passages' words is."""
    counts = np.concatenate([part.counts for part in parts.each])
    nearest = np.zeros((len(counts), len(alike.terms)))
    full = np.flatnonzero(counts)
    if len(full):
        starts = (np.cumsum(counts) - counts)[full]
        nearest[full] = np.maximum.reduceat(alike.near[back], starts, axis=0)
    return nearest[parts.units], nearest[parts.wholes][parts.passage]


def _put_nearness(
    columns: Mapping[str, Floats], alike: Likeness, near: Floats, wide: Floats, passage: NDArray[np.intp]
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
    together = passage[1:] == passage[:-1]
    beside = columns["beside"]
    beside[1:] = np.where(together, reach[:-1], 0.0)
    beside[:-1] = np.maximum(beside[:-1], np.where(together, reach[1:], 0.0))
    return reach


def _put_telling(columns: Mapping[str, Floats], alike: Likeness, apart: Sequence[Prepared]) -> None:
    """How much of each unit, and of what it names, tells of what is asked."""
    told = {word: alike.told(word) for word in alike.relevant}
    columns["told"][:] = _shares_told(told, [words for parts in apart for words in parts.words])
    columns["name"][:] = [
        sum([told[word] for word in words if word in told]) / len(words) if words else 0.0
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
    columns: Mapping[str, Floats], asked: Question, passages: Sequence[Passage], passage: NDArray[np.intp]
) -> None:
    """What the units have from the passage that they are of."""
    best = max(one.score for one in passages) or 1.0
    tests = "tests wanted" if _TESTS.search(asked.text) else "tests"
    of_each = {
        "search": [one.score / best for one in passages],
        "passage cosine": [one.vector_score or 0.0 for one in passages],
        "setting": [one.form == "settings" for one in passages],
        "docs": [one.namespace.endswith("/docs") and tests == "tests" for one in passages],
        tests: [one.namespace.endswith("/tests") for one in passages],
        "news": [_NEWS.search(one.file or "") is not None for one in passages],
    }
    for name, row in zip(of_each, np.array([*of_each.values()], np.float64)[:, passage], strict=True):
        columns[name][:] = row


def _put_of_units(columns: Mapping[str, Floats], asked: Question, apart: Sequence[Prepared]) -> None:
    """The form and the length of each unit, and which of the question's numbers and identifiers it has."""
    for name, column in zip(OWN, np.concatenate([part.own for part in apart]).T, strict=True):
        columns[name][:] = column
    for part in apart:
        if asked.kind not in part.fitting:
            part.fitting[asked.kind] = np.array([fits(asked.kind, one.kind, one.text) for one in part.units], bool)
    columns["form"][:] = np.concatenate([part.fitting[asked.kind] for part in apart])
    if asked.keys:
        columns["key"][:] = [share_of(asked.keys, unit.text) for part in apart for unit in part.units]


def rank(field: Field, weights: Mapping[str, float] | None = None, most: int = RANKED) -> Iterator[Scored]:
    """The `most` best units by the score of their figures, best first, with their chances among all."""
    chosen = RANKING if weights is None else weights
    scores = np.einsum("ij,j->i", field.figures, [chosen.get(name, 0.0) for name in FIGURES])
    order = np.argsort(-scores, kind="stable")
    odds = np.exp(scores - scores[order[0]])
    chances = odds / odds.sum()
    for at in order[:most].tolist():
        passage, unit = field.units[at]
        yield Scored(passage, unit, at, field.figures[at], float(scores[at]), float(chances[at]))


def _shares_told(told: Mapping[str, float], texts: Sequence[frozenset[str]]) -> list[float]:
    """The share of each text, by the rarity of its words among the texts, that tells of what is asked."""
    telling, small = frozenset(told), small_words()
    counts: dict[str, int] = dict(Counter(chain.from_iterable(texts)))
    counts |= dict.fromkeys([word for word in counts if word in small], 0)
    rarity = {count: math.log(1 + len(texts) / count) if count else 0.0 for count in {*counts.values()}}
    rare = {word: rarity[counts[word]] for word in telling.intersection(counts)}
    return [
        sum([rare[word] * told[word] for word in words & telling])
        / (sum(map(rarity.__getitem__, map(counts.__getitem__, words))) + SHORT)
        for words in texts
    ]


def _phrases(question: str, texts: Sequence[str]) -> list[float]:
    """The share of the question's pairs of words in a row that stand in each text, in small letters, so."""
    words = _WORD.findall(question.lower())
    telling = {word for word in words if len(word) > 2 and not words_of(word) <= small_words()}
    pairs = {f"{a} {b}" for a, b in pairwise(words) if a in telling or b in telling}
    most = max(FEWEST_PAIRS, len(pairs))
    return [sum([pair in text for pair in pairs]) / most for text in texts]


def _make_meant(
    apart: Sequence[Prepared], places: NDArray[np.intp], rows: NDArray[np.int8], back: NDArray[np.intp]
) -> None:
    """See to it that what the words of each unit, and those of its passage, mean is there; `rows` has the words at
    the `places`, and `back` says which of them each of the passages' words is."""
    ends = np.cumsum([len(part.places) for part in apart])
    if missing := [at for at, part in enumerate(apart) if not part.meant]:
        counts = [apart[at].counts for at in missing]
        words = np.concatenate([back[ends[at] - len(apart[at].places) : ends[at]] for at in missing])
        made = meanings().summed(places, unit_rows(rows), words, np.concatenate(counts))
        for at, mine in zip(missing, np.split(made, np.cumsum([len(one) for one in counts])[:-1]), strict=True):
            apart[at].meant.append(mine.copy())


def _put_meanings(columns: Mapping[str, Floats], parts: Parts, about: NDArray[np.float32]) -> None:
    """How near the words of each unit, and those of its passage, are in what they mean to what the question does."""
    near = np.einsum("ij,j->i", np.concatenate([part.meant[0] for part in parts.each]), about)
    columns["meaning"][:], columns["passage meaning"][:] = near[parts.units], near[parts.wholes][parts.passage]


def _meaning(places: NDArray[np.intp], rows: NDArray[np.int8]) -> NDArray[np.float32]:
    """What the words at some places mean together; `rows` are theirs."""
    known = np.flatnonzero(places >= 0)
    (made,) = meanings().summed(
        places[known], unit_rows(rows[known]), np.arange(len(known)), np.array([len(known)], np.intp)
    )
    return np.asarray(made, np.float32)


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
