"""A backup: one file with all that the store holds at one moment, taken while servers run and read again before it
counts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from aqe.engine.memory.care.copying import check_copy, pinned, publish, refuse_taken, spare_for, write_copy
from aqe.engine.memory.care.place import Place
from aqe.engine.progress import CancelToken, Progress, silent


@dataclass(frozen=True)
class BackupReport:
    """A backup that was taken (or with `dry_run` would be). `bytes` is the size of the file."""

    file: str
    bytes: int
    memories: int
    revisions: int
    version: int
    encrypted: bool
    dry_run: bool
    seconds: float


def back_up(
    place: Place,
    target: Path,
    *,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> BackupReport:
    """Write the store as it is now to the file `target`, under its own key.

    It gets its name once it was written whole and every page of it was read again. Raises `UserError` (bad-output where
    the file is there and not `force`, no-such-path where nothing is kept, disk-full, project-read-only, and as opening
    the store does), `Cancelled`.
    """
    began = time.monotonic()
    refuse_taken(target, force=force)
    connection = place.connect()
    try:
        with pinned(connection, place.path):
            memories = int(connection.execute("SELECT count(*) FROM memories WHERE valid_to IS NULL").get)
            revisions = int(connection.execute("SELECT count(*) FROM memories").get)
            version = int(connection.pragma("user_version"))
            size = int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
            if not dry_run:
                with spare_for(target) as spare:
                    write_copy(connection, spare, key=place.key, progress=progress, cancel=cancel)
                    progress("Reading the backup again")
                    check_copy(spare, key=place.key)
                    publish(spare, target)
                size = target.stat().st_size
    finally:
        connection.close()
    seconds = time.monotonic() - began
    return BackupReport(
        str(target), size, memories, revisions, version, place.key is not None, dry_run, round(seconds, 3)
    )
