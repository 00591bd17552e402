"""What is read out of a database as a whole in the background, on a connection of its own, until a search takes it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import apsw

from aqe.engine.side_thread import started

Whole = TypeVar("Whole")


class IsOver(Protocol):
    """Whether what is being read is to end, asked after a pause of so many seconds, which an end cuts short."""

    def __call__(self, pause_s: float = 0.0) -> bool: ...


Read = Callable[[apsw.Connection, IsOver], Whole | None]
"""Reads it in a read transaction; None where it is too large, or where the function that it is given says to stop."""

_log = logging.getLogger(__name__)


class ReadAside(Generic[Whole]):
    """One reading at a time, in a thread called `name`. Whoever calls holds the store's lock."""

    def __init__(self, name: str, database: Path, reopen: Callable[[Path], apsw.Connection], read: Read[Whole]) -> None:
        self._name = name
        self._database = database
        self._reopen = reopen if str(database) != ":memory:" else None
        self._read = read
        self._thread: threading.Thread | None = None
        self._made: tuple[Whole | None] | None = None
        self._end = threading.Event()

    def begin(self) -> bool:
        """Read it, unless that is under way; False where only the caller's own connection sees the database, or no
        thread begins any more."""
        if self._reopen is None:
            return False
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._work, args=(self._reopen,), name=self._name, daemon=True)
            self._thread = started(thread)
        return self._thread is not None

    def taken(self) -> tuple[Whole | None] | None:
        """What was read since the last call (None within: nothing could be); None where nothing was."""
        if self._made is None:
            return None
        made, self._made = self._made, None
        return made

    def close(self) -> None:
        """End what is being read."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _is_over(self, pause_s: float = 0.0) -> bool:
        return self._end.wait(pause_s) if pause_s else self._end.is_set()

    def _work(self, reopen: Callable[[Path], apsw.Connection]) -> None:
        made = None
        try:
            connection = reopen(self._database)
            try:
                connection.execute("BEGIN")
                made = self._read(connection, self._is_over)
            finally:
                connection.close()
        except (apsw.Error, MemoryError) as error:
            _log.info("%s: the database could not be read: %s", self._name, error)
        self._made = (made,)
