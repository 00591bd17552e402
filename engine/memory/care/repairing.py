"""A damaged store brought to the last good state: what still stands is kept, the rest is named.

Where every page is sound, what the tables say of each other is put right in one transaction, while servers run. Where
pages are damaged or missing, every row that still stands is read page by page and written to a new file, whatever is
derived is made anew, and the new file takes the place of the damaged one, which is kept.
"""

from __future__ import annotations

import contextlib
import functools
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apsw

from aqe.engine.memory.care.copying import check_copy, pinned, spare_for, workplace, write_copy
from aqe.engine.memory.care.exchange import Exchange, exchanging
from aqe.engine.memory.care.image import Image, read_image
from aqe.engine.memory.care.mending_vectors import Counts, mend_vectors, rebuild_vectors
from aqe.engine.memory.care.place import Place, open_file
from aqe.engine.memory.care.placing import defined_spaces, is_derived_name, listed_rows, mend_places, mend_spaces
from aqe.engine.memory.care.rebuilding import Mended, mend_rows, mend_text_index, rebuild_text_index, soundest
from aqe.engine.memory.care.restoring import (
    copy_as_it_is,
    copy_name,
    damaged_copies,
    earlier_copies,
    keep_before,
    kept_only_if_done,
    prune_copies,
)
from aqe.engine.memory.care.salvage import (
    SPACE,
    Found,
    Losses,
    first_made,
    highest_unnamed,
    indexed_memories,
    is_derived,
    known_tables,
    salvage,
)
from aqe.engine.memory.care.verifying import UNREADABLE, VerifiedStore, verify
from aqe.engine.memory.file.connection import speaking, transaction
from aqe.engine.memory.file.migrations import APPLICATION_ID, migrate
from aqe.engine.memory.file.steps import MIGRATIONS
from aqe.engine.memory.file.sums import SEALED, fill
from aqe.engine.memory.meaning.codefiles import CodeFolder
from aqe.engine.memory.meaning.vectors import CHUNK
from aqe.engine.memory.store import utc_now
from aqe.engine.memory.tiers.forms import WARM
from aqe.engine.progress import CancelToken, Progress, silent

LOOK = 1000
NAMED = 50


@dataclass(frozen=True)
class RepairReport:
    """What was wrong and what became of it (with `dry_run`: would).

    `how` is "nothing" for a sound store, "mended" where its pages are sound, "salvaged" where rows were read page by
    page. `memories` counts all current ones, `remembered` those that are not of the project index or aqe's own
    knowledge. `saved` counts rows by table, `broken` those that stand only in part, `unknown_rows` those of no one
    table; `lost_count` counts memories of which some row is known to be lost, the first of which are named; where
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


@dataclass
class _Salvaged:
    """What a salvage brought: rows by table, vectors by space and row, and what is lost."""

    saved: dict[str, int] = field(default_factory=dict)
    chunks: dict[int, dict[int, tuple[bytes, bytes]]] = field(default_factory=dict)
    blocks: dict[int, dict[int, bytes]] = field(default_factory=dict)
    places: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    corrected: int = 0
    """Rows that no table takes as they stand, with the bit put right that flipped in them."""
    highest: int | None = None
    """The highest row number of memories that was seen, where some may be lost that nothing names."""

    @property
    def is_nothing(self) -> bool:
        """Whether no row could be saved, or of memories that were there none."""
        lost = self.losses
        was_more = lost.named or lost.unknown or lost.unread_pages or "memories" in lost.broken
        return not self.saved or bool(was_more and not self.saved.get("memories"))


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

    Of the files kept before something was replaced the newest `copies` stay, as far as they fit into `copies_mb`; a
    damaged file is never removed.

    Raises `UserError` (no-such-path, database-key, database-newer, disk-full, database-locked where a file that is too
    damaged to be written through is open elsewhere: the error names where), `Cancelled`; then the store is as it was.
    """
    began = time.monotonic()
    report = verify(place, progress=progress, cancel=cancel)
    findings = tuple(f"{one.check}: {one.what}" for one in report.findings)
    job = _Job(place, findings, began, dry_run, now, progress, cancel)
    if report.sound:
        return _report(job, "nothing", report)
    if any(one.check in ("pages", "schema", "file") or one.what.startswith(UNREADABLE) for one in report.findings):
        return _salvage(job)
    done = _mend(job)
    if not dry_run:
        prune_copies(place.folder, copies, copies_mb, kept=Path(done.kept))
    return done


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
                mended, after = _put_right_and_look(target, spare if dry_run else None, job)
            finally:
                target.close()
    finally:
        connection.close()
    return _report(job, "mended", after, mended=mended, kept=kept)


