"""What a search found, read out of the file."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from aqe.engine.memory.entry import Hit
from aqe.engine.memory.growth.staleness import FileDigests
from aqe.engine.memory.ranking import Scored
from aqe.engine.memory.rows import COLUMNS, read_memory


def read_hits(
    connection: apsw.Connection, scored: Sequence[Scored], files: FileDigests | None = None
) -> tuple[Hit, ...]:
    """The memories of scored rows, in their order; a row that is not there is left out. With `files` those whose file
    changed since are said to be stale."""
    rows = [one.row for one in scored]
    marks = ",".join("?" * len(rows))
    found = {
        int(row[0]): read_memory(row[1:])
        for row in connection.execute(f"SELECT memories.row, {COLUMNS} WHERE memories.row IN ({marks})", rows)
    }
    if files is not None:
        found = {row: files.marked(memory) for row, memory in found.items()}
    return tuple(Hit(found[one.row], one.score, one.text, one.vector, one.prior) for one in scored if one.row in found)
