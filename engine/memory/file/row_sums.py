"""Checksums of the rows beside the memories: of sessions and their turns, requests, feedback with its marks, and edges.

As a memory's row has one (`sums`): CRC-32, in a column of the row itself, `row_sum`, so that writing it costs no page
more. It is of one string of bytes, the texts, then the numbers, then what is neither, so that each flipped bit puts it
off by something else (see `care.correcting`).

Whoever writes a row gives it its sum with it. Whatever changes a row without a new sum, as an earlier aqe that still
runs does, leaves it without one, by a trigger on changes (`column_sql`); there is none on insertion.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import apsw

from aqe.engine.progress import Progress, silent

BATCH = 500
"""Rows in memory at a time."""

_NOTHING = -(1 << 63)

DAMAGED, DAMAGED_STILL = -1, -2
"""The sums of a row that was found damaged and then changed, by turns: no row has one, so that it stays told, and who
changes it gives it another each time, as the trigger wants it."""


class _Parts(NamedTuple):
    """How the values of a row become bytes: texts by a form, then numbers, by their places."""

    form: str
    texts: itemgetter[Any]
    numbers: struct.Struct
    whole: tuple[int, ...]
    reals: tuple[int, ...]


@dataclass(frozen=True)
class Guarded:
    """A table whose rows have a sum: `columns` are what it is of, the last `blobs` of them bytes; `whole` hold an
    integer or nothing, `reals` always another number; the rest is summed as text, a number that may be nothing too,
    which has to be given as SQLite gives it back. `named` are the places of those that a row is called by."""

    name: str
    columns: tuple[str, ...]
    named: tuple[int, ...]
    whole: frozenset[str]
    reals: frozenset[str] = frozenset()
    blobs: int = 0

    @cached_property
    def listed(self) -> str:
        """The columns for SQL."""
        return ", ".join(f'"{name}"' for name in self.columns)

    @cached_property
    def _parts(self) -> _Parts:
        end = len(self.columns) - self.blobs
        names = list(enumerate(self.columns[:end]))
        whole = [at for at, name in names if name in self.whole]
        reals = [at for at, name in names if name in self.reals]
        texts = [at for at, name in names if name not in self.whole | self.reals]
        form = "\x1f".join(["%s"] * len(texts))
        return _Parts(form, itemgetter(*texts), struct.Struct(f">{len(whole)}q{len(reals)}d"), (*whole,), (*reals,))

    def sum_of(self, values: Sequence[Any]) -> int:
        """The sum of a row's values, in the order of `columns`; what is true or false is given as 1 or 0."""
        form, texts, packed, whole, reals = self._parts
        made = zlib.crc32((form % texts(values)).encode("utf-8", "surrogatepass"))
        numbers = [_NOTHING if values[at] is None else values[at] for at in whole]
        numbers += [values[at] + 0.0 for at in reals]  # SQLite keeps no minus of a zero
        try:
            made = zlib.crc32(packed.pack(*numbers), made)
        except struct.error:  # 5.0, which SQLite keeps as 5
            made = zlib.crc32(packed.pack(*map(int, numbers[: len(whole)]), *numbers[len(whole) :]), made)
        for held in values[len(values) - self.blobs :]:
            made = zlib.crc32(held or b"", made)
        return made

    def bytes_of(self, values: Sequence[Any], odd: Mapping[int, bytes]) -> bytes:
        """What the sum of these values is of; of the texts at the places in `odd` these are the bytes."""
        form, texts, packed, whole, reals = self._parts
        held = [odd[at].decode("utf-8", "surrogateescape") if at in odd else value for at, value in enumerate(values)]
        numbers = [_NOTHING if values[at] is None else int(values[at]) for at in whole]
        said = (form % texts(held)).encode("utf-8", "surrogateescape")
        blobs = [blob or b"" for blob in values[len(values) - self.blobs :]]
        return b"".join((said, packed.pack(*numbers, *(values[at] + 0.0 for at in reals)), *blobs))

    def differs_by(self, before: Mapping[str, int | None], after: Mapping[str, int | None]) -> int:
        """By what the sum changes (exclusive or) where of a row without bytes these integers alone change, whatever
        else stands in it: CRC-32 is linear."""
        names = [name for name in self.columns if name in self.whole]
        form = struct.Struct(f">{len(names)}q{8 * len(self.reals)}x")
        one, other = (
            [_NOTHING if (value := held.get(name, 0)) is None else value for name in names] for held in (before, after)
        )
        return zlib.crc32(form.pack(*one)) ^ zlib.crc32(form.pack(*other))

    def sum_if_any(self, values: Sequence[Any]) -> int | None:
        """The sum of some values; None where one is of another kind than it should."""
        try:
            return self.sum_of(values)
        except (TypeError, ValueError, OverflowError, struct.error):
            return None

    def resealed(self, before: Sequence[Any], after: Sequence[Any], noted: int | None) -> int | None:
        """The sum of a row that changes: one that was damaged before stays known for it. None as `sum_if_any`."""
        if noted is not None and noted != self.sum_if_any(before):
            return DAMAGED_STILL if noted == DAMAGED else DAMAGED
        return self.sum_if_any(after)

    def name_of(self, values: Sequence[Any]) -> str:
        """What a row is called in a message."""
        return "/".join(str(values[at]) for at in self.named)


