"""Whether all that a store holds is sound: its pages, and what its tables say of each other. Nothing is written."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care import increments
from aqe.engine.memory.care.checks import (
    REPAIR,
    UNREADABLE,
    Check,
    Looked,
    Wrong,
    check_other_texts,
    check_pages,
    check_references,
    check_revisions,
    check_rows,
    check_snapshots,
    check_texts,
)
from aqe.engine.memory.care.copying import workplace
from aqe.engine.memory.care.cut_off import CUT_OFF, log_aside
from aqe.engine.memory.care.index_checks import check_text_index
from aqe.engine.memory.care.other_rows import check_other_rows
from aqe.engine.memory.care.place import Place, has_log, open_backup, open_file
from aqe.engine.memory.care.schema_checks import check_schema
from aqe.engine.memory.care.side_files import check_side_files
from aqe.engine.memory.care.states import count_current
from aqe.engine.memory.care.vector_checks import check_vectors
from aqe.engine.memory.file.connection import transaction
from aqe.engine.memory.file.failures import OF_DAMAGE
from aqe.engine.memory.store import utc_now
from aqe.engine.progress import CancelToken, Progress, silent

DAMAGED = "a part of the file is damaged"

OTHER = "Go back to another backup; `aqe memory restore FILE --dry-run` says whether this one can still be restored."
"""What to do about a backup that is not sound."""

EMPTIED = "`aqe memory restore FILE` puts a backup in its place; the next addition begins a new store."
"""What to do about a file of nothing."""

CHECKS: tuple[tuple[str, Check, str], ...] = (
    ("pages", check_pages, "sqlite_schema"),
    ("schema", check_schema, "migrations"),
    ("references", check_references, "sqlite_schema"),
    ("texts", check_texts, "memories"),
    ("rows", check_rows, "memories"),
    ("other texts", check_other_texts, "sqlite_schema"),
    ("other rows", check_other_rows, "sqlite_schema"),
    ("revisions", check_revisions, "memories"),
    ("text index", check_text_index, "texts_docsize"),
    ("vectors", check_vectors, "embedders"),
    ("snapshots", check_snapshots, "snapshots"),
)
"""Each check by name, with the table that it needs: a file of an earlier version does not have all."""

OF = {
    "pages": "pages",
    "schema": "tables, indexes and triggers",
    "references": "tables",
    "texts": "revisions, ended ones too",
    "rows": "revisions with a checksum",
    "other texts": "rows of other tables with a text",
    "other rows": "rows of sessions, requests, feedback and edges with a checksum",
    "revisions": "memories, ended ones too",
    "text index": "current memories",
    "vectors": "vectors",
    "snapshots": "snapshots",
    "side files": "files",
}
"""What each check looks at."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: which check found it, what it is, what it means, and what to do."""

    check: str
    what: str
    meaning: str
    fix: str


@dataclass(frozen=True)
class CheckRun:
    """A check and how it went; `looked_at` counts what it looked at, which `of` names."""

    name: str
    state: Literal["sound", "wrong", "not-run"]
    looked_at: int
    of: str


@dataclass(frozen=True)
class VerifiedStore:
    """What `verify` found in a file; `version` is 0 where it was not to be read. `memories` counts all current ones,
    also those of the index and aqe's own knowledge; `remembered` only the others, which `aqe memory list` shows."""

    file: str
    sound: bool
    version: int
    memories: int
    remembered: int
    checks: tuple[CheckRun, ...]
    findings: tuple[Finding, ...]
    seconds: float


