"""What is kept in memory of the rows of one store: looked up as searches find them, and read ahead after a few.

Once some searches had to look rows up, the newest ones are read in the background, as many as there is room for; from
then on the log of changes says which to read anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import apsw

from aqe.engine.memory.file.aside import IsOver, ReadAside
from aqe.engine.memory.file.changelog import Mark, mark_of, read_mark, rows_since

LOOKED_UP = 3
"""Searches that look rows up before the rest are read."""

PORTION, PAUSE_S = 32, 0.001
"""The background rests for so long after so many rows: a search waits for the interpreter while a thread is busy."""

Kept = TypeVar("Kept")
_log = logging.getLogger(__name__)


class RowsAhead(Generic[Kept]):
    """What `make` keeps of rows, by row. `newest` selects current rows, the newest first; all that is kept has a `size`
    of at most `most`; `dropped` is told which rows changed, None for all. Whoever calls holds the store's lock."""

    def __init__(
        self,
        name: str,
        database: Path,
        *,
        reopen: Callable[[Path], apsw.Connection],
        newest: str,
        make: Callable[[Iterable[Any]], dict[int, Kept]],
        size: Callable[[Kept], int],
        most: int,
        dropped: Callable[[Sequence[int] | None], None] | None = None,
    ) -> None:
        self.known: dict[int, Kept] = {}
        self._newest = newest
        self._make = make
        self._size_of = size
        self._most = most
        self._dropped = dropped
        self._size = 0
        self._number = -1
        self._mark: Mark | None = None
        self._looked_up = 0
        self._aside: ReadAside[tuple[dict[int, Kept], Mark, object]] = ReadAside(name, database, reopen, self._read)
        self._sense = object()

    def follow(self, connection: apsw.Connection, number: int) -> Mapping[int, Kept]:
        """What is known of rows as of the change `number`."""
        made = self._aside.taken()
        if number != self._number:
            self._drop(_changed(connection, self._mark, len(self.known)))
            self._number, self._mark = number, mark_of(connection, number)
        if made is not None and made[0] is not None:
            self._take_over(connection, *made[0])
        return self.known

    def add(self, read: Mapping[int, Kept]) -> None:
        """Keep what a search had to look up."""
        self._size += sum(map(self._size_of, read.values()))
        self.known.update(read)
        if self._size > self._most:
            self._shorten()
        self._looked_up += 1
        if self._looked_up == LOOKED_UP:
            self._aside.begin()

    def clear(self) -> None:
        """Forget all, and what is being read: `make` is to keep something else."""
        self._drop(None)
        self._sense = object()

    def close(self) -> None:
        """End what is being read in the background."""
        self._aside.close()

    def _drop(self, rows: Sequence[int] | None) -> None:
        """Forget some rows, or all; then they are worth reading ahead anew."""
        known = self.known
        if self._dropped is not None:
            self._dropped(rows)
        if rows is None:
            known.clear()
            self._size = 0
        else:
            self._size -= sum([self._size_of(known.pop(row)) for row in rows if row in known])
        if not known:
            self._looked_up = 0

    def _take_over(self, connection: apsw.Connection, made: dict[int, Kept], mark: Mark, sense: object) -> None:
        """Have what the background read at `mark`, as far as it is still so."""
        changed = None if sense is not self._sense else _changed(connection, mark, len(made))
        if changed is None:
            self._looked_up = 0
            return
        for row in changed:
            made.pop(row, None)
        self.known = {**made, **self.known}
        self._size = sum(map(self._size_of, self.known.values()))
        if self._size > self._most:
            self._shorten()

    def _shorten(self) -> None:
        """Let the oldest go, until a quarter is free."""
        known = self.known
        for row in [*known]:
            if self._size <= self._most - self._most // 4:
                break
            self._size -= self._size_of(known.pop(row))

    def _read(self, connection: apsw.Connection, is_over: IsOver) -> tuple[dict[int, Kept], Mark, object] | None:
        """The newest rows; None where the work is over."""
        sense, mark = self._sense, read_mark(connection)
        made: dict[int, Kept] = {}
        left, cursor = self._most, connection.execute(self._newest)
        while left > 0:
            try:
                rows = [*islice(cursor, PORTION)]
                found = self._make(rows)
            except Exception as error:  # whoever looks such a row up meets it there
                _log.info("Rows are read as they are found: %s", error)
                return None
            if not rows:
                break
            for row, one in found.items():
                left -= self._size_of(one)
                if left >= 0:
                    made[row] = one
            if is_over(PAUSE_S):
                return None
        return dict(reversed(made.items())), mark, sense  # the oldest go first


def _changed(connection: apsw.Connection, mark: Mark | None, count: int) -> Sequence[int] | None:
    """The rows that changed since `mark`; None where nothing of `count` rows is known to be still so."""
    rows = None if mark is None else rows_since(connection, mark)
    return None if rows is None or len(rows) > count else rows
