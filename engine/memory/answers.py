"""Answers of searches, kept while no memory changes: the same search again reads nothing but one number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from aqe.engine.memory.entry import Hit, SearchAnswer
from aqe.engine.memory.growth.staleness import FileDigests

MOST = 64
MOST_HITS = 1024
"""Hits that are kept in all, so that a few searches for a thousand each do not fill the memory."""


class AnswerCache:
    """The last answers by what was asked. Whoever calls holds the store's lock. Whether a
    memory's file changed since is looked at anew each time."""

    def __init__(self, files: FileDigests, tally: Callable[[str, int], None]) -> None:
        self._files = files
        self._tally = tally
        self._kept: OrderedDict[Hashable, tuple[SearchAnswer, ...]] = OrderedDict()
        self._held = 0

    def clear(self) -> None:
        """Forget all: a memory changed."""
        self._kept.clear()
        self._held = 0

    def get(self, asked: Hashable) -> tuple[SearchAnswer, ...] | None:
        """The answers to what was asked before, None where it was not."""
        found = self._kept.get(asked)
        self._tally("query misses" if found is None else "query hits", 1)
        if found is None:
            return None
        self._kept.move_to_end(asked)
        return tuple(replace(one, hits=tuple(map(self._looked_at, one.hits))) for one in found)

    def put(self, asked: Hashable, answers: Sequence[SearchAnswer]) -> None:
        """Keep the answers to what was asked; the least recently used go."""
        size = sum(len(one.hits) for one in answers)
        if size > MOST_HITS // 4:
            return
        self._kept[asked] = tuple(answers)
        self._held += size
        while len(self._kept) > MOST or self._held > MOST_HITS:
            _, gone = self._kept.popitem(last=False)
            self._held -= sum(len(one.hits) for one in gone)

    def _looked_at(self, hit: Hit) -> Hit:
        if not hit.memory.file_digest:
            return hit
        stale = self._files.is_stale(hit.memory)
        return hit if stale == hit.memory.stale else replace(hit, memory=replace(hit.memory, stale=stale))
