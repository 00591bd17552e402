"""Vectors of memories in sqlite-vec: one vec0 table for each embedder and dimension, namespaces as its partitions.

Those of rarely recalled memories lie in a smaller form beside it (`tiers`); whoever reads here is given both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.file.sums import is_damaged, noted_sums, sum_of
from aqe.engine.memory.tiers import demoted

OWN = ("aqe-static-", "st:")
"""How the ids of aqe's own embedders begin."""

CHUNK = 64  # vectors to a block of vec0; a namespace takes whole blocks, of 100 kB at 384 numbers


def find_table(connection: apsw.Connection, embedder_id: str, dimension: int) -> int | None:
    """The number of the table for this embedder and dimension, None where nothing was stored with them."""
    row = connection.execute(
        "SELECT number FROM embedders WHERE embedder_id = ? AND dimension = ?", (embedder_id, dimension)
    ).fetchone()
    return None if row is None else int(row[0])


def dimensions(connection: apsw.Connection, embedder_id: str) -> list[int]:
    """The dimensions in which something was stored with this embedder."""
    found = connection.execute("SELECT dimension FROM embedders WHERE embedder_id = ?", (embedder_id,))
    return [int(dimension) for (dimension,) in found]


def is_own(embedder_id: str) -> bool:
    """Whether the space is one of aqe's own embedders."""
    return embedder_id.startswith(OWN)


def other_dimension(dimension: int, embedder_id: str, known: Sequence[int]) -> UserError:
    """The error for a vector that has not as many numbers as the stored ones of its embedder."""
    return UserError(
        f"The vector has {dimension} numbers; those of {embedder_id!r} have {' or '.join(map(str, known))}.",
        code="bad-vector",
        fix="Give a vector of the embedder that made the stored ones, or name another with embedder_id.",
    )


def ensure_table(
    connection: apsw.Connection, embedder_id: str, dimension: int, *, derived: bool = False, alike: bool = False
) -> int:
    """The number of the table for this embedder and dimension, made when missing. With `derived` the embedder of an
    engine makes its vectors from the texts, so that another one can make others. With `alike` a first vector of another
    dimension than those that the embedder has is refused: raises `UserError` (bad-vector)."""
    sql = "SELECT number, derived FROM embedders WHERE embedder_id = ? AND dimension = ?"
    found = connection.execute(sql, (embedder_id, dimension)).fetchone()
    if found is not None:
        if derived and not found[1]:
            connection.execute("UPDATE embedders SET derived = 1 WHERE number = ?", (found[0],))
        return int(found[0])
    if alike and not derived and (known := in_use(connection, embedder_id)):
        raise other_dimension(dimension, embedder_id, known)
    sql = "INSERT INTO embedders (embedder_id, dimension, derived) VALUES (?, ?, ?)"
    connection.execute(sql, (embedder_id, dimension, derived or is_own(embedder_id)))
    number = connection.last_insert_rowid()
    make_table(connection, number, dimension)
    return number


def in_use(connection: apsw.Connection, embedder_id: str) -> list[int]:
    """The dimensions of this embedder that current memories have."""
    sql = (
        "SELECT dimension FROM embedders WHERE embedder_id = ?"
        " AND EXISTS (SELECT 1 FROM memories WHERE valid_to IS NULL AND embedder = number) ORDER BY 1"
    )
    return [int(dimension) for (dimension,) in connection.execute(sql, (embedder_id,))]


def make_table(connection: apsw.Connection, number: int, dimension: int) -> None:
    """Make the table of a space, which is empty then."""
    connection.execute(
        f"CREATE VIRTUAL TABLE vectors_{number} USING vec0(row INTEGER PRIMARY KEY, namespace TEXT PARTITION KEY,"
        f" vector FLOAT[{dimension}] distance_metric=cosine, chunk_size={CHUNK})"
    )


def put(connection: apsw.Connection, table: int, row: int, namespace: str, vector: bytes) -> None:
    """Store the vector of a row."""
    connection.execute(
        f"INSERT INTO vectors_{table} (row, namespace, vector) VALUES (?, ?, ?)", (row, namespace, vector)
    )


def put_each(connection: apsw.Connection, rows: Mapping[int, tuple[int, str, bytes]]) -> None:
    """Store vectors by their rows: for each its table, namespace and vector."""
    for table in {table for table, _, _ in rows.values()}:
        of_table = ((row, namespace, packed) for row, (number, namespace, packed) in rows.items() if number == table)
        connection.executemany(f"INSERT INTO vectors_{table} (row, namespace, vector) VALUES (?, ?, ?)", of_table)


def read(connection: apsw.Connection, table: int, row: int) -> bytes | None:
    """The vector of a row as float32 bytes."""
    found = connection.execute(f"SELECT vector FROM vectors_{table} WHERE row = ?", (row,)).fetchone()
    return demoted.read_demoted(connection, row) if found is None else bytes(found[0])


def read_stored(connection: apsw.Connection, table: int, row: int) -> tuple[bytes | None, bytes | None]:
    """As `read`, and the bytes in which it is stored: the same, or those of a smaller form."""
    found = connection.execute(f"SELECT vector FROM vectors_{table} WHERE row = ?", (row,)).fetchone()
    if found is None:
        return demoted.read_demoted(connection, row), demoted.read_packed(connection, row)
    vector = bytes(found[0])
    return vector, vector


