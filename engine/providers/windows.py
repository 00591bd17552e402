"""Which lines are quoted with a unit, since it says little without them: what a sentence that ends in a colon leads to,
the statement below a comment and the comment above a statement, a short example as a whole, the rest of a statement or
of a short function, and the line that a branch leads to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aqe.engine.providers.quotable import Form, Unit

BLOCK_LINES = 6
"""Lines of a block that is quoted whole; of a longer one only the unit's own are."""

FENCE = ("```", "~~~")
QUOTES = ('"""', "'''")
SIGNATURE = re.compile(r"[ \t]*(?:async[ \t]+def|def|class)[ \t]+\w+")
_BRACKET = re.compile(r"[(\[{)\]}]")
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_COMMENT = re.compile(r"[ \t]*#(?!!)")

Window = tuple[int, int]


def window_of(lines: Sequence[str], unit: Unit, form: Form = "prose") -> Window | None:
    """The first and last of the lines that stand together with a unit of a passage of that form, at most `BLOCK_LINES`
    where they are not of the unit's own block; None where it stands alone.

    >>> from aqe.engine.providers.quotable import Unit
    >>> window_of(["Decode a hash:", "", "    decode('1B8')", ""], Unit(0, 0, "Decode a hash:", "prose"))
    (0, 2)
    """
    if unit.kind == "prose":
        return _with_what_follows(lines, unit) if unit.text.endswith(":") else unit.block
    if unit.kind == "signature":
        return unit.block or _with_its_body(lines, unit)
    if unit.kind == "example":
        return unit.block or _whole_example(lines, unit.first)
    if unit.kind == "code":
        return _with_its_comment(lines, unit.first) or _with_its_branch(lines, *_whole_statement(lines, unit.first))
    return _with_its_comment(lines, unit.first) if form == "settings" else unit.block


def _with_what_follows(lines: Sequence[str], unit: Unit) -> Window | None:
    """The example, list or text that a sentence leads to, as much of it as is quoted."""
    below = _run(lines, unit.last + 1, lambda line: not line.strip(), len(lines))
    if below < len(lines) and lines[below].strip().startswith(FENCE):
        stop = _run(lines, below + 1, lambda line: not line.strip().startswith(FENCE), len(lines)) + 1
    else:
        stop = _run(lines, below, lambda line: bool(line.strip()) and line.strip() not in QUOTES, len(lines))
    if below >= stop:
        return unit.block
    whole = unit.block is not None and min(stop, len(lines)) - unit.block[0] <= BLOCK_LINES
    first = unit.block[0] if unit.block is not None and whole else unit.first
    return first, min(stop, len(lines), first + BLOCK_LINES) - 1


def _with_its_comment(lines: Sequence[str], at: int) -> Window | None:
    """The lines of a comment, and the statement below it."""
    first = at
    while first and _COMMENT.match(lines[first - 1]):
        first -= 1
    last = at if not _COMMENT.match(lines[at]) else _run(lines, at, lambda line: _COMMENT.match(line) is not None)
    last -= last == len(lines) or not lines[last].strip()
    return (first, last) if first < last < first + BLOCK_LINES else None


def _whole_example(lines: Sequence[str], at: int) -> Window | None:
    """The example that a line is of, where it is short, with the line that leads to it."""

    def belongs(line: str) -> bool:
        return bool(line.strip()) and not line.strip().startswith(FENCE)

    first = at
    while first and at - first <= BLOCK_LINES and belongs(lines[first - 1]):
        first -= 1
    last = _run(lines, at, belongs, at + BLOCK_LINES) - 1
    if last - first >= BLOCK_LINES or (last + 1 < len(lines) and belongs(lines[last + 1])):
        return None
    above = first - 1
    while above >= 0 and not belongs(lines[above]):
        above -= 1
    if above >= 0 and lines[above].rstrip().endswith(":") and last - above < BLOCK_LINES:
        is_fenced = last + 1 < len(lines) and lines[last + 1].strip() and last + 1 - above < BLOCK_LINES
        first, last = above, last + bool(is_fenced)
    return (first, last) if first < last else None


def _with_its_body(lines: Sequence[str], unit: Unit) -> Window | None:
    """A function or class without a docstring, where it is short."""
    depth = _depth(lines[unit.first])
    end = unit.first + BLOCK_LINES
    stop = _run(lines, unit.last + 1, lambda line: not line.strip() or _depth(line) > depth, end + 1)
    while stop > unit.last + 1 and not lines[stop - 1].strip():
        stop -= 1
    return (unit.first, stop - 1) if unit.last + 1 < stop <= end else None


def _whole_statement(lines: Sequence[str], at: int) -> Window:
    """The lines that a statement's brackets hold together, where they are few; else the one alone."""
    first, last, left_open = at, at, _opened(lines[at])
    wanted = 1 if left_open == 0 else 0
    for above in range(at - 1, max(-1, at - BLOCK_LINES), -1):
        if left_open >= wanted:
            break
        left_open += _opened(lines[above])
        first = above if left_open >= wanted else first
    if first == at and wanted:
        return at, at
    while left_open > 0 and last + 1 < len(lines) and last - first < BLOCK_LINES:
        last += 1
        left_open += _opened(lines[last])
    return (at, at) if left_open else (first, last)


def _with_its_branch(lines: Sequence[str], first: int, last: int) -> Window | None:
    """A statement with the line that it leads to, or with the condition right above it."""
    if lines[last].rstrip().endswith(":"):
        last += last + 1 < len(lines) and _depth(lines[last + 1]) > _depth(lines[first])
    elif first and lines[first - 1].rstrip().endswith(":") and not SIGNATURE.match(lines[first - 1]):
        first -= _depth(lines[first - 1]) < _depth(lines[first])
    return (first, last) if first < last < first + BLOCK_LINES else None


def _run(lines: Sequence[str], at: int, belongs: Callable[[str], bool], end: int | None = None) -> int:
    """The first line from `at` on that does not belong; `end` or the number of lines where all do."""
    stop = len(lines) if end is None else min(end, len(lines))
    return next((n for n in range(at, stop) if not belongs(lines[n])), max(at, stop))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


@lru_cache(maxsize=256)
def _opened(line: str) -> int:
    """How many brackets more it opens than it closes."""
    return sum(_BRACKETS[one] for one in _BRACKET.findall(line))
