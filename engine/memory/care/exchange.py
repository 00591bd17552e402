"""A prepared file put in the place of the store's, with every writer held off from the last look at the old content.

What holds them off is SQLite's own copy into the open file: it takes the lock for writing with its first step and keeps
it until all pages came over in one commit. So whatever was acknowledged before stands in what is read of the old
content meanwhile, and whatever comes after goes into the new one. A file that SQLite cannot open is replaced as a file
while nobody has it open.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care.copying import STEP_PAGES, copy_bytes, publish, sync_file
from aqe.engine.memory.care.holders import holders, locked
from aqe.engine.memory.care.place import BESIDE, Place, open_file
from aqe.engine.memory.file.failures import speaking
from aqe.engine.progress import CancelToken, Progress
from aqe.engine.project import unwritable

UNUSABLE = ("database-broken", "database-key", "database-failed", "database-newer")


def open_live(place: Place, *, to_read: bool = False) -> apsw.Connection | None:
    """A connection to the store as it is; None where it is missing or cannot be read."""
    if not place.path.exists():
        return None
    try:
        connection = place.connect_to_read() if to_read else place.connect()
    except UserError as error:
        if error.code not in UNUSABLE:
            raise
        return None
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except apsw.Error:
        connection.close()
        return None
    return connection


class Exchange:
    """The store's file, held against writers until `finish` replaced its content; `is_open` unless SQLite cannot open
    it, and then only its bytes can be looked at."""

    def __init__(self, place: Place, spare: Path, what: str) -> None:
        self.place = place
        self.is_open = False
        self._spare = spare
        self._what = what
        self._stack = contextlib.ExitStack()
        self._backup: apsw.Backup | None = None
        self._live: apsw.Connection | None = None
        self._seen = _stamps(place.path)

    def hold(self) -> None:
        """Lock the file for writing, where it can be opened. Raises `UserError` (database-locked...)."""
        live = open_live(self.place)
        if live is None:
            if holders(self.place.path):
                raise locked(self.place.path, self._what)
            self._seen = _stamps(self.place.path)  # to open it may have begun a log
            return
        self._stack.callback(live.close)
        staged = open_file(self._spare, key=self.place.key, write=True)  # one to read takes the file as unchanging
        self._stack.callback(staged.close)
        try:
            with speaking(self.place.path, key=self.place.key):
                live.pragma("synchronous", "full")
                backup = live.backup("main", staged, "main")
                self._stack.callback(backup.close, force=True)
                backup.step(0)
        except UserError as error:
            self.let_go()
            if error.code not in UNUSABLE:
                raise
            self._seen = _stamps(self.place.path)
            return
        self._live, self._backup, self.is_open = live, backup, True

    def finish(self, kept: Path | None, progress: Progress, cancel: CancelToken | None) -> None:
        """Replace the content with the prepared file's; `kept` is where a file that cannot be written through stays.

        Raises `UserError`, `Cancelled`; then the store is as it was.
        """
        if self._backup is not None:
            try:
                self._copy(self._backup, progress, cancel)
                return
            except UserError as error:
                if error.code not in UNUSABLE:
                    raise
            self.let_go()
        elif _stamps(self.place.path) != self._seen:
            raise locked(self.place.path, self._what)  # somebody wrote it who is gone already
        take_place(self.place.path, self._spare, kept, what=self._what)

    def let_go(self) -> None:
        """Let others write again; without `finish` the content is as it was."""
        self._backup = self._live = None
        self._stack.close()

    def _copy(self, backup: apsw.Backup, progress: Progress, cancel: CancelToken | None) -> None:
        with speaking(self.place.path, key=self.place.key):
            while not backup.done:
                if cancel is not None:
                    cancel.check()
                backup.step(STEP_PAGES)
                progress("Restoring", backup.page_count - backup.remaining, backup.page_count)
            backup.close()
            with contextlib.suppress(apsw.BusyError):
                assert self._live is not None
                self._live.pragma("wal_checkpoint", "truncate")


@contextlib.contextmanager
def exchanging(place: Place, spare: Path, what: str) -> Iterator[Exchange]:
    """The store held against writers for the length of the block; `spare` is a database already, of one page at least,
    and may change until `finish`.

    `what` names the work where others are in its way. Raises `UserError` (database-locked...).
    """
    exchange = Exchange(place, spare, what)
    exchange.hold()
    try:
        yield exchange
    finally:
        exchange.let_go()


def take_place(path: Path, spare: Path, kept: Path | None, *, what: str) -> None:
    """Give a prepared file the store's name, and what was there the name `kept`; nobody else may have it open.

    Raises `UserError` (database-locked, which names who has it; project-read-only); then the store is as it was.
    """
    if holders(path):
        raise locked(path, what)
    path = path.resolve()
    log = path.with_name(f"{path.name}-wal")
    aside = None if kept is None else kept.with_name(f"{kept.name}-wal")
    had_log = log.exists()
    try:
        if kept is not None and not kept.exists():
            copy_bytes(path, kept)  # a second name would change with the file
        sync_file(spare)  # which takes long, while the log is still there
        if aside is not None and had_log:
            os.replace(log, aside)
        for suffix in BESIDE[1:]:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        publish(spare, path)
    except BaseException as exc:
        if aside is not None and had_log and aside.exists() and not log.exists():
            os.replace(aside, log)  # without it the file is not what it was
        if isinstance(exc, OSError):
            raise unwritable(path, exc) from exc
        raise


def _stamps(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """What changes when somebody writes the file or its log."""
    found: list[tuple[int, int] | None] = []
    for suffix in ("", "-wal"):
        try:
            status = path.with_name(path.name + suffix).stat()
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)
