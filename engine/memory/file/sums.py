"""Checksums of what stands in the file: of each memory's row, and of the bytes in which its vector is stored.

A text has its hash; a bit that flips in a vector, a date or a word of the metadata would leave a row like any other. So
`memories.vector_sum` keeps a sum of the vector's bytes in whichever form they are stored (float32, a smaller tier's, or
put aside when the revision ended), and `memories.row_sum` one of all else that the row says, the vector's sum and the
text's hash among it. They stand in the row itself: an addition writes no page more for them.

The sum is CRC-32 (as of zlib, which every Python has): it tells every change of up to 32 bits in a row, which is what a
failing disk or memory makes, at 1.2 us a vector of 384 numbers. CRC-32C would be no better at that, and Python has none
of its own; a cryptographic hash would be for somebody who changes the file on purpose, who can change the sum too.

Whatever changes a row or a vector without a new sum, as an earlier aqe that still runs does, leaves it without one
(triggers of step 19), so that nothing sound is ever called damaged.
"""

from __future__ import annotations

import contextlib
import itertools
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from aqe.engine.progress import Progress, silent

SEALED = (
    'id, namespace, revision, valid_from, created_at, id_given, metadata, worktree, "commit", file, line, run,'
    " expires_at, pinned, file_digest, text_hash, valid_to, end_note, embedder, vector_sum"
)
"""What a row's sum is of, in this order."""

_STEADY = "\x1f".join(["%s"] * 15)

BATCH = 2000
"""Rows in memory at a time."""

_SPACES = (
    "SELECT number, dimension FROM embedders"
    " WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'vectors_' || number || '_rowids')"
)
"""The spaces whose blocks are there: a repair makes them after the tables."""


def sum_of(packed: bytes) -> int:
    """The sum of a vector's bytes as they are stored."""
    return zlib.crc32(packed)


def sum_of_row(values: Sequence[Any]) -> int:
    """The sum of the values of `SEALED`; what is true or false is given as 1 or 0, as SQLite has it.

    It is put together of three, so that a row that ends, or gets another vector, needs no other column to have its new
    one, and one that was damaged before stays known for it.
    """
    told = (_STEADY % tuple(values[:15])).encode("utf-8", "surrogatepass")
    digest, ended, note, table, vector_sum = values[15:]
    end = _NO_END if ended is None and note == "" else sum_of_end(ended, note)
    digest = digest if isinstance(digest, bytes) else b""
    return zlib.crc32(digest, zlib.crc32(told)) ^ end ^ sum_of_place(table, vector_sum)


def sum_of_end(valid_to: int | None, note: str) -> int:
    """The part of a row's sum that says when and why it ended."""
    return zlib.crc32(f"end {valid_to} {note}".encode("utf-8", "surrogatepass"))


_NO_END = sum_of_end(None, "")


def sum_of_place(table: int | None, vector_sum: int | None) -> int:
    """The part of a row's sum that says which vector it has."""
    return zlib.crc32(f"vector {table!a} {vector_sum!a}".encode("ascii"))


def seal(connection: apsw.Connection, row: int) -> None:
    """Give a row that changed its sum, in the caller's transaction."""
    found: Any = connection.execute(f"SELECT {SEALED} FROM memories WHERE row = ?", (row,)).fetchone()
    if found is not None:
        connection.execute("UPDATE memories SET row_sum = ? WHERE row = ?", (sum_of_row(found), row))


def seal_current(connection: apsw.Connection, namespace: str, id: str) -> None:
    """Give the current revision of a memory its sum, after a statement that changed it."""
    sql = "SELECT row FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    row = connection.execute(sql, (namespace, id)).get
    if row is not None:
        seal(connection, row)


Noted = tuple[int | None, int | None, int | None]
"""Of a row: its sum, the space of its vector, and the vector's sum."""


def read_noted(connection: apsw.Connection, row: int) -> Noted:
    """What is noted of a row and its vector, before a statement that leaves it without."""
    sql = "SELECT row_sum, embedder, vector_sum FROM memories WHERE row = ?"
    found: Noted = list[Any](connection.execute(sql, (row,)))[0]
    return found


def note_vector(
    connection: apsw.Connection, row: int, packed: bytes | None, noted: Noted, *, table: int | None = None
) -> None:
    """Say that the vector of a row, of which this was `noted`, is stored as these bytes from now on (None: it has
    none), and in the space `table` (None: in the one it was in)."""
    note_sum(connection, row, None if packed is None else sum_of(packed), noted, table=table)


