"""The memories of a place in order of age: those of a scope, newest first, and the revisions of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from aqe.engine.memory.entry import Memory
from aqe.engine.memory.rows import COLUMNS, read_memory

if TYPE_CHECKING:
    from aqe.engine.memory.search.ranking import Scope

_AGE = "created_at DESC, row DESC"


def newest_memories(connection: apsw.Connection, scope: Scope, limit: int, offset: int) -> list[Memory]:
    """The current memories of a scope, newest first. What is sorted are the numbers of its rows, and those that are
    wanted are read afterwards: no index stands for it, which every addition would have to write."""
    where, bound = scope.where()
    table = "memories" if scope.within is not None else "memories NOT INDEXED"  # all: as they lie, not by an index
    rows = f"SELECT row FROM {table} WHERE {where} ORDER BY {_AGE} LIMIT ? OFFSET ?"
    sql = f"SELECT {COLUMNS} WHERE row IN ({rows}) ORDER BY {_AGE}"
    return [read_memory(row) for row in connection.execute(sql, (*bound, limit, max(0, offset)))]


def revisions(connection: apsw.Connection, namespace: str, id: str) -> list[Memory]:
    """All revisions of a memory, oldest first."""
    sql = f"SELECT {COLUMNS} WHERE namespace = ? AND id = ? ORDER BY revision"
    return [read_memory(row) for row in connection.execute(sql, (namespace, id))]
