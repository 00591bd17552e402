"""Near-duplicates become one memory, and what growth ended can be brought back.

Two memories of a namespace are near-duplicates where their words overlap (`likeness.overlap`) and, where both have a
vector of one space, their vectors are as near. The newer one stays, with the metadata of both; the older one ends, and
its row and the log say into which. Left alone are ids of callers, pinned memories, corrections, and the shelves that
are derived from files.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import mul
from typing import Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.adding import current_memory, revise, unknown
from aqe.engine.memory.entry import Memory, check_id, check_namespace, metadata_json
from aqe.engine.memory.file.sums import seal
from aqe.engine.memory.growth.access import carry_over
from aqe.engine.memory.growth.expiry import ALIVE
from aqe.engine.memory.growth.likeness import LONGEST, alike_pairs, overlap, profile
from aqe.engine.memory.growth.log import note
from aqe.engine.memory.growth.wording import says_same
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.rows import COLUMNS, Row, end_row, insert_row, read_memory
from aqe.engine.memory.search.ranking import CORRECTIONS, SHELVES
from aqe.engine.memory.store import Store
from aqe.engine.progress import CancelToken, Progress, silent

COSINE = 0.9
OVERLAP = 0.8
BATCH = 200
MOST = 1_000_000


@dataclass(frozen=True)
class Merge:
    """An older memory (`id`) and the newer one that it is merged into; `cosine` is None where they have no vectors to
    compare."""

    namespace: str
    id: str
    into: str
    overlap: float
    cosine: float | None
    text: str
    into_text: str


@dataclass(frozen=True)
class _Candidate:
    row: int
    namespace: str
    id: str
    text: str
    table: int | None


def find_duplicates(
    store: Store,
    *,
    namespace: str | None = None,
    cosine: float = COSINE,
    least_overlap: float = OVERLAP,
    same: bool = False,
    after: int = 0,
    most: int = MOST,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> list[Merge]:
    """The merges to be made, in a namespace or in all: of rows behind `after` with any older one, among the newest
    `most` of a namespace. With `same` only texts that say the same word for word (`wording.says_same`), as is needed
    where nobody looks at them."""
    found: list[Merge] = []
    with store.reading() as connection:
        names = _namespaces(connection, namespace)
    for done, name in enumerate(names):
        progress(f"Comparing the memories of {name}", done, len(names))
        with store.reading() as connection:
            candidates = _candidates(connection, name, most, store.now())
        if not candidates or candidates[0].row <= after:
            continue
        found += _of_namespace(store, candidates, cosine, least_overlap, after, cancel, same=same)
    return found


def merge(
    store: Store, merges: Sequence[Merge], *, progress: Progress = silent, cancel: CancelToken | None = None
) -> int:
    """Make the merges whose memories are still what they were; returns how many were made. What stands is kept when
    the work is cut off. Raises `Cancelled`."""
    done = 0
    for start in range(0, len(merges), BATCH):
        if cancel is not None:
            cancel.check()
        progress("Merging near-duplicates", start, len(merges))
        with store.writing() as connection:
            now = store.now()
            done += sum(_merge_one(connection, one, now) for one in merges[start : start + BATCH])
    return done


def revive(store: Store, id: str, *, namespace: str = "default") -> int:
    """Bring back a memory that ended, as it was but without an end; returns the number of its new revision.

    What another memory got from it by merging stays there too. Raises `UserError` (unknown-id, id-taken).
    """
    with store.writing() as connection:
        current = current_memory(connection, check_id(id), check_namespace(namespace))
        if current is not None and current.expires_at is not None and current.expires_at <= store.now():
            end_row(connection, namespace, id, current.expires_at, note="expired")
        elif current is not None:
            raise UserError(f"The memory {id!r} has not ended.", code="id-taken", fix="There is nothing to bring back.")
        sql = f"SELECT memories.row, text_hash, vector, {COLUMNS}".replace(
            " FROM memories", " FROM memories LEFT JOIN retired_vectors USING (row)"
        )
        found = connection.execute(
            f"{sql} WHERE namespace = ? AND id = ? ORDER BY revision DESC LIMIT 1", (namespace, id)
        ).fetchone()
        if found is None:
            raise unknown(connection, id, namespace)
        old, now = read_memory(found[3:]), store.now()
        row = Row(
            id=old.id,
            namespace=old.namespace,
            text=old.text,
            text_hash=bytes(found[1]),
            metadata=metadata_json(old.metadata),
            vector=None if found[2] is None else bytes(found[2]),
            embedder_id=old.embedder_id or "",
            provenance=old.provenance,
            pinned=old.pinned,
            file_digest=old.file_digest,
        )
        insert_row(connection, row, old.id, id_given=old.id_given, created_at=old.created_at, now=now)
        note(connection, now, "revived", namespace, id, {"ended": old.end_note})
        return old.revision + 1


def _of_namespace(
    store: Store,
    candidates: Sequence[_Candidate],
    cosine: float,
    least: float,
    after: int,
    cancel: CancelToken | None,
    *,
    same: bool,
) -> list[Merge]:
    """The merges within one namespace, whose candidates come newest first."""
    profiles = [profile(one.text[:LONGEST]) for one in candidates]
    pairs = sorted(pair for pair in alike_pairs(profiles) if candidates[pair[0]].row > after)
    found: list[Merge] = []
    gone: set[int] = set()
    for newer, older in pairs:
        if cancel is not None:
            cancel.check()
        if newer in gone or older in gone:
            continue
        new, old = candidates[newer], candidates[older]
        shared = overlap(profiles[newer], profiles[older])
        if shared < least or (same and not says_same(new.text, old.text)):
            continue
        near = _cosine(store, new, old)
        if near is not None and near < cosine:
            continue
        gone.add(older)
        found.append(Merge(old.namespace, old.id, new.id, round(shared, 4), near, old.text, new.text))
    return found


def _cosine(store: Store, a: _Candidate, b: _Candidate) -> float | None:
    if a.table is None or a.table != b.table:
        return None
    with store.reading() as connection:
        held = vectors.read_each(connection, a.table, [a.row, b.row])
    if len(held) < 2:
        return None
    x, y = (array("f", held[row]) for row in (a.row, b.row))
    length = math.hypot(*x) * math.hypot(*y)
    return round(math.fsum(map(mul, x, y)) / length, 4) if length else None


def _namespaces(connection: apsw.Connection, namespace: str | None) -> list[str]:
    if namespace is not None:
        return [] if check_namespace(namespace).startswith((*SHELVES, CORRECTIONS)) else [namespace]
    found = connection.execute("SELECT DISTINCT namespace FROM memories WHERE valid_to IS NULL ORDER BY 1")
    return [str(name) for (name,) in found if not str(name).startswith((*SHELVES, CORRECTIONS))]


def _candidates(connection: apsw.Connection, namespace: str, most: int, now: int) -> list[_Candidate]:
    sql = (
        "SELECT row, namespace, id, text, embedder FROM memories WHERE valid_to IS NULL AND namespace = ?"
        f" AND {ALIVE} AND id_given = 0 AND pinned = 0 AND length(text) <= ? ORDER BY row DESC LIMIT ?"
    )
    found: list[Any] = connection.execute(sql, (namespace, now, LONGEST, most)).fetchall()
    return [_Candidate(*row) for row in found]


def _merge_one(connection: apsw.Connection, one: Merge, now: int) -> bool:
    old = current_memory(connection, one.id, one.namespace)
    new = current_memory(connection, one.into, one.namespace)
    if old is None or new is None or old.pinned or (old.text, new.text) != (one.text, one.into_text):
        return False
    if any(memory.expires_at is not None and memory.expires_at <= now for memory in (old, new)):
        return False
    before = _row(connection, old)
    end_row(connection, old.namespace, old.id, now, note=f"merged into {new.id}")
    _take_in(connection, new, old, now)
    carry_over(connection, before, _row(connection, new))
    facts = {"into": new.id, "overlap": one.overlap, "cosine": one.cosine}
    note(connection, now, "merged", old.namespace, old.id, facts)
    return True


def _take_in(connection: apsw.Connection, new: Memory, old: Memory, now: int) -> None:
    """Give a memory what it lacks of one that is merged into it: metadata, and the longer life."""
    lasts = None if None in (new.expires_at, old.expires_at) else max(new.expires_at or 0, old.expires_at or 0)
    joined = {**old.metadata, **new.metadata}
    if joined != new.metadata:
        digest = connection.execute("SELECT text_hash FROM memories WHERE row = ?", (_row(connection, new),)).get
        row = Row(
            id=new.id,
            namespace=new.namespace,
            text=new.text,
            text_hash=bytes(digest),
            metadata=metadata_json(joined),
            vector=None,
            embedder_id=new.embedder_id or "",
            provenance=new.provenance,
        )
        revise(connection, replace(new, expires_at=lasts), row, now)
    elif lasts != new.expires_at:
        connection.execute("UPDATE memories SET expires_at = ? WHERE row = ?", (lasts, _row(connection, new)))
        seal(connection, _row(connection, new))


def _row(connection: apsw.Connection, memory: Memory) -> int:
    sql = "SELECT row FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    return int(connection.execute(sql, (memory.namespace, memory.id)).get)
