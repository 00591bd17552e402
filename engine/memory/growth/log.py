"""The log of what growth did to memories by itself: what, when, to which memory, and the facts that it rested on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import apsw

from aqe.engine.memory.entry import check_namespace
from aqe.engine.memory.search.filters import namespace_sql

What = Literal["expired", "merged", "pruned", "revived"]
KEPT = 100_000


@dataclass(frozen=True)
class Growth:
    """One entry: `at` in UTC microseconds; `facts` says why, such as the memory that another was merged into."""

    number: int
    at: int
    what: What
    namespace: str
    id: str
    facts: dict[str, Any]


def note(connection: apsw.Connection, at: int, what: What, namespace: str, id: str, facts: Mapping[str, Any]) -> None:
    """Write an entry in the caller's transaction; the oldest beyond a limit go."""
    sql = "INSERT INTO growth_log (at, what, namespace, id, facts) VALUES (?, ?, ?, ?, ?)"
    connection.execute(sql, (at, what, namespace, id, json.dumps(dict(facts), ensure_ascii=False)))
    number = connection.last_insert_rowid()
    if number % 1000 == 0:
        connection.execute("DELETE FROM growth_log WHERE number <= ?", (number - KEPT,))


def read_log(connection: apsw.Connection, *, namespace: str | None = None, limit: int = 50) -> list[Growth]:
    """The last entries, newest first; of a namespace (of all below `name/`), or with None of all."""
    where, bound = ("1", list[object]()) if namespace is None else namespace_sql(check_namespace(namespace), ())
    sql = f"SELECT number, at, what, namespace, id, facts FROM growth_log WHERE {where} ORDER BY number DESC LIMIT ?"
    found: list[Any] = connection.execute(sql, (*bound, limit)).fetchall()
    return [Growth(number, at, what, name, id, json.loads(facts)) for number, at, what, name, id, facts in found]
