"""Words that may stand for each other in a question about software and in the text that answers it.

They stand in `data/synonyms.txt`, written by hand for aqe from general English and the vocabulary of programming,
subject by subject; by the same hand as the questions of benchmarks/data/answers_c.toml and after them, and without a
look at answers_b.toml. Words in a line are synonyms, near ones, or a general word with its kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files

from aqe.engine.memory.text import query_terms


@lru_cache(maxsize=8192)
def synonyms_of(term: str) -> frozenset[str]:
    """The stems that may stand for a stem; those of the whole table are not needed for a question."""
    found: set[str] = set()
    for word, group in _groups_by_start().get(term[:2], ()):
        if term in query_terms(word):
            found.update(stem for other in group for stem in query_terms(other))
    return frozenset(found - {term})


@cache
def _groups_by_start() -> Mapping[str, Sequence[tuple[str, Sequence[str]]]]:
    """Each word with its group, by its first two letters, which its stem has too."""
    found: dict[str, list[tuple[str, Sequence[str]]]] = {}
    text = (files("aqe.engine.providers") / "data" / "synonyms.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        group = line.split()
        for word in group:
            found.setdefault(word[:2], []).append((word, group))
    return found
