"""A memory as rows of the file: the row itself, its entry in the text index, its vector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import apsw

from aqe.engine.memory.entry import Memory, Provenance, made
from aqe.engine.memory.file.sums import SEALED, is_damaged, note_vector, read_noted, sum_of, sum_of_end, sum_of_row
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.terms.text import index_text

_decode = json.JSONDecoder().raw_decode
COLUMNS = (
    "id, namespace, revision, text, metadata, created_at, valid_from, valid_to, embedder_id, dimension,"
    ' file, line, "commit", run, worktree, id_given, expires_at, pinned, end_note, file_digest'
    " FROM memories LEFT JOIN embedders ON embedder = number"
)
_IN_A_SPACE = (
    "SELECT row, embedder FROM embedders CROSS JOIN memories ON embedder = number"
    " WHERE text_hash = ?1 AND valid_to IS NULL"
)
OF_TEXT = (
    "memories.row IN (SELECT row FROM memories WHERE embedder IS NULL AND text_hash = ?1 AND valid_to IS NULL"
    f" UNION ALL SELECT row FROM ({_IN_A_SPACE}))"
)
"""The condition on `memories` that a row is current and has the text of the hash that is the first parameter; it names
the spaces because their index begins with them. Beside it a condition on the namespace needs a plus before it."""

_INDEX = "INSERT INTO texts (rowid, subtokens) VALUES (?, ?)"
_LOG = "INSERT INTO change_log (row, stamp) SELECT value, random() & 0x7fffffff FROM json_each(?)"
_LOG_ONE = "INSERT INTO change_log (row, stamp) VALUES (?, random() & 0x7fffffff)"
_NEWEST = "SELECT revision FROM memories WHERE namespace = ? AND id = ? ORDER BY revision DESC LIMIT 1"
_SPACE = "SELECT number FROM embedders WHERE embedder_id = ? AND dimension = ?"
_CLAIM = f"SELECT ({_NEWEST}), ({_SPACE})"
_INSERT = f"INSERT INTO memories ({SEALED}, text, row_sum) VALUES ({', '.join('?' * 22)})"


@dataclass(frozen=True)
class Row:
    """A memory as it was asked for, checked and packed; `told` is the provenance that was said, None where none was;
    `for_good` says that it is to have no end, also where it is there with one."""

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
    told: Provenance | None = None
    for_good: bool = False


@dataclass
class Waiting:
    """What the log of changes, the text index and the vectors of rows just written are still to be told, in one go.

    FTS5 gathers what it is told in memory, but writes it out at each later statement that SQLite could undo alone, as
    are those that end or change a row because of their triggers: rows are written first, then all of this. Whoever
    reads an index, or ends a row, tells it before. An insertion has no trigger: with one SQLite would keep what each
    page was before it, for two fifths of what writing the row takes.
    """

    texts: dict[int, str | None] = field(default_factory=dict)
    """By row: the text, None where the row is not a current one."""
    vectors: dict[int, tuple[int, str, bytes]] = field(default_factory=dict)
    """By row: table, namespace and vector."""
    tables: dict[tuple[str, int, bool], int] = field(default_factory=dict)
    """By embedder, dimension and whether an engine's embedder made the vectors: the tables that were asked for."""

    def table(self, connection: apsw.Connection, embedder_id: str, dimension: int, *, derived: bool) -> int:
        """The table of a space, made when missing."""
        space = embedder_id, dimension, derived
        known = self.tables.get(space)
        if known is None:
            known = vectors.ensure_table(connection, embedder_id, dimension, derived=derived)
            self.tables[space] = known
        return known

    def claim(self, connection: apsw.Connection, row: Row) -> int:
        """Have the table of a vector that a caller gives; returns the number of the last revision of the row's id, 0
        where there is none (one statement tells both). Raises `UserError` (bad-vector) where the first vector of
        another dimension is said to be of the same embedder."""
        space = row.embedder_id, len(row.vector or b"") // 4
        if row.vector is None or row.derived or (*space, False) in self.tables:
            return 0 if row.id is None else newest_revision(connection, row.namespace, row.id)
        found: Any = connection.execute(_CLAIM, (row.namespace, row.id, *space)).fetchone()
        newest, table = found
        self.tables[*space, False] = vectors.ensure_table(connection, *space, alike=True) if table is None else table
        return newest or 0

    def tell(self, connection: apsw.Connection) -> None:
        """Write it."""
        if len(self.texts) == 1:
            self._tell_one(connection, *self.texts.popitem())
        elif self.texts:
            connection.execute(_LOG, (json.dumps([*self.texts]),))
            told = ((number, index_text(text)) for number, text in self.texts.items() if text is not None)
            connection.executemany(_INDEX, told)
            vectors.put_each(connection, self.vectors)
            self.texts.clear()
        self.vectors.clear()

    def _tell_one(self, connection: apsw.Connection, number: int, text: str | None) -> None:
        """As of many, for a third less of what is not SQLite."""
        connection.execute(_LOG_ONE, (number,))
        if text is not None:
            connection.execute(_INDEX, (number, index_text(text)))
        if number in self.vectors:
            table, namespace, packed = self.vectors[number]
            vectors.put(connection, table, number, namespace, packed)


