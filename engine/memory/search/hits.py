"""What a search found, read out of the file; what was read lately is at hand while its row does not change."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from aqe.engine.memory.entry import Hit, Memory, made
from aqe.engine.memory.file.changelog import Mark, mark_of, rows_since
from aqe.engine.memory.growth.staleness import FileDigests
from aqe.engine.memory.rows import COLUMNS, memory_of
from aqe.engine.memory.search.hybrid import Found
from aqe.engine.memory.search.ranking import Scored

KEPT_ROWS = 4096
KEPT_CHARACTERS = 4_000_000

FEW = 32
"""Rows that are named one by one in a statement, which is a third sooner done than a list in JSON."""

_PLAIN = COLUMNS.partition(" LEFT JOIN")[0].replace("embedder_id, dimension", "embedder, 0")
_SQL = f"SELECT {_PLAIN.replace(' FROM', ', row FROM', 1)} WHERE row IN "


class FoundMemories:
    """The memories that searches of one store found lately, by row. The store's lock is held by whoever calls."""

    def __init__(self, files: FileDigests | None = None) -> None:
        self._files = files
        self._number = -1
        self._mark: Mark | None = None
        self._characters = 0
        self._known: OrderedDict[int, Memory] = OrderedDict()
        self._spaces: dict[int | None, tuple[str | None, int | None]] = {None: (None, None)}

    def hits(self, connection: apsw.Connection, number: int, scored: Sequence[Scored]) -> tuple[Hit, ...]:
        """The memories of scored rows as of the change `number`, in their order; a row that is not there is left out,
        and one whose file changed since is said to be stale."""
        if number != self._number:
            self._follow(connection, number)
        if not scored:
            return ()
        get = self._known.get
        pairs = [(get(one.row), one) for one in scored]
        if missing := [one.row for memory, one in pairs if memory is None]:
            found = self._read(connection, missing)
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
            self._follow(connection, number)
        known: Mapping[int, Memory] = self._known
        if missing := [one[0] for some in found for one in some if one[0] not in known]:
            read = self._read(connection, missing)
            known = {one[0]: known[one[0]] for some in found for one in some if one[0] in known} | read
            self._keep(read)
        return [_made(known, some, self._files) for some in found]

    def nearest(self, connection: apsw.Connection, number: int, near: Mapping[int, float]) -> tuple[Hit, ...] | None:
        """The memories of rows by cosine, where no transaction holds what was found; None where one ended meanwhile."""
        if number != self._number:
            self._follow(connection, number)
        known: Mapping[int, Memory] = self._known
        if missing := [row for row in near if row not in known]:
            read = self._read(connection, missing)
            if any(memory.valid_to is not None for memory in read.values()):
                return None
            known = {row: known[row] for row in near if row in known} | read
            self._keep(read)
        return _made(known, [(row, cosine, None, cosine) for row, cosine in near.items()], self._files)

    def _follow(self, connection: apsw.Connection, number: int) -> None:
        """Forget the rows that changed since."""
        rows = None if self._mark is None else rows_since(connection, self._mark)
        if rows is None or len(rows) > len(self._known):
            self._known.clear()
            self._characters = 0
        else:
            gone = [self._known.pop(row) for row in rows if row in self._known]
            self._characters -= sum([len(memory.text) for memory in gone])
        self._spaces = {None: (None, None)}
        self._number, self._mark = number, mark_of(connection, number)

    def _read(self, connection: apsw.Connection, rows: Sequence[int]) -> dict[int, Memory]:
        read = _rows(connection, rows)
        spaces = self._spaces
        if any(row[8] not in spaces for row in read):
            sql = "SELECT number, embedder_id, dimension FROM embedders"
            spaces.update({number: (name, dimension) for number, name, dimension in connection.execute(sql)})
        return {row[-1]: memory_of(row, *spaces[row[8]]) for row in read}

    def _keep(self, found: Mapping[int, Memory]) -> None:
        self._known.update(found)
        self._characters += sum([len(memory.text) for memory in found.values()])
        while len(self._known) > KEPT_ROWS or self._characters > KEPT_CHARACTERS:
            self._characters -= len(self._known.popitem(last=False)[1].text)


def _rows(connection: apsw.Connection, rows: Sequence[int]) -> Sequence[Any]:
    if len(rows) <= FEW:
        return connection.execute(f"{_SQL}({','.join('?' * len(rows))})", rows).fetchall()
    return connection.execute(f"{_SQL}(SELECT value FROM json_each(?))", (json.dumps(rows),)).fetchall()


def _made(known: Mapping[int, Memory], found: Sequence[Found], files: FileDigests | None) -> tuple[Hit, ...]:
    hits, new, put = [], object.__new__, object.__setattr__
    for row, score, text, near in found:
        memory = known.get(row)
        if memory is None:
            continue
        if memory.file_digest and files is not None:
            memory = files.marked(memory)
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