SESSIONS = Guarded(
    "sessions",
    (
        *("id", "name", "ended_at", "expires_at", "turns", "tokens", "bytes", "token_budget", "created_at", "used_at"),
        *("metadata", "worktree", "commit", "summary", "summarised", "summary_method"),
    ),
    named=(1,),
    whole=frozenset(
        ("ended_at", "expires_at", "turns", "tokens", "bytes", "token_budget", "created_at", "used_at", "summarised")
    ),
)
TURNS = Guarded(
    "turns",
    ("session", "position", "role", "text", "tokens", "created_at", "request_id", "embedder_id", "vector"),
    named=(0, 1),
    whole=frozenset(("position", "tokens", "created_at")),
    blobs=1,
)
INTERACTIONS = Guarded(
    "interactions",
    (
        *("id", "kind", "prompt", "answer", "session", "task", "provider", "model", "tier", "route_reason"),
        *("confidence", "context", "context_tokens", "input_tokens", "output_tokens", "latency_ms", "cost_usd"),
        *("reused", "verdict", "created_at", "worktree", "commit"),
    ),
    named=(0,),
    whole=frozenset(("context_tokens", "input_tokens", "output_tokens", "reused", "verdict", "created_at")),
    reals=frozenset(("latency_ms", "cost_usd")),
)
FEEDBACK = Guarded(
    "feedback",
    (
        *("id", "request_id", "signal", "rating", "task_success", "memory_id", "success", "metadata", "created_at"),
        *("worktree", "commit"),
    ),
    named=(0,),
    whole=frozenset(("rating", "task_success", "created_at")),
    reals=frozenset(("success",)),
)
MARKS = Guarded(
    "marks",
    ("namespace", "id", "success", "weight", "at", "feedback"),
    named=(0, 1),
    whole=frozenset(("at", "feedback")),
    reals=frozenset(("success", "weight")),
)
EDGES = Guarded(
    "edges",
    ("kind", "origin", "scope", "weight", "changed_at", "members"),
    named=(0, 1),
    whole=frozenset(("changed_at",)),
    reals=frozenset(("weight",)),
    blobs=1,
)

GUARDED = {one.name: one for one in (SESSIONS, TURNS, INTERACTIONS, FEEDBACK, MARKS, EDGES)}


def column_sql(table: Guarded) -> str:
    """The column of the sum, and the trigger for whoever changes a row and knows no sums."""
    old, new = (", ".join(f'{side}."{name}"' for name in table.columns) for side in ("OLD", "NEW"))
    return f"""
ALTER TABLE {table.name} ADD COLUMN row_sum INTEGER;
CREATE TRIGGER {table.name}_unsealed AFTER UPDATE OF {table.listed} ON {table.name}
WHEN NEW.row_sum IS OLD.row_sum AND NEW.row_sum IS NOT NULL AND ({new}) IS NOT ({old})
BEGIN UPDATE {table.name} SET row_sum = NULL WHERE rowid = NEW.rowid; END;
"""