def _put_right_and_look(connection: apsw.Connection, spare: Path | None, job: _Job) -> tuple[Mended, VerifiedStore]:
    """Put right what rows say, and look whether all is sound now. The entries of rows that were put right may not be
    all that was wrong with the text index: then, since a look takes longer than making it, all of it is made anew."""
    place, path = job.place, spare or job.place.path
    with transaction(connection, path):
        mended = _put_right(connection, job)
    if spare is None and any(one.startswith("side files") for one in job.findings):
        CodeFolder(place.path).clear()
    after = verify(place, spare, cancel=job.cancel)
    if any(one.check == "text index" for one in after.findings):
        with transaction(connection, path):
            indexed = rebuild_text_index(connection, progress=job.progress, cancel=job.cancel)
        mended, after = replace(mended, indexed=indexed), verify(place, spare, cancel=job.cancel)
    return mended, after


def _put_right(connection: apsw.Connection, job: _Job) -> Mended:
    defined = defined_spaces(connection)
    placed = mend_spaces(connection, defined) + mend_places(connection, listed_rows(connection, defined))
    counts, touched = mend_rows(connection, job.now(), progress=job.progress, cancel=job.cancel)
    counts["corrected"] += placed
    made = mend_vectors(connection)
    fill(connection, job.progress)
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
    place, dry_run, made = job.place, job.dry_run, _Salvaged()
    with workplace(place.path, dry_run=dry_run) as work, spare_for(work) as spare, contextlib.ExitStack() as stack:
        _begin(spare, place.key)
        exchange = None if dry_run else stack.enter_context(exchanging(place, spare, "a repair of a damaged file"))
        job.progress("Reading pages")
        image = read_image(place.path, place.key)
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


def _write_new(job: _Job, spare: Path, image: Image, made: _Salvaged) -> Mended:
    """Write what stands to the new file, and make anew what is derived from it."""
    key, now = job.place.key, job.now
    version = image.version if 1 <= image.version <= MIGRATIONS[-1].number else MIGRATIONS[-1].number
    connection = open_file(spare, key=key, write=True)
    try:
        open_again = functools.partial(open_file, key=key)
        migrate(connection, spare, now=now, open_again=open_again, steps=MIGRATIONS[:version], keep_copy=False)
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.pragma("foreign_keys", False)
        with transaction(connection, spare):
            sql = "UPDATE migrations SET applied_at = coalesce(?, applied_at) WHERE number = 1"
            connection.execute(sql, (first_made(image),))
            _insert_all(connection, image, version, made, job)
        migrate(connection, spare, now=now, open_again=open_again, keep_copy=False)
        with transaction(connection, spare):
            seen = _seen_spaces(made)
            placed = mend_spaces(connection, seen) + mend_places(
                connection, {row for rows in made.places.values() for row in rows}
            )
            counts, _ = mend_rows(connection, now(), progress=job.progress, cancel=job.cancel)
            counts["corrected"] += placed + made.corrected
            found = rebuild_vectors(connection, _vectors(connection, made))
            connection.execute("UPDATE memories SET row_sum = NULL")  # no trigger did where a row changed
            fill(connection, job.progress)
            indexed = rebuild_text_index(connection, progress=job.progress, cancel=job.cancel)
            connection.execute("DELETE FROM change_log")
            connection.execute("INSERT INTO change_log VALUES (?, 0, random() & 0x7fffffff)", (now(),))
            connection.execute("INSERT OR REPLACE INTO edge_changes VALUES (1, ?)", (now(),))
        return _mended(counts, found, indexed)
    finally:
        connection.close()


def _insert_all(connection: apsw.Connection, image: Image, version: int, made: _Salvaged, job: _Job) -> None:
    tables = known_tables(version)
    for name in tables:
        if not is_derived(name):
            connection.execute(f'DELETE FROM "{name}"')
    for at, found in enumerate(salvage(image, tables, made.losses, progress=job.progress, cancel=job.cancel)):
        if at % LOOK == 0:
            job.progress("Saving rows", at)
        if (space := SPACE.fullmatch(found.table)) is not None:
            _note_block(made, int(space[1]), found)
            continue
        if not (is_there := _insert(connection, found)) and (sound := _as_written(found)) is not None:
            is_there = _insert(connection, sound)
            made.corrected += is_there
        if is_there or _insert_bare(connection, found, made.losses):
            made.saved[found.table] = made.saved.get(found.table, 0) + 1
    there = {(str(a), str(b), int(c)) for a, b, c in connection.execute("SELECT namespace, id, revision FROM memories")}
    made.losses.named |= {(a, b) for a, b, c in indexed_memories(image) if (a, b, c) not in there}
    made.highest = highest_unnamed(image)
    if made.highest is not None:
        made.highest = max(made.highest, connection.execute("SELECT max(row) FROM memories").get or 0)


