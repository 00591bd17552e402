"""The key of a store is set, changed or taken away: the store is written anew under it and takes the old one's place.

A copy is encrypted, read again, and renamed over the store in one step, so that a crash leaves the store under one key
or the other and never between. SQLite's own change of key in place is not used on the store: in WAL mode it cannot
change how many bytes of a page are free, and a crash within it leaves a journal under the other key. Nobody else may
have the file open meanwhile; what lies beside it is encrypted too, or derived and removed, or named.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from aqe.engine.errors import AqeError
from aqe.engine.memory.care.clear import databases, drop_derived, drop_orphans, in_clear, shared_folders
from aqe.engine.memory.care.copying import check_copy, publish, spare_for, write_copy
from aqe.engine.memory.care.holders import locked
from aqe.engine.memory.care.place import Place, is_encrypted, open_file
from aqe.engine.memory.care.restoring import change_key
from aqe.engine.memory.file.failures import speaking
from aqe.engine.progress import CancelToken, Progress, silent

PATIENCE_MS = 2000
PIECE = 1 << 20


@dataclass(frozen=True)
class SealReport:
    """A change of key that was made (or with `dry_run` would be): whether the store was and is encrypted, which copies
    of it in `.aqe` went over to the new key too and which could not (they are damaged, or have another key), what
    derived things were removed, what lies in clear now, and how many other names (hard links) the file of before has:
    that content lies where they are, as it was."""

    file: str
    was_encrypted: bool
    encrypted: bool
    copies: tuple[str, ...]
    left: tuple[str, ...]
    removed: tuple[str, ...]
    in_clear: tuple[str, ...]
    other_names: int
    dry_run: bool


def seal(
    place: Place,
    new: str | None,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> SealReport:
    """Encrypt the store, and the copies of it in `.aqe`, with `new` in place of its key (None: leave it in clear).

    Raises `UserError` (no-such-path, database-key, database-locked where another process has it open, disk-full,
    project-read-only), `Cancelled`; then the store is as it was.
    """
    was = is_encrypted(place.path)
    removed: list[str] = []
    names = 0
    with alone(place, "a change of its key") as connection:
        if not dry_run:
            drop_orphans(place.folder)
            with spare_for(place.path) as spare:
                write_copy(connection, spare, key=place.key, progress=progress, cancel=cancel)
                change_key(spare, place.key, new)
                progress("Reading the store again")
                check_copy(spare, key=new)
                names = take_over(place.path, spare, connection)
    # from here on the store has its new key, and nothing may end this work but its end
    found = databases(place.folder, place.path.name)
    copies = [path for path in found if _change_copy(path, place.key, new, dry_run=dry_run, progress=progress)]
    folders = [place.folder, *shared_folders(place.folder, place.path.name)]
    if new is not None and not dry_run:
        removed = [name for folder in folders for name in drop_derived(folder, place.path.name)]
    clear = in_clear(folders) if new is not None and not dry_run else []

    def shown(paths: Iterable[Path]) -> tuple[str, ...]:
        here = place.folder
        return tuple((path.relative_to(here) if path.is_relative_to(here) else path).as_posix() for path in paths)

    left = shown(path for path in found if path not in copies)
    facts = (str(place.path), was, new is not None, shown(copies), left, tuple(removed), shown(clear))
    return SealReport(*facts, names, dry_run)


@contextlib.contextmanager
def alone(place: Place, what: str) -> Iterator[apsw.Connection]:
    """The store's file without anybody else: its log is folded in, and others wait until the block ends.

    Raises `UserError` (database-locked, which names who has it open).
    """
    connection = place.connect()
    try:
        with speaking(place.path):
            connection.set_busy_timeout(PATIENCE_MS)
            try:
                connection.pragma("journal_mode", "delete")
                connection.pragma("locking_mode", "exclusive")
                connection.execute("BEGIN EXCLUSIVE; COMMIT")  # in this mode the lock stays until the file is closed
            except (apsw.BusyError, apsw.LockedError):
                raise locked(place.path, what) from None
        yield connection
    finally:
        connection.close()


def take_over(path: Path, spare: Path, connection: apsw.Connection) -> int:
    """Give the new file the store's name; returns how many other names the old one has.

    Whoever waits for the old file finds it unreadable, and opens the new one: what it held is overwritten, unless it
    has another name, which somebody gave it.
    """
    if os.name == "nt":  # there no open file can be replaced
        connection.close()
        publish(spare, path)
        return 0
    old = os.open(path, os.O_RDWR)
    try:
        publish(spare, path)
        names = os.fstat(old).st_nlink
        size, at = 0 if names else os.fstat(old).st_size, 0
        while at < size:
            at += os.pwrite(old, b"\xff" * min(PIECE, size - at), at)
        os.fsync(old)
        return names
    finally:
        os.close(old)


def _change_copy(path: Path, old: str | None, new: str | None, *, dry_run: bool, progress: Progress) -> bool:
    """Change the key of a copy, and say whether that could be done; one that is damaged stays as it is."""
    if is_encrypted(path) != (old is not None):
        return False
    progress(f"Changing the key of {path.name}")
    try:
        source = open_file(path, key=old)
        try:
            if dry_run:
                return True
            with spare_for(path) as spare:
                write_copy(source, spare, key=old)
                change_key(spare, old, new)
                check_copy(spare, key=new)
                publish(spare, path)
        finally:
            source.close()
    except AqeError:
        return False
    return True
