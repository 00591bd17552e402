"""Reads whole memories out of a store: every revision with every column and its vector."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.memory.entry import Provenance
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.search.filters import namespace_sql
from aqe.engine.memory.search.ranking import INDEX, SHELVES
from aqe.engine.memory.transfer.record import Record

PAGE = 512
_NAMED = ("id", "namespace", "revision", "text", "metadata", "created_at", "valid_from", "valid_to", "id_given")
_ORIGIN = ("file", "line", "commit", "run", "worktree")
_DERIVED = ("row", "text_hash", "embedder", "vector_sum", "row_sum")
"""Columns that are worked out anew where a record is written."""


@dataclass(frozen=True)
class Wanted:
    """Which revisions: those of a namespace (`name/` for all below it, None for all that was remembered, with
    `knowledge` what is known about testing too; the project index, which is derived, only where it is named), current
    ones alone or with their history; those that held at the moment `at`, and those that began or ended since `since`
    (microseconds)."""

    namespace: str | None = None
    history: bool = False
    at: int | None = None
    since: int | None = None
    knowledge: bool = False

    def sql(self) -> tuple[str, list[object]]:
        """The condition on rows of `memories` and its parameters."""
        within, bound = namespace_sql(self.namespace, INDEX if self.knowledge else SHELVES)
        parts = [within]
        if self.at is not None:
            parts.append("valid_from <= ? AND (valid_to IS NULL OR valid_to > ?)")
            bound += [self.at, self.at]
        elif not self.history:
            parts.append("valid_to IS NULL")
        if self.since is not None:
            parts.append("(valid_from >= ? OR valid_to >= ?)")
            bound += [self.since, self.since]
        return " AND ".join(parts), bound


def count_records(connection: apsw.Connection, wanted: Wanted) -> int:
    """How many revisions `read_records` gives."""
    where, bound = wanted.sql()
    return int(connection.execute(f"SELECT count(*) FROM memories WHERE {where}", bound).get)


def read_records(connection: apsw.Connection, wanted: Wanted, *, with_vectors: bool = True) -> Iterator[Record]:
    """The wanted revisions in the order in which they were written, in the caller's read transaction."""
    where, bound = wanted.sql()
    more = more_columns(connection)
    quoted = ", ".join(f'm."{name}"' for name in (*_NAMED, *_ORIGIN, *more))
    sql = (
        f"SELECT m.row, m.embedder, e.embedder_id, e.derived, {quoted} FROM memories m"
        f" LEFT JOIN embedders e ON embedder = number WHERE m.row > ? AND {where} ORDER BY m.row LIMIT {PAGE}"
    )
    after: Any = -1
    while page := _fetched(connection, sql, (after, *bound)):
        after = page[-1][0]
        found = _vectors_of(connection, page) if with_vectors else {}
        for row in page:
            named: dict[str, Any] = dict(zip((*_NAMED, *_ORIGIN, *more), row[4:], strict=True))
            yield Record(
                id=named["id"],
                namespace=named["namespace"],
                revision=named["revision"],
                text=named["text"],
                metadata=json.loads(named["metadata"]),
                created_at=named["created_at"],
                valid_from=named["valid_from"],
                valid_to=named["valid_to"],
                id_given=bool(named["id_given"]),
                provenance=Provenance(**{name: named[name] for name in _ORIGIN}),
                embedder_id=row[2],
                vector=found.get(row[0]),
                derived=bool(row[3]),
                more={name: named[name] for name, usual in more.items() if named[name] not in (None, usual)},
            )


def _fetched(connection: apsw.Connection, sql: str, bound: Sequence[object]) -> list[Sequence[Any]]:
    return list(connection.execute(sql, bound))


def more_columns(connection: apsw.Connection) -> dict[str, Any]:
    """The columns of `memories` that a record has no field for, each with the value that a new row has."""
    found = connection.execute("SELECT name, dflt_value FROM pragma_table_info('memories')").fetchall()
    usual = {str(name): default for name, default in found if name not in (*_NAMED, *_ORIGIN, *_DERIVED)}
    return {
        name: None if default is None else connection.execute(f"SELECT {default}").get
        for name, default in usual.items()
    }


def _vectors_of(connection: apsw.Connection, page: Sequence[Sequence[Any]]) -> dict[int, bytes]:
    """The vector of each row of a page that has one: of current rows in its space, of ended ones put aside;
    one that is not what was written has none."""
    by_table: dict[int, list[int]] = {}
    for number, table, *_ in page:
        if isinstance(table, int) and isinstance(number, int):
            by_table.setdefault(table, []).append(number)
    found: dict[int, bytes] = {}
    for table, rows in by_table.items():
        found |= vectors.read_ever(connection, table, rows)
    for row in vectors.damaged_of(connection, found):
        del found[row]
    return found