def _insert(connection: apsw.Connection, found: Found) -> bool:
    """Write a row, where it is one and not there already."""
    names = ", ".join(f'"{name}"' if name != "_rowid_" else name for name in found.columns)
    marks = ", ".join("?" * len(found.values))
    try:
        connection.execute(f'INSERT OR IGNORE INTO "{found.table}" ({names}) VALUES ({marks})', found.values)
    except apsw.ConstraintError:
        return False
    return connection.changes() > 0


def _as_written(found: Found) -> Found | None:
    """A row that its table refuses because one bit of it flipped, as it was written, or so that what stands elsewhere
    can tell the rest (the length of a smaller vector its tier, that of a block a dimension); None where that cannot be
    told."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    if found.table == "embedders" and "derived" in row:
        row |= {"derived": int(is_derived_name(row["embedder_id"])), "dimension": max(1, row["dimension"])}
        return replace(found, values=tuple(row.values()))
    if found.table == "demoted":
        return replace(found, values=tuple((row | {"tier": WARM}).values()))
    names = SEALED.replace('"', "").split(", ")
    if found.table != "memories" or row.get("row_sum") is None or not row.keys() >= {*names}:
        return None
    values, text, wrong = soundest(str(row["text"]).encode("utf-8"), [row[name] for name in names], row["row_sum"])
    if wrong:
        return None
    row |= dict(zip(names, values, strict=True)) | ({} if text is None else {"text": text})
    return replace(found, values=tuple(row.values()))


def _insert_bare(connection: apsw.Connection, found: Found, losses: Losses) -> bool:
    """Write a memory without its metadata, where those are what is damaged; what cannot be saved is counted."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    if found.table == "memories":
        taken = "SELECT 1 FROM memories WHERE row = ? OR (namespace = ? AND id = ? AND revision = ?)"
        if connection.execute(taken, (row["row"], row["namespace"], row["id"], row["revision"])).fetchone():
            return False
        losses.named.add((str(row["namespace"]), str(row["id"])))
        bare = tuple("{}" if name == "metadata" else value for name, value in row.items())
        if _insert(connection, replace(found, values=bare)):
            return True
    elif not found.is_sure:
        return False
    losses.broken[found.table] = losses.broken.get(found.table, 0) + 1
    return False


def _note_block(made: _Salvaged, space: int, found: Found) -> None:
    """Keep a block of vectors, what says which rows are in it, or where a row is."""
    row: dict[str, Any] = dict(zip(found.columns, found.values, strict=True))
    if any(value is None for name, value in row.items() if name in ("chunk_id", "chunk_offset")):
        return
    if found.table.endswith("_chunks"):
        made.chunks.setdefault(space, {}).setdefault(int(row["chunk_id"]), (row["validity"], row["rowids"]))
    elif found.table.endswith("_rowids"):
        made.places.setdefault(space, {}).setdefault(
            int(row["rowid"]), (row.get("chunk_id", 0), row.get("chunk_offset", -1))
        )
    else:
        made.blocks.setdefault(space, {}).setdefault(int(row["_rowid_"]), row["vectors"])


def _seen_spaces(made: _Salvaged) -> dict[int, int]:
    """The dimension of each space of which whole blocks were found, by its number: what most of them have."""
    whole = {
        number: Counter(
            len(block) // (4 * CHUNK) for block in blocks.values() if block and not len(block) % (4 * CHUNK)
        )
        for number, blocks in made.blocks.items()
    }
    return {number: sizes.most_common(1)[0][0] for number, sizes in whole.items() if sizes}


def _vectors(connection: apsw.Connection, made: _Salvaged) -> dict[int, dict[int, list[bytes]]]:
    """The vectors in the blocks that were found, by space and row: where each is said twice, by block and by row."""
    found: dict[int, dict[int, list[bytes]]] = {}
    spaces: list[Any] = connection.execute("SELECT number, dimension FROM embedders").fetchall()
    for number, dimension in spaces:
        size, here = 4 * int(dimension), found.setdefault(int(number), {})
        blocks = made.blocks.get(int(number), {})
        places = [(row, *place) for row, place in made.places.get(int(number), {}).items()]
        for chunk, (validity, rows) in made.chunks.get(int(number), {}).items():
            for at, (row,) in enumerate(struct.iter_unpack("<q", rows[: len(rows) // 8 * 8])):
                if at // 8 < len(validity) and validity[at // 8] >> at % 8 & 1:
                    places.append((row, chunk, at))
        for row, chunk, at in places:
            block = blocks.get(chunk, b"")
            if isinstance(at, int) and at >= 0 and len(block) >= (at + 1) * size:
                vector = block[at * size : (at + 1) * size]
                if vector not in (there := here.setdefault(row, [])):
                    there.append(vector)
    return found


def _report(
    job: _Job,
    how: str,
    after: VerifiedStore,
    *,
    mended: Mended | None = None,
    kept: str = "",
    made: _Salvaged | None = None,
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
