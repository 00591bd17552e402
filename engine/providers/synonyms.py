"""Words that may stand for each other in a question about software and in the text that answers it.

They stand in `data/synonyms.txt`, written by hand for aqe from general English and the vocabulary of programming,
subject by subject; by the same hand as the questions of benchmarks/data/answers_c.toml and after them, and without a
look at answers_b.toml. Words in a line are synonyms, near ones, or a general word with its kinds.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files

from aqe.engine.memory.terms.text import query_terms


@lru_cache(maxsize=8192)
def synonyms_of(term: str) -> frozenset[str]:
    """The stems that may stand for a stem; those of the whole table are not needed for a question."""
    found: set[str] = set()
    start = " " + term[:2]
    for line in _lines():  # kept as they are: as sets of words they take a megabyte
        if start in line:
            group = line.split()
            if any(word[:2] == term[:2] and term in query_terms(word) for word in group):
                found.update(stem for word in group for stem in query_terms(word))
    return frozenset(found - {term})


@cache
def _lines() -> tuple[str, ...]:
    """The lines of the table, each with a space before it."""
    text = (files("aqe.engine.providers") / "data" / "synonyms.txt").read_text(encoding="utf-8")
    return tuple(" " + line for line in text.splitlines())
