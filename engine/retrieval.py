"""The one way that memory is embedded, written and found.

`keep` writes a memory with its vector in one transaction; `find` searches words and meaning together; `reembed` makes
the vectors anew that another embedder made, or none. Vectors of different embedders are never compared: a memory whose
vector a caller gave stays in that space, and is found there by the caller's vector and everywhere by its words.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aqe.engine.errors import AqeError, UserError
from aqe.engine.lease import Lease, holding
from aqe.engine.memory import spaces
from aqe.engine.memory.checking import check_remembered
from aqe.engine.memory.embeddings import kept_in
from aqe.engine.memory.entry import GIVEN, Kept, NewMemory, SearchAnswer, check_embedder, pack_vector
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.search.as_of import search_as_of
from aqe.engine.memory.store import Prior, Store
from aqe.engine.progress import CancelToken, Progress, silent

if TYPE_CHECKING:
    import apsw
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Numbers

LEASE = "re-embedding"
BATCH = 512
"""Memories at most that are embedded and written in one transaction; what stands is kept when the work is cut off."""

FIRST_BATCH = 32
STEP_S = 0.5
"""A batch that took longer is not doubled for the next one, so that a slow embedder can be watched and cut off."""

WORTH_A_BAR = 2000
WORTH_A_BAR_OF_OTHERS = 16
"""So many memories take long enough to embed that a terminal shows it: by the built-in embedder, and by any other."""

_CANNOT_WRITE = ("database-locked", "disk-full", "project-read-only", "database-broken", "database-failed")
_log = logging.getLogger(__name__)


def keep(store: Store, embedder: Embedder | None, memories: Iterable[NewMemory]) -> list[Kept]:
    """Remember all or, when one is refused, none, each with its vector: the one it brings, else the embedder's.

    A memory that is there already keeps its vector. Raises what `Store.keep` raises, and `UserError` (bad-vector) for a
    vector that is said to be the embedder's and has another dimension.
    """
    given = list(memories)
    if embedder is None:
        return store.keep(given)
    for memory in given:
        if memory.vector is not None and memory.embedder_id == embedder.id:
            _refuse_unless(len(array("f", pack_vector(memory.vector))), embedder.id, [embedder.dimension])
    bare = [at for at, memory in enumerate(given) if memory.vector is None and isinstance(memory.text, str)]
    texts = [store.as_kept(given[at].text) for at in bare]
    made = _packed(kept_in(store, embedder).embed(texts)) if bare else []
    for at, packed in zip(bare, made, strict=True):
        if packed is not None:
            given[at] = replace(given[at], vector=array("f", packed), embedder_id=embedder.id, derived=True)
    return store.keep(given)


def remember(store: Store, embedder: Embedder | None, memories: Iterable[NewMemory]) -> list[Kept]:
    """As `keep`, for what a caller brings. Raises `UserError` (bad-namespace) for a namespace that is no memory's."""
    given = list(memories)
    for memory in given:
        check_remembered(memory.namespace)
    return keep(store, embedder, given)


def find(
    store: Store,
    embedder: Embedder | None,
    query: str | None,
    *,
    k: int = 10,
    namespace: str | None = None,
    filter: Mapping[str, Any] | None = None,
    vector: Numbers | None = None,
    embedder_id: str | None = None,
    prior: Prior | None = None,
    explain: bool = False,
) -> SearchAnswer:
    """The `k` best memories for a query by its words and its meaning together, as `Store.search` scopes and filters.

    `vector` is the query's, where the caller has it: the embedder's own, or one of the space `embedder_id`. Memories
    that wait for a vector of this embedder get it first. A query that says nothing to the embedder, and one without an
    embedder, is answered by words alone. Raises what `Store.search` raises, and `UserError` (bad-vector) for a vector
    whose dimension its space does not have, or (unknown-embedder) whose space is not there.
    """
    numbers, embedder_id = _ready(store, embedder, query, vector, embedder_id)
    return store.search(
        query,
        vector=numbers,
        k=k,
        namespace=namespace,
        filter=filter,
        embedder_id=embedder_id,
        prior=prior,
        explain=explain,
    )