def note_sum(
    connection: apsw.Connection, row: int, vector_sum: int | None, noted: Noted, *, table: int | None = None
) -> None:
    """As `note_vector`, of a vector whose sum is at hand."""
    sealed, *before = noted
    after = [before[0] if table is None else table, vector_sum]
    if table is not None:
        connection.execute("UPDATE memories SET embedder = ? WHERE row = ?", (table, row))
    sealed = None if sealed is None else sealed ^ sum_of_place(*before) ^ sum_of_place(*after)
    connection.execute("UPDATE memories SET vector_sum = NULL, row_sum = NULL WHERE row = ?", (row,))
    connection.execute("UPDATE memories SET vector_sum = ?, row_sum = ? WHERE row = ?", (after[1], sealed, row))


def is_damaged(connection: apsw.Connection, row: int, packed: bytes) -> bool:
    """Whether these, the bytes in which the vector of a row is stored, are other ones than were written."""
    noted = connection.execute("SELECT vector_sum FROM memories WHERE row = ?", (row,)).get
    return noted is not None and noted != sum_of(packed)


def noted_sums(connection: apsw.Connection, rows: Sequence[int] | None = None) -> dict[int, int]:
    """The sum of the vector of each row (of `rows`, or of all) that has one."""
    sql = "SELECT row, vector_sum FROM memories WHERE vector_sum IS NOT NULL"
    if rows is None:
        return dict(connection.execute(sql))
    marks = ",".join("?" * len(rows))
    return dict(connection.execute(f"{sql} AND row IN ({marks})", tuple(rows)))


def has_sums(connection: apsw.Connection) -> bool:
    """Whether the file is of a version that keeps sums."""
    sql = "SELECT 1 FROM pragma_table_info('memories') WHERE name = 'row_sum'"
    return connection.execute(sql).fetchone() is not None


def fill(connection: apsw.Connection, progress: Progress = silent) -> int:
    """Give every row that has none its sums, in the caller's transaction; returns how many got one.

    The sums are of what stands in the file: whatever was damaged before is not told by them. A row with a text that is
    none stays without, until a repair.
    """
    newest = int(connection.execute("SELECT coalesce(max(row), 0) FROM memories").get)
    spaces: list[Any] = connection.execute(_SPACES).fetchall()
    done, last = 0, -1
    while rows := _numbers(connection, last):
        last = rows[-1]
        progress("Making checksums", rows[0], newest)
        made = _vector_sums(connection, spaces, rows)
        sums = [_sums(one, made) for one in _read(connection, rows)]
        connection.executemany("UPDATE memories SET vector_sum = ?, row_sum = ? WHERE row = ?", sums)
        done += len(sums)
    _fill_kept(connection)
    return done


def _numbers(connection: apsw.Connection, last: int) -> list[int]:
    """Of the rows behind the `last` one without a sum, the next ones."""
    sql = "SELECT row FROM memories WHERE row_sum IS NULL AND row > ? ORDER BY row LIMIT ?"
    return [int(row) for (row,) in connection.execute(sql, (last, BATCH))]


def _read(connection: apsw.Connection, rows: Sequence[int]) -> list[Any]:
    """Those of some rows, which are in order and have no sum, of which each text is one."""
    sql = f"SELECT {SEALED}, row FROM memories WHERE row_sum IS NULL AND row BETWEEN ? AND ?"
    try:
        return connection.execute(sql, (rows[0], rows[-1])).fetchall()
    except UnicodeDecodeError:
        found = list[Any]()
        for row in rows:
            with contextlib.suppress(UnicodeDecodeError):
                found += connection.execute(sql, (row, row)).fetchall()
        return found


def _sums(found: Sequence[Any], made: Mapping[int, int]) -> tuple[int | None, int, int]:
    *values, table, noted, row = found
    vector = made.get(row) if noted is None and table is not None else noted
    return vector, sum_of_row([*values, table, vector]), row


