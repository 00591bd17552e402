"""A memory is added, or put in another's place: the rules of one row in one transaction of the caller."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.absence import absent_in
from aqe.engine.memory.entry import (
    Kept,
    Memory,
    Provenance,
    check_id,
    check_namespace,
    made,
    metadata_json,
    uuid7,
)
from aqe.engine.memory.file.sums import seal
from aqe.engine.memory.growth.access import carry_over
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.rows import (
    COLUMNS,
    OF_TEXT,
    Row,
    Waiting,
    close_row,
    end_row,
    insert_row,
    leave_indexes,
    put_vector,
    read_memory,
)

_NEW = asdict(Kept("", existed=False))


def add_rows(
    connection: apsw.Connection, rows: Iterable[Row], now: int, said: Callable[[str, str], Memory | None]
) -> list[Kept]:
    """Add memories, or join each to the one that it is: the one with its id, its exact duplicate, or the one that
    `said` all that its text says in its namespace and was just recalled."""
    waiting = Waiting()
    kept = [_add_row(connection, row, now, said, waiting) for row in rows]
    waiting.tell(connection)
    return kept


def _add_row(
    connection: apsw.Connection, row: Row, now: int, said: Callable[[str, str], Memory | None], waiting: Waiting
) -> Kept:
    after = waiting.claim(connection, row)
    same = _same(connection, row, now, waiting) if after or row.id is None else None
    if same is not None:
        waiting.tell(connection)
        return _join(connection, same, row, _given_end(same, row), now)
    if row.id is None and not row.as_new and (row.vector is None or row.derived):
        known = said(row.text, row.namespace)
        if known is not None and _joins(known, row):
            waiting.tell(connection)
            return _join_recalled(connection, known, row, now)
    id = row.id or uuid7(now)
    given = row.id is not None
    insert_row(connection, row, id, id_given=given, created_at=None, now=now, waiting=waiting, after=after)
    return made(Kept, _NEW | {"id": id, "namespace": row.namespace, "expires_at": row.expires_at})


def _joins(said: Memory, row: Row) -> bool:
    """Whether nothing of the row is lost when it is answered with a memory that was recalled: what cannot be joined,
    since its id is the caller's or it lies elsewhere, has to have all of it and to last as long."""
    if said.namespace == row.namespace and not said.id_given:
        return True
    lasts = said.expires_at is None or (row.expires_at is not None and row.expires_at <= said.expires_at)
    is_there = row.told is None or row.told.file in ("", said.provenance.file)
    return lasts and is_there and {**said.metadata, **json.loads(row.metadata)} == said.metadata


def _join_recalled(connection: apsw.Connection, known: Memory, row: Row, now: int) -> Kept:
    """Answer with a memory that was recalled, which takes over what it has nothing of; its end is as that of one whose
    very text is added again."""
    if known.namespace != row.namespace or known.id_given:
        ends = known.expires_at
        stays = row.expires_at is not None and row.expires_at != ends
        return Kept(known.id, True, recalled=True, namespace=known.namespace, expires_at=ends, kept_end=stays)
    digest = hashlib.sha256(known.text.encode("utf-8")).digest()
    told = None if known.provenance.file not in ("", row.provenance.file) else row.told
    row = replace(row, text=known.text, text_hash=digest, vector=None, told=told)
    return replace(_join(connection, known, row, _given_end(known, row), now), recalled=True)


def _given_end(same: Memory, row: Row) -> int | None:
    """When a memory ends that is told again, in whatever words: the later of both ends; never where it has none, or is
    to have none from now on."""
    if same.expires_at is None or row.for_good:
        return None
    return max(row.expires_at or 0, same.expires_at)


