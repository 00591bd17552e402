"""Answers without a model: the sentence, row or signature of a passage that answers, quoted with file and line.

Each quotable unit of the passages is scored against the question; the best one is the answer, if a logistic model of a
few explained features says that it probably is one. Else the answer is "I do not know", with what came nearest. The
model's weights are fitted on one half of the questions in benchmarks/data/ and judged on the other
(`python benchmarks/answers.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from aqe.engine.memory.ranking import INDEX
from aqe.engine.memory.text import LONG_QUERY, query_terms, subtokens
from aqe.engine.providers.bags import bag_of, bag_of_words, match, matches
from aqe.engine.providers.plain_words import general_words, small_words
from aqe.engine.providers.quotable import Form, Unit, units_of
from aqe.engine.providers.synonyms import synonyms_of

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Hit

DEFAULT = 0.52
MOST_CITATIONS = 3
RANKED = 32
"""Units that are looked at for quotes, the best ones."""

MOST_TERMS = 32
"""Terms that are looked for: of a long question the rarest that stand anywhere, which is below 1 in rarity."""

ENOUGH = 0.8
BLOCK_LINES = 3
UNKNOWN = "I do not know."

_FORMS: Mapping[str, Form] = {"function": "code", "class": "code", "module": "code", "settings": "settings"}
_ADVERB = re.compile(r"\b[a-z]{3,}ly\b")
_WORD = re.compile(r"[A-Za-z_][\w'-]*|\d[\d.,]*")


@dataclass(frozen=True)
class Passage:
    """What is looked at for an answer. `text` is quotable as it stands, from line `line` of `file` on (None: unknown);
    `name` is its heading path or qualified name, `score` the search's own, `vector_score` its cosine or None."""

    id: str
    text: str
    file: str | None
    line: int | None
    score: float
    namespace: str
    name: str = ""
    form: Form = "prose"
    vector_score: float | None = None


@dataclass(frozen=True)
class Citation:
    """A quote, word for word, from lines `line` to `last` of `file`, and the memory `id` that holds it."""

    file: str | None
    line: int | None
    last: int | None
    id: str
    quote: str


@dataclass(frozen=True)
class Extract:
    """An answer, or that there is none. `confidence` is the model's probability that the first citation answers;
    `features` are the figures it was made of. Unanswered, `nearest` holds what came nearest, and nothing is cited."""

    answered: bool
    text: str
    confidence: float
    citations: tuple[Citation, ...]
    nearest: tuple[Citation, ...] = ()
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Question:
    """A question as it is matched: the weight of each telling term, those that are names, and what it asks for."""

    text: str
    weights: Mapping[str, float]
    names: frozenset[str]
    kind: str


@dataclass(frozen=True)
class _Scored:
    """A unit with its passage, figures, the score that they make, and its share of all units' chances to be the
    answer, if there is one."""

    passage: Passage
    unit: Unit
    figures: Mapping[str, float]
    score: float
    chance: float


_Figured = tuple[Passage, Unit, Mapping[str, float]]


def passage_of(hit: Hit) -> Passage:
    """A search's hit as a passage; one of the project index without the line that says where it stands."""
    memory = hit.memory
    is_indexed = memory.namespace.startswith(INDEX)
    return Passage(
        id=memory.id,
        text=memory.text.partition("\n")[2] if is_indexed else memory.text,
        file=memory.provenance.file or None,
        line=memory.provenance.line or None,
        score=hit.score,
        namespace=memory.namespace,
        name=str(memory.metadata.get("name", "")) if is_indexed else "",
        form=_FORMS.get(str(memory.metadata.get("kind")), "prose") if is_indexed else "prose",
        vector_score=hit.vector_score,
    )


