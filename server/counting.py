"""Numbers with their nouns, as every face of aqe writes them."""

from __future__ import annotations


def counted(number: float, noun: str, plural: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "test"), counted(2000, "branch", "branches"), counted(1.5, "second")
    ('1 test', '2,000 branches', '1.5 seconds')
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {noun if number == 1 else plural or noun + 's'}"


def memories(count: int) -> str:
    """So many memories.

    >>> memories(1), memories(1200)
    ('1 memory', '1,200 memories')
    """
    return counted(count, "memory", "memories")
