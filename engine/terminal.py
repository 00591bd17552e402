"""Texts of others on a terminal: names and messages may hold what a terminal would obey or take for another line."""

from __future__ import annotations

import re
from collections.abc import Iterable

_OBEYED = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """The text with control characters, line ends and marks that turn the direction of writing shown as escapes.

    >>> one_line("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\\\nb'
    """
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def shortened(text: str, most: int = 90) -> str:
    """A text in one line of at most `most` characters (more only where some are shown as escapes).

    >>> shortened("two\\nlines", 20), shortened("a long text", 8)
    ('two lines', 'a lon...')
    """
    line = " ".join(text.split())
    return one_line(line if len(line) <= most else line[: most - 3] + "...")


def as_written(text: str) -> str:
    """A text in its own lines, each as by `one_line`.

    >>> as_written("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\nb'
    """
    return "\n".join(map(one_line, text.replace("\r\n", "\n").split("\n")))


def page(lines: Iterable[str]) -> str:
    """The lines as they are printed, each on one line of its own."""
    return "".join(f"{one_line(line)}\n" for line in lines)
