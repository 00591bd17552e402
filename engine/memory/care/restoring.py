"""A backup put in the place of what the store holds, in one transaction that open servers see as they see any other.

What it replaces is kept as a file of its own first. Some things stay as they are, because a restored copy of them would
be untrue: the log of what left this machine, consents, and the jobs and leases of running processes.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care import increments
from aqe.engine.memory.care.copying import (
    check_copy,
    copy_bytes,
    pinned,
    publish,
    remove,
    spare_for,
    sync_folder,
    workplace,
    write_copy,
)
from aqe.engine.memory.care.exchange import UNUSABLE, exchanging, open_live
from aqe.engine.memory.care.place import COPIES, Place, open_backup, open_file
from aqe.engine.memory.care.states import count_current
from aqe.engine.memory.care.verifying import verify
from aqe.engine.memory.entry import rfc3339
from aqe.engine.memory.file.connection import transaction
from aqe.engine.memory.file.failures import OF_DAMAGE, speaking
from aqe.engine.memory.file.migrations import migrate
from aqe.engine.memory.store import utc_now
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import unwritable

GAP = 1 << 32
"""How far the count of changes jumps, so that no number of before or of meanwhile comes again."""

STAYING = ("audit", "audit_head", "consents", "jobs", "leases")
KEPT = re.compile(r"before-(restore|repair|way-back)-\d{8}T\d{12}Z\.db")
"""The names of the files that are kept; rfc3339's moments to the microsecond."""


Counts = tuple[int, int]
"""Current memories, and those of them that were remembered."""


@dataclass(frozen=True)
class RestoreReport:
    """What was restored (or with `dry_run` would be): memories in the backup (all current ones; `remembered` are those
    of them that are not of the project index or aqe's own knowledge), memories before, steps that brought an
    older backup up to date, where what was there before is kept ("" where there was nothing), and whether what was
    encrypted in the backup lies in clear now. `findings` are what `verify` finds in what was restored: a backup may
    be damaged, or be of a store that was."""

    file: str
    memories: int
    remembered: int
    memories_before: int
    migrated: int
    kept: str
    now_in_clear: bool
    findings: tuple[str, ...]
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
    again beside the store (in a dry run where nothing can be written: in a temporary folder), then comes over in one
    transaction. Raises `UserError` (no-such-path, database-broken,
    database-key, database-newer, disk-full, database-locked), `Cancelled`; then the store is as it was.
    """
    began = time.monotonic()
    all_keys = place.keys(*keys)
    kept = ""
    with workplace(place.path, dry_run=dry_run) as work, spare_for(work) as spare, contextlib.ExitStack() as stack:
        with _advising_another(file):
            together = increments.whole(file, base, all_keys, near=work, progress=progress, cancel=cancel)
            source, key = stack.enter_context(together)
            _copy(source, key, spare, progress, cancel)
        change_key(spare, key, place.key)
        migrated = _migrate(spare, place.key, now)
        found = verify(place, spare, progress=progress, cancel=cancel).findings
        if dry_run:
            with _read(place) as live:
                before, held = _count(live, now()), _prepare(spare, place.key, live, now())
        else:
            before, held, kept = _replace(place, spare, now(), progress, cancel)
            prune_copies(place.folder, copies, copies_mb, kept=Path(kept))
    seconds = round(time.monotonic() - began, 3)
    now_in_clear = key is not None and place.key is None
    findings = tuple(f"{one.check}: {one.what}" for one in found)
    return RestoreReport(str(file), *held, before[0], migrated, kept, now_in_clear, findings, dry_run, seconds)


@contextlib.contextmanager
def _advising_another(file: Path) -> Iterator[None]:
    """A broken backup is no broken store, which a repair is for."""
    try:
        yield
    except UserError as error:
        if error.code not in OF_DAMAGE:
            raise
        fix = f"Restore another backup than {file.name!r}; the store is as it was."
        raise UserError(error.message, code=error.code, fix=fix) from None


def _replace(
    place: Place, spare: Path, now: int, progress: Progress, cancel: CancelToken | None
) -> tuple[Counts, Counts, str]:
    """Have the prepared file take the place of the content, of which a copy is kept: what is written meanwhile is
    in the one or in the other. Returns how many memories were there, how many are, and where the copy is."""
    with exchanging(place, spare, "a restore over a damaged file") as exchange:
        with _read(place) if exchange.is_open else contextlib.nullcontext() as live:
            before, held = _count(live, now), _prepare(spare, place.key, live, now)
            kept = keep_before(place, live, now, "before-restore", progress, cancel)
        with kept_only_if_done(kept):
            exchange.finish(Path(kept) if kept else None, progress, cancel)
    return before, held, kept


@contextlib.contextmanager
def kept_only_if_done(kept: str | Path) -> Iterator[None]:
    """Remove the copy of what was to be replaced where that did not come to pass."""
    try:
        yield
    except BaseException:
        if kept:
            remove(Path(kept))
        raise


@contextlib.contextmanager
def _read(place: Place) -> Iterator[apsw.Connection | None]:
    """A connection to look at the store, None where it cannot be read."""
    connection = open_live(place, to_read=True)
    try:
        yield connection
    finally:
        if connection is not None:
            connection.close()


def _copy(source: Path, key: str | None, spare: Path, progress: Progress, cancel: CancelToken | None) -> None:
    """Copy a backup to a file of one's own, and read every page of it."""
    connection, _ = open_backup(source, (key,))
    try:
        with pinned(connection, source):
            write_copy(connection, spare, key=key, progress=progress, cancel=cancel)
    finally:
        connection.close()
    progress("Reading the backup")
    check_copy(spare, key=key, named=source)


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
    """The files that aqe kept before something was replaced, newest first; a file of another name is somebody's own."""
    found = (path for path in (folder / COPIES).glob("before-*.db") if KEPT.fullmatch(path.name))
    return sorted(found, key=lambda path: path.stem.rpartition("-")[2], reverse=True)


