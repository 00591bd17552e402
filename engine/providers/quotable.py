"""What of a passage can be quoted by itself: sentences, list items, table rows, signatures, statements.

A unit is a piece of the passage's text as it stands there, with its lines. What stands above it and belongs to it (the
question above an answer, the head of a table) is its lead; a later sentence comes after the first one of its block.
Both help to find the unit and are not quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aqe.engine.providers.windows import FENCE, QUOTES, SIGNATURE, window_of

Form = Literal["prose", "code", "settings"]

MOST_UNITS = 200
LONGEST = 600
"""Characters of a quote; a longer sentence is cut after a word."""

MOST_STEPS = 8
"""Lines of a numbered list that is quoted as a whole: its steps answer together."""

_STEP = re.compile(r"[ \t]*\d{1,3}[.)][ \t]+\S")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+\S")
_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*$")
_RULE = re.compile(r"[ \t]*(?:\|?[ \t]*:?[-=]{2,}:?[ \t|:+=-]*|([=~^*+#\"'`-])\1{3,}[ \t]*)$")
_COLUMNS = re.compile(r"[ \t]*={2,}(?:[ \t]+={2,})+[ \t]*$")
_SHORT = ("Mr", "Mrs", "Ms", "Dr", "Prof", "St", "approx", "vs", "cf", "e.g", "i.e", "Fig", "Sec", "pp")
"""What is written with a point that ends no sentence; "No." does not before a number."""

_SENTENCE = re.compile(
    r"(?<!^\d\.)(?<!\n\d\.)(?<!\n\d\d\.)(?<=[.!?])"
    + "".join(rf"(?<!\b{re.escape(word)}\.)" for word in _SHORT)
    + r"(?!(?<=\b[Nn]o\.)\s+\d)[\"')`*]*\s+(?=[A-Z0-9`*\"(])"
)
_TARGET = re.compile(r"[ \t]*(?:\.\. _[^:]*: *\S*|\[[^\]]+\]:? *<?https?://\S+)$")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_FIELD = re.compile(r"[ \t]*(?::\w[^:]*:|\w[\w. ]*:)[ \t]+\S")
_SECTION = re.compile(r"(?:Args|Arguments|Attributes|Examples?|Notes?|Parameters|Raises|Returns|Yields):?[ \t]*")


@dataclass(frozen=True)
class Unit:
    """A piece of a passage: lines `first` to `last` counted from 0, its text as it stands there, and whether it is
    "prose", "row", "signature", "example", "code" or "heading"; what leads to it; the first sentence of its block;
    the lines of that block, where the unit is a part of one, or those that it stands together with (`windows.py`)."""

    first: int
    last: int
    text: str
    kind: str
    lead: str = ""
    after: str = ""
    block: tuple[int, int] | None = None


def units_of(text: str, form: Form = "prose") -> list[Unit]:
    """The units of a passage in order, at most `MOST_UNITS`."""
    lines = text.split("\n")
    if form == "settings":
        full = (at for at, line in enumerate(lines[:MOST_UNITS]) if line.strip())
        found: Iterator[Unit] = (_unit(lines, at, at, "row", "") for at in full)
    else:
        found = _code(lines, 0, len(lines)) if form == "code" else _prose(lines, 0, len(lines))
    told = (_together(lines, unit, form) for unit in found if not _asks(unit))
    return [unit for unit, _ in zip(told, range(MOST_UNITS), strict=False)]


def _together(lines: Sequence[str], unit: Unit, form: Form) -> Unit:
    """The unit with the lines that are quoted with it; those of an example, a statement or a setting lead to it."""
    block = window_of(lines, unit, form)
    if block is None or unit.kind == "prose" or unit.lead:
        return unit if block == unit.block else replace(unit, block=block)
    others = [*lines[block[0] : unit.first], *lines[unit.last + 1 : block[1] + 1]]
    lead = " ".join(" ".join(others).split())
    return replace(unit, block=block, lead=lead)


def _asks(unit: Unit) -> bool:
    """Whether it is a question itself: of a list of open ones, or a heading above its answer."""
    return unit.kind in ("prose", "heading") and unit.text.rstrip(" \t\"')`*_").endswith("?")


def _prose(lines: Sequence[str], start: int, end: int, lead: str = "") -> Iterator[Unit]:
    """Blocks between blank lines; each is a table, a list, lines of code, or sentences."""
    at = start
    while at < end:
        line = lines[at]
        if not line.strip():
            at += 1
        elif _HEADING.match(line):
            yield _unit(lines, at, at, "heading", "")
            at += 1
        elif at + 1 < end and _RULE.fullmatch(lines[at + 1]) and not _ROW.fullmatch(line) and not _RULE.fullmatch(line):
            yield _unit(lines, at, at, "heading", "")
            at += 2
        elif line.strip().startswith(FENCE):
            close = _fence_end(lines, at, end)
            yield from (_unit(lines, n, n, "example", lead) for n in range(at + 1, close) if lines[n].strip())
            at = close + 1
        elif _COLUMNS.fullmatch(line):
            close = _columns_end(lines, at, end)
            head = " ".join(lines[at + 1].split()) if at + 2 < close and _RULE.fullmatch(lines[at + 2]) else ""
            rows = range(at + 3 if head else at + 1, close)
            yield from (_unit(lines, n, n, "row", head) for n in rows if not _RULE.fullmatch(lines[n]))
            at = close + 1
        elif _RULE.fullmatch(line) or _TARGET.match(line):
            at += 1
        else:
            close = _block_end(lines, at, end)
            yield from _block(lines, at, close, lead)
            at = close


def _block(lines: Sequence[str], start: int, end: int, lead: str) -> Iterator[Unit]:
    if _ROW.fullmatch(lines[start]):
        head = lines[start] if start + 1 < end and _RULE.fullmatch(lines[start + 1]) else ""
        for at in range(start + (2 if head else 0), end):
            yield _unit(lines, at, at, "row", " ".join(head.replace("|", " ").split()))
    elif _ITEM.match(lines[start]) or any(_ITEM.match(line) for line in lines[start:end]):
        if end - start <= MOST_STEPS and _STEP.match(lines[start]):
            yield _unit(lines, start, end - 1, "prose", lead)
            return
        starts = [at for at in range(start, end) if at == start or _ITEM.match(lines[at])]
        for at, stop in zip(starts, [*starts[1:], end], strict=True):
            yield from _sentences(lines, at, stop, lead)
    elif _is_question(lines, start, end):
        yield from _sentences(lines, start + 1, end, lines[start].strip())
    elif lines[start].startswith(("    ", "\t")) and start and not lines[start - 1].strip():
        yield from (_unit(lines, at, at, "example", lead) for at in range(start, end))
    else:
        yield from _sentences(lines, start, end, lead)


def _is_question(lines: Sequence[str], start: int, end: int) -> bool:
    """Whether the block is a question on a line of its own with its answer below."""
    return end - start > 1 and lines[start].rstrip().endswith("?") and lines[start + 1][:1].isspace()


def _sentences(lines: Sequence[str], start: int, end: int, lead: str) -> Iterator[Unit]:
    """The sentences of lines that run on, each with the lines that it touches."""
    text = "\n".join(lines[start:end])
    at, after = 0, ""
    for border in [*(match.start() for match in _SENTENCE.finditer(text)), len(text)]:
        piece = text[at:border]
        quote = piece.strip()
        if quote:
            first = start + text.count("\n", 0, at + len(piece) - len(piece.lstrip()))
            last = first + quote.count("\n")
            yield Unit(first, last, _cut(quote), "prose", lead, after, (start, end - 1))
            after = after or quote
        at = border


def _code(lines: Sequence[str], start: int, end: int) -> Iterator[Unit]:
    """Signatures, the sentences of docstrings, comments, statements line by line."""
    at, head = start, -1
    while at < end:
        line = lines[at]
        stripped = line.strip()
        opening = _docstring(stripped)
        if not stripped:
            at += 1
        elif opening:
            close = _docstring_end(lines, at, end, opening)
            summary = next((n - 1 for n in range(at + 1, close) if not lines[n].strip()), close - 1)
            for unit in _documentation(lines, at, close):
                yield replace(unit, block=(head, summary)) if head >= 0 and unit.last <= summary else unit
            at, head = close, -1
        elif SIGNATURE.match(line):
            close = _signature_end(lines, at, end)
            below = lines[close + 1].strip() if close + 1 < end else ""
            head = at if _docstring(below) else -1
            unit = _unit(lines, at, close, "signature", "")
            if head == at:
                stop = _docstring_end(lines, close + 1, end, _docstring(below))
                summary = next((n - 1 for n in range(close + 2, stop) if not lines[n].strip()), stop - 1)
                unit = replace(unit, block=(at, summary))
            yield unit
            at = close + 1
        else:
            yield _unit(lines, at, at, "code", "")
            at += 1


def _documentation(lines: Sequence[str], start: int, end: int) -> Iterator[Unit]:
    """The sentences of a docstring; its fields and its examples are units of their own."""
    bare = list(lines[:end])
    for at in (start, end - 1):
        for mark in QUOTES:
            bare[at] = bare[at].replace(mark, "   ")
    if bare[start].lstrip()[:1] in "rRbBuUfF" and lines[start].lstrip()[1:4] in QUOTES:
        bare[start] = bare[start].replace(bare[start].lstrip()[0], " ", 1)
    indents = [len(line) - len(line.lstrip()) for line in bare[start + 1 : end] if line.strip()]
    bare[start:end] = [bare[start].lstrip(), *(line[min(indents, default=0) :] for line in bare[start + 1 : end])]
    at = start
    while at < end:
        if not bare[at].strip() or _SECTION.fullmatch(bare[at]):
            at += 1
        elif bare[at].lstrip().startswith(">>>"):
            close = _example_end(bare, at, end)
            yield _unit(bare, at, close - 1, "example", "")
            at = close
        else:
            close = at + 1
            while close < end and bare[close].strip() and not _FIELD.match(bare[close]):
                close += 1
            yield from _prose(bare, at, close)
            at = close


def _docstring(stripped: str) -> str:
    body = stripped[1:] if stripped[:1] in "rRuU" else stripped
    return next((mark for mark in QUOTES if body.startswith(mark)), "")


def _docstring_end(lines: Sequence[str], at: int, end: int, mark: str) -> int:
    first = lines[at].replace(mark, "", 1)
    if mark in first:
        return at + 1
    return next((n + 1 for n in range(at + 1, end) if mark in lines[n]), end)


def _example_end(lines: Sequence[str], at: int, end: int) -> int:
    """An example is one call with what it prints."""
    at += 1
    while at < end and lines[at].strip() and not lines[at].lstrip().startswith(">>>"):
        at += 1
    return at


def _signature_end(lines: Sequence[str], at: int, end: int) -> int:
    for stop in range(at, min(end, at + 12)):
        if lines[stop].split("#")[0].rstrip().endswith(":"):
            return stop
    return at


def _fence_end(lines: Sequence[str], at: int, end: int) -> int:
    mark = lines[at].strip()[:3]
    return next((n for n in range(at + 1, end) if lines[n].strip().startswith(mark)), end)


def _columns_end(lines: Sequence[str], at: int, end: int) -> int:
    rules = [n for n in range(at, end) if _COLUMNS.fullmatch(lines[n])]
    blank = next((n for n in range(at, end) if not lines[n].strip()), end)
    inside = [n for n in rules if n < blank]
    return inside[-1] if len(inside) > 1 else blank


def _block_end(lines: Sequence[str], at: int, end: int) -> int:
    while at < end and lines[at].strip() and not lines[at].strip().startswith(FENCE) and not _TARGET.match(lines[at]):
        at += 1
    return at


def _unit(lines: Sequence[str], first: int, last: int, kind: str, lead: str) -> Unit:
    return Unit(first, last, _cut("\n".join(lines[first : last + 1]).strip()), kind, lead)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(None, 1)[0]