def read_sound(connection: apsw.Connection, table: int, row: int) -> bytes | None:
    """As `read`; None too where what is stored is not what was written."""
    vector, stored = read_stored(connection, table, row)
    return None if stored is None or is_damaged(connection, row, stored) else vector


def damaged_of(connection: apsw.Connection, held: Mapping[int, bytes]) -> list[int]:
    """Those of the rows, with their vectors as they were read, of which what is stored is not what was written."""
    noted = noted_sums(connection, list(held))
    other = [row for row, vector in held.items() if noted.get(row) not in (None, sum_of(vector))]
    packed = {row: demoted.read_packed(connection, row) for row in other}  # those of smaller tiers are stored otherwise
    return [row for row, stored in packed.items() if stored is None or sum_of(stored) != noted[row]]


def read_current(connection: apsw.Connection, namespace: str, id: str) -> bytes | None:
    """The vector of a memory's current revision as float32 bytes."""
    sql = "SELECT row, embedder FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    found = connection.execute(sql, (namespace, id)).fetchone()
    return None if found is None or found[1] is None else read(connection, found[1], found[0])


def read_each(connection: apsw.Connection, table: int, rows: Sequence[int]) -> dict[int, bytes]:
    """The vector of each of `rows` that has one, as float32 bytes."""
    marks = ",".join("?" * len(rows))
    found = connection.execute(f"SELECT row, vector FROM vectors_{table} WHERE row IN ({marks})", tuple(rows))
    held = {int(row): bytes(vector) for row, vector in found}
    missing = [row for row in rows if row not in held]
    return held | demoted.read_demoted_each(connection, table, missing)


def read_ever(connection: apsw.Connection, table: int, rows: Sequence[int]) -> dict[int, bytes]:
    """The vector of each of `rows`, current or ended, that has one in this table, as float32 bytes."""
    found = read_each(connection, table, rows)
    marks = ",".join("?" * len(rows))
    sql = f"SELECT row, vector FROM retired_vectors WHERE row IN ({marks})"
    return found | {int(row): bytes(vector) for row, vector in connection.execute(sql, tuple(rows))}


def drop(connection: apsw.Connection, table: int, row: int) -> None:
    """Forget the vector of a row."""
    connection.execute(f"DELETE FROM vectors_{table} WHERE row = ?", (row,))
    demoted.drop_demoted(connection, row)


def nearest(
    connection: apsw.Connection,
    table: int,
    vector: bytes,
    k: int,
    where: tuple[str, Sequence[object]] | None,
    *,
    within: Sequence[str] | None,
    without: Sequence[str],
    remake: demoted.Remake | None = None,
) -> dict[int, float]:
    """The `k` rows with the highest cosine similarity, exactly (as the form of each vector gives it back), among those
    of the namespaces `within` (None: of all) that are not `without`, and of the rows that the query `where` selects.
    With `remake` the cold ones among them have the cosine of their vector made anew."""
    sql = f"SELECT row, distance FROM vectors_{table} WHERE vector MATCH ? AND k = ?"
    arguments: list[object] = [vector, k]
    if within is not None:
        sql += f" AND namespace IN ({','.join('?' * len(within))})"
        arguments.extend(within)
    sql += " AND namespace != ?" * len(without)
    arguments.extend(without)
    if where is not None:
        sql += f" AND row IN ({where[0]})"
        arguments.extend(where[1])
    found = {int(row): 1.0 - float(distance) for row, distance in connection.execute(sql, arguments)}
    if not demoted.has_demoted(connection):
        return _best(found, k)
    parts = [f"memories.namespace IN ({','.join('?' * len(within))})"] if within is not None else []
    parts += ["memories.namespace != ?"] * len(without)
    bound: list[object] = [*(within or ()), *without]
    if where is not None:
        parts.append(f"memories.row IN ({where[0]})")
        bound.extend(where[1])
    found |= demoted.cosines(connection, table, vector, " AND ".join(parts) or "1", bound)
    best = _best(found, k)
    return _best(best | demoted.remade_cosines(connection, table, vector, best, remake), k)


def _best(found: Mapping[int, float], k: int) -> dict[int, float]:
    """The nearest of all: of several namespaces vec0 gives so many of each, one after the other."""
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0]))[:k])


def similarities(
    connection: apsw.Connection, table: int, vector: bytes, rows: Sequence[int], remake: demoted.Remake | None = None
) -> dict[int, float]:
    """The cosine similarity of each of `rows` that has a vector in this table; of cold ones by `remake`, or roughly."""
    marks = ",".join("?" * len(rows))
    sql = f"SELECT row, vec_distance_cosine(vector, ?) FROM vectors_{table} WHERE row IN ({marks})"
    found = {int(row): 1.0 - float(distance) for row, distance in connection.execute(sql, (vector, *rows))}
    missing = [row for row in rows if row not in found]
    if missing and demoted.has_demoted(connection):
        condition = "demoted.row IN (SELECT value FROM json_each(?))"
        rough = demoted.cosines(connection, table, vector, condition, (json.dumps(missing),))
        found |= rough | demoted.remade_cosines(connection, table, vector, rough, remake)
    return found
