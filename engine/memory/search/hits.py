"""What a search found, read out of the file once; what was read before is kept while its row does not change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import apsw

from aqe.engine.memory.entry import Hit, Memory, made
from aqe.engine.memory.growth.staleness import FileDigests
from aqe.engine.memory.rows import COLUMNS, read_memory
from aqe.engine.memory.search.ahead import RowsAhead
from aqe.engine.memory.search.hybrid import Found
from aqe.engine.memory.search.making import Packed, hit, memories, pack, size_of
from aqe.engine.memory.search.ranking import Scored

KEPT_BYTES = 32_000_000
"""Of memory that rows take at most: some 40,000 of ten lines each."""

KEPT_WHOLE, WHOLE_LETTERS = 4096, 4096
"""Memories that are kept whole, and the letters that the text of each may have."""

FEW = 32
"""Rows that are named one by one in a statement, which is a third sooner done than a list in JSON."""

_COLUMNS = COLUMNS.replace(" FROM", ", row FROM", 1)
_SQL = f"SELECT {_COLUMNS} WHERE row IN "
_NEWEST = f"SELECT {_COLUMNS} WHERE valid_to IS NULL ORDER BY row DESC"


class FoundMemories:
    """The memories that searches of one store find. The store's lock is held by whoever calls.

    All are kept packed: making one of them takes a fifth of what reading its row does, and for the garbage collector
    they are next to no work, however many. Those found lately are kept whole as well.
    """

    def __init__(self, files: FileDigests, database: Path, *, reopen: Callable[[Path], apsw.Connection]) -> None:
        self._files = files
        self._lately: dict[int, Memory] = {}
        """By row, as of the change that the rows are of; no memory among them has ended."""
        self._filed: set[int] = set()
        """Rows whose memories may turn stale: all of those that are kept whole, and of others that were found."""
        self._rows: RowsAhead[Packed] = RowsAhead(
            *("aqe-rows", database),
            reopen=reopen,
            newest=_NEWEST,
            make=_packed,
            size=size_of,
            most=KEPT_BYTES,
            dropped=self._forget,
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

    def current(self, connection: apsw.Connection, number: int, rows: Sequence[int]) -> list[Memory] | None:
        """The memories of rows that were current as of the change `number`, where no transaction holds what was found;
        None where one ended or went meanwhile."""
        self._rows.follow(connection, number)
        lately = self._lately
        try:
            found = [lately[row] for row in rows]
        except KeyError:
            known = self._memories(connection, number, rows)
            if len(known) < len(rows) or any(memory.valid_to is not None for memory in known.values()):
                return None
            found = [known[row] for row in rows]
        if self._filed and not self._filed.isdisjoint(rows):
            found = [self._files.marked(memory) for memory in found]
        return found

    @property
    def has_files(self) -> bool:
        """Whether any memory that was found may turn stale."""
        return bool(self._filed)

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
            if one is not None:
                known[row] = one
            else:
                new.append(row)
        if new:
            made = memories(kept, new)
            if missing := [row for row in new if row not in made]:
                made |= self._read(connection, missing)
            self._note(made)
            known |= made
        return known

    def _read(self, connection: apsw.Connection, rows: Sequence[int]) -> dict[int, Memory]:
        read = read_rows(connection, rows)
        self._rows.add({row: pack(memory) for row, memory in read.items()})
        return read

    def _note(self, made: Mapping[int, Memory]) -> None:
        """Keep memories whole until others were found after them."""
        lately = self._lately
        for row, memory in made.items():
            if memory.file_digest:
                self._filed.add(row)
            if memory.valid_to is None and len(memory.text) <= WHOLE_LETTERS:
                lately[row] = memory
        if len(lately) > KEPT_WHOLE:  # some more go with them, so that the oldest are looked for less often
            self._forget([*islice(lately, len(lately) - KEPT_WHOLE + KEPT_WHOLE // 64)])

    def _forget(self, rows: Iterable[int] | None) -> None:
        """Keep these no more, or none."""
        if rows is None:
            self._lately.clear()
            self._filed.clear()
            return
        for row in rows:
            self._lately.pop(row, None)
            self._filed.discard(row)


def read_rows(connection: apsw.Connection, rows: Sequence[int]) -> dict[int, Memory]:
    """The memories of some rows."""
    if len(rows) <= FEW:
        found: Any = connection.execute(f"{_SQL}({','.join('?' * len(rows))})", rows)
    else:
        found = connection.execute(f"{_SQL}(SELECT value FROM json_each(?))", (json.dumps(rows),))
    return {row[-1]: read_memory(row) for row in found}


def _packed(rows: Iterable[Any]) -> dict[int, Packed]:
    return {row[-1]: pack(read_memory(row)) for row in rows}


def hits_of(known: Mapping[int, Memory], scored: Sequence[Scored]) -> tuple[Hit, ...]:
    """Scored rows with their memories; a row that is not there is left out."""
    return tuple([_hit(known[one.row], one) for one in scored if one.row in known])


def _made(known: Mapping[int, Memory], found: Iterable[Found], files: FileDigests) -> tuple[Hit, ...]:
    hits = []
    for row, score, text, near in found:
        memory = known.get(row)
        if memory is not None:
            hits.append(hit(files.marked(memory) if memory.file_digest else memory, score, text, near))
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
