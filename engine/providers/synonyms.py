"""Words that may stand for each other in a question about software and in the text that answers it.

They stand in `data/synonyms.txt`, written by hand for aqe from general English and the vocabulary of programming,
subject by subject; by the same hand as the questions of benchmarks/data/answers_c.toml and after them, and without a
look at answers_b.toml. Words in a line are synonyms, near ones, or a general word with its kinds.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from itertools import chain

from aqe.engine.memory.terms.text import subtokens

SHARED = 4
"""Letters from which on a stem begins with three of its word's."""


@lru_cache(maxsize=8192)
def synonyms_of(term: str) -> frozenset[str]:
    """The stems that may stand for a stem; those of the whole table are not needed for a question."""
    found: set[str] = set()
    table, start = _table(), " " + term[: 2 if len(term) < SHARED else 3]
    at = table.find(start)
    while at >= 0:  # kept as it is: as sets of words it takes a megabyte
        if term in subtokens(table[at : table.find(" ", at + 1)]):
            end = table.find("\n", at)
            line = table[table.rfind("\n", 0, at) + 1 : end]
            found.update(chain.from_iterable(map(subtokens, line.split())))
            at = end - 1
        at = table.find(start, at + 1)
    return frozenset(found - {term})


@cache
def _table() -> str:
    """The lines of the table, each with a space before and behind it."""
    text = (files("aqe.engine.providers") / "data" / "synonyms.txt").read_text(encoding="utf-8")
    return "".join([f" {line} \n" for line in text.splitlines()])
