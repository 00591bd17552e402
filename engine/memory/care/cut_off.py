"""A repair or a restore that was killed after it had moved the log aside, and before the new file had its name.

What is there then is the file as it was, without what stood in its log; the copy that is kept has both.
"""

from __future__ import annotations

import os
from pathlib import Path

from aqe.engine.memory.care.copying import PIECE, OpenFile, copy_bytes, spare_for, sync_folder
from aqe.engine.memory.care.holders import holders, locked
from aqe.engine.memory.care.place import COPIES, Place, has_log
from aqe.engine.memory.file.failures import broken
from aqe.engine.project import unwritable

CUT_OFF = "a repair was cut off when it had moved the log to {!r}"


def log_aside(place: Place) -> Path | None:
    """The log of the store, kept beside a copy of it that is the same to the byte, where the store has none."""
    if has_log(place.path) or not place.path.is_file():
        return None
    logs = sorted((place.folder / COPIES).glob("damaged-*.db-wal"), reverse=True)
    copies = ((log, log.with_name(log.name.removesuffix("-wal"))) for log in logs)
    return next((log for log, copy in copies if has_log(copy) and _is_same(place.path, copy)), None)


def check_whole(place: Place) -> None:
    """Raises `UserError` (database-broken) where the log of the store was moved aside and not put back."""
    if aside := log_aside(place):
        raise broken(place.path, CUT_OFF.format(str(aside)))


def put_back(place: Place) -> bool:
    """Put such a log beside the store again; whether there was one. Raises `UserError` (database-locked where another
    process has the store open, which writes to the log that is there; project-read-only...)."""
    aside = log_aside(place)
    if aside is None:
        return False
    if holders(place.path):
        raise locked(place.path, "a repair that puts its log back")
    path = place.path.resolve()
    log = path.with_name(f"{path.name}-wal")
    try:
        with spare_for(log) as spare:
            copy_bytes(aside, spare)
            os.replace(spare, log)
    except OSError as error:
        raise unwritable(log, error) from error
    sync_folder(log.parent)
    return True


def _is_same(path: Path, copy: Path) -> bool:
    """Whether two database files hold the same bytes; one file under two names says nothing of what it held before."""
    try:
        if path.samefile(copy):
            return False
        with OpenFile.of(path) as one, OpenFile.of(copy) as other:
            starts = range(0, one.size, PIECE)
            return one.size == other.size and all(one.read(at, PIECE) == other.read(at, PIECE) for at in starts)
    except OSError:
        return False
