"""What was remembered at a moment: now, at a snapshot, or in another file of the kind, in the order of its names.

The project index and aqe's own knowledge are left out: both are derived, and follow the files and the version.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.memory.search.ranking import SHELVES

_DERIVED = " AND ".join(f"namespace NOT GLOB '{start}*'" for start in SHELVES)
_ENTRY = "namespace, id, row, revision, text_hash, metadata"


@dataclass(frozen=True)
class Entry:
    """One memory of a state: its key, the row that holds it, and what tells two contents apart."""

    namespace: str
    id: str
    row: int
    revision: int
    text_hash: bytes
    metadata: str

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.namespace, self.id

    @property
    def content(self) -> tuple[bytes, str]:
        """What makes two entries of one key the same."""
        return self.text_hash, self.metadata


def current(connection: apsw.Connection) -> Iterator[Entry]:
    """What is remembered now, by namespace and id."""
    sql = f"SELECT {_ENTRY} FROM memories WHERE valid_to IS NULL AND {_DERIVED} ORDER BY namespace, id"
    return _entries(connection, sql)


def count_current(connection: apsw.Connection, now: int) -> tuple[int, int]:
    """How many memories are current in a file of any version and not over at `now` (microseconds): all of them, and
    those that were remembered, which are not of the project index or aqe's own knowledge."""
    has_ends = connection.execute("SELECT 1 FROM pragma_table_info('memories') WHERE name = 'expires_at'").fetchone()
    lasts = "(expires_at IS NULL OR expires_at > ?)" if has_ends else "?"
    sql = f"SELECT count(*), count(*) FILTER (WHERE {_DERIVED}) FROM memories WHERE valid_to IS NULL AND {lasts}"
    found: Any = connection.execute(sql, (now,)).fetchone()
    return int(found[0]), int(found[1])


def current_rows(connection: apsw.Connection) -> list[int]:
    """The rows of what is remembered now, in their order."""
    sql = f"SELECT row FROM memories WHERE valid_to IS NULL AND {_DERIVED} ORDER BY row"
    return [int(row) for (row,) in connection.execute(sql)]


def of_rows(connection: apsw.Connection, rows: Iterable[int], at: int) -> Iterator[Entry]:
    """What was remembered at `at` (microseconds), when the current rows were `rows`, by namespace and id.

    Rows that were erased since are not there any more; one whose number another memory got is not taken for it.
    """
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS rows_then (row INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM rows_then")
    connection.executemany("INSERT INTO rows_then VALUES (?)", ((row,) for row in rows))
    sql = (
        f"SELECT {_ENTRY} FROM memories WHERE row IN (SELECT row FROM rows_then) AND valid_from <= ?"
        " ORDER BY namespace, id"
    )
    return _entries(connection, sql, (at,))


def pack_rows(rows: Iterable[int]) -> bytes:
    """Row numbers in ascending order as a short blob: the steps from one to the next, compressed."""
    steps, before = array("q"), 0
    for row in rows:
        steps.append(row - before)
        before = row
    return zlib.compress(steps.tobytes())


def unpack_rows(blob: bytes) -> Iterator[int]:
    """The row numbers of `pack_rows`."""
    steps, row = array("q"), 0
    steps.frombytes(zlib.decompress(blob))
    for step in steps:
        row += step
        yield row


def pairs(before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Both states side by side, each key once; None on the side that does not have it."""
    left, right = iter(before), iter(after)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.key < other.key):
            yield one, None
            one = next(left, None)
        elif one is None or other.key < one.key:
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)


def _entries(connection: apsw.Connection, sql: str, bound: tuple[object, ...] = ()) -> Iterator[Entry]:
    for namespace, id, row, revision, text_hash, metadata in connection.execute(sql, bound):
        yield Entry(str(namespace), str(id), int(row), int(revision), bytes(text_hash), str(metadata))
