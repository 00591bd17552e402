"""Many vectors out of a vec0 table at once, straight from its blocks.

vec0 gives one row at a time, at some 5 us each and more when its block is not in SQLite's cache. Its blocks lie in
plain tables (sqlite-vec 0.1: `_chunks` with a bitmap of what is valid and the row numbers, `_vector_chunks00` with the
numbers, `_rowids` with the place of each row) and are read whole at .4 us a vector. Where a later sqlite-vec lays them
out in another way, vec0 itself is asked.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.tiers import demoted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Floats = NDArray[np.float32]

_BLOCKS_AT_ONCE = 64


def read_space(connection: apsw.Connection, table: int, dimension: int, namespace: str) -> Iterator[tuple[Ids, Floats]]:
    """The rows (their numbers) and vectors of a namespace, some thousand at a time; those in a smaller form too."""
    sql = (
        f"SELECT validity, rowids, vectors FROM vectors_{table}_chunks AS block"
        f" JOIN vectors_{table}_vector_chunks00 AS held ON held.rowid = block.chunk_id WHERE partition00 = ?"
    )
    yield from demoted.read_space(connection, table, namespace)
    try:
        cursor = connection.execute(sql, (namespace,))
    except apsw.SQLError:
        sql = f"SELECT row, vector FROM vectors_{table} WHERE namespace = ?"
        found: list[Any] = connection.execute(sql, (namespace,)).fetchall()
        yield _joined(found, dimension)
        return
    while blocks := list(itertools.islice(cursor, _BLOCKS_AT_ONCE)):
        yield _valid(blocks, dimension)


def read_rows(connection: apsw.Connection, table: int, dimension: int, rows: Sequence[int]) -> tuple[Ids, Floats]:
    """Those of `rows` that have a vector in the table or in a smaller form beside it, and the vectors."""
    import numpy as np

    ids, values = _read_rows(connection, table, dimension, rows)
    if len(ids) == len(rows):
        return ids, values
    missing = sorted(set(rows).difference(ids.tolist()))
    held = demoted.read_demoted_each(connection, table, missing, roughly=True)
    if not held:
        return ids, values
    more, others = _joined(list(held.items()), dimension)
    return np.concatenate([ids, more]), np.concatenate([values, others])


def _read_rows(connection: apsw.Connection, table: int, dimension: int, rows: Sequence[int]) -> tuple[Ids, Floats]:
    import numpy as np

    rowids = f"vectors_{table}_rowids"
    sql = f"SELECT rowid, chunk_id, chunk_offset FROM {rowids} WHERE rowid IN (SELECT value FROM json_each(?))"
    try:
        places: list[Any] = connection.execute(sql, (json.dumps(list(rows)),)).fetchall()
    except apsw.SQLError:
        return _read_each(connection, table, dimension, rows)
    found = np.empty((len(places), dimension), np.float32)
    blocks: dict[int, list[tuple[int, int]]] = {}
    for at, (_, block, offset) in enumerate(places):
        blocks.setdefault(block, []).append((at, offset))
    sql = f"SELECT vectors FROM vectors_{table}_vector_chunks00 WHERE rowid = ?"
    for block, inside in blocks.items():
        held: Any = connection.execute(sql, (block,)).get
        whole_vectors, rest = divmod(len(held or b""), 4 * dimension)
        _check(not rest and whole_vectors > max(offset for _, offset in inside))
        whole = np.frombuffer(held, np.float32).reshape(-1, dimension)
        for at, offset in inside:
            found[at] = whole[offset]
    return np.array([row for row, _, _ in places], np.int64), found


def _read_each(connection: apsw.Connection, table: int, dimension: int, rows: Sequence[int]) -> tuple[Ids, Floats]:
    sql = f"SELECT row, vector FROM vectors_{table} WHERE row = ?"
    found: list[Any] = [one for row in rows for one in connection.execute(sql, (row,))]
    return _joined(found, dimension)


def count_about(connection: apsw.Connection, table: int, namespace: str) -> int:
    """About how many vectors a namespace has in a table: whole blocks of vec0 as they are."""
    sql = f"SELECT coalesce(sum(size), 0) FROM vectors_{table}_chunks WHERE partition00 = ?"
    return int(connection.execute(sql, (namespace,)).get) + demoted.count(connection)


def dimension_of(connection: apsw.Connection, table: int) -> int:
    """The numbers in each vector of a table."""
    return int(connection.execute("SELECT dimension FROM embedders WHERE number = ?", (table,)).get)


def _valid(blocks: Sequence[tuple[bytes, bytes, bytes]], dimension: int) -> tuple[Ids, Floats]:
    """The rows of blocks that are in use."""
    import numpy as np

    for valid, ids, held in blocks:
        _check(isinstance(valid, bytes) and isinstance(ids, bytes) and isinstance(held, bytes))
        _check(64 * len(valid) == len(ids) and len(ids) * dimension == 2 * len(held))
    rows = np.frombuffer(b"".join(rows for _, rows, _ in blocks), np.int64)
    bits = np.frombuffer(b"".join(valid for valid, _, _ in blocks), np.uint8)
    values = np.frombuffer(b"".join(held for _, _, held in blocks), np.float32).reshape(len(rows), dimension)
    used = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
    return (rows, values) if len(used) == len(rows) else (rows[used], values[used])


def _check(fits: bool) -> None:
    if not fits:
        raise apsw.CorruptError("a block of vectors is not as large as it should be")


def _joined(found: Sequence[tuple[int, bytes]], dimension: int) -> tuple[Ids, Floats]:
    import numpy as np

    values = np.frombuffer(b"".join(held for _, held in found), np.float32).reshape(len(found), dimension)
    return np.array([row for row, _ in found], np.int64), values
