"""A backup put in the place of what the store holds, in one transaction that open servers see as they see any other.

What it replaces is kept as a file of its own first. Some things stay as they are, because a restored copy of them would
be untrue: the log of what left this machine, consents, and the jobs and leases of running processes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care import increments
from aqe.engine.memory.care.copying import (
    BESIDE,
    check_copy,
    copy_pages,
    pinned,
    publish,
    remove,
    spare_for,
    write_copy,
)
from aqe.engine.memory.care.holders import holders, locked
from aqe.engine.memory.care.place import Place, open_backup, open_file
from aqe.engine.memory.connection import speaking, transaction
from aqe.engine.memory.entry import rfc3339
from aqe.engine.memory.migrations import migrate
from aqe.engine.memory.store import utc_now
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import unwritable

GAP = 1 << 32
"""How far the count of changes jumps, so that no number of before or of meanwhile comes again."""

STAYING = ("audit", "audit_head", "consents", "jobs", "leases")
COPIES = "backups"
"""The folder in `.aqe` with the files that aqe keeps before it replaces what is there."""

UNUSABLE = ("database-broken", "database-key", "database-failed", "database-newer")


@dataclass(frozen=True)
class RestoreReport:
    """What was restored (or with `dry_run` would be): memories in the backup, memories before, steps that brought an
    older backup up to date, and where what was there before is kept ("" where there was nothing)."""

    file: str
    memories: int
    memories_before: int
    migrated: int
    kept: str
    dry_run: bool
    seconds: float


def restore(
    place: Place,
    file: Path,
    *,
    base: Path | None = None,
    keys: tuple[str | None, ...] = (),
    copies: int = 3,
    copies_mb: int = 512,
    dry_run: bool = False,
    now: Callable[[], int] = utc_now,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> RestoreReport:
    """Put the backup `file` in the place of the store's content, which is kept first in `.aqe/backups`.

    An incremental backup is put together with the one it rests on: `base`, else the file of that name beside it.
    `keys` are more keys to try on backups; the store keeps its own key. Of the files kept before a restore the
    newest `copies` stay, as far as they fit into `copies_mb`; the last one always does. Everything is prepared and read
    again beside the store, then comes over in one transaction. Raises `UserError` (no-such-path, database-broken,
    database-key, database-newer, disk-full, database-locked), `Cancelled`; then the store is as it was.
    """
    began = time.monotonic()
    all_keys = (place.key, *keys)
    with (
        increments.whole(file, base, all_keys, near=place.path, progress=progress, cancel=cancel) as (source, key),
        spare_for(place.path) as spare,
    ):
        _copy(source, key, spare, progress, cancel)
        change_key(spare, key, place.key)
        migrated = _migrate(spare, place.key, now)
        live = open_live(place)
        try:
            before = 0 if live is None else _count(live, place.path)
            memories = _prepare(spare, place.key, live, place)
            kept = ""
            if not dry_run:
                kept = keep_before(place, live, now(), "before-restore", progress, cancel)
                prune_copies(place.folder, copies, copies_mb)
                put_in_place(place, spare, kept, live, progress, cancel)
        finally:
            if live is not None:
                live.close()
    seconds = round(time.monotonic() - began, 3)
    return RestoreReport(str(file), memories, before, migrated, kept, dry_run, seconds)


def _copy(source: Path, key: str | None, spare: Path, progress: Progress, cancel: CancelToken | None) -> None:
    """Copy a backup to a file of one's own, and read every page of it."""
    connection, _ = open_backup(source, (key,))
    try:
        with pinned(connection, source):
            write_copy(connection, spare, key=key, progress=progress, cancel=cancel)
    finally:
        connection.close()
    progress("Reading the backup")
    check_copy(spare, key=key)


def change_key(path: Path, old: str | None, new: str | None) -> None:
    """Encrypt a file of one's own with `new` in place of `old` (None: not encrypted); nobody else has it open."""
    if old == new:
        return
    connection = open_file(path, key=old, write=True)
    try:
        with speaking(path, key=old):
            connection.pragma("journal_mode", "delete")
            connection.pragma("rekey", new or "")
    finally:
        connection.close()


def kept_copies(folder: Path) -> list[Path]:
    """The files kept before something was replaced, newest first."""
    found = (folder / COPIES).glob("before-*.db")
    return sorted(found, key=lambda path: path.stem.rpartition("-")[2], reverse=True)


def prune_copies(folder: Path, copies: int, copies_mb: int) -> None:
    """Remove kept files beyond `copies` or `copies_mb` together, the oldest first; the newest stays."""
    total = 0
    for number, path in enumerate(kept_copies(folder)):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
        if number and (number >= copies or total > copies_mb * 1_000_000):
            remove(path)


def open_live(place: Place) -> apsw.Connection | None:
    """A connection to the store as it is; None where it is missing or cannot be read."""
    if not place.path.exists():
        return None
    try:
        connection = place.connect()
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


def _count(connection: apsw.Connection, path: Path) -> int:
    with contextlib.suppress(apsw.Error):
        return int(connection.execute("SELECT count(*) FROM memories WHERE valid_to IS NULL").get)
    return 0


