"""What a search found, read out of the file; what was read lately is at hand while no memory changes."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence

import apsw

from aqe.engine.memory.entry import Hit, Memory, made
from aqe.engine.memory.growth.staleness import FileDigests
from aqe.engine.memory.ranking import Scored
from aqe.engine.memory.rows import COLUMNS, read_memory

KEPT_ROWS = 4096
KEPT_CHARACTERS = 4_000_000

_SQL = f"SELECT memories.row, {COLUMNS} WHERE memories.row IN (SELECT value FROM json_each(?))"


class FoundMemories:
    """The memories that searches of one store found lately, by row. The store's lock is held by whoever calls."""

    def __init__(self, files: FileDigests | None = None) -> None:
        self._files = files
        self._number = -1
        self._characters = 0
        self._known: OrderedDict[int, Memory] = OrderedDict()

    def hits(self, connection: apsw.Connection, number: int, scored: Sequence[Scored]) -> tuple[Hit, ...]:
        """The memories of scored rows as of the change `number`, in their order; a row that is not there is left out,
        and one whose file changed since is said to be stale."""
        if number != self._number:
            self._number, self._characters = number, 0
            self._known.clear()
        found = {one.row: self._known[one.row] for one in scored if one.row in self._known}
        if missing := [one.row for one in scored if one.row not in found]:
            for row in connection.execute(_SQL, (json.dumps(missing),)):
                found[row[0]] = memory = read_memory(row[1:])
                self._keep(row[0], memory)
        marked = self._files.marked if self._files is not None else _as_is
        return tuple([_hit(marked(found[one.row]), one) for one in scored if one.row in found])

    def _keep(self, row: int, memory: Memory) -> None:
        self._known[row] = memory
        self._characters += len(memory.text)
        while len(self._known) > KEPT_ROWS or self._characters > KEPT_CHARACTERS:
            self._characters -= len(self._known.popitem(last=False)[1].text)


def read_hits(connection: apsw.Connection, scored: Sequence[Scored]) -> tuple[Hit, ...]:
    """The memories of scored rows, in their order; a row that is not there is left out."""
    return FoundMemories().hits(connection, 0, scored)


def _hit(memory: Memory, one: Scored) -> Hit:
    return made(
        Hit,
        {
            "memory": memory,
            "score": one.score,
            "text_score": one.text,
            "vector_score": one.vector,
            "prior": one.prior,
            "explained": one.explained,
        },
    )


def _as_is(memory: Memory) -> Memory:
    return memory
