"""A store where nothing can be written: it is read as its owner changes it, and written again as soon as it can be.

Where no log lies beside a file that it only reads, SQLite takes it as unchanging: it neither locks it nor looks for
changes (`open_file`), and pages of before and after a change together look like damage. So whoever reads on looks at
the file at the start and at the end of each transaction, and opens it anew where it changed. Once its owner writes
there is a log, by which SQLite itself sees all that comes.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from aqe.engine.errors import AqeError, UserError
from aqe.engine.memory.care.place import has_log
from aqe.engine.memory.file.failures import is_damage
from aqe.engine.memory.file.migrations import pending
from aqe.engine.memory.store import Store

TRY_EVERY_S = 60.0
"""How often whoever only reads tries whether the file can be written by now; whoever writes tries each time."""

JUST_NOW_NS = 20_000_000
"""Age of a change within which another one may carry the same time."""

State = tuple[int, int, int, int]
_log = logging.getLogger(__name__)


class Unwritten:
    """What a store asks at each transaction while it only reads. `look` opens the file to read, `write` to write (None:
    what is read is a copy in memory); `why` is what stood in the way."""

    def __init__(
        self,
        path: Path,
        *,
        look: Callable[[Path], apsw.Connection],
        write: Callable[[Path], apsw.Connection] | None,
        why: UserError,
    ) -> None:
        self._path = path
        self._look = look
        self._write = write
        self._why = why
        self._state: State | None = None
        self._is_sure = self._by_log = False
        self._tried = time.monotonic()
        self._store: Store | None = None

    def connect(self) -> apsw.Connection:
        """A connection to read the file as it is now. Raises what `look` raises."""
        self._by_log, self._state = has_log(self._path), _state(self._path)
        connection = self._look(self._path)
        is_old = self._state is not None and abs(time.time_ns() - self._state[-1]) > JUST_NOW_NS
        self._is_sure = self._by_log == has_log(self._path) and (is_old or self._by_log)
        return connection

    def reopen(self, path: Path) -> apsw.Connection:
        """Another connection, for what the store does aside."""
        return (
            self._look(path) if self._store is None or self._store.only_reads or not self._write else self._write(path)
        )

    def follow(self, store: Store, connection: apsw.Connection) -> None:
        """Have a store, which was made with what `connect` gave, go on so until it can be written."""
        self._store = store
        store.go_on_with(connection, self)

    def before_reading(self) -> None:
        """Have the store read the file as it is, or write it where that can be by now. Raises what `look` raises."""
        if time.monotonic() - self._tried >= TRY_EVERY_S and self._can_write():
            return
        if not self._is_as_opened():
            self._go_on_with(self.connect(), self)

    def after_reading(self, error: BaseException | None) -> None:
        """Raises `UserError` (database-locked) where the file was written meanwhile, so that what was read of it is not
        of one moment; an `error` of the reader that has nothing to do with it stands."""
        if (error is None or is_damage(error)) and self._was_written():
            raise UserError(
                f"The database {str(self._path)!r} was written by another program while it was read.",
                code="database-locked",
                fix="Ask again.",
            )

    def before_writing(self) -> None:
        """Have the store write. Raises `UserError` (project-read-only, disk-full...) where that still cannot be."""
        if not self._can_write():
            raise self._why

    def _is_as_opened(self) -> bool:
        """Whether what a transaction reads now is what its owner wrote last."""
        now = _state(self._path)
        if now is None or self._state is None:
            return False
        if self._by_log:
            return now[:2] == self._state[:2] and self._path.with_name(f"{self._path.name}-wal").exists()
        return self._is_sure and now == self._state and not has_log(self._path)

    def _was_written(self) -> bool:
        """Whether somebody wrote into the file that is read as unchanging."""
        now, then = _state(self._path), self._state
        return not self._by_log and now is not None and then is not None and now[:2] == then[:2] and now != then

    def _can_write(self) -> bool:
        """Whether the store could be made a writing one."""
        self._tried = time.monotonic()
        if self._write is None or not self._path.is_file():
            return False
        try:
            connection = self._write(self._path)
        except UserError as error:
            self._why = error
            return False
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            with contextlib.suppress(AqeError, apsw.Error):
                if not connection.readonly("main") and not pending(connection, self._path):
                    self._go_on_with(connection, None)
                    undo.pop_all()
                    _log.warning("The database can be written again: what comes from now on is kept.")
                    return True
        return False

    def _go_on_with(self, connection: apsw.Connection, watched: Unwritten | None) -> None:
        if self._store is not None:
            self._store.go_on_with(connection, watched)


def _state(path: Path) -> State | None:
    """What tells a file from another and, its time last, from itself of before; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