def extract(
    question: str,
    passages: Sequence[Passage],
    *,
    threshold: float = DEFAULT,
    rarity: Mapping[str, float] | None = None,
    embedder: Embedder | None = None,
) -> Extract:
    """The answer to `question` out of `passages`, best first as a search gave them.

    `rarity` gives each term of the question (`aqe.engine.memory.text.query_terms`) its weight, 0 to 1 (`Store.rarity`);
    without it all weigh the same. With an `embedder` units are compared by meaning too. At a `threshold` of 0 the best
    unit always answers, at one above 1 none does.
    """
    asked = _read_question(question, rarity)
    ranked = _rank(asked, passages, embedder)
    if not ranked or not asked.weights:
        return Extract(False, UNKNOWN, 0.0, ())
    features = _features(asked, ranked)
    confidence = _confidence(features)
    citations = tuple(_choose(ranked))
    if confidence < threshold:
        places = ", ".join(_place(one) for one in citations)
        text = f"{UNKNOWN} Nearest, but too far for an answer: {places}."
        return Extract(False, text, confidence, (), citations, features)
    text = "\n".join(f"{' '.join(one.quote.split())} [{_place(one)}]" for one in citations)
    return Extract(True, text, confidence, citations, (), features)


def _read_question(question: str, rarity: Mapping[str, float] | None) -> _Question:
    every = query_terms(question, most=LONG_QUERY)
    terms = [term for term in every if term not in small_words()] or every
    known = dict.fromkeys(terms, 1.0) if rarity is None else rarity
    general = general_words() | {stem for word in _ADVERB.findall(question) for stem in subtokens(word)}
    weights = {term: known.get(term, 0.0) * (GENERAL if term in general else 1.0) for term in terms}
    if len(weights) > MOST_TERMS:
        rare = {term: known.get(term, 0.0) for term in terms}
        chosen = sorted(terms, key=lambda term: rare[term] if rare[term] < 1.0 else 0.0, reverse=True)[:MOST_TERMS]
        weights = {term: weights[term] for term in chosen}
    return _Question(question, weights, _names(question) & weights.keys(), _kind(question))


def _names(question: str) -> frozenset[str]:
    """The terms of what stands for itself and has no synonym: capitalised words but the first, and identifiers."""
    found: set[str] = set()
    for at, word in enumerate(_WORD.findall(question)):
        if "_" in word or (at and word != "I" and any(char.isupper() for char in word)):
            found.update(subtokens(word))
    return frozenset(found)


def _kind(question: str) -> str:
    """What an answer has to hold: "number", "where", "why", "how", "yes-no", or "what"."""
    words = [word.lower() for word in _WORD.findall(question)]
    text = " ".join(words)
    if re.match(
        r"(?:\w+ ){0,2}how (?:many|much|long|large|big|often|old|far|high|small|fast|soon)\b", text
    ) or re.search(
        r"\b(?:maximum|minimum|most|least|longest|shortest|limit|percent|percentage|rate|number of)\b", text
    ):
        return "number"
    for start, kind in (("where", "where"), ("why", "why"), ("how", "how")):
        if start in words[:3]:
            return kind
    if words and words[0] in ("is", "are", "does", "do", "can", "may", "will", "has", "have", "should", "must"):
        return "yes-no"
    return "what"


@lru_cache(maxsize=1024)
def _units(text: str, form: Form) -> tuple[Unit, ...]:
    """What of a passage can be quoted, kept for the next question that finds it."""
    return tuple(unit for unit in units_of(text, form) if unit.kind != "heading")


@lru_cache(maxsize=1024)
def _embedded_texts(text: str, form: Form) -> tuple[str, ...]:
    """What of each unit of a passage is compared with a question by meaning."""
    return tuple(" ".join(f"{unit.lead or unit.after} {unit.text}".split()) for unit in _units(text, form))


def _rank(
    asked: _Question, passages: Sequence[Passage], embedder: Embedder | None, most: int = RANKED
) -> list[_Scored]:
    """The best of all quotable units of the passages."""
    units = [(passage, unit) for passage in passages for unit in _units(passage.text, passage.form)]
    if not units:
        return []
    cosines = _cosines(asked.text, passages, embedder)
    best = max(passage.score for passage in passages) or 1.0
    held = _Held(frozenset(asked.weights))
    around = {id(passage): held.by(passage.text, passage.name, passage.file or "") for passage in passages}
    found = [
        _figure(asked, passage, unit, cosine, best, held, around[id(passage)])
        for (passage, unit), cosine in zip(units, cosines, strict=True)
    ]
    return _by_score(found, most)


