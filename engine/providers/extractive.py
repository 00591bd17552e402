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
from typing import TYPE_CHECKING

from aqe.engine.memory.ranking import INDEX
from aqe.engine.memory.text import query_terms, subtokens
from aqe.engine.providers.quotable import Form, Unit, units_of

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Hit

DEFAULT = 0.5
MOST_CITATIONS = 3
UNKNOWN = "I do not know."

_SMALL = frozenset(
    query_terms(
        "a about after all also always am an and any are as at be been before being but by can could did do does doing"
        " done each else even ever every for from get gets give given go goes got had happen happens has have he her"
        " here him his how i if in instead into is it its itself just kind let like made make makes many may me mean"
        " means might mine more most much must my need needs no nor not now of off on once one only onto or other our"
        " ours out over own per please project s shall she should so some such t take tell than that the their them"
        " then there these they thing this those to too under until up upon us use used using very want was we were"
        " what when where whether which while who whom whose why will with without would you your yours"
    )
)
_FORMS: Mapping[str, Form] = {"function": "code", "class": "code", "module": "code", "settings": "settings"}
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
    """A unit with its passage, its score and the figures behind it."""

    passage: Passage
    unit: Unit
    score: float
    in_unit: float
    in_passage: float
    cosine: float
    fits: bool


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
    chosen = _choose(ranked)
    citations = tuple(_citation(one) for one in chosen)
    if confidence < threshold:
        places = ", ".join(_place(one) for one in citations)
        text = f"{UNKNOWN} Nearest, but too far for an answer: {places}."
        return Extract(False, text, confidence, (), citations, features)
    text = "\n".join(f"{' '.join(one.quote.split())} [{_place(one)}]" for one in citations)
    return Extract(True, text, confidence, citations, (), features)


def _read_question(question: str, rarity: Mapping[str, float] | None) -> _Question:
    terms = [term for term in query_terms(question) if term not in _SMALL]
    terms = terms or query_terms(question)
    weights = {term: (rarity or {}).get(term, 1.0 if rarity is None else 0.0) for term in terms}
    return _Question(question, weights, _names(question) & weights.keys(), _kind(question))


def _names(question: str) -> frozenset[str]:
    """The terms of what stands for itself and has no synonym: capitalised words but the first, numbers, identifiers."""
    found: set[str] = set()
    for at, word in enumerate(_WORD.findall(question)):
        if word[0].isdigit() or "_" in word or (at and word != "I" and any(char.isupper() for char in word)):
            found.update(subtokens(word))
    return frozenset(found)


def _kind(question: str) -> str:
    """What an answer has to hold: "number", "where", "why", "how", "yes-no", or "what"."""
    words = [word.lower() for word in _WORD.findall(question)]
    text = " ".join(words)
    if re.search(r"\bhow (?:many|much|long|large|big|often|old|far|high|small|fast|soon)\b", text) or re.search(
        r"\b(?:maximum|minimum|most|least|longest|shortest|limit|percent|percentage|rate|number of)\b", text
    ):
        return "number"
    for start, kind in (("where", "where"), ("why", "why"), ("how", "how")):
        if start in words[:3]:
            return kind
    if words and words[0] in ("is", "are", "does", "do", "can", "may", "will", "has", "have", "should", "must"):
        return "yes-no"
    return "what"


def _rank(asked: _Question, passages: Sequence[Passage], embedder: Embedder | None) -> list[_Scored]:
    """Every quotable unit of the passages with its score, best first."""
    units = [
        (passage, unit)
        for passage in passages
        for unit in units_of(passage.text, passage.form)
        if unit.kind != "heading"
    ]
    cosines = _cosines(asked.text, units, embedder)
    best = max((passage.score for passage in passages), default=1.0) or 1.0
    found = [_score(asked, passage, unit, cosine, best) for (passage, unit), cosine in zip(units, cosines, strict=True)]
    return sorted(found, key=lambda one: -one.score)


def _cosines(question: str, units: Sequence[tuple[Passage, Unit]], embedder: Embedder | None) -> list[float]:
    if embedder is None or not units:
        return [0.0] * len(units)
    texts = [" ".join(f"{unit.lead} {unit.text}".split()) for _, unit in units]
    rows = embedder.embed([question, *texts])
    return [float(value) for value in rows[1:] @ rows[0]]


