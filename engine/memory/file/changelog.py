"""Which memories changed since a moment: what is held of them, in memory or beside the file, is brought up to date so.

    mark = read_mark(connection)
    ...
    rows = rows_since(connection, mark)  # to be looked up anew; None: read everything anew

A mark is of one history: the random stamp of its last change tells it from that of a file put in this one's place. What
stands in memory compares `number` alone first, which costs one statement.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import apsw

MOST_BOUND = 500
"""Rows to one statement, when rows are looked up by their numbers."""


class Mark(NamedTuple):
    """A moment in the history of one file: the number of its last change, and that change's stamp."""

    number: int
    stamp: int


def read_mark(connection: apsw.Connection) -> Mark:
    """The moment that the caller's transaction sees."""
    last: Any = connection.execute("SELECT number, stamp FROM change_log ORDER BY number DESC LIMIT 1").fetchall()[0]
    return Mark(*last)


def mark_of(connection: apsw.Connection, number: int) -> Mark | None:
    """The moment of the change with this number; None where the log does not have it."""
    stamp = connection.execute("SELECT stamp FROM change_log WHERE number = ?", (number,)).get
    return None if stamp is None else Mark(number, int(stamp))


def read_number(connection: apsw.Connection) -> int:
    """The number of the last change that the caller's transaction sees."""
    return int(connection.execute("SELECT max(number) FROM change_log").get)


def rows_since(connection: apsw.Connection, mark: Mark) -> list[int] | None:
    """The rows of `memories` that were added, changed, ended or erased after `mark`, each once, in order of row.

    None where the log does not reach back to it, or it is of another file's history. A row can be erased and its number
    given to another memory since.
    """
    known = connection.execute("SELECT stamp FROM change_log WHERE number = ?", (mark.number,)).get
    if known != mark.stamp:
        return None
    changed = connection.execute("SELECT DISTINCT row FROM change_log WHERE number > ? ORDER BY row", (mark.number,))
    return [row for (row,) in changed]


def may_lack_since(connection: apsw.Connection, mark: Mark) -> bool:
    """Whether a memory that was there at `mark` may have been erased since: its row is no more, or was named twice, as
    one is whose number went to another."""
    known = connection.execute("SELECT stamp FROM change_log WHERE number = ?", (mark.number,)).get
    sql = (
        "SELECT 1 FROM change_log AS log WHERE number > ? GROUP BY row"
        " HAVING count(*) > 1 OR NOT EXISTS (SELECT 1 FROM memories WHERE memories.row = log.row) LIMIT 1"
    )
    return known != mark.stamp or connection.execute(sql, (mark.number,)).get is not None
