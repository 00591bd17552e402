"""A memory as rows of the file: the row itself, its entry in the text index, its vector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import apsw

from aqe.engine.memory import vectors
from aqe.engine.memory.entry import Memory, Provenance, made
from aqe.engine.memory.text import subtokens

_decode = json.JSONDecoder().raw_decode
COLUMNS = (
    "id, namespace, revision, text, metadata, created_at, valid_from, valid_to, embedder_id, dimension,"
    ' file, line, "commit", run, worktree, id_given, expires_at, pinned, end_note, file_digest'
    " FROM memories LEFT JOIN embedders ON embedder = number"
)
_INSERT = """INSERT INTO memories (id, namespace, revision, valid_from, valid_to, created_at, text, text_hash, id_given,
    metadata, embedder, worktree, "commit", file, line, run, expires_at, pinned, file_digest)
    SELECT ?1, ?2, 1 + coalesce(max(revision), 0), ?3, NULL, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
    ?17
    FROM memories WHERE namespace = ?2 AND id = ?1"""


@dataclass(frozen=True)
class Row:
    """A memory as it was asked for, checked and packed."""

    id: str | None
    namespace: str
    text: str
    text_hash: bytes
    metadata: str
    vector: bytes | None
    embedder_id: str
    provenance: Provenance
    derived: bool = False
    expires_at: int | None = None
    pinned: bool = False
    file_digest: str = ""
    as_new: bool = False


def read_memory(row: Sequence[Any]) -> Memory:
    """A row of `COLUMNS`."""
    return made(
        Memory,
        {
            "id": row[0],
            "namespace": row[1],
            "revision": row[2],
            "text": row[3],
            "metadata": _decode(row[4])[0],
            "created_at": row[5],
            "valid_from": row[6],
            "valid_to": row[7],
            "embedder_id": row[8],
            "dimension": row[9],
            "provenance": _provenance(*row[10:15]),
            "id_given": bool(row[15]),
            "expires_at": row[16],
            "pinned": bool(row[17]),
            "end_note": row[18],
            "file_digest": row[19],
            "stale": False,
        },
    )


@lru_cache(maxsize=256)
def _provenance(file: str, line: int, commit: str, run: str, worktree: str) -> Provenance:
    return Provenance(file, line, commit, run, worktree)


def insert_row(
    connection: apsw.Connection, row: Row, id: str, *, id_given: bool, created_at: int | None, now: int
) -> None:
    """Write the next revision of `id` with its text index entry and vector (none given: an equal text's)."""
    table, vector = _vector_of(connection, row)
    origin = row.provenance
    created_at = now if created_at is None else created_at
    what = (row.text, row.text_hash, id_given, row.metadata, table)
    whence = (origin.worktree, origin.commit, origin.file, origin.line, origin.run)
    traits = (row.expires_at, row.pinned, row.file_digest)
    connection.execute(_INSERT, (id, row.namespace, now, created_at, *what, *whence, *traits))
    number = connection.last_insert_rowid()
    connection.execute("INSERT INTO texts (rowid, subtokens) VALUES (?, ?)", (number, " ".join(subtokens(row.text))))
    if table is not None and vector is not None:
        vectors.put(connection, table, number, row.namespace, vector)


def put_vector(connection: apsw.Connection, number: int, table: int, vector: bytes | None) -> bool:
    """Put the current row `number` into the space of `table`, with its vector there (None: its text says nothing), and
    drop the vector it had; False where the row has ended meanwhile."""
    found = connection.execute(
        "SELECT namespace, embedder FROM memories WHERE row = ? AND valid_to IS NULL", (number,)
    ).fetchone()
    if found is None:
        return False
    namespace, before = found
    if before is not None:
        vectors.drop(connection, before, number)
    connection.execute("UPDATE memories SET embedder = ? WHERE row = ?", (table, number))
    if vector is not None:
        vectors.put(connection, table, number, namespace, vector)
    return True


def _vector_of(connection: apsw.Connection, row: Row) -> tuple[int | None, bytes | None]:
    if row.vector is not None:
        return vectors.ensure_table(connection, row.embedder_id, len(row.vector) // 4), row.vector
    twin = connection.execute(
        "SELECT row, embedder FROM memories"
        " WHERE text_hash = ? AND valid_to IS NULL AND embedder IS NOT NULL ORDER BY row LIMIT 1",
        (row.text_hash,),
    ).fetchone()
    if twin is None:
        return None, None
    vector = vectors.read(connection, twin[1], twin[0])  # a cold twin has none to share: it is embedded anew
    return (None, None) if vector is None else (twin[1], vector)


def end_row(
    connection: apsw.Connection, namespace: str, id: str, now: int, *, keep_vector: bool = False, note: str = ""
) -> bytes | None:
    """End the current revision: out of both indexes, its vector put aside (or, with `keep_vector`, handed back). The
    row keeps a `note` on why."""
    found = connection.execute(
        "SELECT row, embedder FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL", (namespace, id)
    ).fetchone()
    if found is None:
        return None
    number, table = found
    sql = "UPDATE memories SET valid_to = max(?, valid_from), end_note = ? WHERE row = ?"
    connection.execute(sql, (now, note, number))
    connection.execute("DELETE FROM texts WHERE rowid = ?", (number,))
    if table is None:
        return None
    vector = vectors.read(connection, table, number)
    vectors.drop(connection, table, number)
    if vector is not None and not keep_vector:
        connection.execute("INSERT INTO retired_vectors VALUES (?, ?)", (number, vector))
    return vector if keep_vector else None
