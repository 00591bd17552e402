"""Whether all that a store holds is sound: its pages, and what its tables say of each other. Nothing is written."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care.checks import CHECKS, Looked, Wrong
from aqe.engine.memory.care.place import Place, open_backup
from aqe.engine.memory.care.side_files import check_side_files
from aqe.engine.memory.connection import transaction
from aqe.engine.progress import CancelToken, Progress, silent

UNREADABLE = "it cannot be read through"
"""How what a check says begins where a part of the file stopped it."""

_CODES = ("database-broken", "database-failed")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: which check found it, what it is, what it means, and what to do."""

    check: str
    what: str
    meaning: str
    fix: str


@dataclass(frozen=True)
class CheckRun:
    """A check and how it went; `looked_at` counts what it looked at: pages, tables, memories, vectors, snapshots,
    files."""

    name: str
    state: Literal["sound", "wrong", "not-run"]
    looked_at: int


@dataclass(frozen=True)
class VerifiedStore:
    """What `verify` found in a file; `version` is 0 where it could not be read."""

    file: str
    sound: bool
    version: int
    memories: int
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

    A damaged file is a finding. `keys` are more keys to try on a backup. Raises `UserError` (no-such-path,
    database-key, database-newer, database-locked), `Cancelled`.
    """
    began = time.monotonic()
    path = place.path if file is None else file
    runs: list[CheckRun] = []
    findings: list[Finding] = []
    version = memories = 0
    try:
        connection = place.connect() if file is None else open_backup(file, (place.key, *keys))[0]
        try:
            with transaction(connection, path, write=False):
                version = int(connection.pragma("user_version"))
                _run_all(connection, runs, findings, progress, cancel)
                memories = runs[_place_of("text index")].looked_at
                if file is None and connection.table_exists("main", "demoted"):
                    side = functools.partial(check_side_files, database=path)
                    _note(runs, findings, "side files", *_run(connection, side))
        finally:
            connection.close()
    except UserError as error:
        if error.code not in _CODES:
            raise
        findings.append(Finding("file", error.message, "nothing in it can be read as it is", Wrong("", "").fix))
    seconds = round(time.monotonic() - began, 3)
    return VerifiedStore(str(path), not findings, version, memories, tuple(runs), tuple(findings), seconds)


def _run_all(
    connection: apsw.Connection,
    runs: list[CheckRun],
    findings: list[Finding],
    progress: Progress,
    cancel: CancelToken | None,
) -> None:
    """Run each check that the file has the tables for."""
    for number, (name, check, table) in enumerate(CHECKS):
        if cancel is not None:
            cancel.check()
        progress(f"Checking {name}", number, len(CHECKS))
        if not connection.table_exists("main", table) and table != "sqlite_schema":
            runs.append(CheckRun(name, "not-run", 0))
            continue
        _note(runs, findings, name, *_run(connection, check))


def _note(runs: list[CheckRun], findings: list[Finding], name: str, looked_at: int, wrong: list[Wrong]) -> None:
    runs.append(CheckRun(name, "wrong" if wrong else "sound", looked_at))
    findings += [Finding(name, one.what, one.meaning, one.fix) for one in wrong]


def _run(connection: apsw.Connection, check: object) -> Looked:
    """What a check says; a page that cannot be read is what it found."""
    assert callable(check)
    try:
        looked: Looked = check(connection)
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError, apsw.SQLError, UnicodeDecodeError) as error:
        why = "a text is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        return 0, [Wrong(f"{UNREADABLE}: {why}", "a part of the file is damaged")]
    return looked


def _place_of(name: str) -> int:
    return next(number for number, (known, _, _) in enumerate(CHECKS) if known == name)
