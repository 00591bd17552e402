"""Answers without a model: the sentence, row or signature of a passage that answers, quoted with file and line.

Each quotable unit of the passages is scored against the question (`scoring.py`); the best one is the answer, if a
logistic model of a few explained features says that it probably is one. Else the answer is "I do not know", with what
came nearest. docs/answers.md has the method and how good it is (`python benchmarks/answers.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as made_by
from typing import TYPE_CHECKING

from aqe.engine.memory.entry import made
from aqe.engine.memory.search.ranking import CORRECTIONS, INDEX
from aqe.engine.providers.answer_forms import is_particular
from aqe.engine.providers.confidence import KNOWN_BIAS, KNOWN_WEIGHTS, confidence_of, features, known_features
from aqe.engine.providers.question import read_question
from aqe.engine.providers.quotable import Form, Unit
from aqe.engine.providers.scoring import Scored, field_of, rank
from aqe.engine.providers.windows import BLOCK_LINES
from aqe.engine.terminal import one_line

if TYPE_CHECKING:
    from aqe.engine.memory.entry import Hit

DEFAULT = 0.36
"""An answer with less confidence is "I do not know". What lets a tenth of the unanswerable questions of half a of the
fixtures through; a tenth of the near misses about public packages, made as near as could be, gets through at 0.45."""

KNOWN_DEFAULT = 0.44
"""The same for an answer from the knowledge."""

MOST_CITATIONS = 3
ENOUGH = 0.9
LONGEST_ENTRY = 700
"""Characters of an entry of the knowledge that is quoted as a whole; the shipped ones have less."""

UNKNOWN = "I do not know."

_FORMS: Mapping[str, Form] = {"function": "code", "class": "code", "module": "code", "settings": "settings"}


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
    features: Mapping[str, float] = made_by(default_factory=dict)


def quotable_text(namespace: str, text: str) -> str:
    """The text of a memory as a passage has it: that of the project index without the line that says where it
    stands."""
    return text.partition("\n")[2] if namespace.startswith(INDEX) else text


def passage_of(hit: Hit) -> Passage:
    """A search's hit as a passage."""
    memory = hit.memory
    is_indexed = memory.namespace.startswith(INDEX)
    asked = memory.metadata.get("question") if memory.namespace == CORRECTIONS else None
    return made(
        Passage,
        {
            "id": memory.id,
            "text": _answer_to(asked, memory.text)
            if isinstance(asked, str)
            else quotable_text(memory.namespace, memory.text),
            "file": memory.provenance.file or None,
            "line": memory.provenance.line or None,
            "score": hit.score,
            "namespace": memory.namespace,
            "name": str(memory.metadata.get("name", "")) if is_indexed else "",
            "form": _FORMS.get(str(memory.metadata.get("kind")), "prose") if is_indexed else "prose",
            "vector_score": hit.vector_score,
        },
    )


def _answer_to(question: str, text: str) -> str:
    """A correction below the question that it answers, as a page of questions and answers has them."""
    lines = "\n".join(f"    {line.strip()}" for line in text.splitlines() if line.strip())
    return f"{' '.join(question.split()).rstrip('?.! ')}?\n{lines}"


def extract(
    question: str,
    passages: Sequence[Passage],
    *,
    threshold: float = DEFAULT,
    rarity: Mapping[str, float] | None = None,
) -> Extract:
    """The answer to `question` out of `passages`, best first as a search gave them.

    `rarity` gives each term of the question (`aqe.engine.memory.terms.text.query_terms`) its weight, 0 to 1
    (`Store.rarity`); without it all weigh the same. At a `threshold` of 0 the best unit always answers, at one above 1
    none does.
    """
    asked = read_question(question, rarity)
    field = field_of(asked, passages) if asked.weights else None
    if field is None:
        return Extract(False, UNKNOWN, 0.0, ())
    chosen = choose(rank(field))
    citations = tuple(quote for _, quote in chosen)
    found = features(asked, field, chosen[0][0], [one.quote for one in citations])
    return _told(citations, confidence_of(found), threshold, found)