def insert_sql(table: Guarded) -> str:
    """The statement that inserts a row by the values of its columns and its sum."""
    return f"INSERT INTO {table.name} ({table.listed}, row_sum) VALUES ({', '.join('?' * (len(table.columns) + 1))})"


def sealed(table: Guarded, values: Sequence[Any]) -> tuple[Any, ...]:
    """A new row for `insert_sql`."""
    return (*values, table.sum_of(values))


def seal(connection: apsw.Connection, table: Guarded, row: int) -> None:
    """Give a row, by its number, the sum of what stands in it, in the caller's transaction."""
    found: Any = connection.execute(f"SELECT {table.listed} FROM {table.name} WHERE rowid = ?", (row,)).fetchone()
    if found is not None:
        connection.execute(f"UPDATE {table.name} SET row_sum = ? WHERE rowid = ?", (table.sum_of(found), row))


def change(
    connection: apsw.Connection, table: Guarded, key: tuple[str, Any], changes: Mapping[str, Any]
) -> list[Any] | None:
    """Give the row that has the value of `key` (a column and a value) new values in the caller's transaction; returns
    what its columns hold then, None where there is none."""
    name, value = key
    sql = f'SELECT {table.listed}, row_sum FROM {table.name} WHERE "{name}" = ?'
    found: Any = connection.execute(sql, (value,)).fetchone()
    if found is None:
        return None
    *before, noted = found
    after = [*{**dict(zip(table.columns, before, strict=True)), **changes}.values()]
    sets = ", ".join(f'"{column}" = ?' for column in changes)
    sql = f'UPDATE {table.name} SET {sets}, row_sum = ? WHERE "{name}" = ?'
    connection.execute(sql, (*changes.values(), table.resealed(before, after, noted), value))
    return after


def has_row_sums(connection: apsw.Connection, table: Guarded) -> bool:
    """Whether the file is of a version in which the rows of a table have sums."""
    sql = "SELECT 1 FROM pragma_table_info(?) WHERE name = 'row_sum'"
    return connection.execute(sql, (table.name,)).fetchone() is not None


def fill(connection: apsw.Connection, progress: Progress = silent) -> int:
    """Give every row that has none its sum, in the caller's transaction; returns how many got one.

    The sums are of what stands in the file: whatever was damaged before is not told by them. A row with a text that is
    none stays without, until a repair.
    """
    done = 0
    for table in GUARDED.values():
        sql = f"UPDATE {table.name} SET row_sum = ? WHERE rowid = ?"
        for rows in _without(connection, table):
            progress(f"Making checksums of {table.name}", rows[0][0])
            connection.executemany(sql, [(table.sum_of(values), row) for row, *values in rows])
            done += len(rows)
    return done


def _without(connection: apsw.Connection, table: Guarded) -> Iterator[list[Any]]:
    """The rows of a table that have no sum and can be read, some at a time: the number of each, then its values."""
    numbers = f"SELECT rowid FROM {table.name} WHERE row_sum IS NULL AND rowid > ? ORDER BY rowid LIMIT ?"
    sql = f"SELECT rowid, {table.listed} FROM {table.name} WHERE row_sum IS NULL AND rowid BETWEEN ? AND ?"
    last = -(1 << 63)
    while found := [row for (row,) in list[Any](connection.execute(numbers, (last, BATCH)))]:
        last = found[-1]
        try:
            rows = connection.execute(sql, (found[0], last)).fetchall()
        except UnicodeDecodeError:
            rows = list[Any](_one_by_one(connection, sql, found))
        if rows:
            yield rows


def _one_by_one(connection: apsw.Connection, sql: str, numbers: Sequence[int]) -> Iterator[Any]:
    for number in numbers:
        try:
            yield from connection.execute(sql, (number, number)).fetchall()
        except UnicodeDecodeError:
            continue