def _by_score(found: Sequence[_Figured], most: int = RANKED) -> list[_Scored]:
    """The `most` best units by the score of their figures, best first, with their chances among all."""
    scores = [sum([RANKING[name] * one[2][name] for name in RANKING if name in one[2]]) for one in found]
    order = sorted(range(len(found)), key=lambda at: -scores[at])
    odds = [math.exp(score - scores[order[0]]) for score in scores]
    total = sum(odds)
    return [_Scored(*found[at], scores[at], odds[at] / total) for at in order[:most]]


def _cosines(question: str, passages: Sequence[Passage], embedder: Embedder | None) -> list[float]:
    """How near each unit of the passages is to the question."""
    texts = [text for passage in passages for text in _embedded_texts(passage.text, passage.form)]
    if embedder is None:
        return [0.0] * len(texts)
    rows = embedder.embed([question, *texts])
    import numpy as np

    return [float(value) for value in np.einsum("ij,j->i", rows[1:], rows[0])]  # as in memory/resident.py


_NONE: frozenset[str] = frozenset()


class _Held:
    """How far texts hold the terms of one question, or synonyms of them, each text looked at once."""

    def __init__(self, terms: frozenset[str]) -> None:
        self._terms = bag_of_words(terms)
        self._alike: dict[tuple[str, ...], frozenset[str]] = {}
        self._meant: dict[str, set[str]] = {}
        for term in terms:
            for other in synonyms_of(term):
                self._meant.setdefault(other, set()).add(term)
        self._known: dict[tuple[str, ...], Mapping[str, float]] = {}

    def by(self, *texts: str) -> Mapping[str, float]:
        """The terms that stand in any of some texts, each with the best `match` there."""
        found = self._known.get(texts)
        if found is None:
            found = self._known[texts] = self._look(*texts)
        return found

    def _look(self, text: str, *others: str) -> Mapping[str, float]:
        if not others:
            return matches(self._terms, bag_of(text)) if text else {}
        found, more = self.by(text), self.by(*others)
        if not found or not more:
            return found or more
        return {term: max(found.get(term, 0.0), more.get(term, 0.0)) for term in found.keys() | more.keys()}

    def alike(self, *texts: str) -> frozenset[str]:
        """The terms of which a synonym stands in any of some texts."""
        found = self._alike.get(texts)
        if found is None:
            words = [word for text in texts if text for word in self._meant.keys() & bag_of(text).words]
            found = frozenset().union(*(self._meant[word] for word in words)) if words else _NONE
            self._alike[texts] = found
        return found


def _figure(
    asked: _Question,
    passage: Passage,
    unit: Unit,
    cosine: float,
    best: float,
    held: _Held,
    around: Mapping[str, float],
) -> _Figured:
    near, lead = held.by(unit.text), held.by(unit.lead, passage.name)
    total = sum(asked.weights.values()) or 1.0
    alike, alike_above = held.alike(unit.text), held.alike(unit.lead, passage.name)
    in_unit = in_lead = in_passage = 0.0
    for term, weight in asked.weights.items():
        if term not in near and term not in lead and term not in around:
            continue
        found, above = near.get(term, 0.0), lead.get(term, 0.0)
        in_unit += weight * found / total
        in_lead += weight * max(0.0, above - found) / total
        in_passage += weight * max(found, above, around.get(term, 0.0)) / total
    figures = {
        "in the unit": in_unit,
        "in its lead": in_lead,
        "in the passage": in_passage,
        "synonyms in the unit": sum(asked.weights[term] for term in alike if term not in near) / total,
        "synonyms in its lead": sum(
            asked.weights[term] for term in alike_above if term not in near and term not in lead and term not in alike
        )
        / total,
        "cosine": cosine,
        "search": passage.score / best,
        "passage cosine": passage.vector_score or 0.0,
        "form": float(_fits(asked.kind, unit.kind, unit.text)),
        unit.kind: 1.0,
        "docs": float(passage.namespace.endswith("/docs")),
        "tests": float(passage.namespace.endswith("/tests") and "test" not in asked.weights),
        "length": math.log(max(10, len(unit.text)) / 120),
    }
    return passage, unit, figures