def _join(connection: apsw.Connection, same: Memory, row: Row, ends: int | None, now: int) -> Kept:
    """Join what is new about a memory that is there: metadata, a caller's vector, where it comes from, its file as it
    is now, its end."""
    metadata = metadata_json({**same.metadata, **json.loads(row.metadata)})
    if (row.derived and same.embedder_id is not None) or _has_vector(connection, same, row):
        row = replace(row, vector=None)
    origin, digest = _origin(same, row)
    is_moved = (origin.file, origin.line) != (same.provenance.file, same.provenance.line)
    news = {
        "metadata": json.loads(metadata) != same.metadata,
        "vector": row.vector is not None and not row.derived,
        "provenance": origin != same.provenance,
        "expires_at": ends != same.expires_at,
    }
    joined = tuple(name for name, is_new in news.items() if is_new)
    stays = row.expires_at is not None and row.expires_at != ends
    kept = Kept(same.id, existed=True, namespace=same.namespace, expires_at=ends, joined=joined, kept_end=stays)
    if news["metadata"] or news["vector"] or is_moved:
        row = replace(row, metadata=metadata, provenance=origin, expires_at=None, file_digest=digest)
        revise(connection, replace(same, expires_at=ends, file_digest=digest), row, now)
        return kept
    if row.vector is not None:
        size = len(row.vector) // 4
        table = vectors.ensure_table(connection, row.embedder_id, size, derived=row.derived)
        put_vector(connection, _number(connection, same), table, row.vector)
    if (ends, digest, origin) != (same.expires_at, same.file_digest, same.provenance):
        sql = 'UPDATE memories SET expires_at = ?, file_digest = ?, run = ?, "commit" = ?, worktree = ? WHERE row = ?'
        seen = (origin.run, origin.commit, origin.worktree)
        connection.execute(sql, (ends, digest, *seen, _number(connection, same)))
        seal(connection, _number(connection, same))
    return kept


def _has_vector(connection: apsw.Connection, same: Memory, row: Row) -> bool:
    """Whether the vector that a row brings is the one that the memory has."""
    if row.vector is None or row.derived or row.embedder_id != same.embedder_id:
        return False
    return vectors.read_current(connection, same.namespace, same.id) == row.vector


def _origin(same: Memory, row: Row) -> tuple[Provenance, str]:
    """Where a memory comes from whose text is added again, and its file's digest: what is told now, and as it was what
    is not."""
    told, was = row.told, same.provenance
    if told is None:
        return was, same.file_digest
    seen = replace(was, run=told.run or was.run)
    digest = same.file_digest
    if told.file:
        is_same = told.file == was.file
        seen = replace(seen, file=told.file, line=told.line or (was.line if is_same else 0))
        digest = row.file_digest or (same.file_digest if is_same else "")
    if seen != was or told.commit or told.worktree:
        seen = replace(seen, commit=row.provenance.commit, worktree=row.provenance.worktree)
    return seen, digest


def _same(connection: apsw.Connection, row: Row, now: int, waiting: Waiting) -> Memory | None:
    """The current memory that `row` is: the one with its id, or without one its exact duplicate. One that is over ends
    here."""
    if row.id is not None:
        found = current_memory(connection, row.id, row.namespace)
        if found is not None and _is_over(connection, found, now, waiting):
            return None
        if found is not None and found.text != row.text:
            raise UserError(
                f"The id {row.id!r} in namespace {row.namespace!r} holds another text.",
                code="id-taken",
                fix="`aqe memory update` changes it; else give another id.",
            )
        return found
    sql = f"SELECT {COLUMNS} WHERE {OF_TEXT} AND +namespace = ?2 AND id_given = 0 LIMIT 1"
    duplicate = connection.execute(sql, (row.text_hash, row.namespace)).fetchone()
    known = None if duplicate is None else read_memory(duplicate)
    return None if known is None or _is_over(connection, known, now, waiting) else known


def _is_over(connection: apsw.Connection, memory: Memory, now: int, waiting: Waiting) -> bool:
    if memory.expires_at is None or memory.expires_at > now:
        return False
    waiting.tell(connection)
    end_row(connection, memory.namespace, memory.id, memory.expires_at, note="expired")
    return True


