"""The versions of the database file: named steps, each applied once, all that are missing in one transaction.

The number of the last step stands in SQLite's `user_version`; the table `migrations` says when each was applied. The
steps themselves, with their SQL, are in `steps.py`: a change is a new step there, and a file of the version before it
in the tests.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.file.connection import transaction
from aqe.engine.memory.file.failures import broken, is_damage, speaking
from aqe.engine.memory.file.steps import MIGRATIONS, Migration
from aqe.engine.memory.file.unreadable import first_unreadable
from aqe.engine.progress import Progress, silent

APPLICATION_ID = 0x61716531  # "aqe1"

__all__ = ["APPLICATION_ID", "BORN", "HISTORY", "MIGRATIONS", "Migration", "migrate", "pending", "version_before"]

BORN = "min(applied_at)"
"""What tells stores apart, of the table `migrations`: the microsecond in which a file was made; its copies keep it."""

_ONE_BY_ONE = 60_000_000

HISTORY = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT"""
"""Makes the table of the steps that were applied, which is the same in every version."""


def migrate(
    connection: apsw.Connection,
    path: Path,
    *,
    now: Callable[[], int],
    open_again: Callable[[Path], apsw.Connection],
    steps: Sequence[Migration] = MIGRATIONS,
    keep_copy: bool = True,
    progress: Progress = silent,
) -> int:
    """Bring the file to the last step; returns how many steps this call applied.

    All that are missing are one transaction, so that of several processes one applies them, and a run that was cut off
    left nothing. Before the first step on a file with data, a copy is put beside it as `<name>.v<number>.bak` (made
    through `open_again`, so an encrypted file's copy is encrypted), unless `keep_copy` is false. Raises `UserError`
    (database-newer, database-broken).
    """
    newest = steps[-1].number
    with speaking(path):
        if _version(connection, path, steps) == newest == int(connection.pragma("user_version")):
            return 0
    with transaction(connection, path):
        version = _version(connection, path, steps)  # another process may have been faster
        missing = [step for step in steps if step.number > version]
        if version and keep_copy and missing:
            _back_up(path, version, open_again)
        at = now()
        for step in missing:
            _apply(connection, path, step.sql)
            if step.then is not None:
                step.then(connection, progress)
            connection.execute(HISTORY)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (step.number, step.name, at))
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", newest)
    return len(missing)


def _apply(connection: apsw.Connection, path: Path, sql: str) -> None:
    """Apply a step. `UserError` (database-broken) where a row is not what its table allows, which only damage makes:
    SQLite looks at all of them when a strict table gets a column."""
    try:
        connection.execute(sql)
    except apsw.Error as error:
        said = str(connection.execute("PRAGMA quick_check(1)").get)
        if said == "ok" or is_damage(error):
            raise
        raise broken(path, first_unreadable(connection) or said) from error


def version_before(connection: apsw.Connection) -> int:
    """The version that the file had before the last migration of it, 0 where it was made with all its steps. Steps that
    were applied one by one, as aqe once did it, are one migration where each followed within a minute."""
    has_list = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone()
    rows = connection.execute("SELECT number, applied_at FROM migrations ORDER BY number DESC") if has_list else ()
    found = [(int(number), int(at)) for number, at in rows]
    moments = [at for _, at in found]
    first, last = found[0] if found else (1, 0)
    for number, at in found[1:]:
        is_same = at == last if moments.count(last) > 1 else moments.count(at) == 1 and 0 <= last - at <= _ONE_BY_ONE
        if not is_same:
            break
        first, last = number, at
    return first - 1


def pending(connection: apsw.Connection, path: Path, steps: Sequence[Migration] = MIGRATIONS) -> list[str]:
    """The names of the steps that `migrate` would apply; nothing is written."""
    with speaking(path):
        version = _version(connection, path, steps)
    return [step.name for step in steps if step.number > version]


def _version(connection: apsw.Connection, path: Path, steps: Sequence[Migration]) -> int:
    version = int(connection.pragma("user_version"))
    owner = int(connection.pragma("application_id"))
    empty = connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is None
    if owner != APPLICATION_ID and not (empty and owner == 0 and version == 0):
        raise broken(path, "it was made by another program")
    newest = steps[-1].number
    if version > newest:
        last = _last_step(connection, version)
        if 0 < last <= newest and (version ^ last).bit_count() == 1:
            raise broken(path, f"its head says version {version}, its own list of steps {last}")
        raise UserError(
            f"The database {str(path)!r} was written by a newer aqe (version {version}; this one knows {newest}).",
            code="database-newer",
            fix="Update aqe: pip install -U aqe",
        )
    return version if version == newest else max(version, _last_step(connection, newest))


def _last_step(connection: apsw.Connection, newest: int) -> int:
    """The last step that the file's own list names, 0 without one: the number in its head may be damaged, and steps are
    not to be done twice."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'").fetchone() is None:
        return 0
    return int(connection.execute("SELECT coalesce(max(number), 0) FROM migrations WHERE number <= ?", (newest,)).get)


def _back_up(path: Path, version: int, open_again: Callable[[Path], apsw.Connection]) -> None:
    target = path.with_name(f"{path.name}.v{version}.bak")
    spare = path.with_name(f"{target.name}.part")
    _remove(spare)
    try:
        _copy_whole(path, spare, open_again)
        spare.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(spare, target)
    finally:
        _remove(spare)  # what is half written would keep a full disk full


def _copy_whole(path: Path, spare: Path, open_again: Callable[[Path], apsw.Connection]) -> None:
    with contextlib.closing(open_again(path)) as source, contextlib.closing(open_again(spare)) as copy:
        copy.pragma("journal_mode", "delete")
        with copy.backup("main", source, "main") as backup:
            backup.step()
        copy.pragma("journal_mode", "delete")
    descriptor = os.open(spare, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()