def extract_known(question: str, entries: Sequence[Passage], *, threshold: float = KNOWN_DEFAULT) -> Extract:
    """The answer to `question` out of entries of the knowledge, by a confidence of their own: whatever a project has,
    they are the same, and all terms weigh the same. One that asks for a particular fact in a single word that tells
    ("How many tests are there?") has none: the word is all that an entry could have of it."""
    asked = read_question(question, None)
    tells = len(asked.weights) > is_particular(question)
    field = field_of(asked, entries) if tells else None
    if field is None:
        return Extract(False, UNKNOWN, 0.0, ())
    chosen = choose(rank(field))
    found = known_features(asked, field, chosen[0][0])
    confidence = confidence_of(found, KNOWN_WEIGHTS, KNOWN_BIAS)
    quotes = [whole_quote(one.passage) or quote for one, quote in chosen]
    return _told(tuple(dict.fromkeys(quotes)), confidence, threshold, found, _entry_text)


def tell_entry(entry: Passage, confidence: float) -> Extract | None:
    """A whole entry of the knowledge, whose text says what it is about, as an answer; None where it is too long for
    one."""
    quote = whole_quote(entry)
    return None if quote is None else _told((quote,), confidence, 0.0, {}, _body_of)


def whole_quote(entry: Passage) -> Citation | None:
    """An entry of the knowledge as one quote, since its sentences lean on each other; None where that is long."""
    return None if len(entry.text) > LONGEST_ENTRY else Citation(entry.file, entry.line, None, entry.id, entry.text)


def _entry_text(text: str) -> str:
    """An entry as it is told: its title too where the text does not begin with it.

    >>> _entry_text("Flaky test\\nA flaky test flips."), _entry_text("Our clock\\nUse the fake one.")
    ('A flaky test flips.', 'Our clock. Use the fake one.')
    """
    title, _, body = (" ".join(part.split()) for part in text.partition("\n"))
    if not body or body.lower().find(title.lower()) in range(5):
        return body or title
    return f"{title}{'' if title[-1:] in '.?!' else '.'} {body}"


def _body_of(text: str) -> str:
    return " ".join(text.partition("\n")[2].split())


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _told(
    citations: tuple[Citation, ...],
    confidence: float,
    threshold: float,
    found: Mapping[str, float],
    told: Callable[[str], str] = _on_one_line,
) -> Extract:
    if confidence < threshold:
        places = ", ".join(dict.fromkeys(_place(one) for one in citations))
        text = f"{UNKNOWN} Nearest, but too far for an answer: {places}."
        return Extract(False, text, confidence, (), citations, found)
    text = "\n".join(f"{told(one.quote)} [{_place(one)}]" for one in citations)
    return Extract(True, text, confidence, citations, (), found)


def choose(ranked: Iterable[Scored]) -> list[tuple[Scored, Citation]]:
    """The best units with their quotes until it is likely enough that the answer is among them, if there is one.

    What an earlier quote says word for word, in whatever file, is not said again; a quote that says an earlier one and
    more takes its place.
    """
    chosen: list[tuple[Scored, Citation]] = []
    said: list[str] = []
    sure = 0.0
    for one in ranked:
        if len(chosen) == MOST_CITATIONS or sure >= ENOUGH:
            break
        sure += one.chance
        quote = quote_of(one)
        text = " ".join(quote.quote.split())
        if any(text in other for other in said):
            continue
        first, *others = [at for at, other in enumerate(said) if other in text] or [len(said)]
        unit = chosen[first][0] if first < len(said) else one
        chosen[first : first + 1], said[first : first + 1] = [(unit, quote)], [text]
        for at in reversed(others):
            del chosen[at], said[at]
    return chosen


def _window(unit: Unit) -> tuple[int, int]:
    """The lines to quote: the whole block where it is short, so that the quote explains itself, else the unit's."""
    if unit.block is not None and unit.block[1] - unit.block[0] < BLOCK_LINES:
        return unit.block
    return unit.first, unit.last


def quote_of(one: Scored) -> Citation:
    """The quote that a unit makes."""
    passage, unit = one.passage, one.unit
    first, last = _window(unit)
    is_whole = (first, last) != (unit.first, unit.last)
    quote = "\n".join(passage.text.split("\n")[first : last + 1]).strip() if is_whole else unit.text
    if passage.line is None:
        return Citation(passage.file, None, None, passage.id, quote)
    return Citation(passage.file, passage.line + first, passage.line + last, passage.id, quote)


def _place(citation: Citation) -> str:
    if citation.file is None:
        return f"memory {citation.id}"
    file = one_line(citation.file)
    return file if citation.line is None else f"{file}:{citation.line}"
