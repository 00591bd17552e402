"""What the questions of a session found, kept at hand for its next ones.

A pool holds the hits of a session's questions as of one change of the store; what a follow-up looks at, their words, is
made when one does, and goes over to the pool that a later question widens. All pools of a process together are bounded
by the characters that they hold; those of the sessions that were asked longest ago go first.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from aqe.engine.memory.entry import Hit
from aqe.engine.providers.bags import words_of
from aqe.engine.providers.extractive import Passage, passage_of

if TYPE_CHECKING:
    from aqe.engine.memory.entry import Memory

POOLS = 64
POOL_PASSAGES = 400
WEIGHED = 16
"""Passages of a pool, those with most of the question's words, that are compared with it by meaning too."""

SAID = 8_000
"""Characters of a text whose words are looked at; a question for what a longer one says behind them goes to the
store."""

MOST_CHARACTERS = 16_000_000
"""That the texts of all pools have together, counted with their small letters; up to 4 bytes each, mostly one."""

BESIDE = 1_000
"""Characters that a hit counts for beside its text."""

_BY_SCORE = attrgetter("score")


@dataclass(slots=True)
class Held:
    """A hit of a pool. `lowered` is what it says, in small letters, and `words` the stems of that, once a follow-up
    looked; both only of so much as is looked at."""

    hit: Hit
    lowered: str = ""
    words: frozenset[str] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The namespace and id of the memory."""
        return self.hit.memory.namespace, self.hit.memory.id

    def said(self) -> str:
        """What the hit says, in small letters."""
        if not self.lowered:
            memory = self.hit.memory
            name = str(memory.metadata.get("name", ""))
            self.lowered = f"{memory.provenance.file or ''} {name} {memory.text[:SAID]}".lower()
        return self.lowered

    def stems(self) -> frozenset[str]:
        """The words of the hit as a passage."""
        if self.words is None:
            one = passage_of(self.hit)
            self.words = words_of(one.text[:SAID]) | words_of(one.name) | words_of(one.file or "")
        return self.words

    def passage(self, score: float, near: float) -> Passage:
        """The hit as a passage of another score."""
        return passage_of(Hit(self.hit.memory, score, self.hit.text_score, near))


@dataclass(frozen=True, slots=True)
class Pool:
    """What a session's questions found, newest first: the hits, the store's count of changes then, how near the best
    was to the last question that the store was asked, when the first of the memories is over, one memory for each
    state of a file that they are about, and for how many characters it all counts."""

    held: tuple[Held, ...]
    changes: int
    nearest: float
    ends: float
    about: dict[tuple[str, str], Memory]
    characters: int

    def with_most(self, telling: Mapping[str, float]) -> list[Held]:
        """The hits, at most `WEIGHED` of them, that seem to have most of some terms, of equals the first: those in
        which all but the last letter of a term, which its stem may have changed, stands anywhere."""
        starts = [(term[:-1] if len(term) > 3 else term, weight) for term, weight in telling.items()]
        said = [one.lowered or one.said() for one in self.held]
        having = [[weight if start in text else 0.0 for text in said] for start, weight in starts]
        seeming = [*map(sum, zip(*having, strict=True))]
        best = sorted(range(len(seeming)), key=seeming.__getitem__, reverse=True)[:WEIGHED]
        return [self.held[at] for at in best]


def pool_of(hits: Sequence[Hit], changes: int, before: Pool | None) -> Pool:
    """The pool of what the store gave for a question, and behind it what is in the one of `before`, where that is of
    the same change."""
    nearest = max((hit.vector_score or 0.0 for hit in hits), default=0.0)
    ranked = [Held(hit) for hit in sorted(hits, key=_BY_SCORE, reverse=True)]
    if before is not None and before.changes == changes:
        here = {one.key: one for one in ranked}
        for one in before.held:
            found = here.get(one.key)
            if found is None:
                ranked.append(one)
            else:
                found.lowered, found.words = one.lowered, one.words
    kept = tuple(ranked[:POOL_PASSAGES])
    memories = [one.hit.memory for one in kept]
    ends = min((one.expires_at for one in memories if one.expires_at is not None), default=math.inf)
    about = {(one.provenance.file, one.file_digest): one for one in memories if one.file_digest}
    return Pool(kept, changes, nearest, ends, about, sum(map(_characters, memories)))


class Pools:
    """The pools of some sessions, those asked last; safe between threads."""

    def __init__(self, *, most: int = POOLS, characters: int = MOST_CHARACTERS) -> None:
        self._most = most
        self._characters = characters
        self._of: OrderedDict[str, Pool] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def get(self, session: str) -> Pool | None:
        """The pool of a session, which is now the last that was asked."""
        with self._lock:
            pool = self._of.get(session)
            if pool is not None:
                self._of.move_to_end(session)
            return pool

    def put(self, session: str, pool: Pool) -> None:
        """Keep the pool of a session in place of the one that it had; one that alone has too much is not kept."""
        with self._lock:
            if session in self._of:
                self._drop(session)
            if pool.characters > self._characters:
                return
            self._of[session] = pool
            self._held += pool.characters
            while len(self._of) > self._most or self._held > self._characters:
                self._drop(next(iter(self._of)))

    def _drop(self, session: str) -> None:
        self._held -= self._of.pop(session).characters


def _characters(memory: Memory) -> int:
    return BESIDE + len(memory.text) + min(len(memory.text), SAID)