def earlier_copies(place: Place) -> list[Path]:
    """The files in `.aqe` that may hold what a damaged store held: kept before something was replaced or migrated, or
    put there by somebody; newest first."""
    found = [path for path in (place.folder / COPIES).glob("*.db") if not path.name.startswith("damaged-")]
    return sorted(
        [*found, *place.folder.glob(f"{place.path.name}.v*.bak")], key=lambda path: path.stat().st_mtime, reverse=True
    )


def damaged_copies(place: Place) -> list[Path]:
    """The damaged files that were kept when something took their place, newest first."""
    found = (place.folder / COPIES).glob("damaged-*.db")
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def prune_copies(folder: Path, copies: int, copies_mb: int, *, kept: Path | None = None) -> None:
    """Remove kept files beyond `copies` or `copies_mb` together, the oldest first; the newest stays: `kept`, the one
    just made, whatever the clock said when the others were."""
    total = 0
    found = kept_copies(folder)
    if kept in found:
        found.remove(kept)
        found.insert(0, kept)
    for number, path in enumerate(found):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
        if number and (number >= copies or total > copies_mb * 1_000_000):
            remove(path)


def _count(connection: apsw.Connection | None, now: int) -> Counts:
    if connection is None:
        return 0, 0
    with contextlib.suppress(apsw.Error):
        return count_current(connection, now)
    return 0, 0


def _migrate(spare: Path, key: str | None, now: Callable[[], int]) -> int:
    """Bring the prepared file to the newest version; it is a copy itself, so that no copy of it is kept."""
    connection = open_file(spare, key=key, write=True)
    try:
        return migrate(connection, spare, now=now, open_again=functools.partial(open_file, key=key), keep_copy=False)
    finally:
        connection.close()


def _prepare(spare: Path, key: str | None, live: apsw.Connection | None, now: int) -> Counts:
    """Make the prepared file one that may take the store's place; returns how many memories it holds."""
    connection = open_file(spare, key=key, write=True)
    try:
        with transaction(connection, spare):
            last, last_of_edges = (
                max(0 if live is None else _last(live, of), _last(connection, of)) + GAP
                for of in ("change_log", "edge_changes")
            )
            connection.execute("DELETE FROM change_log")
            connection.execute("INSERT INTO change_log VALUES (?, 0, random() & 0x7fffffff)", (last,))
            connection.execute("INSERT OR REPLACE INTO edge_changes VALUES (1, ?)", (last_of_edges,))
            if live is not None:
                for table in STAYING:
                    _carry(live, connection, table)
        return _count(connection, now)
    finally:
        connection.close()


def _last(connection: apsw.Connection, of: str) -> int:
    """The last number of a table of changes; 0 where the file is of before it."""
    with contextlib.suppress(apsw.Error):
        return int(connection.execute(f"SELECT max(number) FROM {of}").get or 0)
    return 0


def _carry(source: apsw.Connection, target: apsw.Connection, table: str) -> None:
    """Have the rows of `table` in `target` be those of `source`, where that can be read; a row that is none is left."""
    try:
        columns = [f'"{name}"' for (name,) in source.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        rows = source.execute(f"SELECT {','.join(columns)} FROM {table}").fetchall()
    except apsw.Error:
        return
    marks = ",".join("?" * len(columns))
    target.execute(f"DELETE FROM {table}")
    for row in rows:
        with contextlib.suppress(apsw.ConstraintError):
            target.execute(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({marks})", row)


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
            publish(spare, target, like=place.path)
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
    while True:
        path = folder / f"{why}-{re.sub('[^0-9TZ]', '', rfc3339(now))}.db"
        if not path.exists():
            return path
        now += 1


def copy_as_it_is(path: Path, target: Path) -> Path:
    """Copy a damaged file, with the log beside it, byte by byte."""
    path = path.resolve()
    try:
        for suffix in ("", "-wal"):
            if path.with_name(path.name + suffix).exists():
                copy_bytes(path.with_name(path.name + suffix), target.with_name(target.name + suffix))
        sync_folder(target.parent)
    except OSError as exc:
        remove(target)
        raise unwritable(target, exc) from exc
    return target
