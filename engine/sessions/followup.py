"""A follow-up that cannot be understood alone is read together with the question that it leans on."""

from __future__ import annotations

import re
from collections.abc import Iterable

_REFERS = re.compile(
    r"\b(?:it|its|they|them|their|this|that|these|those|he|she|him|her|there|then|same|former|latter|else)\b", re.I
)
_LEANS = re.compile(r"\s*(?:(?:and|but|or|so|also|what about|how about|how so)\b|why(?: not)?\s*\??\s*$)", re.I)
_WORD = re.compile(r"\w+")
SHORT = 12
"""Words of a question that may lean on the one before; a longer one says itself what it is about."""


def leans_on_what_was_said(question: str) -> bool:
    """Whether a question refers to what was said: by a pronoun, or by beginning in the middle.

    >>> leans_on_what_was_said("And what about refunds?"), leans_on_what_was_said("Where are refunds computed?")
    (True, False)
    """
    if len(_WORD.findall(question)) > SHORT:
        return False
    return bool(_LEANS.match(question) or _REFERS.search(question))


def topic_of(questions: Iterable[str]) -> str | None:
    """What a follow-up leans on, of the questions before it, the last one first: the last that says itself what it is
    about; else the last.

    >>> topic_of(["When does it expire?", "What is a session?", "What is a mock?"])
    'What is a session?'
    """
    asked = list(questions)
    return next((one for one in asked if not leans_on_what_was_said(one)), asked[0] if asked else None)


def standalone(question: str, previous: str | None) -> str:
    """`question` as it is looked up: with the one that it leans on in front.

    >>> standalone("Does it raise?", "What does parse_header do?")
    'What does parse_header do? Does it raise?'
    """
    return f"{previous} {question}" if previous and leans_on_what_was_said(question) else question