def read_memory(row: Sequence[Any]) -> Memory:
    """A row of `COLUMNS`, whatever comes behind them. Raises `apsw.CorruptError`, which names the memory, where a value
    is not of its kind: a damaged page gives such rows."""
    try:
        return _read_memory(row)
    except (TypeError, ValueError, RecursionError) as error:
        why = f"a value of the memory {row[1]}/{row[0]} is of another kind than it should"
        raise apsw.CorruptError(why) from error


def _read_memory(row: Sequence[Any]) -> Memory:
    if not (
        type(row[0]) is type(row[1]) is type(row[3]) is str
        and type(row[2]) is type(row[5]) is type(row[6]) is int
        and (row[7] is None or type(row[7]) is int)
        and (row[16] is None or type(row[16]) is int)
    ):
        raise TypeError
    return made(  # as a search that reads its hits makes many
        Memory,
        {
            "id": row[0],
            "namespace": row[1],
            "revision": row[2],
            "text": row[3],
            "metadata": {} if row[4] == "{}" else _decode(row[4])[0],
            "created_at": row[5],
            "valid_from": row[6],
            "valid_to": row[7],
            "embedder_id": row[8],
            "dimension": row[9],
            "provenance": _provenance(row[10], row[11], row[12], row[13], row[14]),
            "id_given": row[15] == 1,
            "expires_at": row[16],
            "pinned": row[17] == 1,
            "end_note": row[18],
            "file_digest": row[19],
            "stale": False,
        },
    )


@lru_cache(maxsize=256)
def _provenance(file: str, line: int, commit: str, run: str, worktree: str) -> Provenance:
    if not (isinstance(line, int) and all(isinstance(text, str) for text in (file, commit, run, worktree))):
        raise TypeError
    return Provenance(file, line, commit, run, worktree)


def insert_row(
    connection: apsw.Connection,
    row: Row,
    id: str,
    *,
    id_given: bool,
    created_at: int | None,
    now: int,
    waiting: Waiting | None = None,
    after: int | None = None,
) -> None:
    """Write the next revision of `id` (the one `after` that, where its number is known) with its text index entry and
    vector (none given: an equal text's). These two are left to the caller where there is a `waiting` to put them to."""
    untold = Waiting() if waiting is None else waiting
    table, vector = _vector_of(connection, row, untold)
    origin = row.provenance
    created_at = now if created_at is None else created_at
    whence = (origin.worktree, origin.commit, origin.file, origin.line, origin.run)
    traits = (row.expires_at, int(row.pinned), row.file_digest)
    revision = 1 + (newest_revision(connection, row.namespace, id) if after is None else after)
    which = (id, row.namespace, revision, now, created_at, int(id_given), row.metadata)
    noted = None if table is None or vector is None else sum_of(vector)
    values = (*which, *whence, *traits, row.text_hash, None, "", table, noted)
    connection.execute(_INSERT, (*values, row.text, sum_of_row(values)))
    number = connection.last_insert_rowid()
    untold.texts[number] = row.text
    if table is not None and vector is not None:
        untold.vectors[number] = table, row.namespace, vector
    if waiting is None:
        untold.tell(connection)


