"""The memory of a project: rows, vectors and text index in one SQLite file, written together or not at all."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import apsw

from aqe.engine.memory.adding import add_rows, current_memory, end_memories, erase_rows, require_memory, revise
from aqe.engine.memory.adding import unknown as unknown
from aqe.engine.memory.checking import checked_row, placed
from aqe.engine.memory.contents import StoreStats, read_stats
from aqe.engine.memory.entry import (
    Hit,
    Kept,
    Memory,
    NewMemory,
    Provenance,
    SearchAnswer,
    check_id,
    check_limit,
    check_namespace,
)
from aqe.engine.memory.file.connection import (
    BUSY_TIMEOUT_S,
    Beside,
    Elsewhere,
    Reading,
    Watched,
    Writing,
    go_on_with,
    open_connection,
    shrink,
    stays_here,
    transaction,
)
from aqe.engine.memory.file.failures import speaking
from aqe.engine.memory.file.migrations import migrate
from aqe.engine.memory.graph.edges import unlink
from aqe.engine.memory.growth.access import AccessCounts
from aqe.engine.memory.growth.expiry import Wanted, alive, end_expired, is_over
from aqe.engine.memory.growth.recalled import MOST_TEXTS, lately_recalled, said_already
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.memory.growth.staleness import FileDigests, fresh_answer
from aqe.engine.memory.listing import newest_memories, revisions
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.meaning.codes import Codes
from aqe.engine.memory.meaning.measuring import search_figures
from aqe.engine.memory.rows import Row, end_row
from aqe.engine.memory.search import ranking
from aqe.engine.memory.search.at_hand import AtHand
from aqe.engine.memory.search.hits import FoundMemories
from aqe.engine.memory.search.kinds import Kinds
from aqe.engine.memory.search.names import Names
from aqe.engine.memory.search.searching import MOST_HITS, Searcher, wanted_in
from aqe.engine.memory.search.searching import Prior as Prior
from aqe.engine.memory.search.shares import Shares
from aqe.engine.memory.terms.postings import TextPostings
from aqe.engine.memory.tiers.demoted import Remake, remaker

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Numbers
    from aqe.engine.memory.graph.searching import Graph
    from aqe.engine.memory.meaning.hnsw import Shape
    from aqe.engine.memory.search.ranking import Scope, Sides


def utc_now() -> int:
    """UTC microseconds since 1970."""
    return time.time_ns() // 1000


class Store:
    """The store behind one connection; safe to share between threads, and between processes through the file.

    Made by `Store.open` (or `open_store` for a project). Every error is a `UserError` that names the file.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        *,
        here: Provenance,
        now: Callable[[], int],
        clean: Callable[[str], str] | None = None,
        reopen: Callable[[Path], apsw.Connection] = open_connection,
        growth: GrowthRules | None = None,
        shares: Shares | None = None,
        sealed: bool = False,
    ) -> None:
        self.path = path
        self.graph: Graph | None = None
        self._reopen = reopen
        self.now = now
        self.here = here
        self._clean = clean
        self._connection = connection
        lock = threading.RLock()
        self._lock: threading.RLock | Elsewhere = lock
        self._is_closed = False
        self.only_reads = False
        """Whether nothing can be written here, so that nobody need try."""
        self.growth = growth or GrowthRules()
        self.files = FileDigests(self.growth.root)
        self.accesses = AccessCounts(path, reopen, now, self.growth.half_life_days)
        spare = functools.partial(shrink, connection, lock)
        codes = Codes(path, reopen=reopen, shrink=spare, sealed=sealed)
        lists, kinds = TextPostings(path, reopen=reopen), Kinds(path, reopen=reopen)
        about = shares or Shares(), self.accesses.tally, self.growth.rank, lambda: self.graph
        memories = FoundMemories(self.files, path, reopen=reopen)
        self._searcher = Searcher(self.reading, codes, lists, kinds, self.files, memories, now, *about)
        self._looking = Reading(connection, path, lock, self._searcher.end_moment)
        self._changing = Writing(connection, path, lock)
        self._beside = Beside(path, reopen)
        self._names = Names(path, reopen=reopen)
        spot = self._looking, self._names, self.files, self.growth.stale
        noted = self.accesses.count_rows, lately_recalled(path).add
        self.at_hand = AtHand(self._searcher, connection, lock, *spot, *noted)
        """Searches that an event loop may wait for."""
        stays_here(self)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        key: str | None = None,
        durability: str = "normal",
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        here: Provenance | None = None,
        now: Callable[[], int] = utc_now,
        clean: Callable[[str], str] | None = None,
        growth: GrowthRules | None = None,
        shares: Shares | None = None,
    ) -> Self:
        """Open the database at `path`, made or brought to the newest version when needed.

        `here` gives the worktree and commit of what is added; `clean` is what every text and every text of its
        metadata goes through before it is written; `shares` weighs words and meaning in searches by both. Raises
        `UserError` (database-broken, database-key, database-locked, database-newer, project-read-only, disk-full).
        """
        open_again = functools.partial(open_connection, key=key, durability=durability, busy_timeout_s=busy_timeout_s)
        connection = open_again(path)
        try:
            migrate(connection, path, now=now, open_again=open_again)
        except BaseException:
            connection.close()
            raise
        return cls(
            connection,
            path,
            here=here or Provenance(),
            now=now,
            clean=clean,
            reopen=open_again,
            growth=growth,
            shares=shares,
            sealed=bool(key),
        )

    def close(self) -> None:
        """Close the connection; closing twice is nothing, and so is closing in a forked process: it is the parent's."""
        if isinstance(self._lock, Elsewhere):
            return
        with contextlib.ExitStack() as ends:  # the last first, and all of them where one fails
            ends.callback(self._close_behind)
            ends.callback(self._beside.close)
            if self.graph is not None:
                ends.callback(self.graph.close)

    def _close_behind(self) -> None:
        """Close what the lock keeps from being used meanwhile; the threads that this waits for take no lock."""
        searcher = self._searcher
        with self._lock, contextlib.ExitStack() as ends:
            if self._is_closed:
                return
            self._is_closed = True
            ends.callback(self._connection.close)
            ends.callback(searcher.codes.close, self._connection)
            for one in (searcher.kinds, searcher.lists, searcher.memories, self._names):
                ends.callback(one.close)
            ends.callback(self.accesses.close, self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def go_on_with(self, connection: apsw.Connection, watched: Watched | None) -> None:
        """Use another connection to the same file, one that only reads where it is `watched`. Whoever calls holds the
        lock and is in no transaction."""
        before = self._connection
        go_on_with(connection, self, self._looking, self._changing, self.at_hand)
        self._looking.watched = self._changing.watched = watched
        self.only_reads = watched is not None
        if connection is not before:
            before.close()

    def writing(self) -> contextlib.AbstractContextManager[apsw.Connection]:
        """One write transaction on the store's own connection, for the tables beside the memories."""
        return self._changing

    def writing_durably(self) -> contextlib.AbstractContextManager[apsw.Connection]:
        """As `writing`, and what it wrote survives a power loss whatever the store's durability is."""
        return self._changing.durably()

    def reading(self) -> contextlib.AbstractContextManager[apsw.Connection]:
        """One read transaction: everything in the block sees the same state. One within another is part of it."""
        return self._looking

    def writing_aside(self) -> contextlib.AbstractContextManager[apsw.Connection]:
        """As `writing`, on another connection, so that no reader waits for it; that stays open until `rest_aside`."""
        return self.writing() if str(self.path) == ":memory:" else self._beside.writing()

    def rest_aside(self) -> None:
        """Close the connection of `writing_aside` until somebody writes so again."""
        self._beside.close()

    @contextlib.contextmanager
    def looking(self) -> Iterator[apsw.Connection]:
        """As `reading`, on a connection of its own: a long look at one state that keeps nobody waiting."""
        if self.only_reads or str(self.path) == ":memory:":
            with self.reading() as connection:
                yield connection
            return
        connection = self._reopen(self.path)
        try:
            with transaction(connection, self.path, write=False):
                yield connection
        finally:
            connection.close()

    def add(
        self,
        text: str,
        *,
        namespace: str = "default",
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        vector: Numbers | None = None,
        embedder_id: str | None = None,
        provenance: Provenance | None = None,
    ) -> str:
        """Remember `text`; returns its id.

        The same text in the same namespace, both times without an id, is one memory: the metadata of both are joined,
        the newest file and line are its own. A vector is stored where one is given, or shared from a memory with the
        same text. Raises `UserError` (id-taken when the id holds another text; bad-text, text-too-long, bad-id,
        bad-namespace, bad-metadata, bad-vector, bad-provenance).
        """
        return self.add_many([NewMemory(text, namespace, id, metadata or {}, vector, embedder_id, provenance)])[0]

    def add_many(self, memories: Iterable[NewMemory]) -> list[str]:
        """Remember all or, when one is refused, none; returns the ids in order."""
        return [kept.id for kept in self.keep(memories)]

    def keep(self, memories: Iterable[NewMemory]) -> list[Kept]:
        """As `add_many`, and tells of each memory whether it had been kept before and what it took over. Of a text that
        is there the later of two ends counts; one without an end keeps none."""
        rows = [self._checked(placed(memory)) for memory in memories]
        now = self.now()
        window_s = self.growth.recalled_s if len(rows) <= MOST_TEXTS else 0.0
        with self.writing() as connection:
            end_expired(connection, now)
            said = functools.partial(said_already, connection, self.path, now=now, window_s=window_s)
            return add_rows(connection, rows, now, said)

    def note_recalled(self, shown: Sequence[Hit | tuple[str, str]]) -> None:
        """Note, in memory alone, that memories (namespace, id) were shown: what only repeats them is not stored now."""
        self.accesses.count(memories := [one.memory if isinstance(one, Hit) else one for one in shown])
        lately_recalled(self.path).add(memories)

    def as_kept(self, text: str) -> str:
        """`text` as it would be written: without secrets where this store takes them out."""
        return text if self._clean is None else self._clean(text)

    def get(self, id: str, *, namespace: str = "default") -> Memory | None:
        """The current revision, None when there is none."""
        with self.reading() as connection:
            found = current_memory(connection, check_id(id), check_namespace(namespace))
        return None if found is None or is_over(found, self.now) else self.files.marked(found)

    def history(self, id: str, *, namespace: str = "default") -> list[Memory]:
        """All revisions, oldest first, those of a deleted memory too."""
        with self.reading() as connection:
            return revisions(connection, check_namespace(namespace), check_id(id))

    def update(
        self,
        id: str,
        *,
        namespace: str = "default",
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        vector: Numbers | None = None,
        embedder_id: str | None = None,
        provenance: Provenance | None = None,
        ttl_s: float | None = None,
    ) -> int:
        """Put a new revision in place of the current one, which is kept; returns its number.

        What is not given stays, but a vector does not outlive a change of its text. `ttl_s` is how long it is to be
        kept from now on in seconds, infinity for good. Raises `UserError` (unknown-id and those of `add`).
        """
        with self.writing() as connection:
            now = self.now()
            old = require_memory(connection, id, namespace, now)
            row = self._checked(
                NewMemory(
                    old.text if text is None else text,
                    old.namespace,
                    old.id,
                    old.metadata if metadata is None else metadata,
                    vector,
                    embedder_id,
                    provenance or replace(old.provenance, worktree=self.here.worktree, commit=self.here.commit),
                    ttl_s=ttl_s,
                )
            )
            return revise(connection, replace(old, expires_at=None) if row.for_good else old, row, now)

    def delete(self, id: str, *, namespace: str = "default", erase: bool = False) -> None:
        """End the memory: no search finds it any more. With `erase` no word of it stays in the file either.

        Raises `UserError` (unknown-id).
        """
        with self.writing() as connection:
            if not erase:
                end_memories(connection, check_namespace(namespace), [id], self.now())
            else:
                end_row(connection, check_namespace(namespace), check_id(id), self.now())
                unlink(connection, namespace, id)
                erase_rows(connection, namespace, id)
                self.accesses.forget()
        if erase:
            with self._lock, speaking(self.path):
                self._searcher.codes.forget()
                connection.pragma("wal_checkpoint", "truncate")

    def delete_many(self, ids: Iterable[str], *, namespace: str = "default") -> None:
        """End all of these memories or, when one is not there, none. Raises `UserError` (unknown-id)."""
        with self.writing() as connection:
            end_memories(connection, check_namespace(namespace), ids, self.now())

    def list(
        self,
        *,
        namespace: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Memory]:
        """The current memories of a namespace, newest first; `namespace` as in `search`. Raises `UserError`
        (bad-filter...)."""
        wanted = wanted_in(namespace, filter)
        check_limit(limit, 1_000_000)
        with self.reading() as connection:
            scope = ranking.scope_of(connection, *alive(connection, wanted, self.now))
            found = newest_memories(connection, scope, limit, offset)
        return [self.files.marked(memory) for memory in found]

    def search(
        self,
        query: str | None = None,
        *,
        vector: Numbers | None = None,
        k: int = 10,
        namespace: str | None = None,
        filter: Mapping[str, Any] | None = None,
        embedder_id: str | None = None,
        prior: Prior | None = None,
        explain: bool = False,
    ) -> SearchAnswer:
        """The `k` best memories of a namespace for a text, a vector, or both together.

        Without a `namespace` all that was remembered is searched, which the project index is not; `name/` means all
        namespaces below `name`, so `index/` is the project index. `filter` is `{key: value}` or `{key: {operator:
        value}}` on the metadata. `prior` gives what is added to the fused score of candidates, by namespace and id, in
        standard deviations; with `explain` hits by both sides say what their scores are made of. Raises `UserError`
        (bad-query, bad-limit, bad-filter, bad-vector, bad-namespace).
        """
        wanted = wanted_in(namespace, filter)

        def search(wide: int) -> SearchAnswer:
            return self._searcher.search(query, vector, [(wanted, wide)], embedder_id, prior, explain=explain)[0]

        found = fresh_answer(search(k), search, self.growth.stale, k, MOST_HITS)
        self.note_recalled(found.hits)
        return found

    def follow(self, growth: GrowthRules, shares: Shares) -> None:
        """Search by other rules from now on; the folder and the half-life of accesses stay those of before."""
        with self._lock:
            self.growth = replace(growth, root=self.growth.root, half_life_days=self.growth.half_life_days)
            self._searcher.follow_rules(shares, growth.rank)
            self.at_hand.follow_rules(growth.stale)

    def is_settled(self, embedder_id: str, dimension: int) -> bool:
        """Whether no memory waits for a vector of this embedder of aqe's own."""
        with self.reading() as connection:
            return self._searcher.is_settled(connection, embedder_id, dimension)

    def remake_with(self, embedder: Embedder) -> None:
        """Have vectors of which only the signs are kept made anew by `embedder`, where they come near a query."""
        self._searcher.codes.remake = remaker(embedder)

    @property
    def remake(self) -> Remake | None:
        """What makes such vectors anew."""
        return self._searcher.codes.remake

    def vector_share(self, connection: apsw.Connection, scope: Scope, sides: Sides) -> float | dict[int, float]:
        """The share of the vector in the scores of a scope, or of each candidate, which may be of the past."""
        return self._searcher.share(connection, scope, sides, past=True)

    def use_graph(self, shape: Shape) -> None:
        """Search by a graph of usearch from now on, once it is made; raises `UserError` (missing-extra)."""
        from aqe.engine.memory.meaning.hnsw import library

        library()
        self._searcher.codes.shape = shape

    def search_each(
        self,
        query: str,
        *,
        vector: Numbers | None = None,
        places: Sequence[tuple[str | None, int]],
        embedder_id: str | None = None,
        prior: Prior | None = None,
        least: Mapping[str, float] | None = None,
    ) -> tuple[SearchAnswer, ...]:
        """As one `search` in each of some `places`, each a namespace and the `k` to find there, for less than their
        sum: all see the same state. A place that is named in `least` is empty where nothing in it has at least that
        cosine."""
        wanted = [(wanted_in(namespace, None), k) for namespace, k in places]

        def search(some: list[tuple[Wanted, int]]) -> tuple[SearchAnswer, ...]:
            return self._searcher.search(query, vector, some, embedder_id, prior, least=least)

        found = search(wanted)
        if self.growth.stale == "mark" or not any(hit.memory.stale for one in found for hit in one.hits):
            return found
        with self.reading():
            again = [functools.partial(lambda place, wide: search([(place, wide)])[0], place) for place, _ in wanted]
            return tuple(
                fresh_answer(one, more, self.growth.stale, k, MOST_HITS)
                for one, more, (_, k) in zip(search(wanted), again, wanted, strict=True)
            )

    def rarity(self, query: str, *, without: str = "") -> dict[str, float]:
        """How telling each term of a query is, from 0 (every row has it) to 1 (no row has it), over all rows but those
        of the namespaces that begin with `without`.

        It is the inverse document frequency of BM25, ln(1 + (N - n + .5) / (n + .5)), as a share of the highest. Of a
        long text only the most telling terms are there.
        """
        return self._searcher.rarity(query, without)

    def vector(self, id: str, *, namespace: str = "default") -> tuple[float, ...] | None:
        """The stored vector of the current revision, None where it has none."""
        with self.reading() as connection:
            packed = vectors.read_current(connection, check_namespace(namespace), check_id(id))
        return None if packed is None else tuple(memoryview(packed).cast("f"))

    def cosines(
        self, vector: Numbers, keys: Sequence[tuple[str, str]], *, embedder_id: str
    ) -> dict[tuple[str, str], float]:
        """How near the current revision of each memory (namespace, id) is to a vector; without those that have none."""
        return self._searcher.cosines(vector, keys, embedder_id)

    def changes(self) -> int:
        """A number that grows with every change of a memory by anybody; as long as it stays, so does what is found."""
        with self.reading() as connection:
            return int(connection.execute("SELECT number FROM changes WHERE of = 'memories'").get)

    def stats(self, *, measure: bool = False) -> StoreStats:
        """Counts and bytes, and what searches find; with `measure` also where no search was made yet."""
        codes = self._searcher.codes
        with self.reading() as connection:
            found = read_stats(connection, self.path, self.now())
            searches = search_figures(connection, codes, load=measure)
            connection.release_memory()  # counting has read every page
        return replace(found, searches=searches, bytes={**found.bytes, "codes": codes.size()})

    def _checked(self, memory: NewMemory) -> Row:
        return checked_row(memory, self.here, self.files, self._clean, self.now)
