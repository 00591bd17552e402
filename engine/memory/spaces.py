"""Which memories are in which embedding space: those to be embedded anew, and those that a caller's vector put apart.

What an embedder of an engine made (aqe's own, or one that was handed to `Engine.open`) is derived from the texts and
can be made anew, which the space says of itself; any other vector was given by a caller, who alone can make one like
it, so it stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import apsw

from aqe.engine.memory.file.sums import note_vector, read_noted
from aqe.engine.memory.rows import put_vector

FEW = 1000
"""Memories without a vector up to which they are looked up by the index."""

Waiting = tuple[int, str]
"""A row to be embedded, with its text."""


def stale_tables(connection: apsw.Connection, embedder_id: str, dimension: int) -> list[int]:
    """The tables of engines' embedders other than this one that still have a current memory."""
    rows = connection.execute(
        "SELECT number FROM embedders WHERE derived AND NOT (embedder_id = ? AND dimension = ?)"
        " AND EXISTS (SELECT 1 FROM memories WHERE valid_to IS NULL AND embedder = number)",
        (embedder_id, dimension),
    )
    return [int(number) for (number,) in rows]


def count_waiting(connection: apsw.Connection, embedder_id: str, dimension: int) -> int:
    """How many current memories have no vector, or one of another engine's embedder."""
    tables = stale_tables(connection, embedder_id, dimension)
    sql = "SELECT count(*) FROM memories WHERE valid_to IS NULL AND embedder"  # one after the other: an OR reads all
    in_none = int(connection.execute(f"{sql} IS NULL").get)
    return in_none + sum(int(connection.execute(f"{sql} = ?", (table,)).get) for table in tables)


def read_waiting(
    connection: apsw.Connection, embedder_id: str, dimension: int, after: int, limit: int
) -> list[Waiting]:
    """The next of those memories, by row, behind the row `after`."""
    tables = stale_tables(connection, embedder_id, dimension)
    # in order of row where many wait, since the index would be sorted for each batch; few are told by the index alone
    way = "NOT INDEXED" if tables or _are_many(connection) else "INDEXED BY memories_text"
    sql = (
        f"SELECT row, text FROM memories {way} WHERE valid_to IS NULL AND row > ? AND {_waiting(tables)}"
        " ORDER BY row LIMIT ?"
    )
    return [(int(row), str(text)) for row, text in connection.execute(sql, (after, *tables, limit))]


def same_still(connection: apsw.Connection, rows: Sequence[Waiting]) -> set[int]:
    """Those of `rows` that have their text still: the number of a row that was erased may be another's by now."""
    numbers = json.dumps([row for row, _ in rows])
    sql = "SELECT row, text FROM memories WHERE row IN (SELECT value FROM json_each(?))"
    texts = dict(connection.execute(sql, (numbers,)))
    return {row for row, text in rows if texts.get(row) == text}


def put_made(connection: apsw.Connection, table: int, made: Sequence[tuple[int, bytes | None]]) -> int:
    """Put the vectors that were made (None: the text says nothing) in their place; returns how many rows stood."""
    return sum(put_vector(connection, row, table, vector) for row, vector in made)


def count_ended(connection: apsw.Connection, embedder_id: str, dimension: int) -> int:
    """How many ended revisions are in no space, as an import of what was written without their vectors leaves such, or
    in one of another engine's embedder."""
    where = _ended(connection, embedder_id, dimension)
    return int(connection.execute(f"SELECT count(*) FROM memories WHERE {where}").get)


def read_ended(connection: apsw.Connection, embedder_id: str, dimension: int, after: int, limit: int) -> list[Waiting]:
    """The next of those revisions, by row, behind the row `after`."""
    where = _ended(connection, embedder_id, dimension)
    sql = f"SELECT row, text FROM memories WHERE row > ? AND {where} ORDER BY row LIMIT ?"
    return [(int(row), str(text)) for row, text in connection.execute(sql, (after, limit))]


def put_ended(connection: apsw.Connection, table: int, made: Sequence[tuple[int, bytes | None]]) -> int:
    """As `put_made`, of ended revisions, whose vectors lie aside."""
    done = 0
    for row, vector in made:
        if connection.execute("SELECT 1 FROM memories WHERE row = ? AND valid_to IS NOT NULL", (row,)).get is None:
            continue
        note_vector(connection, row, vector, read_noted(connection, row), table=table)
        connection.execute("DELETE FROM retired_vectors WHERE row = ?", (row,))
        if vector is not None:
            connection.execute("INSERT INTO retired_vectors VALUES (?, ?)", (row, vector))
        done += 1
    return done


def _ended(connection: apsw.Connection, embedder_id: str, dimension: int) -> str:
    sql = "SELECT number FROM embedders WHERE derived AND NOT (embedder_id = ? AND dimension = ?)"
    tables = ", ".join(str(int(number)) for (number,) in connection.execute(sql, (embedder_id, dimension)))
    return f"valid_to IS NOT NULL AND (embedder IS NULL OR embedder IN ({tables}))"


def given_spaces(connection: apsw.Connection) -> list[tuple[str, int]]:
    """The spaces of vectors that callers gave, with their dimensions, that still have a current memory."""
    rows = connection.execute(
        "SELECT embedder_id, dimension FROM embedders WHERE NOT derived"
        " AND EXISTS (SELECT 1 FROM memories WHERE valid_to IS NULL AND embedder = number) ORDER BY number"
    )
    return [(str(name), int(dimension)) for name, dimension in rows]


def names(connection: apsw.Connection) -> list[str]:
    """The embedders that a current memory has a vector of, engines' own among them."""
    rows = connection.execute(
        "SELECT DISTINCT embedder_id FROM embedders"
        " WHERE EXISTS (SELECT 1 FROM memories WHERE valid_to IS NULL AND embedder = number) ORDER BY number"
    )
    return [str(name) for (name,) in rows]


def _are_many(connection: apsw.Connection) -> bool:
    """Whether more than `FEW` current memories are in no space."""
    sql = "SELECT 1 FROM memories WHERE valid_to IS NULL AND embedder IS NULL LIMIT 1 OFFSET ?"
    return connection.execute(sql, (FEW,)).get is not None


def _waiting(tables: Sequence[int]) -> str:
    return "(embedder IS NULL" + " OR embedder = ?" * len(tables) + ")"