def verify(
    place: Place,
    file: Path | None = None,
    *,
    keys: tuple[str | None, ...] = (),
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> VerifiedStore:
    """Look at everything in the project's store, or in a backup (`file`), as it is at one moment.

    An increment is looked at together with the backup beside it that it rests on. A damaged file is a finding. `keys`
    are more keys to try on a backup. Raises `UserError` (no-such-path, database-key, database-newer, database-locked;
    bad-backup for an increment that rests on another file), `Cancelled`.
    """
    began = time.monotonic()
    path = place.path if file is None else file
    runs: list[CheckRun] = []
    findings: list[Finding] = []
    version, held = 0, (0, 0)
    try:
        with (
            _opened(place, file, keys, progress, cancel) as connection,
            transaction(connection, path, write=False),
        ):
            version = int(connection.pragma("user_version"))
            held = _counted(connection)  # first: an encrypted page that is damaged ends all reading on its connection
            _run_all(connection, runs, findings, progress, cancel)
            if file is None and connection.table_exists("main", "demoted"):
                side = functools.partial(check_side_files, database=path)
                _note(runs, findings, "side files", *_run(connection, side))
    except UserError as error:
        if error.code not in OF_DAMAGE:
            raise
        what = error.message.removesuffix(".")
        if not version:
            findings.append(Finding("file", what, "nothing in it can be read as it is", REPAIR))
        elif not findings:
            findings.append(Finding("file", what, DAMAGED, REPAIR))
    if file is not None:
        findings = [replace(one, fix=OTHER) for one in findings]
    if file is None and not findings and not version:
        findings.append(Finding("file", "it holds no tables", "what it held before, if anything, is gone", EMPTIED))
    if file is None and (aside := log_aside(place)):
        findings.append(Finding("file", CUT_OFF.format(str(aside)), "what was committed last is not in it", REPAIR))
    seconds = round(time.monotonic() - began, 3)
    return VerifiedStore(str(path), not findings, version, *held, tuple(runs), tuple(findings), seconds)


def damaged_texts(path: Path, *, key: str | None) -> str:
    """What is wrong with the texts of a file that nobody writes, as `verify` says it; "" where each can be read and is
    what was remembered. Raises `UserError` as opening it does."""
    connection = open_file(path, key=key)
    try:
        _, wrong = _run(connection, check_texts)
    finally:
        connection.close()
    return wrong[0].what if wrong else ""


@contextlib.contextmanager
def _opened(
    place: Place, file: Path | None, keys: tuple[str | None, ...], progress: Progress, cancel: CancelToken | None
) -> Iterator[apsw.Connection]:
    """The store or a backup, to be looked at: a log that another process left is read and stays as it is."""
    with contextlib.ExitStack() as stack:
        if file is None:
            had_log = has_log(place.path)
            connection = place.connect_to_read()
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(had_log))
        else:
            work = stack.enter_context(workplace(file, dry_run=True))
            path, key = stack.enter_context(
                increments.whole(file, None, place.keys(*keys), near=work, progress=progress, cancel=cancel)
            )
            connection, _ = open_backup(path, (key,))
        stack.callback(connection.close)
        yield connection


def _run_all(
    connection: apsw.Connection,
    runs: list[CheckRun],
    findings: list[Finding],
    progress: Progress,
    cancel: CancelToken | None,
) -> None:
    """Run each check that the file has the tables for, as long as it can be read."""
    for number, (name, check, table) in enumerate(CHECKS):
        if cancel is not None:
            cancel.check()
        progress(f"Checking {name}", number, len(CHECKS))
        is_lost = bool(findings) and _has_ended(connection)
        if is_lost or (table != "sqlite_schema" and not connection.table_exists("main", table)):
            runs.append(CheckRun(name, "not-run", 0, OF[name]))
            continue
        _note(runs, findings, name, *_run(connection, check))


def _has_ended(connection: apsw.Connection) -> bool:
    """Whether a damaged page ended all reading, as one that is encrypted does."""
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except apsw.CorruptError:
        return True
    return False


def _note(runs: list[CheckRun], findings: list[Finding], name: str, looked_at: int, wrong: list[Wrong]) -> None:
    runs.append(CheckRun(name, "wrong" if wrong else "sound", looked_at, OF[name]))
    findings += [Finding(name, one.what, one.meaning, one.fix) for one in wrong]


def _run(connection: apsw.Connection, check: object) -> Looked:
    """What a check says; a page that cannot be read is what it found."""
    assert callable(check)
    try:
        looked: Looked = check(connection)
    except UnicodeDecodeError:
        return 0, [Wrong(f"{UNREADABLE}: a text is no UTF-8", DAMAGED)]
    except (TypeError, ValueError, AttributeError):
        return 0, [Wrong(f"{UNREADABLE}: a value is of another kind", DAMAGED)]
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError, apsw.SQLError, apsw.EmptyError) as error:
        return 0, [Wrong(f"{UNREADABLE}: {error}", DAMAGED)]
    return looked


def _counted(connection: apsw.Connection) -> tuple[int, int]:
    try:
        return count_current(connection, utc_now())
    except apsw.Error:
        return 0, 0
