"""Words that may stand for each other in a question about software and in the text that answers it.

They stand in `data/synonyms.txt`, written by hand for aqe from general English and the vocabulary of programming,
subject by subject, not from any text or question that answers are measured on. Words in a line are synonyms, near ones,
or a general word with its kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from aqe.engine.memory.text import query_terms


@cache
def synonyms() -> Mapping[str, frozenset[str]]:
    """The stems that may stand for a stem."""
    text = (files("aqe.engine.providers") / "data" / "synonyms.txt").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        stems = [stem for word in line.split() for stem in query_terms(word)]
        for stem in stems:
            found.setdefault(stem, set()).update(stems)
    return {stem: frozenset(others - {stem}) for stem, others in found.items()}
