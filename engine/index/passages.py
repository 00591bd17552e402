"""A passage: consecutive lines of one file under one name, small enough to be read as an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_LINES = 40
MOST_CHARACTERS = 3_000
LONGEST_LINE = 4_000


@dataclass(frozen=True)
class Passage:
    """Lines `first` to `last` (from 1, inclusive) of a file, verbatim, under a heading path or qualified name.

    `kind` is "section", "text", "settings", "module", "class" or "function".
    """

    first: int
    last: int
    name: str
    kind: str
    text: str


def lines_of(text: str) -> list[str]:
    """The lines of a text as Python and editors count them: CRLF, CR and LF end one, nothing else does.

    >>> lines_of("a\\r\\nb\\x0cc\\u2028d")
    ['a', 'b\\x0cc\\u2028d']
    """
    return re.split(r"\r\n|\r|\n", text)


def passage(lines: Sequence[str], first: int, last: int, name: str, kind: str) -> Passage | None:
    """The passage of lines `first` to `last` without blank ones at its ends; None where nothing else is there."""
    while first <= last and not lines[first - 1].strip():
        first += 1
    while last >= first and not lines[last - 1].strip():
        last -= 1
    if first > last:
        return None
    text = "\n".join(line[:LONGEST_LINE] for line in lines[first - 1 : last])
    return Passage(first, last, name, kind, text)


def split(
    lines: Sequence[str], first: int, last: int, name: str, kind: str, borders: Iterable[int] | None = None
) -> list[Passage]:
    """Lines `first` to `last` as one passage or, where they are many, as several cut before some of `borders`.

    Without `borders` a cut comes after a blank line. Where no border is near, the cut comes where the size ends.
    """
    if borders is None:
        borders = [at + 1 for at in range(first, last) if not lines[at - 1].strip()]
    natural = sorted(border for border in borders if first < border <= last)
    found, start = [], first
    while start <= last:
        end = _end(lines, start, last)
        if end < last:
            near = [border for border in natural if start + 1 < border <= end + 1]
            end = near[-1] - 1 if near else end
        made = passage(lines, start, end, name, kind)
        if made is not None:
            found.append(made)
        start = end + 1
    return found


def _end(lines: Sequence[str], start: int, last: int) -> int:
    """The last line that still fits a passage from `start`."""
    size = 0
    for at in range(start, min(last, start + MOST_LINES - 1) + 1):
        size += min(len(lines[at - 1]), LONGEST_LINE) + 1
        if size > MOST_CHARACTERS and at > start:
            return at - 1
    return min(last, start + MOST_LINES - 1)
