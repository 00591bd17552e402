"""Copies of a store's file, taken while others write, and put in their place whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care.place import open_file
from aqe.engine.memory.connection import broken, speaking, transaction
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import unwritable

STEP_PAGES = 1024
"""Pages copied between two looks at progress and cancellation: 4 MB."""

ORPHANED_S = 3600.0
"""Age after which what a process left half written is removed."""

BESIDE = ("", "-wal", "-shm", "-journal")


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


def check_copy(path: Path, *, key: str | None) -> None:
    """Raises `UserError` (database-broken) unless every page of the file is sound."""
    connection = open_file(path, key=key)
    try:
        with speaking(path, key=key):
            said = str(connection.pragma("integrity_check", 1))
    finally:
        connection.close()
    if said != "ok":
        raise broken(path, said.splitlines()[-1])


@contextlib.contextmanager
def spare_for(target: Path) -> Iterator[Path]:
    """A name beside `target` to write to; whatever is there at the end is removed, and what a process that was killed
    long ago left there.

    Raises `UserError` (project-read-only, disk-full) where nothing can be written beside it.
    """
    with contextlib.suppress(OSError):
        for old in target.parent.glob(f".{target.name[:80]}.*.part"):
            if time.time() - old.stat().st_mtime > ORPHANED_S:
                remove(old)
    spare = target.with_name(f".{target.name[:80]}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        spare.touch(exist_ok=False)
    except OSError as exc:
        raise unwritable(target, exc) from exc
    try:
        yield spare
    finally:
        remove(spare)


def publish(spare: Path, target: Path) -> None:
    """Give a finished file its name, once it is on the disk; whatever had the name before is replaced."""
    try:
        descriptor = os.open(spare, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(spare, target)
    except OSError as exc:
        raise unwritable(target, exc) from exc
    sync_folder(target.parent)


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
    """`UserError` (bad-output) where a file to be written is there already, is a folder, or has no folder."""
    if target.is_dir():
        why, fix = "is a folder", "Name a file in it."
    elif not target.parent.is_dir():
        why, fix = "lies in no folder that exists", "Make the folder, or name another."
    elif target.exists() and not force:
        why, fix = "is there already", "Name another file, or replace it with --force."
    else:
        return
    raise UserError(f"The file {str(target)!r} {why}.", code="bad-output", fix=fix)