def _vector_sums(connection: apsw.Connection, spaces: Iterable[Any], rows: Sequence[int]) -> dict[int, int]:
    """The sum of the vector of each of `rows`, which are in order, in whichever form it is stored."""
    made: dict[int, int] = {}
    for number, dimension in spaces:
        made.update(_in_blocks(connection, int(number), 4 * int(dimension), rows))
    for table in ("retired_vectors", "demoted"):
        sql = f"SELECT row, vector FROM {table} WHERE row BETWEEN ? AND ?"
        made |= {int(row): sum_of(bytes(vector)) for row, vector in connection.execute(sql, (rows[0], rows[-1]))}
    return made


def _in_blocks(connection: apsw.Connection, table: int, size: int, rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Row and sum of each vector (of so many bytes) of `rows` in a space, by its blocks (see `meaning.chunks`)."""
    sql = (
        f"SELECT rowid, chunk_id, chunk_offset FROM vectors_{table}_rowids"
        " WHERE rowid BETWEEN ? AND ? AND typeof(chunk_id) = 'integer' AND typeof(chunk_offset) = 'integer'"
    )
    places: Iterable[Any] = connection.execute(sql, (rows[0], rows[-1]))
    blocks: dict[int, list[tuple[int, int]]] = {}
    for row, block, offset in places:
        blocks.setdefault(block, []).append((row, size * offset))
    sql = f"SELECT vectors FROM vectors_{table}_vector_chunks00 WHERE rowid = ? AND typeof(vectors) = 'blob'"
    for block, inside in blocks.items():
        found: list[Any] = connection.execute(sql, (block,)).fetchall()
        for (held,) in found:
            yield from ((row, sum_of(held[at : at + size])) for row, at in inside if at + size <= len(held))


def _fill_kept(connection: apsw.Connection) -> None:
    """The sums of the vectors that are kept of texts, a 256th at a time."""
    made: Any = sum_of
    connection.create_scalar_function("sum_of_vector", made, 1, deterministic=True)
    sql = (
        "UPDATE embeddings SET sum = sum_of_vector(vector)"
        " WHERE embedder_id = ? AND digest >= ? AND digest < ? AND sum IS NULL"
    )
    with contextlib.suppress(UnicodeDecodeError):
        names = connection.execute("SELECT DISTINCT embedder_id FROM embeddings WHERE sum IS NULL").fetchall()
        for (name,), first in itertools.product(names, range(256)):
            end = bytes([first + 1]) if first < 255 else b"\xff" * 33
            connection.execute(sql, (name, bytes([first]), end))


def stored_sums(connection: apsw.Connection) -> dict[int, int]:
    """The sum of each vector that stands in the file, by its row."""
    made: dict[int, int] = {}
    spaces: list[Any] = connection.execute("SELECT number, dimension FROM embedders").fetchall()
    for number, dimension in spaces:
        with contextlib.suppress(apsw.Error):
            made |= {row: sum_of(vector) for row, _, vector in blocks(connection, int(number), int(dimension))}
    for table in ("retired_vectors", "demoted"):
        with contextlib.suppress(apsw.Error):
            found = connection.execute(f"SELECT row, vector FROM {table}")
            made |= {int(row): sum_of(bytes(vector)) for row, vector in found}
    return made


def blocks(connection: apsw.Connection, table: int, dimension: int) -> Iterable[tuple[int, str, bytes]]:
    """Row, namespace and bytes of each vector of a space, as those of its blocks say that are whole; as vec0 says where
    it keeps them in another way than sqlite-vec 0.1 does (see `meaning.chunks`)."""
    sql = (
        f"SELECT partition00, validity, rowids, vectors FROM vectors_{table}_chunks AS block"
        f" JOIN vectors_{table}_vector_chunks00 AS held ON held.rowid = block.chunk_id"
    )
    try:
        cursor = connection.execute(sql)
    except apsw.SQLError:
        sql = f"SELECT row, namespace, vector FROM vectors_{table}"
        yield from ((int(row), str(name), bytes(vector)) for row, name, vector in connection.execute(sql))
        return
    size = 4 * dimension
    for namespace, validity, rows, held in cursor:
        if not (isinstance(validity, bytes) and isinstance(rows, bytes) and isinstance(held, bytes)) or len(rows) % 8:
            continue
        used = itertools.chain.from_iterable((byte >> bit & 1 for bit in range(8)) for byte in validity)
        numbers = memoryview(rows).cast("q")
        for at, (row, is_used) in enumerate(zip(numbers, used, strict=False)):
            if is_used and (at + 1) * size <= len(held):
                yield row, str(namespace), held[at * size : (at + 1) * size]
