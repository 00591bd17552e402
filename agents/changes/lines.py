"""Which lines differ between two texts, in a time that does not run away with long texts."""

from __future__ import annotations

import bisect
import difflib
from collections import Counter
from collections.abc import Iterator, Sequence

MOST_STEPS = 20_000_000
"""How much `difflib` may have to do, as `_steps` bounds it, in all: some seconds at the very most."""


def all_lines(text: str | None) -> frozenset[int]:
    """The numbers of all lines of a text.

    >>> sorted(all_lines("a\\nb\\n"))
    [1, 2]
    """
    return frozenset(range(1, len(_lines(text or "")) + 1))


def line_changes(old: str, new: str) -> tuple[frozenset[int], frozenset[int]]:
    """The 1-based lines that `new` has more, and those that `old` has more.

    Long texts are first cut at the lines that are in both once and stand in the same order, as in Bram Cohen's patience
    diff; `difflib` looks at what is between. What would take too long even so counts as changed as a whole.

    >>> line_changes("a\\nb\\nc\\n", "a\\nB\\nc\\nd\\n")
    (frozenset({2, 4}), frozenset({2}))
    """
    before, after = _lines(old), _lines(new)
    added: set[int] = set()
    removed: set[int] = set()
    left = MOST_STEPS
    waiting = [(0, len(before), 0, len(after), False)]
    while waiting:
        *places, is_cut = waiting.pop()
        old_first, old_end, new_first, new_end = _trimmed(before, after, *places)
        ours, theirs = before[old_first:old_end], after[new_first:new_end]
        steps = _steps(ours, theirs)
        if steps <= left:
            left -= steps
            for tag, first, end, other_first, other_end in _opcodes(ours, theirs):
                if tag != "equal":
                    removed.update(range(old_first + first + 1, old_first + end + 1))
                    added.update(range(new_first + other_first + 1, new_first + other_end + 1))
        elif not is_cut:
            parts = _between(_anchors(ours, theirs), len(ours), len(theirs))
            waiting += [(old_first + a, old_first + b, new_first + c, new_first + d, True) for a, b, c, d in parts]
        else:
            removed.update(range(old_first + 1, old_end + 1))
            added.update(range(new_first + 1, new_end + 1))
    return frozenset(added), frozenset(removed)


def _lines(text: str) -> list[str]:
    """The lines as git counts them; an empty text has none."""
    found = text.split("\n")
    return found[:-1] if found[-1] == "" else found


def _trimmed(
    before: Sequence[str], after: Sequence[str], old_first: int, old_end: int, new_first: int, new_end: int
) -> tuple[int, int, int, int]:
    """The same stretch without what both begin and end with."""
    while old_first < old_end and new_first < new_end and before[old_first] == after[new_first]:
        old_first, new_first = old_first + 1, new_first + 1
    while old_first < old_end and new_first < new_end and before[old_end - 1] == after[new_end - 1]:
        old_end, new_end = old_end - 1, new_end - 1
    return old_first, old_end, new_first, new_end


def _steps(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """A bound on what `difflib` does: each of its rounds looks at all pairs of equal lines, and finds one stretch."""
    if not ours or not theirs:
        return 0
    here, there = Counter(ours), Counter(theirs)
    pairs = sum(count * there[line] for line, count in here.items() if line in there)
    return (len(ours) + len(theirs) + pairs) * min(len(ours), len(theirs), pairs + 1)


def _opcodes(ours: Sequence[str], theirs: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()


def _anchors(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    """Places of lines that each side has once, as many as keep their order: the longest rising row (patience sort)."""
    here, there = Counter(ours), Counter(theirs)
    places = {line: place for place, line in enumerate(theirs) if there[line] == 1}
    pairs = [(place, places[line]) for place, line in enumerate(ours) if here[line] == 1 and line in places]
    tops: list[int] = []
    holders: list[int] = []
    before: list[int] = []
    for number, (_, other) in enumerate(pairs):
        pile = bisect.bisect_left(tops, other)
        before.append(holders[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [other]
        holders[pile : pile + 1] = [number]
    row: list[tuple[int, int]] = []
    number = holders[-1] if holders else -1
    while number >= 0:
        row.append(pairs[number])
        number = before[number]
    return row[::-1]


def _between(anchors: Sequence[tuple[int, int]], ours: int, theirs: int) -> Iterator[tuple[int, int, int, int]]:
    """The stretches of both sides before, between and after the anchors; empty ones are left out."""
    first = other_first = 0
    for place, other in [*anchors, (ours, theirs)]:
        if place > first or other > other_first:
            yield first, place, other_first, other
        first, other_first = place + 1, other + 1
