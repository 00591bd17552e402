"""Copies of a store's file, taken while others write, and put in their place whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care.place import BESIDE, is_text, open_file
from aqe.engine.memory.file.connection import transaction
from aqe.engine.memory.file.failures import broken, speaking
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import unwritable

STEP_PAGES = 1024
"""Pages copied between two looks at progress and cancellation: 4 MB."""

ORPHANED_S = 3600.0
"""Age after which what a process left half written is removed."""

PIECE = 1 << 20
_BINARY: int = getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def pinned(connection: apsw.Connection, path: Path) -> Iterator[None]:
    """One state of the file for all of the block: what others write meanwhile is not seen, and restarts no copy."""
    with transaction(connection, path, write=False):
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        yield


def copy_pages(
    source: apsw.Connection,
    target: apsw.Connection,
    *,
    text: str,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> int:
    """Put the content of `source` in place of `target`'s in one transaction; returns how many pages it has.

    Cut off or cancelled, `target` stays as it was.
    """
    backup = target.backup("main", source, "main")
    try:
        while not backup.done:
            if cancel is not None:
                cancel.check()
            backup.step(STEP_PAGES)
            progress(text, backup.page_count - backup.remaining, backup.page_count)
        return int(backup.page_count)
    finally:
        backup.close(force=True)


def write_copy(
    source: apsw.Connection,
    spare: Path,
    *,
    key: str | None,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> int:
    """Make a database at `spare`, one file with the content of `source` and encrypted with `key`; returns its pages.

    `source` must have the same key or none with none. Raises `UserError` (disk-full, project-read-only), `Cancelled`.
    """
    with speaking(spare):
        target = open_file(spare, key=key, write=True)
        try:
            target.pragma("synchronous", "off")  # it is synced as a whole before it gets its name
            pages = copy_pages(source, target, text="Copying", progress=progress, cancel=cancel)
            target.pragma("journal_mode", "delete")
        finally:
            target.close()
    return pages


def check_copy(path: Path, *, key: str | None, named: Path | None = None) -> None:
    """Raises `UserError` (database-broken, which names the file, or `named`) unless every page of it is sound."""
    connection = open_file(path, key=key)
    try:
        with speaking(path, key=key):
            said = str(connection.pragma("integrity_check", 1))
    finally:
        connection.close()
    if said != "ok":
        raise broken(named or path, said.splitlines()[-1])


@contextlib.contextmanager
def spare_for(target: Path) -> Iterator[Path]:
    """A name beside `target` to write to; whatever is there at the end is removed, and what a process that was killed
    long ago left there.

    It is for this user alone until `publish`, and lies where a link leads. Raises `UserError` (project-read-only,
    disk-full) where nothing can be written beside it.
    """
    target = target.resolve()
    with contextlib.suppress(OSError):
        for old in target.parent.glob(f".{target.name[:80]}.*.part"):
            if time.time() - old.stat().st_mtime > ORPHANED_S:
                remove(old)
    spare = target.with_name(f".{target.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        spare.touch(mode=0o600, exist_ok=False)
    except OSError as exc:
        raise unwritable(target, exc) from exc
    try:
        yield spare
    finally:
        remove(spare)


@contextlib.contextmanager
def workplace(target: Path, *, dry_run: bool) -> Iterator[Path]:
    """The name that work is done beside: `target`, and in a dry run where nothing can be written there, that name in a
    temporary folder."""
    if not dry_run or os.access(target.parent, os.W_OK):
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="aqe-") as folder:
        yield Path(folder) / target.name


def publish(spare: Path, target: Path, *, like: Path | None = None) -> None:
    """Give a finished file its name, once it is on the disk; whatever had the name before is replaced.

    It gets the rights of what it replaces, else those of `like`, else it is for this user alone. Where the name is a
    link, what it leads to is replaced.
    """
    target = target.resolve()
    try:
        sync_file(spare)
        copy_rights(target if like is None or target.exists() else like, spare)
        os.replace(spare, target)
    except OSError as exc:
        raise unwritable(target, exc) from exc
    sync_folder(target.parent)


def copy_rights(source: Path, target: Path) -> None:
    """Give a file the rights of another, where that is there."""
    with contextlib.suppress(FileNotFoundError):
        target.chmod(stat.S_IMODE(source.stat().st_mode))


@dataclass(frozen=True)
class OpenFile:
    """The bytes of a database file that this process may have open.

    They are read through SQLite: where a process closes any file of its own, the system drops the locks that it has on
    that file by another.
    """

    size: int
    _file: apsw.VFSFile

    @classmethod
    @contextlib.contextmanager
    def of(cls, path: Path) -> Iterator[OpenFile]:
        """A file, open until the block ends. Raises `OSError`."""
        way = "unix" if "unix" in apsw.vfs_names() else ""
        try:
            file = apsw.VFSFile(way, str(path.resolve()), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])
        except apsw.Error as exc:
            raise OSError(errno.EACCES, str(exc)) from exc
        try:
            yield cls(file.xFileSize(), file)
        finally:
            file.xClose()

    def read(self, at: int, length: int) -> bytes:
        """So many bytes from a place on, fewer where the file ends. Raises `OSError`."""
        length = min(length, self.size - at)
        try:
            return self._file.xRead(length, at) if length > 0 else b""
        except apsw.Error as exc:
            raise OSError(errno.EIO, str(exc)) from exc


def copy_bytes(path: Path, target: Path) -> None:
    """Copy a file as it is, with its rights, and have the copy on the disk. Raises `OSError`."""
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o600), "wb") as file:
        with OpenFile.of(path) as source:
            for at in range(0, source.size, PIECE):
                file.write(source.read(at, PIECE))
        file.flush()
        os.fsync(file.fileno())
    copy_rights(path, target)


def sync_file(path: Path) -> None:
    """Have what a file holds on the disk. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDWR | _BINARY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # some network file systems refuse this; the rename itself has happened
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a database file with what SQLite keeps beside it."""
    for suffix in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def refuse_taken(target: Path, *, force: bool = False) -> None:
    """`UserError` (bad-output) where a file to be written is there already, can be no file, or has no folder."""
    if target.is_dir():
        why, fix = "is a folder", "Name a file in it."
    elif target.exists() and not target.is_file():
        why, fix = "is a device or a pipe", "Name a file."
    elif not target.parent.is_dir():
        why, fix = "lies in no folder that exists", "Make the folder, or name another."
    elif not is_text(str(target)):
        why, fix = "has a name that is no UTF-8", "Name another."
    elif os.path.lexists(target) and not force:
        why, fix = "is there already", "Name another file, or replace it with --force."
    else:
        return
    raise UserError(f"The file {str(target)!r} {why}.", code="bad-output", fix=fix)
