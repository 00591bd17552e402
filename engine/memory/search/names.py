"""What memories are called: all that a question needs of them which is told what there is, and shown nothing.

Namespace and id, what the text weighs, and the file that it is about take some 350 bytes, so that many more are kept
than of whole memories. Once a few questions had to look names up, those of the newest rows are read in the background;
from then on the log of changes says which to read anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Any, cast

import apsw

from aqe.engine.memory.file.aside import IsOver, ReadAside
from aqe.engine.memory.file.changelog import Mark, mark_of, read_mark, rows_since
from aqe.engine.memory.search.hits import FEW
from aqe.engine.memory.search.hybrid import Found

KEPT = 16_384
"""Memories whose names are kept."""

LOOKED_UP = 3
"""Questions that look names up before all are read."""

PORTION, PAUSE_S = 32, 0.001
"""The background rests for so long after so many rows: a question waits for the interpreter while a thread is busy."""

_COLUMNS = "SELECT row, namespace, id, text, file, file_digest FROM memories"
_SOME = f"{_COLUMNS} WHERE row IN "
_NEWEST = f"{_COLUMNS} WHERE valid_to IS NULL ORDER BY row DESC LIMIT ?"
_log = logging.getLogger(__name__)

Named = tuple[tuple[str, str], int, tuple[str, str] | None]
"""A memory by namespace and id, what its text weighs, and the file that it is about with that one's digest then."""

Weigh = Callable[[str, str], int]
"""What a text of a namespace weighs."""


class Names:
    """The names of the memories of one store. Whoever calls holds the store's lock."""

    def __init__(self, database: Path, *, reopen: Callable[[Path], apsw.Connection]) -> None:
        self._known: dict[int, Named] = {}
        self._weigh: Weigh | None = None
        self._number = -1
        self._mark: Mark | None = None
        self._looked_up = 0
        self._aside: ReadAside[tuple[dict[int, Named], Mark, Weigh]] = ReadAside(
            "aqe-names", database, reopen, self._read_ahead
        )

    def of(self, connection: apsw.Connection, number: int, found: Sequence[Found], weigh: Weigh) -> list[Named]:
        """What the memories of some rows are called as of the change `number`, in their order; a row that is not there
        is left out. `weigh` is the same each time, or all are weighed anew."""
        made = self._aside.taken()
        if number != self._number or weigh is not self._weigh or made is not None:
            self._follow(connection, number, weigh, None if made is None else made[0])
        get = self._known.get
        names = [get(one[0]) for one in found]
        if None not in names:
            return cast("list[Named]", names)
        read = self._look_up(connection, [one[0] for one, name in zip(found, names, strict=True) if name is None])
        names = [name or read.get(one[0]) for one, name in zip(found, names, strict=True)]
        return [name for name in names if name is not None]

    def close(self) -> None:
        """End what is being read in the background."""
        self._aside.close()

    def _look_up(self, connection: apsw.Connection, rows: Sequence[int]) -> dict[int, Named]:
        assert self._weigh is not None
        if len(rows) <= FEW:
            found: Any = connection.execute(f"{_SOME}({','.join('?' * len(rows))})", rows)
        else:
            found = connection.execute(f"{_SOME}(SELECT value FROM json_each(?))", (json.dumps(rows),))
        known, read = self._known, _named(found, self._weigh)
        known.update(read)
        if len(known) > KEPT:
            for row in [*islice(known, len(known) - KEPT + KEPT // 4)]:
                del known[row]
        self._looked_up += 1
        if self._looked_up == LOOKED_UP:
            self._aside.begin()
        return read

    def _follow(
        self,
        connection: apsw.Connection,
        number: int,
        weigh: Weigh,
        ahead: tuple[dict[int, Named], Mark, Weigh] | None,
    ) -> None:
        """Forget what changed since, and take over what the background read."""
        if number != self._number:
            self._known = _still(connection, self._known, self._mark)
            if not self._known:
                self._looked_up = 0  # they are worth reading ahead anew
            self._number, self._mark = number, mark_of(connection, number)
        if weigh is not self._weigh:
            self._weigh = weigh
            self._known.clear()
        if ahead is not None and ahead[2] is weigh:
            self._known = {**_still(connection, ahead[0], ahead[1]), **self._known}

    def _read_ahead(self, connection: apsw.Connection, is_over: IsOver) -> tuple[dict[int, Named], Mark, Weigh] | None:
        """The names of the newest rows, weighed as is asked now; None where the work is over."""
        weigh = self._weigh
        assert weigh is not None
        mark, made = read_mark(connection), dict[int, Named]()
        cursor = connection.execute(_NEWEST, (KEPT,))
        while rows := [*islice(cursor, PORTION)]:
            try:
                made |= _named(rows, weigh)
            except Exception as error:  # of the caller's own measure: whoever looks a name up meets it there
                _log.info("The names of memories are read as they are found: %s", error)
                return None
            if is_over(PAUSE_S):
                return None
        return dict(reversed(made.items())), mark, weigh  # the oldest go first


def _named(rows: Iterable[Any], weigh: Weigh) -> dict[int, Named]:
    return {
        row: ((intern(namespace), id), weigh(namespace, text), (file, digest) if digest else None)
        for row, namespace, id, text, file, digest in rows
    }


def _still(connection: apsw.Connection, known: dict[int, Named], mark: Mark | None) -> dict[int, Named]:
    """What is still so of what was known at `mark`."""
    rows = None if mark is None else rows_since(connection, mark)
    if rows is None or len(rows) > len(known):
        return {}
    for row in rows:
        known.pop(row, None)
    return known
