"""What a search found, read out of the file once; what was read before is kept while its row does not change."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import apsw

from aqe.engine.memory.entry import Hit, Memory, made
from aqe.engine.memory.growth.staleness import FileDigests
from aqe.engine.memory.rows import COLUMNS, packed_memory, read_memory, unpacked
from aqe.engine.memory.search.ahead import RowsAhead
from aqe.engine.memory.search.hybrid import Found
from aqe.engine.memory.search.ranking import Scored

KEPT_BYTES = 32_000_000
"""Of memory that rows take at most: some 50,000 of ten lines each."""

KEPT_WHOLE, WHOLE_BYTES = 4096, 4096
"""Memories that are kept whole, and the bytes that each may be packed to."""

AROUND = 160
"""Bytes that a row takes in memory beside what it is packed to."""

FEW = 32
"""Rows that are named one by one in a statement, which is a third sooner done than a list in JSON."""

_COLUMNS = COLUMNS.replace(" FROM", ", row FROM", 1)
_SQL = f"SELECT {_COLUMNS} WHERE row IN "
_NEWEST = f"SELECT {_COLUMNS} WHERE valid_to IS NULL ORDER BY row DESC"


class FoundMemories:
    """The memories that searches of one store find. The store's lock is held by whoever calls.

    All are kept as bytes: making one of them takes a third of what reading its row does, and for the garbage collector
    they are no work, however many. Those found lately are kept whole as well.
    """

    def __init__(self, files: FileDigests, database: Path, *, reopen: Callable[[Path], apsw.Connection]) -> None:
        self._files = files
        self._lately: OrderedDict[int, tuple[bytes, Memory]] = OrderedDict()
        """By row; what it was made of tells whether it is still so."""
        self._rows: RowsAhead[bytes] = RowsAhead(
            "aqe-rows", database, reopen=reopen, newest=_NEWEST, make=_packed, size=_weight, most=KEPT_BYTES
        )

    def hits(self, connection: apsw.Connection, number: int, scored: Sequence[Scored]) -> tuple[Hit, ...]:
        """The memories of scored rows as of the change `number`, in their order; a row that is not there is left out,
        and one whose file changed since is said to be stale."""
        found = self._memories(connection, number, [one.row for one in scored])
        return hits_of({row: self._files.marked(memory) for row, memory in found.items()}, scored)

    def hits_each(
        self, connection: apsw.Connection, number: int, found: Sequence[Sequence[Found]]
    ) -> list[tuple[Hit, ...]]:
        """The same for what several searches found, for less than their sum."""
        known = self._memories(connection, number, [one[0] for some in found for one in some])
        return [_made(known, some, self._files) for some in found]

    def nearest(self, connection: apsw.Connection, number: int, near: Mapping[int, float]) -> tuple[Hit, ...] | None:
        """The memories of rows by cosine, where no transaction holds what was found; None where one ended meanwhile."""
        known = self._memories(connection, number, near)
        for memory in known.values():
            if memory.valid_to is not None:
                return None
        return _made(known, zip(near, near.values(), repeat(None), near.values()), self._files)

    def close(self) -> None:
        """End what is being read in the background."""
        self._rows.close()

    def _memories(self, connection: apsw.Connection, number: int, rows: Iterable[int]) -> dict[int, Memory]:
        """Those of the rows that are there."""
        kept, lately = self._rows.follow(connection, number), self._lately
        known: dict[int, Memory] = {}
        new = []
        for row in rows:
            one = lately.get(row)
            if one is not None and one[0] is kept.get(row):
                known[row] = one[1]
            else:
                new.append(row)
        if new:
            made = unpacked(kept, new)
            if missing := [row for row in new if row not in made]:
                made |= self._read(connection, missing)
            self._note(made)
            known |= made
        return known

    def _read(self, connection: apsw.Connection, rows: Sequence[int]) -> dict[int, Memory]:
        read = read_rows(connection, rows)
        self._rows.add({row: packed_memory(memory) for row, memory in read.items()})
        return read

    def _note(self, made: Mapping[int, Memory]) -> None:
        """Keep memories whole until others were found after them."""
        kept, lately = self._rows.known, self._lately
        for row, memory in made.items():
            packed = kept.get(row, b"")
            if 0 < len(packed) <= WHOLE_BYTES:
                lately[row] = packed, memory
        while len(lately) > KEPT_WHOLE:
            lately.popitem(last=False)


def read_rows(connection: apsw.Connection, rows: Sequence[int]) -> dict[int, Memory]:
    """The memories of some rows."""
    if len(rows) <= FEW:
        found: Any = connection.execute(f"{_SQL}({','.join('?' * len(rows))})", rows)
    else:
        found = connection.execute(f"{_SQL}(SELECT value FROM json_each(?))", (json.dumps(rows),))
    return {row[-1]: read_memory(row) for row in found}


def _packed(rows: Iterable[Any]) -> dict[int, bytes]:
    return {row[-1]: packed_memory(read_memory(row)) for row in rows}


def _weight(packed: bytes) -> int:
    return len(packed) + AROUND


def hits_of(known: Mapping[int, Memory], scored: Sequence[Scored]) -> tuple[Hit, ...]:
    """Scored rows with their memories; a row that is not there is left out."""
    return tuple([_hit(known[one.row], one) for one in scored if one.row in known])


def _made(known: Mapping[int, Memory], found: Iterable[Found], files: FileDigests) -> tuple[Hit, ...]:
    hits, new, put = [], object.__new__, object.__setattr__
    for row, score, text, near in found:
        memory = known.get(row)
        if memory is None:
            continue
        if memory.file_digest:
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
