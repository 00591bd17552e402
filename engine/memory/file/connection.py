"""One SQLite connection of aqe: how it is opened and its transactions."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from weakref import WeakSet

import apsw
import sqlite_vec

from aqe.engine.errors import UserError
from aqe.engine.memory.file.emptied import cut_to_nothing
from aqe.engine.memory.file.failures import broken, engine_elsewhere, is_damage, is_full, no_space, speaking, spoken
from aqe.engine.memory.file.patience import Patience
from aqe.engine.memory.file.unreadable import what_is_damaged
from aqe.engine.memory.file.write_ahead import opening

BUSY_TIMEOUT_S = 10.0
LOG_PAGES = 4000
"""Pages (of 4 kB) that the log gathers before they go into the file; a single insert writes some 20 of them."""

CACHED_KIB = 4096
"""What a connection keeps of the file's pages at most: what additions come back to of some ten thousand memories."""


def open_connection(
    path: Path, *, key: str | None = None, durability: str = "normal", busy_timeout_s: float = BUSY_TIMEOUT_S
) -> apsw.Connection:
    """A connection with sqlite-vec loaded, foreign keys on and WAL; the file is made when missing.

    With `key` the file is encrypted at rest (SQLite3 Multiple Ciphers, its default ChaCha20-Poly1305). `durability`
    "full" also survives a power loss, "normal" the end of any process. Raises `UserError` (database-broken,
    database-key, database-locked, project-read-only, disk-full).
    """
    if why := cut_to_nothing(path):
        raise broken(path, why)
    if path.is_dir():
        raise UserError(
            f"The database {str(path)!r} is a folder.", code="project-read-only", fix="Move it away, or name a file."
        )
    if str(path) != ":memory:" and not path.exists() and path.parent.is_dir():
        if is_full(path):
            raise no_space(path)  # else an empty file would stay behind
        _make_file(path)
    with speaking(path, key=key):
        connection = apsw.Connection(str(path))
        with opening(connection, path):
            connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # else partial indexes make it plan at every call
            connection.set_busy_handler(Patience(path, busy_timeout_s))
            make_ready(connection, key)
            _write_ahead(connection, busy_timeout_s)
            connection.wal_autocheckpoint(LOG_PAGES)
            connection.pragma("cache_size", -CACHED_KIB)
            connection.pragma("synchronous", "full" if durability == "full" else "normal")
    return connection


def _make_file(path: Path) -> None:
    """Make a new file for its owner alone, as SQLite then makes its log, where its folder is that too; in one that
    others may enter, a team's, the umask has its say (SQLite would let the group read alone)."""
    with contextlib.suppress(OSError):  # what cannot be made SQLite will tell
        mode = 0o666 if path.parent.stat().st_mode & 0o077 else 0o600
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))


def make_ready(connection: apsw.Connection, key: str | None) -> None:
    """What every connection of ours begins with: the key, sqlite-vec, foreign keys."""
    if key:
        connection.pragma("key", key)
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(False)
    connection.pragma("foreign_keys", True)


def _write_ahead(connection: apsw.Connection, patience_s: float) -> None:
    """Switch to WAL; while another process does so SQLite answers that the file is busy, without waiting by itself."""
    end = time.monotonic() + patience_s
    while True:
        try:
            connection.pragma("journal_mode", "wal")
            return
        except apsw.BusyError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.01)


@contextlib.contextmanager
def transaction(connection: apsw.Connection, path: Path, *, write: bool = True) -> Iterator[None]:
    """All of the block or nothing of it; a writing one waits for the writer before it. What a process that was forked
    within it leaves is still the parent's, and neither ended nor undone."""
    process = os.getpid()
    with speaking(path):
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield
            if os.getpid() == process:
                connection.execute("COMMIT")
        except BaseException as error:
            if os.getpid() == process:
                _give_up(connection, path, error)
            raise