def newest_revision(connection: apsw.Connection, namespace: str, id: str) -> int:
    """The number of the last revision of a memory, current or ended; 0 where there is none."""
    return connection.execute(_NEWEST, (namespace, id)).get or 0


def put_vector(connection: apsw.Connection, number: int, table: int, vector: bytes | None) -> bool:
    """Put the current row `number` into the space of `table`, with its vector there (None: its text says nothing), and
    drop the vector it had; False where the row has ended meanwhile."""
    found = connection.execute(
        "SELECT namespace, embedder FROM memories WHERE row = ? AND valid_to IS NULL", (number,)
    ).fetchone()
    if found is None:
        return False
    namespace, before = found
    noted = read_noted(connection, number)
    if before is not None:
        vectors.drop(connection, before, number)
    note_vector(connection, number, vector, noted, table=table)
    if vector is not None:
        vectors.put(connection, table, number, namespace, vector)
    return True


def _vector_of(connection: apsw.Connection, row: Row, untold: Waiting) -> tuple[int | None, bytes | None]:
    if row.vector is not None:
        size = len(row.vector) // 4
        return untold.table(connection, row.embedder_id, size, derived=row.derived), row.vector
    twin = connection.execute(f"{_IN_A_SPACE} ORDER BY row LIMIT 1", (row.text_hash,)).fetchone()
    if twin is None:
        return None, None
    if twin[0] in untold.vectors:
        return twin[1], untold.vectors[twin[0]][2]
    vector = vectors.read_sound(connection, twin[1], twin[0])  # a cold twin has none to share: it is embedded anew
    return (None, None) if vector is None else (twin[1], vector)


def end_row(
    connection: apsw.Connection, namespace: str, id: str, now: int, *, keep_vector: bool = False, note: str = ""
) -> bytes | None:
    """End the current revision: out of both indexes, its vector put aside (or, with `keep_vector`, handed back). The
    row keeps a `note` on why."""
    found = close_row(connection, namespace, id, now, note=note)
    return None if found is None else leave_indexes(connection, [found], keep_vector=keep_vector)[0]


def close_row(
    connection: apsw.Connection, namespace: str, id: str, now: int, *, note: str = ""
) -> tuple[int, int | None] | None:
    """The half of `end_row` on `memories` alone; returns the row and its table of vectors, for `leave_indexes`. None
    where there is no current revision."""
    sql = "SELECT row, embedder, valid_from, row_sum FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    found = connection.execute(sql, (namespace, id)).fetchone()
    if found is None:
        return None
    row, table, began, noted = found
    at = max(now, began)
    sealed = None if noted is None else noted ^ sum_of_end(None, "") ^ sum_of_end(at, note)
    sql = "UPDATE memories SET valid_to = ?, end_note = ?, row_sum = ? WHERE row = ?"
    connection.execute(sql, (at, note, sealed, row))
    return row, table


def leave_indexes(
    connection: apsw.Connection, ended: Sequence[tuple[int, int | None]], *, keep_vector: bool = False
) -> list[bytes | None]:
    """The other half of `end_row`, of all `ended` rows in one go (see `Waiting`)."""
    connection.executemany("DELETE FROM texts WHERE rowid = ?", ((number,) for number, _ in ended))
    kept: list[bytes | None] = []
    for number, table in ended:
        kept.append(None if table is None else _set_aside(connection, table, number, keep=keep_vector))
    return kept


def _set_aside(connection: apsw.Connection, table: int, number: int, *, keep: bool) -> bytes | None:
    """Put the vector of a row that ended aside, or with `keep` hand it back; a damaged one stays with its row, where
    `verify` names it."""
    vector, stored = vectors.read_stored(connection, table, number)
    is_whole = vector is stored
    is_bad = stored is not None and (keep or not is_whole) and is_damaged(connection, number, stored)
    noted = read_noted(connection, number) if not is_whole else None
    vectors.drop(connection, table, number)
    is_handed_back = vector is None or (keep and not is_bad)
    if noted is not None:  # a sum that it does not have tells on a damaged one
        note_vector(connection, number, None if is_handed_back else b"" if is_bad else vector, noted)
    if not is_handed_back:
        connection.execute("INSERT INTO retired_vectors VALUES (?, ?)", (number, vector))
    return vector if is_handed_back else None
