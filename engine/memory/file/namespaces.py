"""Which namespaces a store has, by hops along the index of current rows: one for each, however many rows there are."""

from __future__ import annotations

import apsw


def names_below(connection: apsw.Connection, start: str = "") -> list[str]:
    """The namespaces with a current row whose names begin with `start`, in order; without it all."""
    sql = "SELECT min(namespace) FROM memories WHERE valid_to IS NULL AND namespace {} ?"
    end: tuple[str, ...] = ()
    if start:
        sql, end = f"{sql} AND namespace < ?", (end_of(start),)
    found = connection.execute(sql.format(">="), (start, *end)).get
    names = []
    while found is not None:
        names.append(str(found))
        found = connection.execute(sql.format(">"), (found, *end)).get
    return names


def end_of(start: str) -> str:
    """The first text behind all that begin with `start`.

    >>> end_of("index/")
    'index0'
    """
    return start[:-1] + chr(ord(start[-1]) + 1)
