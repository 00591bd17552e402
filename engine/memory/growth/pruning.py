"""A budget for what is remembered: the memories of least worth go first, and each says why.

The worth of a memory is how often it was recalled lately (its decayed accesses, its making counting as one) times what
feedback says of it, from .5 (answers that rested on it failed) over 1 (nothing is known) to 1.5. Pinned memories never
go, nor do corrections; the project index and the knowledge are not weighed, since they are derived from files.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.memory.file.namespaces import end_of
from aqe.engine.memory.growth.access import HALF_LIFE_DAYS, decayed
from aqe.engine.memory.growth.expiry import ALIVE, end_expired, in_batches
from aqe.engine.memory.growth.log import note
from aqe.engine.memory.rows import end_row
from aqe.engine.memory.search.ranking import CORRECTIONS, SHELVES
from aqe.engine.memory.store import Store
from aqe.engine.progress import CancelToken, Progress, silent

ROW_BYTES = 400
"""What a row takes beside its text, metadata and vector: indexes, ids, times."""

INDEXED = 2
"""A text takes about twice its length: itself, and its words in the text index."""

KEPT_DAYS = 30.0
"""What growth ended is erased from the file this long after, where a budget asks for room."""

BATCH = 500
Quality = Callable[[Sequence[tuple[str, str]]], Mapping[tuple[str, str], float]]
"""Of memories (namespace, id), what feedback says of each, from -1 to 1; those left out have none."""


@dataclass(frozen=True)
class Prunable:
    """A memory that would go: its worth, and what that is made of. `quality` is None without feedback; times are UTC
    microseconds, `last_at` None where it was never recalled."""

    namespace: str
    id: str
    text: str
    bytes: int
    worth: float
    recalls: int
    last_at: int | None
    quality: float | None


@dataclass(frozen=True)
class PrunePlan:
    """What is remembered, in memories and bytes; the budget (0: none); and what goes, the least worth first."""

    memories: int
    bytes: int
    max_memories: int
    max_bytes: int
    goes: tuple[Prunable, ...]


@dataclass(frozen=True)
class Pruned:
    """What was done: memories that were over and ended, those pruned, and ended rows erased for good."""

    expired: int
    pruned: int
    erased: int


@dataclass(frozen=True)
class _Weighed:
    namespace: str
    id: str
    bytes: int
    recalls: int
    last_at: int | None
    worth: float
    quality: float | None
    is_kept: bool


def worth_of(recalls: float, quality: float | None) -> float:
    """The worth of a memory from its decayed recalls and what feedback says of it (-1 to 1, None without).

    >>> worth_of(2.0, None), worth_of(2.0, 1.0), worth_of(2.0, -1.0)
    (2.0, 3.0, 1.0)
    """
    return recalls * (1.0 + 0.5 * max(-1.0, min(1.0, quality or 0.0)))


def plan_pruning(
    store: Store,
    *,
    max_bytes: int = 0,
    max_memories: int = 0,
    half_life_days: float = HALF_LIFE_DAYS,
    quality: Quality | None = None,
) -> PrunePlan:
    """What would go so that the rest fits both budgets; nothing is written. What is over is none of the rest: it has
    ended for whoever looks, and neither counts nor goes for want of room."""
    now = store.now()
    with store.reading() as connection:
        rows = list(_weigh(connection, now, half_life_days))
    if quality is not None and rows:
        found = quality([(one.namespace, one.id) for one in rows])
        rows = [_rated(one, found.get((one.namespace, one.id))) for one in rows]
    count, size = len(rows), sum(one.bytes for one in rows)
    over_count = max(0, count - max_memories) if max_memories else 0
    over_bytes = max(0, size - max_bytes) if max_bytes else 0
    going: list[_Weighed] = []
    order = [(one.worth, at) for at, one in enumerate(rows) if not one.is_kept]
    heapq.heapify(order)
    while order and (over_count > 0 or over_bytes > 0):
        one = rows[heapq.heappop(order)[1]]
        going.append(one)
        over_count, over_bytes = over_count - 1, over_bytes - one.bytes
    with store.reading() as connection:
        goes = tuple(_prunable(connection, one) for one in going)
    return PrunePlan(count, size, max_memories, max_bytes, goes)


def prune(store: Store, plan: PrunePlan, *, progress: Progress = silent, cancel: CancelToken | None = None) -> Pruned:
    """End what is over and what the plan names, batch by batch; erase what growth ended long ago where the plan found
    the budget exceeded. Raises `Cancelled`; what stands is kept."""
    expired = in_batches(lambda most: _expire(store, most))
    done = 0
    for start in range(0, len(plan.goes), BATCH):
        if cancel is not None:
            cancel.check()
        progress("Pruning what is worth least", start, len(plan.goes))
        with store.writing() as connection:
            done += sum(_end(connection, one, store.now()) for one in plan.goes[start : start + BATCH])
    erased = in_batches(lambda most: _erase(store, most)) if plan.goes else 0
    return Pruned(expired, done, erased)


def _weigh(connection: apsw.Connection, now: int, half_life_days: float) -> Iterator[_Weighed]:
    shelves = "".join(f" AND NOT (namespace >= '{shelf}' AND namespace < '{end_of(shelf)}')" for shelf in SHELVES)
    sql = (
        "SELECT namespace, id, octet_length(text), octet_length(metadata), coalesce(octet_length(demoted.vector),"
        " 4 * dimension, 0), pinned, created_at, accesses.count, last_at, score FROM memories"
        " LEFT JOIN embedders ON embedder = number LEFT JOIN accesses USING (row) LEFT JOIN demoted USING (row)"
        f" WHERE valid_to IS NULL AND {ALIVE}{shelves} ORDER BY created_at, memories.row"
    )
    for name, id, text, extra, vector, pinned, made, count, last, score in connection.execute(sql, (now,)):
        recalls = decayed(1.0, made, now, half_life_days)
        if score is not None:
            recalls += decayed(score, last, now, half_life_days)
        size = INDEXED * text + extra + vector + ROW_BYTES
        kept = bool(pinned) or str(name) == CORRECTIONS
        yield _Weighed(name, id, size, count or 0, last, recalls, None, kept)


def _rated(one: _Weighed, quality: float | None) -> _Weighed:
    if quality is None:
        return one
    return _Weighed(
        one.namespace, one.id, one.bytes, one.recalls, one.last_at, worth_of(one.worth, quality), quality, one.is_kept
    )


def _prunable(connection: apsw.Connection, one: _Weighed) -> Prunable:
    sql = "SELECT substr(text, 1, 200) FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    text: Any = connection.execute(sql, (one.namespace, one.id)).get
    return Prunable(
        one.namespace, one.id, str(text or ""), one.bytes, round(one.worth, 6), one.recalls, one.last_at, one.quality
    )


def _end(connection: apsw.Connection, one: Prunable, now: int) -> bool:
    sql = "SELECT pinned FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    found = connection.execute(sql, (one.namespace, one.id)).fetchone()
    if found is None or found[0]:
        return False
    end_row(connection, one.namespace, one.id, now, note="pruned")
    facts = {"worth": one.worth, "recalls": one.recalls, "last_at": one.last_at, "quality": one.quality}
    note(connection, now, "pruned", one.namespace, one.id, facts)
    return True


def _expire(store: Store, most: int) -> int:
    with store.writing() as connection:
        return end_expired(connection, store.now(), most=most)


def _erase(store: Store, most: int) -> int:
    """Erase rows that growth ended long ago."""
    with store.writing() as connection:
        before = store.now() - int(KEPT_DAYS * 86_400e6)
        old = "SELECT row FROM memories WHERE valid_to < ? AND end_note != '' LIMIT ?"
        connection.execute(f"DELETE FROM memories WHERE row IN ({old})", (before, most))
        return int(connection.changes())
