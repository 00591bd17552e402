"""The version of a store's file: which steps are pending, what they would do to a copy, and the way back."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.memory.care.copying import check_copy, pinned, spare_for, workplace, write_copy
from aqe.engine.memory.care.place import Place, open_backup, open_file
from aqe.engine.memory.care.restoring import keep_before
from aqe.engine.memory.care.sealing import alone, take_over
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.file.failures import blaming, speaking
from aqe.engine.memory.file.migrations import migrate, pending, version_before
from aqe.engine.memory.file.steps import MIGRATIONS
from aqe.engine.memory.store import utc_now
from aqe.engine.progress import CancelToken, Progress, silent

NEWEST = MIGRATIONS[-1].number


@dataclass(frozen=True)
class MigrationReport:
    """The version of a store's file before and after, the steps between (with `dry_run` tried on a copy), and the copy
    of it as it was before ("" where none was needed). In a way back `backup` is what the newer file is kept as."""

    file: str
    before: int
    version: int
    newest: int
    steps: tuple[str, ...]
    backup: str
    dry_run: bool
    seconds: float


def bring_up_to_date(
    place: Place,
    *,
    dry_run: bool = False,
    now: Callable[[], int] = utc_now,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> MigrationReport:
    """Apply the pending steps in one transaction, after a copy of the file was put beside it; servers may run.

    A dry run applies them to a copy, reads every page of it, and removes it. Of several processes that do so at once
    one applies the steps. Raises `UserError` (no-such-path, database-newer, database-locked, disk-full), `Cancelled`.
    """
    began = time.monotonic()
    connection = place.connect_to_read() if dry_run else place.connect()
    try:
        before = int(connection.pragma("user_version"))
        names = tuple(pending(connection, place.path))
        backup = ""
        if names and dry_run:
            with workplace(place.path, dry_run=True) as work, spare_for(work) as spare:
                with pinned(connection, place.path):
                    write_copy(connection, spare, key=place.key, progress=progress, cancel=cancel)
                with blaming(place.path):
                    _try(spare, place.key, now)
        elif names:
            progress(f"Applying {len(names)} steps")
            open_again = functools.partial(open_connection, key=place.key, durability=place.durability)
            applied = migrate(connection, place.path, now=now, open_again=open_again, progress=progress)
            names = names[len(names) - applied :]
            backup = str(_backup(place.path, NEWEST - applied)) if applied else ""
    finally:
        connection.close()
    version = before if dry_run else NEWEST
    seconds = round(time.monotonic() - began, 3)
    return MigrationReport(str(place.path), before, version, NEWEST, names, backup, dry_run, seconds)


def take_back(
    place: Place,
    *,
    dry_run: bool = False,
    now: Callable[[], int] = utc_now,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> MigrationReport:
    """Put the copy of before the last migration in the place of the store, for an earlier aqe; this one would bring it
    up to date again. What is there now is kept in `.aqe/backups`.

    Raises `UserError` (no-such-path where there is no such copy, database-locked where another process has the store
    open, database-broken, database-key), `Cancelled`.
    """
    began = time.monotonic()
    copy = _copy_of_before(place)
    source, key = open_backup(copy, (place.key,))
    kept = ""
    try:
        version = int(source.pragma("user_version"))
        with alone(place, "a way back") as connection, spare_for(place.path) as spare:
            before = int(connection.pragma("user_version"))
            write_copy(source, spare, key=key, progress=progress, cancel=cancel)
            check_copy(spare, key=key)
            if not dry_run:
                kept = keep_before(place, connection, now(), "before-way-back", progress, cancel)
                take_over(place.path, spare, connection)
    finally:
        source.close()
    seconds = round(time.monotonic() - began, 3)
    names = tuple(step.name for step in MIGRATIONS if version < step.number <= before)
    shown = before if dry_run else version
    return MigrationReport(str(place.path), before, shown, NEWEST, names, kept, dry_run, seconds)


def _try(spare: Path, key: str | None, now: Callable[[], int]) -> None:
    connection = open_file(spare, key=key, write=True)
    try:
        migrate(connection, spare, now=now, open_again=functools.partial(open_file, key=key), keep_copy=False)
    finally:
        connection.close()
    check_copy(spare, key=key)


def _backup(path: Path, version: int) -> Path:
    return path.with_name(f"{path.name}.v{version}.bak")


def _copy_of_before(place: Place) -> Path:
    """The copy of before the last migration; where that is gone, the one of the newest of the versions before."""
    connection = place.connect_to_read()
    try:
        with speaking(place.path):
            version, before = int(connection.pragma("user_version")), version_before(connection)
    finally:
        connection.close()
    found = {
        int(match[1]): copy
        for copy in place.path.parent.glob(f"{place.path.name}.v*.bak")
        if (match := re.search(r"\.v(\d+)\.bak$", copy.name)) and int(match[1]) < version
    }
    if not found:
        raise UserError(
            f"There is no copy of before a migration beside {str(place.path)!r}.",
            code="no-such-path",
            fix="`aqe memory restore FILE` puts another backup in its place.",
        )
    return found.get(before) or found[max(found)]