def find_as_of(
    store: Store,
    embedder: Embedder | None,
    query: str | None,
    at: int,
    *,
    k: int = 10,
    namespace: str | None = None,
    filter: Mapping[str, Any] | None = None,
    vector: Numbers | None = None,
    embedder_id: str | None = None,
) -> SearchAnswer:
    """The `k` best of the memories that held at `at` (UTC microseconds), by words and meaning as `find` finds them."""
    numbers, embedder_id = _ready(store, embedder, query, vector, embedder_id)
    return search_as_of(
        store, at, query, vector=numbers, k=k, namespace=namespace, filter=filter, embedder_id=embedder_id
    )


def find_at_hand(
    store: Store,
    embedder: Embedder,
    vector: Numbers,
    *,
    k: int = 10,
    namespace: str | None = None,
    embedder_id: str | None = None,
) -> SearchAnswer | None:
    """What `find` finds by a vector alone, where it takes well under a millisecond; None where it might take longer."""
    own = embedder_id in (None, embedder.id)
    store.remake_with(embedder)
    space = embedder.id if own else embedder_id
    found = store.at_hand.search(vector, k=k, namespace=namespace, embedder_id=space, own=own)
    return found if own or (found is not None and found.hits) else None  # in a thread it is said that there is no space


def find_each(
    store: Store,
    embedder: Embedder | None,
    query: str,
    places: Sequence[tuple[str | None, int]],
    *,
    vector: Numbers | None = None,
    prior: Prior | None = None,
    least: Mapping[str, float] | None = None,
    caught_up: bool = False,
) -> tuple[SearchAnswer, ...]:
    """What `find` finds for a query in each of some `places`, each a namespace and its `k`, for less than their sum.

    A place named in `least` is empty where nothing in it has at least that cosine. With `caught_up` no memory waits
    for a vector, and nothing is written.
    """
    numbers: Numbers | None = vector
    embedder_id = None if embedder is None else embedder.id
    if not caught_up:
        numbers, embedder_id = _ready(store, embedder, query, vector, None)
    found = store.search_each(query, vector=numbers, places=places, embedder_id=embedder_id, prior=prior, least=least)
    if found and found[0].note:
        _log.warning("%s", found[0].note)
    return found


def _ready(
    store: Store, embedder: Embedder | None, query: str | None, vector: Numbers | None, embedder_id: str | None
) -> tuple[array[float] | None, str | None]:
    """The query's vector and its space, once what waits for a vector of this embedder has it."""
    if embedder is not None and embedder_id in (None, embedder.id):
        embedder_id = embedder.id
        catch_up(store, embedder)
        if vector is None and isinstance(query, str):
            vector = _query_vector(kept_in(store, embedder), query)
    numbers = None if vector is None else array("f", pack_vector(vector))
    if numbers is not None and embedder is not None and embedder_id == embedder.id:
        _refuse_unless(len(numbers), embedder.id, [embedder.dimension])
    elif numbers is not None:
        _check_space(store, check_embedder(embedder_id), len(numbers))
    return numbers, embedder_id


def waiting(store: Store, embedder: Embedder, *, ended: bool = False) -> int:
    """How many memories have no vector of this embedder although they could: those that `reembed` would embed."""
    with store.reading() as connection:
        past = spaces.count_ended(connection, embedder.id, embedder.dimension) if ended else 0
        return past + spaces.count_waiting(connection, embedder.id, embedder.dimension)


def other_spaces(store: Store, embedder: Embedder) -> list[str]:
    """The embedders that callers named for vectors of theirs: such memories are found by their words alone."""
    with store.reading() as connection:
        return [name for name, _ in spaces.given_spaces(connection) if name != embedder.id]