def _migrate(spare: Path, key: str | None, now: Callable[[], int]) -> int:
    """Bring the prepared file to the newest version; it is a copy itself, so that no copy of it is kept."""
    connection = open_file(spare, key=key, write=True)
    try:
        return migrate(connection, spare, now=now, open_again=functools.partial(open_file, key=key), keep_copy=False)
    finally:
        connection.close()


def _prepare(spare: Path, key: str | None, live: apsw.Connection | None, place: Place) -> int:
    """Make the prepared file one that may take the store's place; returns how many memories it holds."""
    connection = open_file(spare, key=key, write=True)
    try:
        with transaction(connection, spare):
            before = 0 if live is None else _last_change(live)
            last = max(before, _last_change(connection)) + GAP
            connection.execute("DELETE FROM change_log")
            connection.execute("INSERT INTO change_log VALUES (?, 0, random() & 0x7fffffff)", (last,))
            if live is not None:
                for table in STAYING:
                    _carry(live, connection, table)
        return _count(connection, spare)
    finally:
        connection.close()


def _last_change(connection: apsw.Connection) -> int:
    with contextlib.suppress(apsw.Error):  # a file of before the log
        return int(connection.execute("SELECT max(number) FROM change_log").get or 0)
    return 0


def _carry(source: apsw.Connection, target: apsw.Connection, table: str) -> None:
    """Have the rows of `table` in `target` be those of `source`, where that can be read."""
    with contextlib.suppress(apsw.Error):
        columns = [f'"{name}"' for (name,) in source.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        rows = source.execute(f"SELECT {','.join(columns)} FROM {table}").fetchall()
        target.execute(f"DELETE FROM {table}")
        marks = ",".join("?" * len(columns))
        target.executemany(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks})", rows)


def keep_before(
    place: Place,
    live: apsw.Connection | None,
    now: int,
    why: str,
    progress: Progress,
    cancel: CancelToken | None,
) -> str:
    """Keep what is there now in `.aqe/backups`; returns the path of the copy."""
    if not place.path.exists():
        return ""
    damaged, target = copy_name(place, "damaged", now), copy_name(place, why, now)
    if live is None:
        return str(damaged)  # it is moved there when the backup takes its place
    try:
        with spare_for(target) as spare:
            with pinned(live, place.path):
                write_copy(live, spare, key=place.key, progress=progress, cancel=cancel)
            publish(spare, target)
    except UserError as error:
        if error.code not in UNUSABLE:
            raise
        return str(copy_as_it_is(place.path, damaged))
    return str(target)


def copy_name(place: Place, why: str, now: int) -> Path:
    """The name of a new file in `.aqe/backups`, whose folder is made. Raises `UserError` (project-read-only)."""
    folder = place.folder / COPIES
    try:
        folder.mkdir(exist_ok=True)
    except OSError as exc:
        raise unwritable(folder, exc) from exc
    return folder / f"{why}-{re.sub('[^0-9TZ]', '', rfc3339(now))}.db"


def copy_as_it_is(path: Path, target: Path) -> Path:
    """Copy a damaged file, with the log beside it, byte by byte."""
    try:
        for suffix in ("", "-wal"):
            if path.with_name(path.name + suffix).exists():
                shutil.copyfile(path.with_name(path.name + suffix), target.with_name(target.name + suffix))
    except OSError as exc:
        remove(target)
        raise unwritable(target, exc) from exc
    return target


def put_in_place(
    place: Place,
    spare: Path,
    kept: str,
    live: apsw.Connection | None,
    progress: Progress,
    cancel: CancelToken | None,
) -> None:
    """Put a prepared file in the place of the store: through the open file where it can be read, else as a file."""
    if live is not None:
        try:
            _through_the_file(place, spare, live, progress, cancel)
            return
        except UserError as error:
            if error.code not in UNUSABLE:
                raise
            live.close()
    take_place(place.path, spare, Path(kept) if kept else None, what="a restore over a damaged file")


def _through_the_file(
    place: Place, spare: Path, live: apsw.Connection, progress: Progress, cancel: CancelToken | None
) -> None:
    staged = open_file(spare, key=place.key)
    try:
        with speaking(place.path, key=place.key):
            live.pragma("synchronous", "full")
            copy_pages(staged, live, text="Restoring", progress=progress, cancel=cancel)
            with contextlib.suppress(apsw.BusyError):
                live.pragma("wal_checkpoint", "truncate")
    finally:
        staged.close()


def take_place(path: Path, spare: Path, kept: Path | None, *, what: str) -> None:
    """Give a prepared file the store's name, and what was there the name `kept`; nobody else may have it open.

    Raises `UserError` (database-locked, which names who has it; project-read-only).
    """
    if holders(path):
        raise locked(path, what)
    try:
        if kept is not None and not kept.exists():
            _link(path, kept)
        for suffix in BESIDE[1:]:
            there = path.with_name(path.name + suffix)
            if suffix == "-wal" and kept is not None and there.exists():
                os.replace(there, kept.with_name(kept.name + suffix))
            there.unlink(missing_ok=True)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    publish(spare, path)


def _link(path: Path, target: Path) -> None:
    """Give a file a second name, or make a copy where the file system has no links."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
