"""What memories are called: all that a question needs of them which is told what there is, and shown nothing.

Namespace and id, what the text weighs, and the file that it is about take some 350 bytes, so that many more are kept
than of whole memories. Once a few questions had to look names up, those of the newest rows are read in the background;
from then on the log of changes says which to read anew.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from sys import intern
from typing import Any, cast

import apsw

from aqe.engine.memory.changelog import Mark, mark_of, read_mark, rows_since
from aqe.engine.memory.hits import FEW
from aqe.engine.memory.hybrid import Found

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
        self._database = database
        self._reopen = reopen if str(database) != ":memory:" else None
        self._known: dict[int, Named] = {}
        self._weigh: Weigh | None = None
        self._number = -1
        self._mark: Mark | None = None
        self._looked_up = 0
        self._aside: threading.Thread | None = None
        self._made: list[tuple[dict[int, Named], Mark, Weigh]] = []
        self._end = threading.Event()

    def of(self, connection: apsw.Connection, number: int, found: Sequence[Found], weigh: Weigh) -> list[Named]:
        """What the memories of some rows are called as of the change `number`, in their order; a row that is not there
        is left out. `weigh` is the same each time, or all are weighed anew."""
        if number != self._number or weigh is not self._weigh or self._made:
            self._follow(connection, number, weigh)
        get = self._known.get
        names = [get(one[0]) for one in found]
        if None not in names:
            return cast("list[Named]", names)
        read = self._look_up(connection, [one[0] for one, name in zip(found, names, strict=True) if name is None])
        names = [name or read.get(one[0]) for one, name in zip(found, names, strict=True)]
        return [name for name in names if name is not None]

    def close(self) -> None:
        """End what is being read in the background."""
        self._end.set()
        if self._aside is not None:
            self._aside.join()

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
        is_reading = self._aside is not None and self._aside.is_alive()
        if self._looked_up == LOOKED_UP and self._reopen is not None and not is_reading:
            self._aside = threading.Thread(target=self._read_aside, args=(self._weigh,), name="aqe-names", daemon=True)
            self._aside.start()
        return read

    def _follow(self, connection: apsw.Connection, number: int, weigh: Weigh) -> None:
        """Forget what changed since, and take over what the background read."""
        if number != self._number:
            self._known = _still(connection, self._known, self._mark)
            if not self._known:
                self._looked_up = 0  # they are worth reading ahead anew
            self._number, self._mark = number, mark_of(connection, number)
        if weigh is not self._weigh:
            self._weigh = weigh
            self._known.clear()
        while self._made:
            made, mark, by = self._made.pop()
            if by is weigh:
                self._known = {**_still(connection, made, mark), **self._known}

    def _read_aside(self, weigh: Weigh) -> None:
        assert self._reopen is not None
        try:
            connection = self._reopen(self._database)
            try:
                connection.execute("BEGIN")
                mark, made = read_mark(connection), dict[int, Named]()
                cursor = connection.execute(_NEWEST, (KEPT,))
                while rows := [*islice(cursor, PORTION)]:
                    made |= _named(rows, weigh)
                    if self._end.wait(PAUSE_S):
                        return
            finally:
                connection.close()
        except Exception as error:  # also of the caller's own measure: whoever looks a name up meets it there
            _log.info("The names of memories are read as they are found: %s", error)
            return
        self._made.append((dict(reversed(made.items())), mark, weigh))  # the oldest go first


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
