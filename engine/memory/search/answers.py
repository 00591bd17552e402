"""What searches found lately, kept while no memory changes: the same search again reads nothing but one number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from aqe.engine.memory.entry import Hit, SearchAnswer
from aqe.engine.memory.growth.staleness import FileDigests

MOST = 64
MOST_HITS = 1024
"""Hits that are kept in all, so that a few searches for a thousand each do not fill the memory."""

Each = TypeVar("Each")


class LastFound(Generic[Each]):
    """What the last searches found, in each of their places, by what was asked. Whoever calls holds the store's
    lock."""

    def __init__(self, tally: Callable[[str, int], None]) -> None:
        self._tally = tally
        self._kept: OrderedDict[Hashable, tuple[Sequence[Each], int]] = OrderedDict()
        self._held = 0

    def clear(self) -> None:
        """Forget all: a memory changed."""
        self._kept.clear()
        self._held = 0

    def get(self, asked: Hashable) -> Sequence[Each] | None:
        """What was found for what was asked before, None where it was not."""
        found = self._kept.get(asked)
        self._tally("query misses" if found is None else "query hits", 1)
        if found is None:
            return None
        self._kept.move_to_end(asked)
        return found[0]

    def put(self, asked: Hashable, found: Sequence[Each], hits: int) -> None:
        """Keep what was found, which is so many `hits`; the least recently used go."""
        if hits > MOST_HITS // 4:
            return
        self._kept[asked] = found, hits
        self._held += hits
        while len(self._kept) > MOST or self._held > MOST_HITS:
            self._held -= self._kept.popitem(last=False)[1][1]


def looked_at(answers: Iterable[SearchAnswer], files: FileDigests) -> tuple[SearchAnswer, ...]:
    """Answers that were kept, with what is so now: whether the file of a memory changed since."""

    def looked(hit: Hit) -> Hit:
        if not hit.memory.file_digest:
            return hit
        stale = files.is_stale(hit.memory)
        return hit if stale == hit.memory.stale else replace(hit, memory=replace(hit.memory, stale=stale))

    return tuple([replace(one, hits=tuple(map(looked, one.hits))) for one in answers])
