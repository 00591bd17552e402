"""A damaged store brought to the last good state: what still stands is kept, the rest is named.

Where every page is sound, what the tables say of each other is put right in one transaction, while servers run. Where
pages are damaged or missing, every row that still stands is read page by page and written to a new file, whatever is
derived is made anew, and the new file takes the place of the damaged one, which is kept.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import apsw

from aqe.engine.memory.care.alone import alone
from aqe.engine.memory.care.checks import UNREADABLE
from aqe.engine.memory.care.copying import check_copy, pinned, spare_for, workplace, write_copy
from aqe.engine.memory.care.cut_off import put_back
from aqe.engine.memory.care.exchange import Exchange, exchanging
from aqe.engine.memory.care.image import Image, read_image
from aqe.engine.memory.care.mending_vectors import Counts, mend_vectors, rebuild_vectors
from aqe.engine.memory.care.other_rows import mend_other_rows
from aqe.engine.memory.care.place import Place, open_file
from aqe.engine.memory.care.placing import defined_spaces, listed_rows, mend_places, mend_spaces
from aqe.engine.memory.care.rebuilding import Mended, mend_rows, mend_text_index, rebuild_text_index
from aqe.engine.memory.care.restoring import (
    copy_as_it_is,
    copy_name,
    damaged_copies,
    earlier_copies,
    keep_before,
    kept_only_if_done,
    prune_copies,
)
from aqe.engine.memory.care.rewriting import Salvaged, insert_rows, places_of, seen_spaces
from aqe.engine.memory.care.salvage import (
    Losses,
    first_made,
    version_of,
)
from aqe.engine.memory.care.verifying import VerifiedStore, verify
from aqe.engine.memory.file import row_sums
from aqe.engine.memory.file.connection import transaction
from aqe.engine.memory.file.failures import speaking
from aqe.engine.memory.file.migrations import APPLICATION_ID, migrate
from aqe.engine.memory.file.steps import MIGRATIONS
from aqe.engine.memory.file.sums import fill
from aqe.engine.memory.meaning.codefiles import CodeFolder
from aqe.engine.memory.store import utc_now
from aqe.engine.progress import CancelToken, Progress, silent

NAMED = 50


@dataclass(frozen=True)
class RepairReport:
    """What was wrong and what became of it (with `dry_run`: would).

    `how` is "nothing" for a sound store, "mended" where its pages are sound, "salvaged" where rows were read page by
    page. `memories` counts all current ones, `remembered` those that are not of the project index or aqe's own
    knowledge. `saved` counts rows by table, `broken` those that stand only in part, `lost_pages` the
    pages of a table that hold nothing of it any more, `replaced` rows beside the memories that have U+FFFD where bytes
    of a text were no UTF-8, `unknown_rows` those of no one table;
    `lost_count` counts memories of which some row is known to be lost, the first of which are named; where
    `more_lost` an unknown number is lost beyond those, since what would name them is lost too, and `highest_row` is the
    highest number of a row of memories that was seen. `kept` is the file as it was. With `everything_lost` not one
    memory could be saved where some were; `earlier` are then the files in `.aqe`, newest first, that may have what is
    lost, and `damaged_before` those that were kept damaged before, of which a repair may save some.
    """

    how: str
    findings: tuple[str, ...]
    memories: int
    remembered: int
    saved: dict[str, int]
    broken: dict[str, int]
    lost_pages: dict[str, int]
    replaced: dict[str, int]
    unknown_rows: int
    unread_pages: int
    lost_count: int
    lost_memories: tuple[str, ...]
    more_lost: bool
    highest_row: int
    mended: Mended
    kept: str
    sound: bool
    everything_lost: bool
    earlier: tuple[str, ...]
    damaged_before: tuple[str, ...]
    dry_run: bool
    seconds: float


@dataclass(frozen=True)
class _Job:
    """A repair as it was asked for, with what was found and when it began."""

    place: Place
    findings: tuple[str, ...]
    began: float
    dry_run: bool
    now: Callable[[], int]
    progress: Progress
    cancel: CancelToken | None


def repair(
    place: Place,
    *,
    copies: int = 3,
    copies_mb: int = 512,
    dry_run: bool = False,
    now: Callable[[], int] = utc_now,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> RepairReport:
    """Look at the store and put right what is wrong with it; what was there is kept in `.aqe/backups`.

    While another repair of the store runs this one waits, and looks again then. Of the files kept before something was
    replaced the newest `copies` stay, as far as they fit into `copies_mb`; a damaged file is never removed.

    Raises `UserError` (no-such-path, database-key, database-newer, disk-full, database-locked where a file that is too
    damaged to be written through is open elsewhere: the error names where), `Cancelled`; then the store is as it was.
    """
    job = _Job(place, (), time.monotonic(), dry_run, now, progress, cancel)
    report = verify(place, progress=progress, cancel=cancel)
    if report.sound or dry_run:
        return _repaired(job, report)
    with alone(place, progress=progress, cancel=cancel) as has_waited:
        if put_back(place) or has_waited:
            report = verify(place, progress=progress, cancel=cancel)
        done = _repaired(job, report)
        if done.how == "mended":
            prune_copies(place.folder, copies, copies_mb, kept=Path(done.kept))
    return done


def _repaired(job: _Job, report: VerifiedStore) -> RepairReport:
    """Put right what was found, if anything was."""
    job = replace(job, findings=tuple(f"{one.check}: {one.what}" for one in report.findings))
    if report.sound:
        return _report(job, "nothing", report)
    if any(one.check in ("pages", "schema", "file") or one.what.startswith(UNREADABLE) for one in report.findings):
        return _salvage(job)
    return _mend(job)


def _mend(job: _Job) -> RepairReport:
    """Put right what rows say: of the store, or of a copy in a dry run."""
    place, dry_run = job.place, job.dry_run
    connection, kept = place.connect_to_read() if dry_run else place.connect(), ""
    try:
        with workplace(place.path, dry_run=dry_run) as work, spare_for(work) as spare:
            if dry_run:
                with pinned(connection, place.path):
                    write_copy(connection, spare, key=place.key, progress=job.progress, cancel=job.cancel)
            else:
                kept = keep_before(place, connection, job.now(), "before-repair", job.progress, job.cancel)
            target = open_file(spare, key=place.key, write=True) if dry_run else connection
            try:
                open_again = functools.partial(open_file, key=place.key, write=True)
                path = spare if dry_run else place.path
                migrate(target, path, now=job.now, open_again=open_again, keep_copy=not dry_run, progress=job.progress)
                mended, after = _put_right_and_look(target, spare if dry_run else None, job, kept)
            finally:
                target.close()
    finally:
        connection.close()
    return _report(job, "mended", after, mended=mended, kept=kept)


def _put_right_and_look(
    connection: apsw.Connection, spare: Path | None, job: _Job, kept: str
) -> tuple[Mended, VerifiedStore]:
    """Put right what rows say, and look whether all is sound now. The entries of rows that were put right may not be
    all that was wrong with the text index: then, since a look takes longer than making it, all of it is made anew."""
    place, path = job.place, spare or job.place.path
    with kept_only_if_done(kept), transaction(connection, path):
        mended = _put_right(connection, path, job)
    if spare is None and any(one.startswith("side files") for one in job.findings):
        CodeFolder(place.path).clear()
    after = verify(place, spare, cancel=job.cancel)
    if any(one.check == "text index" for one in after.findings):
        with transaction(connection, path):
            indexed = rebuild_text_index(connection, progress=job.progress, cancel=job.cancel)
        mended, after = replace(mended, indexed=indexed), verify(place, spare, cancel=job.cancel)
    return mended, after


def _put_right(connection: apsw.Connection, path: Path, job: _Job) -> Mended:
    image = functools.partial(read_image, path, job.place.key, cancel=job.cancel)
    right, kept = mend_other_rows(connection, image, job.now(), progress=job.progress, cancel=job.cancel)
    defined = defined_spaces(connection)
    placed = mend_spaces(connection, defined) + mend_places(connection, listed_rows(connection, defined))
    counts, touched = mend_rows(connection, job.now(), progress=job.progress, cancel=job.cancel)
    counts["corrected"] += placed + right
    counts["other_rows"] = kept
    made = mend_vectors(connection, progress=job.progress, cancel=job.cancel)
    fill(connection, job.progress)
    row_sums.fill(connection, job.progress)
    indexed = mend_text_index(connection, touched)
    if not touched and any(one.startswith("text index") for one in job.findings):
        indexed = rebuild_text_index(connection, progress=job.progress, cancel=job.cancel)
    return _mended(counts, made, indexed)


def _mended(counts: dict[str, int], made: Counts, indexed: int) -> Mended:
    corrected = counts["corrected"] + made.corrected
    lost = {"vectors_lost": made.lost, "vectors_given_lost": made.given, "vectors_ended_lost": made.ended}
    return Mended(**{**counts, "corrected": corrected}, indexed=indexed, **lost)


def _salvage(job: _Job) -> RepairReport:
    """Read every row that stands into a new file, which takes the place of the damaged one."""
    place, dry_run, made = job.place, job.dry_run, Salvaged()
    with workplace(place.path, dry_run=dry_run) as work, spare_for(work) as spare, contextlib.ExitStack() as stack:
        _begin(spare, place.key)
        exchange = None if dry_run else stack.enter_context(exchanging(place, spare, "a repair of a damaged file"))
        job.progress("Reading pages")
        with read_image(place.path, place.key, progress=job.progress, cancel=job.cancel) as image:
            mended = _write_new(job, spare, image, made)
        check_copy(spare, key=place.key)
        after = verify(place, spare, cancel=job.cancel)
        kept = "" if exchange is None else _swap(exchange, job.now(), job.progress, job.cancel)
    return _report(job, "salvaged", after, mended=mended, kept=kept, made=made)


def _begin(spare: Path, key: str | None) -> None:
    """Make the new file a database of one page, which is enough to hold the store for it."""
    connection = open_file(spare, key=key, write=True)
    try:
        with speaking(spare, key=key):
            connection.pragma("application_id", APPLICATION_ID)
    finally:
        connection.close()


def _swap(exchange: Exchange, now: int, progress: Progress, cancel: CancelToken | None) -> str:
    """Put the new file in the place of the damaged one, which is kept byte by byte; returns where."""
    kept = copy_as_it_is(exchange.place.path, copy_name(exchange.place, "damaged", now))
    with kept_only_if_done(kept):
        exchange.finish(kept, progress, cancel)
    return str(kept)


def _write_new(job: _Job, spare: Path, image: Image, made: Salvaged) -> Mended:
    """Write what stands to the new file, and make anew what is derived from it."""
    key, now = job.place.key, job.now
    version = version_of(image)
    connection = open_file(spare, key=key, write=True)
    try:
        open_again = functools.partial(open_file, key=key)
        migrate(connection, spare, now=now, open_again=open_again, steps=MIGRATIONS[:version], keep_copy=False)
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.pragma("foreign_keys", False)
        with transaction(connection, spare):
            sql = "UPDATE migrations SET applied_at = coalesce(?, applied_at) WHERE number = 1"
            connection.execute(sql, (first_made(image),))
            insert_rows(connection, image, version, made, progress=job.progress, cancel=job.cancel)
        migrate(connection, spare, now=now, open_again=open_again, keep_copy=False)
        with transaction(connection, spare):
            seen = seen_spaces(made)
            placed = mend_spaces(connection, seen) + mend_places(
                connection, {row for rows in made.places.values() for row in rows}
            )
            counts, _ = mend_rows(connection, now(), progress=job.progress, cancel=job.cancel)
            right, kept = mend_other_rows(connection, None, now(), progress=job.progress, cancel=job.cancel)
            counts["corrected"] += placed + made.corrected + right
            counts["other_rows"] = kept
            places = functools.partial(places_of, image, made)
            found = rebuild_vectors(connection, places, progress=job.progress, cancel=job.cancel)
            connection.execute("UPDATE memories SET row_sum = NULL")  # no trigger did where a row changed
            fill(connection, job.progress)
            row_sums.fill(connection, job.progress)
            indexed = rebuild_text_index(connection, progress=job.progress, cancel=job.cancel)
            connection.execute("DELETE FROM change_log")
            connection.execute("INSERT INTO change_log VALUES (?, 0, random() & 0x7fffffff)", (now(),))
            connection.execute("INSERT OR REPLACE INTO edge_changes VALUES (1, ?)", (now(),))
        return _mended(counts, found, indexed)
    finally:
        connection.close()


def _report(
    job: _Job,
    how: str,
    after: VerifiedStore,
    *,
    mended: Mended | None = None,
    kept: str = "",
    made: Salvaged | None = None,
) -> RepairReport:
    losses = Losses() if made is None else made.losses
    is_all_lost = made is not None and made.is_nothing
    damaged = [str(path) for path in damaged_copies(job.place)] if is_all_lost else []
    return RepairReport(
        how=how,
        findings=job.findings,
        memories=after.memories,
        remembered=after.remembered,
        saved={} if made is None else dict(sorted(made.saved.items())),
        broken=dict(sorted(losses.broken.items())),
        lost_pages=dict(sorted(losses.pages.items())),
        replaced=dict(sorted(losses.replaced.items())),
        unknown_rows=losses.unknown,
        unread_pages=losses.unread_pages,
        lost_count=len(losses.named),
        lost_memories=tuple("/".join(name) for name in sorted(losses.named)[:NAMED]),
        more_lost=made is not None and made.highest is not None,
        highest_row=0 if made is None else made.highest or 0,
        mended=mended or Mended(),
        kept=kept,
        sound=after.sound,
        everything_lost=is_all_lost,
        earlier=tuple(map(str, earlier_copies(job.place))) if is_all_lost else (),
        damaged_before=tuple(path for path in damaged if path != kept),
        dry_run=job.dry_run,
        seconds=round(time.monotonic() - job.began, 3),
    )