def reembed(
    store: Store,
    embedder: Embedder,
    *,
    size: int | None = None,
    ended: bool = False,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> int:
    """Embed the memories that have no vector, or one that another engine's embedder made; returns how many.

    With `ended` also the revisions that have ended, which a search of the past goes by. Batch after batch (of `size`
    memories, else as many as are done in about half a second), each in a transaction of its own: what is done stays
    done when the work is cut off, and the next call goes on. Of several processes one works and the others wait for it.
    Raises `Cancelled`.
    """
    with holding(store, LEASE, progress=progress, cancel=cancel) as lease:
        steps = _Steps(store, embedder, lease, size, progress, cancel)
        name, dimension = embedder.id, embedder.dimension
        done = steps.work(
            waiting(store, embedder), lambda at, *page: spaces.read_waiting(at, name, dimension, *page), spaces.put_made
        )
        if ended:
            with store.reading() as connection:
                total = spaces.count_ended(connection, name, dimension)
            done += steps.work(total, lambda at, *page: spaces.read_ended(at, name, dimension, *page), spaces.put_ended)
    return done


@dataclass(frozen=True)
class _Steps:
    """Batches of rows that get their vectors, each in a transaction of its own."""

    store: Store
    embedder: Embedder
    lease: Lease
    size: int | None
    progress: Progress
    cancel: CancelToken | None

    def work(
        self,
        total: int,
        read: Callable[[apsw.Connection, int, int], list[spaces.Waiting]],
        put: Callable[[apsw.Connection, int, Sequence[tuple[int, bytes | None]]], int],
    ) -> int:
        """Embed what `read` gives behind a row, so many at a time, until it gives none; returns how many stood."""
        done, after, most = 0, 0, self.size or min(FIRST_BATCH, BATCH)
        while True:
            if self.cancel is not None:
                self.cancel.check()
            whole = max(total, done)
            self.progress(f"Embedding memories anew: {done} of {whole}", done, whole)
            began = time.monotonic()
            with self.store.reading() as connection:
                batch = read(connection, after, most)
            if not batch:
                return done
            made = _packed(kept_in(self.store, self.embedder).embed([text for _, text in batch]))
            with self.store.writing() as connection:
                table = vectors.ensure_table(connection, self.embedder.id, self.embedder.dimension, derived=True)
                same = spaces.same_still(connection, batch)
                placed = [(row, packed) for (row, _), packed in zip(batch, made, strict=True) if row in same]
                done += put(connection, table, placed)
            after = batch[-1][0]
            self.lease.renew()
            if self.size is None and time.monotonic() - began < STEP_S:
                most = min(2 * most, BATCH)


def catch_up(
    store: Store, embedder: Embedder, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> None:
    """Embed what waits; where the file cannot be written now, or its vectors are damaged, the search goes on with what
    is there."""
    store.remake_with(embedder)
    if store.is_settled(embedder.id, embedder.dimension):
        return
    try:
        reembed(store, embedder, progress=progress, cancel=cancel)
    except AqeError as error:
        if error.code not in _CANNOT_WRITE:
            raise
        _log.warning("Some memories are found by their words alone for now: %s", error)


def _query_vector(embedder: Embedder, query: str) -> Sequence[float] | None:
    (packed,) = _packed(embedder.embed([query]))
    return None if packed is None else array("f", packed)


def _packed(rows: NDArray[np.float32]) -> list[bytes | None]:
    """Each row as float32 bytes; None where it is all zeros."""
    return [row.tobytes() if row.any() else None for row in rows]


def _check_space(store: Store, embedder_id: str, dimension: int) -> None:
    """Refuse another dimension than the space has, and one that is not there although others are."""
    with store.reading() as connection:
        known = sorted(vectors.dimensions(connection, embedder_id))
        there = [] if known else spaces.names(connection)
    if known:
        _refuse_unless(dimension, embedder_id, known)
    elif there and embedder_id != GIVEN:
        raise UserError(
            f"No memory has a vector of the embedder {embedder_id!r}.",
            code="unknown-embedder",
            fix=f"Name one that is there: {', '.join(map(repr, there))}.",
        )


def _refuse_unless(dimension: int, embedder_id: str, known: Sequence[int]) -> None:
    if dimension not in known:
        raise vectors.other_dimension(dimension, embedder_id, known)