def _number(connection: apsw.Connection, memory: Memory) -> int:
    sql = "SELECT row FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    return int(connection.execute(sql, (memory.namespace, memory.id)).get)


def revise(connection: apsw.Connection, old: Memory, row: Row, now: int) -> int:
    """Put `row` in the place of the current revision `old`, which ends; returns the new one's number.

    What a memory has beside its words stays: its pin, its end (unless the row brings one), how often it was recalled,
    and with the same words its vector and its file's digest."""
    keep = row.vector is None and row.text == old.text
    before = _number(connection, old)
    if row.text == old.text:
        row = replace(row, file_digest=old.file_digest)
    ends = old.expires_at if row.expires_at is None else row.expires_at
    row = replace(row, id=old.id, pinned=old.pinned, expires_at=ends)
    kept = end_row(connection, old.namespace, old.id, now, keep_vector=keep)
    if keep and kept is not None:
        row = replace(row, vector=kept, embedder_id=old.embedder_id or row.embedder_id)
    waiting = Waiting()
    after = waiting.claim(connection, row)
    given, created_at = old.id_given, old.created_at
    insert_row(connection, row, old.id, id_given=given, created_at=created_at, now=now, waiting=waiting, after=after)
    waiting.tell(connection)
    carry_over(connection, before, _number(connection, old))
    return old.revision + 1


def current_memory(connection: apsw.Connection, id: str, namespace: str) -> Memory | None:
    """The current revision, None where there is none."""
    sql = f"SELECT {COLUMNS} WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    row = connection.execute(sql, (namespace, id)).fetchone()
    return None if row is None else read_memory(row)


def require_memory(connection: apsw.Connection, id: str, namespace: str, now: int) -> Memory:
    """The current revision, which is not over. Raises `UserError` (unknown-id)."""
    found = current_memory(connection, check_id(id), check_namespace(namespace))
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        raise unknown(connection, id, namespace)
    return found


def end_memories(connection: apsw.Connection, namespace: str, ids: Iterable[str], now: int) -> None:
    """End the current revisions of memories and drop what joins them. Raises `UserError` (unknown-id)."""
    ended = []
    for id in ids:
        found = close_row(connection, namespace, check_id(id), now)
        if found is None:
            raise unknown(connection, id, namespace)
        connection.execute("DELETE FROM nodes WHERE namespace = ? AND id = ?", (namespace, id))
        ended.append(found)
    leave_indexes(connection, ended)


def erase_rows(connection: apsw.Connection, namespace: str, id: str) -> None:
    """Take all revisions of a memory out of the file for good, with what was made of their texts. Raises `UserError`
    (unknown-id)."""
    texts = "SELECT text_hash FROM memories WHERE namespace = ? AND id = ?"
    connection.execute(f"DELETE FROM embeddings WHERE digest IN ({texts})", (namespace, id))
    connection.execute("DELETE FROM memories WHERE namespace = ? AND id = ?", (namespace, id))
    if not connection.changes():
        raise unknown(connection, id, namespace)
    connection.execute("INSERT INTO texts (texts) VALUES ('optimize')")  # drops its subtokens for good


def unknown(connection: apsw.Connection, id: str, namespace: str) -> UserError:
    """The error for a memory that is not there; what to do names the namespaces that hold the id, or those that there
    are where this one holds nothing."""
    sql = "SELECT DISTINCT namespace FROM memories WHERE id = ? AND namespace <> ? AND valid_to IS NULL"
    found = connection.execute(f"{sql} ORDER BY 1 LIMIT 3", (id, namespace))
    held = " or ".join(f"`-n {name}`" for (name,) in found)
    nothing = None if held else absent_in(connection, namespace)
    fix = f"It is there with {held}." if held else "`aqe memory list` shows the ids."
    fix = fix if nothing is None else nothing.told
    return UserError(f"There is no memory {id!r} in namespace {namespace!r}.", code="unknown-id", fix=fix)
