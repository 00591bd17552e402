"""Sentences that name the command line's options, in the words of the tools' arguments."""

from __future__ import annotations

import re

_SENTENCES = {
    "Pass --suffix WORD for a name beside it, or --out DIR.": "Give another folder as `out`.",
    "Name at least one, as in `aqe verify tests/`.": "Give `paths` or a `draft`.",
    "`aqe memory list` shows the ids.": "memory_search shows the ids.",
}
_ARGUMENTS = {
    "subject": "subjects",
    "python": "python",
    "project": "project",
    "out": "out",
    "budget": "budget_s",
    "seed": "seed",
    "runs": "runs",
    "top": "top",
}
_OPTION = re.compile(r"`?--(" + "|".join(_ARGUMENTS) + r")\b(?: (?:[A-Z]+|\d+)\b)?`?")
_TWO_FOLDERS = re.compile(r", or compare two folders with --base DIR --head DIR")
_DETAIL = re.compile(r"`?--json`? lists them( all)?")


def for_tools(text: str) -> str:
    """`text` with each option of the command line replaced by the tools' argument.

    >>> for_tools("Name the module under test: --subject MODULE.")
    'Name the module under test: `subjects`.'
    >>> for_tools("Run it in a repository, or compare two folders with --base DIR --head DIR.")
    'Run it in a repository.'
    >>> for_tools("3 more mutants survive; --json lists them all")
    "3 more mutants survive; detail='report' lists them all"
    """
    text = _SENTENCES.get(text, text)
    text = _TWO_FOLDERS.sub("", text)
    text = _DETAIL.sub(r"detail='report' lists them\1", text)
    return _OPTION.sub(lambda found: f"`{_ARGUMENTS[found[1]]}`", text)
