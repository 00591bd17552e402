"""A backup: one file with all that the store holds at one moment, taken while servers run and read again before it
counts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care import increments
from aqe.engine.memory.care.copying import check_copy, pinned, publish, refuse_taken, spare_for, write_copy
from aqe.engine.memory.care.place import BESIDE, Place, is_same, refuse_own
from aqe.engine.memory.care.states import count_current
from aqe.engine.memory.care.verifying import damaged_texts
from aqe.engine.memory.file.failures import blaming, broken
from aqe.engine.memory.store import utc_now
from aqe.engine.progress import CancelToken, Progress, silent


@dataclass(frozen=True)
class BackupReport:
    """A backup that was taken (or with `dry_run` would be). `bytes` is the size of the file; `since` is the backup that
    an incremental one rests on, "" for a whole one. `memories` counts all current ones, also those of the project index
    and aqe's own knowledge; `remembered` only the others, which `aqe memory list` shows. `damage` is what is wrong with
    its texts, as they are in the store too; "" where nothing is."""

    file: str
    since: str
    bytes: int
    memories: int
    remembered: int
    revisions: int
    version: int
    encrypted: bool
    damage: str
    dry_run: bool
    seconds: float


def back_up(
    place: Place,
    target: Path,
    *,
    since: Path | None = None,
    keys: tuple[str | None, ...] = (),
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> BackupReport:
    """Write the store as it is now to the file `target`, under its own key.

    With `since`, an earlier whole backup, only the rows that differ from it are written, and both are needed to go
    back; `keys` are more keys to try on that one. The file gets its name once it was written whole and every page of
    what it stands for was read again; one of a store with damaged texts is kept, but replaces no file. Raises
    `UserError` (bad-output where the file is there and not `force`, no-such-path where nothing is kept, bad-backup
    where `since` is of another version, disk-full, project-read-only, database-broken where a page or, with `force`, a
    text is damaged, and as opening the store does), `Cancelled`.
    """
    began = time.monotonic()
    refuse_taken(target, force=force)
    refuse_own(place.path, target, "a backup")
    if since is not None:
        _refuse_base(place, target, since)
    connection, damage = place.connect_to_read(), ""
    try:
        with pinned(connection, place.path):
            counts = count_current(connection, utc_now())
            revisions = int(connection.execute("SELECT count(*) FROM memories").get)
            version = int(connection.pragma("user_version"))
            size = int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
            if since is None and not dry_run:
                size, damage = _write_whole(place, connection, target, progress, cancel)
        if since is not None:
            size, damage = _write_increment(place, target, since, keys, dry_run, progress, cancel)
    finally:
        connection.close()
    facts = (str(target), "" if since is None else str(since), size, *counts, revisions, version)
    return BackupReport(*facts, place.key is not None, damage, dry_run, round(time.monotonic() - began, 3))


def _refuse_base(place: Place, target: Path, since: Path) -> None:
    """`UserError` where the target would replace what it rests on, or where that is no backup but the store itself."""
    if is_same(target, since):
        raise UserError(
            f"The backup {str(since)!r} would be replaced by what rests on it.",
            code="bad-output",
            fix="Name another file.",
        )
    if any(is_same(since, place.path.with_name(place.path.name + suffix)) for suffix in BESIDE):
        raise UserError(
            f"{str(since)!r} is the store itself and no backup of it.",
            code="bad-backup",
            fix="Name an earlier backup, or leave --since out.",
        )


def _write_whole(
    place: Place, connection: apsw.Connection, target: Path, progress: Progress, cancel: CancelToken | None
) -> tuple[int, str]:
    with spare_for(target) as spare:
        write_copy(connection, spare, key=place.key, progress=progress, cancel=cancel)
        progress("Reading the backup again")
        with blaming(place.path):
            check_copy(spare, key=place.key)
            damage = _damage(place, spare, place.key, target)
        publish(spare, target, like=place.path)
    return target.stat().st_size, damage


def _damage(place: Place, path: Path, key: str | None, target: Path) -> str:
    """What is wrong with the texts of a finished backup. `UserError` (database-broken) where it would take the place of
    a file, which may be the last good one."""
    damage = damaged_texts(path, key=key)
    if damage and target.exists():
        raise broken(place.path, f"{damage}; the file {str(target)!r} stays as it was")
    return damage


def _write_increment(
    place: Place,
    target: Path,
    since: Path,
    keys: tuple[str | None, ...],
    dry_run: bool,
    progress: Progress,
    cancel: CancelToken | None,
) -> tuple[int, str]:
    with spare_for(target) as spare:
        increments.write_increment(place, spare, since, keys=keys, progress=progress, cancel=cancel)
        with increments.whole(spare, since, place.keys(*keys), near=target, cancel=cancel) as (path, key):
            progress("Reading the backup again")
            with blaming(place.path):
                check_copy(path, key=key)
                damage = _damage(place, path, key, target)
        size = spare.stat().st_size
        if not dry_run:
            publish(spare, target, like=place.path)
    return size, damage