def _score(asked: _Question, passage: Passage, unit: Unit, cosine: float, best: float) -> _Scored:
    near = set(subtokens(unit.text))
    lead = set(subtokens(unit.lead)) | set(subtokens(passage.name))
    around = near | lead | set(subtokens(passage.text)) | set(subtokens(passage.file or ""))
    total = sum(asked.weights.values()) or 1.0
    in_unit = sum(weight for term, weight in asked.weights.items() if term in near) / total
    in_lead = sum(weight for term, weight in asked.weights.items() if term in lead and term not in near) / total
    in_passage = sum(weight for term, weight in asked.weights.items() if term in around) / total
    fits = _fits(asked.kind, unit)
    score = (
        in_unit
        + 0.6 * in_lead
        + 0.3 * in_passage
        + 1.0 * cosine
        + 0.6 * passage.score / best
        + (0.15 if fits else 0.0)
        + KIND[unit.kind]
        - 0.1 * max(0.0, math.log(max(1, len(unit.text)) / 120))
    )
    return _Scored(passage, unit, score, in_unit + 0.6 * in_lead, in_passage, cosine, fits)


KIND = {"prose": 0.1, "row": 0.1, "signature": 0.0, "example": -0.15, "code": -0.15}


def _fits(kind: str, unit: Unit) -> bool:
    """Whether the unit has the form of an answer to that kind of question."""
    if kind == "number":
        return bool(re.search(r"\d|\b(?:one|two|three|four|five|ten|once|twice|half|quarter|thousand)\b", unit.text))
    if kind == "where":
        return unit.kind == "signature" or "/" in unit.text or "file" in unit.text
    if kind == "why":
        return bool(re.search(r"\b(?:because|so that|since|so|otherwise|therefore|as)\b", unit.text))
    if kind == "how":
        return unit.kind in ("prose", "signature", "example")
    return unit.kind in ("prose", "row", "signature")


def _features(asked: _Question, ranked: Sequence[_Scored]) -> dict[str, float]:
    """The figures that the confidence is made of, each about 0 to 1."""
    best = ranked[0]
    words = {*subtokens(best.passage.text), *subtokens(best.passage.name), *subtokens(best.passage.file or "")}
    words |= set(subtokens(best.unit.lead))
    missing = {term: weight for term, weight in asked.weights.items() if term not in words}
    other = next((one for one in ranked if one.passage.id != best.passage.id), None)
    return {
        "covered by the quote": best.in_unit,
        "covered by the passage": best.in_passage,
        "rarest missing": max(missing.values(), default=0.0),
        "names missing": float(len(asked.names & missing.keys()) > 0),
        "cosine": max(0.0, best.cosine),
        "passage cosine": max(0.0, best.passage.vector_score or 0.0),
        "margin": min(1.0, best.score - other.score) if other else 1.0,
        "form": float(best.fits),
    }


WEIGHTS = {
    "covered by the quote": 3.0,
    "covered by the passage": 3.0,
    "rarest missing": -2.0,
    "names missing": -2.0,
    "cosine": 2.0,
    "passage cosine": 1.0,
    "margin": 1.0,
    "form": 0.5,
}
BIAS = -3.0


def _confidence(features: Mapping[str, float]) -> float:
    return 1.0 / (1.0 + math.exp(-BIAS - sum(WEIGHTS[name] * value for name, value in features.items())))


def _choose(ranked: Sequence[_Scored]) -> list[_Scored]:
    """The best unit, and what of equal weight stands elsewhere."""
    chosen = [ranked[0]]
    for one in ranked[1:]:
        if len(chosen) == MOST_CITATIONS or one.score < 0.85 * ranked[0].score:
            break
        if all((one.passage.id, one.unit.first) != (other.passage.id, other.unit.first) for other in chosen):
            chosen.append(one)
    return chosen


def _citation(one: _Scored) -> Citation:
    passage, unit = one.passage, one.unit
    line = None if passage.line is None else passage.line + unit.first
    last = None if passage.line is None else passage.line + unit.last
    return Citation(passage.file, line, last, passage.id, unit.text)


def _place(citation: Citation) -> str:
    if citation.file is None:
        return f"memory {citation.id}"
    return citation.file if citation.line is None else f"{citation.file}:{citation.line}"
