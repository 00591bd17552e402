"""What a search found, read out of the file; what was read lately is at hand while no memory changes."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apsw

from aqe.engine.memory.entry import Hit, Memory, made
from aqe.engine.memory.growth.staleness import FileDigests
from aqe.engine.memory.hybrid import Found
from aqe.engine.memory.ranking import Scored
from aqe.engine.memory.rows import COLUMNS, read_memory

KEPT_ROWS = 4096
KEPT_CHARACTERS = 4_000_000

FEW = 32
"""Rows that are named one by one in a statement, which is a third sooner done than a list in JSON."""

_SQL = f"SELECT {COLUMNS.replace(' FROM', ', memories.row FROM', 1)} WHERE memories.row IN "


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
        if not scored:
            return ()
        get = self._known.get
        pairs = [(get(one.row), one) for one in scored]
        if missing := [one.row for memory, one in pairs if memory is None]:
            found = {row[-1]: read_memory(row) for row in _rows(connection, missing)}
            self._keep(found)
            pairs = [(memory or found.get(one.row), one) for memory, one in pairs]
        if self._files is None:
            return tuple([_hit(memory, one) for memory, one in pairs if memory is not None])
        marked = self._files.marked
        held = [(marked(memory) if memory.file_digest else memory, one) for memory, one in pairs if memory is not None]
        return tuple([_hit(memory, one) for memory, one in held])

    def hits_each(
        self, connection: apsw.Connection, number: int, found: Sequence[Sequence[Found]]
    ) -> list[tuple[Hit, ...]]:
        """The same for what several searches found, for less than their sum."""
        if number != self._number:
            self._number, self._characters = number, 0
            self._known.clear()
        known: Mapping[int, Memory] = self._known
        if missing := [one[0] for some in found for one in some if one[0] not in known]:
            read = {row[-1]: read_memory(row) for row in _rows(connection, missing)}
            known = {one[0]: known[one[0]] for some in found for one in some if one[0] in known} | read
            self._keep(read)
        marked = self._files.marked if self._files is not None else None
        return [_made(known, some, marked) for some in found]

    def _keep(self, found: Mapping[int, Memory]) -> None:
        self._known.update(found)
        self._characters += sum([len(memory.text) for memory in found.values()])
        while len(self._known) > KEPT_ROWS or self._characters > KEPT_CHARACTERS:
            self._characters -= len(self._known.popitem(last=False)[1].text)


def _rows(connection: apsw.Connection, rows: Sequence[int]) -> Iterable[Any]:
    if len(rows) <= FEW:
        return connection.execute(f"{_SQL}({','.join('?' * len(rows))})", rows).fetchall()
    return connection.execute(f"{_SQL}(SELECT value FROM json_each(?))", (json.dumps(rows),)).fetchall()


def _made(
    known: Mapping[int, Memory], found: Sequence[Found], marked: Callable[[Memory], Memory] | None
) -> tuple[Hit, ...]:
    hits, new, put = [], object.__new__, object.__setattr__
    for row, score, text, near in found:
        memory = known.get(row)
        if memory is None:
            continue
        if marked is not None and memory.file_digest:
            memory = marked(memory)
        hit = new(Hit)
        values = {"memory": memory, "score": score, "text_score": text, "vector_score": near, "prior": 0.0}
        values["explained"] = None
        put(hit, "__dict__", values)
        hits.append(hit)
    return tuple(hits)


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