RANKING = {
    "in the unit": 3.12,
    "in its lead": 1.31,
    "in the passage": 2.53,
    "cosine": 2.05,
    "search": 2.27,
    "passage cosine": 0.54,
    "form": 1.52,
    "prose": 0.33,
    "row": 0.52,
    "signature": 0.14,
    "docs": 1.16,
    "tests": -1.30,
    "length": 0.64,
    "synonyms in the unit": 2.48,
    "synonyms in its lead": 0.92,
}
"""Fitted on half a and part c1 (`python benchmarks/fit_answers.py`), as are the weights of the confidence."""

GENERAL = 0.35
LEAD = 0.6


@lru_cache(maxsize=8192)
def _fits(kind: str, form: str, text: str) -> bool:
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


def _features(asked: _Question, ranked: Sequence[_Scored]) -> dict[str, float]:
    """The figures that the confidence is made of: the best quote's score, and others that are from 0 to 1."""
    best = ranked[0]
    texts = (best.passage.text, best.passage.name, best.passage.file or "", best.unit.lead, best.unit.after)
    bags = [bag_of(text) for text in texts]
    missing = {term: weight for term, weight in asked.weights.items() if not match(term, *bags)}
    return {
        "covered by the quote": best.figures["in the unit"] + LEAD * best.figures["in its lead"],
        "covered by the passage": best.figures["in the passage"],
        "rarest missing": max(missing.values(), default=0.0),
        "unknown word": float(max(missing.values(), default=0.0) > 0.9),
        "names missing": float(len(asked.names & missing.keys()) > 0),
        "passage cosine": max(0.0, best.figures["passage cosine"]),
        "best chance": best.chance,
        "three chances": sum(one.chance for one in ranked[:3]),
        "score": best.score,
    }


WEIGHTS = {
    "covered by the quote": -0.09,
    "covered by the passage": -0.23,
    "rarest missing": -0.05,
    "unknown word": -0.60,
    "names missing": -0.34,
    "passage cosine": 0.01,
    "best chance": 0.11,
    "three chances": 0.28,
    "score": 0.59,
}
BIAS = -4.54


def _confidence(features: Mapping[str, float]) -> float:
    return 1.0 / (1.0 + math.exp(-BIAS - sum(WEIGHTS[name] * value for name, value in features.items())))


def _choose(ranked: Sequence[_Scored]) -> list[Citation]:
    """Quotes of the best units until it is likely enough that the answer is among them, if there is one."""
    chosen: list[Citation] = []
    sure = 0.0
    for one in ranked:
        if len(chosen) == MOST_CITATIONS or sure >= ENOUGH:
            break
        sure += one.chance
        quote = _citation(one, *_window(one.unit))
        if not any(quote.id == other.id and quote.quote in other.quote for other in chosen):
            chosen.append(quote)
    return chosen


def _window(unit: Unit) -> tuple[int, int]:
    """The lines to quote: the whole block where it is short, so that the quote explains itself, else the unit's."""
    if unit.block is not None and unit.block[1] - unit.block[0] < BLOCK_LINES:
        return unit.block
    return unit.first, unit.last


def _citation(one: _Scored, first: int, last: int) -> Citation:
    passage, unit = one.passage, one.unit
    is_whole = (first, last) != (unit.first, unit.last)
    quote = "\n".join(passage.text.split("\n")[first : last + 1]).strip() if is_whole else unit.text
    if passage.line is None:
        return Citation(passage.file, None, None, passage.id, quote)
    return Citation(passage.file, passage.line + first, passage.line + last, passage.id, quote)


def _place(citation: Citation) -> str:
    if citation.file is None:
        return f"memory {citation.id}"
    return citation.file if citation.line is None else f"{citation.file}:{citation.line}"