class Beside:
    """A connection beside that of a store, for what is written while nobody waits for it: it is opened by the first
    write, which takes longer than the write itself, and kept for those that follow. One writes after the other."""

    def __init__(self, path: Path, reopen: Callable[[Path], apsw.Connection]) -> None:
        self._path = path
        self._reopen = reopen
        self._turn = threading.Lock()
        self._connection: apsw.Connection | None = None
        _beside.add(self)

    def begin_anew(self) -> None:
        """In a forked process: the connection is the parent's, and may be neither used nor closed."""
        self._turn = threading.Lock()
        if self._connection is not None:
            _of_a_parent.append(self._connection)
            self._connection = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """One write transaction. After one that failed the connection is opened anew."""
        process = os.getpid()
        with self._turn:
            connection = self._connection or self._reopen(self._path)
            self._connection = None
            try:
                with transaction(connection, self._path):
                    yield connection
            except BaseException:
                self._leave(connection, process)
                raise
            if os.getpid() == process:
                self._connection = connection
            else:
                self._leave(connection, process)

    def _leave(self, connection: apsw.Connection, process: int) -> None:
        """Close a connection, unless it is that of the process that this one was forked from."""
        if os.getpid() == process:
            connection.close()
        else:
            _of_a_parent.append(connection)

    def close(self) -> None:
        """Close it; a write that comes later opens it again."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class Locked(Protocol):
    """What uses a connection behind a lock."""

    _lock: threading.RLock | Elsewhere
    _connection: apsw.Connection


def stays_here(one: Locked) -> None:
    """Refuse every call on it in a process that is forked from this one."""
    _locked.add(one)


def go_on_with(connection: apsw.Connection, *ones: Locked) -> None:
    """Have them use another connection. Whoever calls holds their lock, and they are in no transaction."""
    for one in ones:
        one._connection = connection


class Watched(Protocol):
    """What looks after a file that is only read, at the start and at the end of each transaction."""

    def before_reading(self) -> None:
        """May have a reader go on with another connection."""

    def after_reading(self, error: BaseException | None) -> None:
        """May say that what was read, or the error of it, tells nothing."""

    def before_writing(self) -> None:
        """Has a writer go on with a connection that can write, or says why there is none."""


_locked: WeakSet[Locked] = WeakSet()
_beside: WeakSet[Beside] = WeakSet()
_of_a_parent: list[apsw.Connection] = []  # kept, since letting go of one would close it


def _begin_anew() -> None:
    for one in list(_locked):
        one._lock = Elsewhere()
        _of_a_parent.append(one._connection)
    for beside in list(_beside):
        beside.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


class Reading:
    """One read transaction on a connection behind a lock, entered again and again; one within another is part of it.
    `ended` is called while it still stands. It costs a few calls less than a generator, and a query enters it often."""

    def __init__(
        self, connection: apsw.Connection, path: Path, lock: threading.RLock, ended: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._path = path
        self._lock: threading.RLock | Elsewhere = lock
        self._ended = ended
        self._depth = 0
        self.watched: Watched | None = None
        stays_here(self)

    def __enter__(self) -> apsw.Connection:
        self._lock.acquire()
        if not self._depth:
            if self.watched is not None and not self._connection.in_transaction:
                _ask(self.watched.before_reading, self._lock)
            _begin("BEGIN", self._connection, self._path, self._lock)
        self._depth += 1
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if isinstance(self._lock, Elsewhere):
            return
        try:
            if not self._depth:
                try:
                    self._ended()
                finally:
                    self._end(value)
        finally:
            self._lock.release()

    def _end(self, error: BaseException | None) -> None:
        """End it; where its end only says again that the file is damaged, which the block did without, it is over."""
        try:
            _end(self._connection, self._path, error)
        except UserError as told:
            if error is not None or not is_damage(told):
                raise
        finally:
            if self.watched is not None:
                self.watched.after_reading(error)


class Writing:
    """One write transaction after the other on a connection behind a lock: all of a block or nothing of it. It is
    `transaction` for fewer calls, since an addition alone is not much more than its transaction."""

    def __init__(self, connection: apsw.Connection, path: Path, lock: threading.RLock) -> None:
        self._connection = connection
        self._path = path
        self._lock: threading.RLock | Elsewhere = lock
        self.watched: Watched | None = None
        stays_here(self)

    @contextlib.contextmanager
    def durably(self) -> Iterator[apsw.Connection]:
        """One write transaction that survives a power loss whatever the durability of the connection is."""
        with self._lock, speaking(self._path):
            if self.watched is not None:
                self.watched.before_writing()
            before = self._connection.pragma("synchronous")
            self._connection.pragma("synchronous", "full")
            try:
                with transaction(self._connection, self._path):
                    yield self._connection
            finally:
                if not isinstance(self._lock, Elsewhere):
                    self._connection.pragma("synchronous", before)

    def __enter__(self) -> apsw.Connection:
        self._lock.acquire()
        if self.watched is not None and not self._connection.in_transaction:
            _ask(self.watched.before_writing, self._lock)
        _begin("BEGIN IMMEDIATE", self._connection, self._path, self._lock)
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._lock, Elsewhere):
            return
        try:
            _end(self._connection, self._path, value)
        finally:
            self._lock.release()


def _ask(watched: Callable[[], None], lock: threading.RLock | Elsewhere) -> None:
    """Ask before a transaction behind a lock that is held; where that fails it is held no more."""
    try:
        watched()
    except BaseException:
        lock.release()
        raise


def _begin(sql: str, connection: apsw.Connection, path: Path, lock: threading.RLock | Elsewhere) -> None:
    """Begin a transaction behind a lock that is held; where that fails it is held no more."""
    try:
        connection.execute(sql)
    except BaseException as error:
        lock.release()
        if isinstance(error, apsw.Error):
            raise spoken(path, error, None) from error
        raise


def _end(connection: apsw.Connection, path: Path, error: BaseException | None) -> None:
    """Commit; after an error of the block, or of the commit itself, roll back."""
    if error is not None:
        _give_up(connection, path, error)
        return
    try:
        connection.execute("COMMIT")
    except BaseException as failed:
        _give_up(connection, path, failed)
        raise


def _give_up(connection: apsw.Connection, path: Path, error: BaseException) -> None:
    """Roll back after an error of a block; one of SQLite's, or of a row that cannot be read, is told in our words."""
    with speaking(path):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if damage := what_is_damaged(connection, error):
            raise broken(path, damage) from error
        if isinstance(error, apsw.Error):
            raise error


def shrink(connection: apsw.Connection, lock: threading.RLock) -> None:
    """Let go of the pages that SQLite keeps of the file, unless somebody is at work behind the `lock`."""
    if lock.acquire(blocking=False):
        try:
            with contextlib.suppress(apsw.Error):
                connection.release_memory()
        finally:
            lock.release()


class Elsewhere:
    """In place of the lock of a connection, in a process that was forked from the one that opened it. SQLite's
    connections are not to be carried over a fork, and the lock may be held by a thread that is not here."""

    def acquire(self, blocking: bool = True) -> bool:
        """Refuse."""
        raise engine_elsewhere()

    def release(self) -> None:
        """What was entered before the fork may be left."""

    def __enter__(self) -> Self:
        """Refuse."""
        raise engine_elsewhere()

    def __exit__(self, *error: object) -> None:
        """What was entered before the fork may be left."""
