"""What a store finds on the spot: searches that an event loop may wait for, since they take well under a millisecond.

Nothing is read for them but the memories that they find, nothing is embedded and nothing waits for another thread.
Whatever would take longer is answered by None, and asked again in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import apsw

from aqe.engine.memory.entry import Hit, Memory, SearchAnswer, as_floats, check_embedder, check_limit
from aqe.engine.memory.file.connection import Elsewhere, Reading, stays_here
from aqe.engine.memory.growth.staleness import FileDigests, Policy
from aqe.engine.memory.search.making import vector_answer
from aqe.engine.memory.search.searching import MOST_HITS, Searcher, wanted_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.entry import Numbers
    from aqe.engine.memory.search.hybrid import Found
    from aqe.engine.memory.search.lookups import Lookup
    from aqe.engine.memory.search.names import Names, Weigh

T = TypeVar("T")


class AtHand:
    """The searches of one store that may be waited for; safe between threads. `reading` holds the store's lock."""

    def __init__(
        self,
        searcher: Searcher,
        connection: apsw.Connection,
        lock: threading.RLock,
        reading: Reading,
        names: Names,
        files: FileDigests,
        stale: Policy,
        count_rows: Callable[[Sequence[int]], None],
        note_recalled: Callable[[Sequence[Memory]], None],
    ) -> None:
        self._searcher = searcher
        self._lookups = searcher.lookups
        self._connection = connection
        self._lock: threading.RLock | Elsewhere = lock
        self._reading = reading
        self._names = names
        self._files = files
        self._stale_counts = stale != "mark"
        self._count_rows = count_rows
        self._note_recalled = note_recalled
        stays_here(self)

    def follow_rules(self, stale: Policy) -> None:
        """Have stale memories count as settings say now."""
        self._stale_counts = stale != "mark"

    def search(
        self,
        vector: Numbers,
        *,
        k: int = 10,
        namespace: str | None = None,
        embedder_id: str | None = None,
        own: bool = False,
    ) -> SearchAnswer | None:
        """As `Store.search` by a vector alone; `own` says that the embedder is one of aqe's, whose vectors memories may
        wait for."""
        check_limit(k, MOST_HITS)
        numbers, wanted = as_floats(vector), wanted_in(namespace, None)
        space = check_embedder(embedder_id), len(numbers)
        if self._reading.watched is not None or not self._lock.acquire(blocking=False):
            return None
        try:
            found = self._searcher.at_hand(self._connection, numbers, k, wanted, space, own)
        except (apsw.Error, UnicodeDecodeError):
            return None  # a search in a transaction says what is wrong
        finally:
            self._lock.release()
        if found is None:
            return None
        rows, near, memories = found
        if self._stale_counts and self._searcher.memories.has_files and any(one.stale for one in memories):
            return None
        self._count_rows(rows)
        self._note_recalled(memories)
        return vector_answer(memories, near)

    def once(self, work: Callable[[apsw.Connection], T], lookup: Lookup, *, wait: bool = False) -> T | None:
        """What `work` gives, in one read transaction, where its lookup is ready. A thread may `wait` for others, and
        for FTS5; then None says that the vectors are not at hand."""
        if (self._reading.watched is not None and not wait) or not self._lock.acquire(blocking=wait):
            return None
        try:
            with self._reading as connection:
                ready = self._searcher.is_ready(connection, lookup, at_once=not wait)
                return work(connection) if ready else None
        finally:
            self._lock.release()

    def look_up(self, lookup: Lookup, question: str, vector: NDArray[np.float32]) -> Sequence[Sequence[Found]] | None:
        """The best rows in each place of a lookup, within `once`; None where it is ready no more, or where FTS5 would
        be asked more than once. `vector` is the question's."""
        return self._lookups.find(self._connection, lookup, question, vector)

    def named(self, found: Sequence[Found], weigh: Weigh) -> tuple[tuple[tuple[str, str], ...], int] | None:
        """What the memories of rows just found are called (namespace, id), in their order, and what `weigh` gives for
        all of their texts, within `once`. None where one is stale, and that has a say in what is found."""
        known = self._names.of(self._connection, self._searcher.number, found, weigh)
        if not known:
            return (), 0
        names, weights, files = zip(*known, strict=True)
        if self._stale_counts and any(files):
            digest = self._files.digest
            if any(digest(file) not in ("", was) for file, was in filter(None, files)):
                return None
        return names, sum(weights)

    def hits(self, found: Sequence[Found]) -> Sequence[Hit] | None:
        """The same memories whole."""
        (hits,) = self._searcher.memories.hits_each(self._connection, self._searcher.number, [found])
        return None if self._stale_counts and any(hit.memory.stale for hit in hits) else hits
