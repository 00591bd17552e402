"""Texts that stand escaped in a text: JSON in a log, a cell of a notebook, a file as a field of an answer.

What a line holds behind escapes (line breaks, quotation marks, tabs, letters as numbers) is read as it was before it
was escaped, each text as lines of its own, so that the names and the ends of values are where they were; a place found
there is told by its place in the text. A span never begins or ends within an escape, so that what could be parsed still
can be.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

MOST_DEPTH = 2
"""JSON in JSON is read, and no deeper."""
MOST_BACKSLASHES = 200
_INNER = re.compile(r"\\{1,4}(?:[nrt\"]|u00[0-9a-fA-F]{2})(?![\"')\]}, ;]{0,6}(?:\r?\n|\Z))")
"""An escape that something follows in its line, so that there is more than the end of a text."""
_ESCAPE = re.compile(r"\\(?:([nrt\"'/\\])|u([0-9a-fA-F]{4}))|\"")
_MEANT = {"n": "\n", "r": "\n", "t": "\t", None: "\n"}
_BETWEEN = re.compile(r"[\s{}\[\]:,]*")
"""What stands between the texts of JSON: nothing that is read."""
_UNICODE = re.compile(r"\\u[0-9a-fA-F]{1,4}\Z")


@dataclass(frozen=True)
class Inner:
    """The lines of a text that hold escapes, read: `text`, and where its characters were before."""

    text: str
    starts: list[int]
    places: list[int]
    ends: list[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Begin and end in the text before, of what stands here within one line of that."""
        line = bisect_right(self.ends, start)
        if line < len(self.ends):
            end = min(end, self.ends[line])
        return self._place(start), self._place(end)

    def _place(self, at: int) -> int:
        number = bisect_right(self.starts, at) - 1
        return self.places[number] + at - self.starts[number]


def inner_of(text: str) -> Inner | None:
    """What stands escaped in the lines of `text`; None where nothing does."""
    if "\\" not in text:
        return None
    parts: list[str] = []
    starts, places, ends, length = [], [], [], 0
    for begin, end in _lines(text):
        place, outside = begin, True
        for found in _ESCAPE.finditer(text, begin, end):
            mark = found[0] == '"'
            meant = chr(int(found[2], 16)) if found[2] else _MEANT.get(found[1], found[1])
            kept = text[place : found.start()]
            starts += [length, length + len(kept)]
            places += [place, found.start()]
            parts += [" " * len(kept) if mark and outside and _BETWEEN.fullmatch(kept) else kept, meant]
            length += len(kept) + 1
            place, outside = found.end(), mark
        kept = text[place:end]
        starts += [length, length + len(kept)]
        places += [place, end]
        parts += [" " * len(kept) if outside and _BETWEEN.fullmatch(kept) else kept, "\n"]
        length += len(kept) + 1
        ends.append(length - 1)
    return Inner("".join(parts), starts, places, ends) if parts else None


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each line with something behind an escape."""
    place = text.find("\\")
    while place >= 0:
        if _INNER.match(text, place) is None:
            place = text.find("\\", place + 1)
            continue
        begin = text.rfind("\n", 0, place) + 1
        end = text.find("\n", place)
        end = len(text) if end < 0 else end
        yield begin, end
        place = text.find("\\", end)


def past_escapes(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without half an escape: one that it would begin in is taken, one that it would end in is left."""
    if _is_escaped(text, start):
        start -= 1
    elif text[start - 1 : start].isalnum() and (cut := _UNICODE.search(text, max(0, start - 5), start)) is not None:
        whole = cut.end() - cut.start() == 6
        start = start if whole or _is_escaped(text, cut.start()) else cut.start()
    if _is_escaped(text, end) and end - start > 1:
        end -= 1
    elif end - start > 6 and (cut := _UNICODE.search(text, max(start, end - 5), end)) is not None:
        end = end if cut.end() - cut.start() == 6 or _is_escaped(text, cut.start()) else cut.start()
    return start, end


def _is_escaped(text: str, place: int) -> bool:
    """Whether an odd number of backslashes stands before a place."""
    before = text[max(0, place - MOST_BACKSLASHES) : place]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1
