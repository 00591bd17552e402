"""A question as it is matched: the weight of each telling term, its names and numbers, and what it asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aqe.engine.memory.terms.text import LONG_QUERY, query_terms, subtokens
from aqe.engine.providers.bags import variants_of
from aqe.engine.providers.plain_words import general_words, small_words
from aqe.engine.providers.synonyms import synonyms_of

MOST_TERMS = 32
"""Terms that are looked for: of a long question the rarest that stand anywhere, which is below 1 in rarity."""

GENERAL = 0.35
"""What a general word weighs: a text may as well have another one."""

MOST_WIDENED = 8
"""Terms that stand nowhere and get other words behind them."""

LONG_PROMPT = 600
"""Characters from which on a prompt is taken to hold more than its question."""

LONGEST = 8_000
"""Characters of what is asked that passages are compared with, the first ones: well over the terms that are weighed
(`LONG_QUERY`), and each pair of words is looked for in each unit."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_MEASURE = re.compile(r"\bhow (?:long|large|big|old|far|high|small|fast|often|soon|wide|deep)\b", re.IGNORECASE)
_ADVERB = re.compile(r"\b[a-z]{3,}ly\b")
_WORD = re.compile(r"[A-Za-z_][\w'-]*|\d[\d.,]*")
_NUMBERED = re.compile(r"(?<![A-Za-z])([A-Za-z]+) +(\d+(?:[.,:]\d+)*)(?!\w)")
_IDENTIFIER = re.compile(r"`([^`]+)`|(?<!\w)(--[\w-]+|\w+_\w+|[A-Z]{2,}\w*|[a-z]+[A-Z]\w+)")
_SIGN = re.compile(r"[`_]|--|[A-Z]{2}|[a-z][A-Z]")
"""What each identifier has; most questions have none."""
_DIGIT = re.compile(r"\d")
_MANY = re.compile(r"(?:\w+ ){0,2}how (?:many|much|long|large|big|often|old|far|high|small|fast|soon)\b")
_LIMIT = re.compile(r"\b(?:maximum|minimum|most|least|longest|shortest|limit|percent|percentage|rate|number of)\b")


@dataclass(frozen=True)
class Question:
    """`weights` of its terms (0 to 1; small words have none), those of them that are `general`, the terms that are
    `names`, the `keys` that an answer has as they are (numbers and identifiers), and its `kind`."""

    text: str
    weights: Mapping[str, float]
    general: frozenset[str]
    names: frozenset[str]
    keys: tuple[str, ...]
    kind: str


def read_question(question: str, rarity: Mapping[str, float] | None) -> Question:
    """The question; `rarity` says how telling each of its terms is, 1 for one that stands nowhere.

    Of a long prompt the sentences that ask are the question, where any does, and no more than `LONGEST`.
    """
    question = _asking(question)[:LONGEST]
    bare = _MEASURE.sub("how", question)  # "how long" asks for a time, and not for what is long
    terms = [term for term in query_terms(bare, most=LONG_QUERY) if term not in small_words()]
    known = dict.fromkeys(terms, 1.0) if rarity is None else rarity
    adverbs = {stem for word in _ADVERB.findall(question) for stem in subtokens(word)}
    general = frozenset([term for term in terms if term in general_words() or term in adverbs])
    weights = {term: known.get(term, 0.0) * (GENERAL if term in general else 1.0) for term in terms}
    if len(weights) > MOST_TERMS:
        rare = {term: known.get(term, 0.0) for term in terms}
        chosen = sorted(terms, key=lambda term: rare[term] if rare[term] < 1.0 else 0.0, reverse=True)[:MOST_TERMS]
        weights = {term: weights[term] for term in chosen}
    return Question(
        question,
        weights,
        general & weights.keys(),
        _names(question) & weights.keys(),
        _keys(question),
        _kind(question),
    )


def widened(question: str, rarity: Mapping[str, float]) -> str:
    """The question as it is looked up by words: for a term that stands nowhere (its `rarity` is 1), other spellings and
    synonyms stand behind it."""
    nowhere = [term for term, weight in rarity.items() if weight >= 1.0 and term not in small_words()]
    others = [other for term in nowhere[:MOST_WIDENED] for other in (*variants_of(term), *sorted(synonyms_of(term)))]
    return f"{question} {' '.join(others)}" if others else question


def _asking(prompt: str) -> str:
    """The sentences of a long prompt that end in a question mark; the prompt itself where it is short or none does."""
    if len(prompt) < LONG_PROMPT:
        return prompt
    return " ".join(one for one in _SENTENCE.split(prompt) if one.rstrip().endswith("?")) or prompt


def _names(question: str) -> frozenset[str]:
    """The terms of what stands for itself and has no synonym: capitalised words but the first, and identifiers."""
    found: set[str] = set()
    for at, word in enumerate(_WORD.findall(question)):
        if "_" in word or (at and word != "I" and any(map(str.isupper, word))):
            found.update(subtokens(word))
    return frozenset(found)


def _keys(question: str) -> tuple[str, ...]:
    """Identifiers, and numbers that name something as in "status 4", in small letters, at most eight; a quantity as in
    "a parcel of 400 grams" may stand in the text as a range.

    >>> _keys("What did version 3.0 change in parse_price and `--json` for 20 users?")
    ('3.0', 'parse_price', '--json')
    """
    found: list[tuple[int, str]] = []
    if _DIGIT.search(question):
        found += [(one.start(), one.group(2)) for one in _NUMBERED.finditer(question) if _tells(one.group(1))]
    if _SIGN.search(question):
        found += [(match.start(), match.group(1) or match.group(2)) for match in _IDENTIFIER.finditer(question)]
    return tuple(dict.fromkeys(key.lower() for _, key in sorted(found)))[:8]


def _tells(word: str) -> bool:
    """Whether a word is neither a small nor a general one."""
    terms = query_terms(word)
    return small_words().isdisjoint(terms) and general_words().isdisjoint(terms)


def _kind(question: str) -> str:
    """What an answer has to hold: "number", "where", "why", "how", "yes-no", or "what"."""
    words = [word.lower() for word in _WORD.findall(question)]
    text = " ".join(words)
    if _MANY.match(text) or _LIMIT.search(text):
        return "number"
    for start, kind in (("where", "where"), ("why", "why"), ("how", "how")):
        if start in words[:3]:
            return kind
    if words and words[0] in ("is", "are", "does", "do", "can", "may", "will", "has", "have", "should", "must"):
        return "yes-no"
    return "what"
