"""Snapshots: moments of the store that it can be brought back to, in one transaction and without a copy of the file.

Every revision of a memory is a row of its own that stays when it ends, so a snapshot is no more than the numbers of the
rows that were current (some bytes in a thousand memories). What was erased on purpose stays erased, and a rollback is a
change like any other: it writes new revisions, other processes see it at once, and it can be taken back by a rollback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.care import states
from aqe.engine.memory.entry import Provenance, rfc3339
from aqe.engine.memory.file.sums import is_damaged, seal_current
from aqe.engine.memory.growth.expiry import end_expired
from aqe.engine.memory.rows import Row, end_row, insert_row
from aqe.engine.memory.store import Store
from aqe.engine.progress import CancelToken, Progress, silent

NAME = re.compile(r"\w[\w.-]{0,79}")
NOW = "now"
STEP = 500
MOST_OVER = 1_000_000
_LIKE = """UPDATE memories SET (expires_at, pinned, file_digest) =
    (SELECT expires_at, pinned, file_digest FROM memories WHERE row = ?)
    WHERE namespace = ? AND id = ? AND valid_to IS NULL"""
"""What else a row knows, put on the current revision of a memory from an earlier one."""


@dataclass(frozen=True)
class Snapshot:
    """A moment under a name and how many memories it holds: those that were remembered, without the project index and
    aqe's own knowledge; `automatic` where aqe took it before it changed much. `at` is RFC 3339."""

    name: str
    at: str
    memories: int
    automatic: bool
    bytes: int


@dataclass(frozen=True)
class RollbackReport:
    """What a rollback did, or with `dry_run` would do: memories ended that came later, brought back, and set to the
    revision of then. `lost` were erased since and stay so. `undo` is the snapshot taken before it, and `dropped` are
    earlier ones of that kind that went for it."""

    snapshot: str
    ended: int
    brought_back: int
    reset: int
    lost: int
    undo: str
    dropped: tuple[str, ...]
    dry_run: bool


@dataclass(frozen=True)
class _Step:
    """One change of a rollback: the memory as it is now and as it was, each None where there was none."""

    now: states.Entry | None
    then: states.Entry | None


def take_snapshot(store: Store, name: str, *, kept: int, automatic: bool = False) -> tuple[Snapshot, tuple[str, ...]]:
    """Keep this moment as `name`; of more than `kept` snapshots the oldest go, those that aqe took by itself first.

    Returns it and the names that went. Raises `UserError` (snapshot-exists, bad-id).
    """
    check_name(name)
    with store.writing() as connection:
        if connection.execute("SELECT 1 FROM snapshots WHERE name = ?", (name,)).fetchone():
            raise UserError(
                f"There is a snapshot {name!r} already.",
                code="snapshot-exists",
                fix="Give another name, or remove that one: `aqe memory snapshots --remove NAME`.",
            )
        end_expired(connection, store.now(), most=MOST_OVER)
        taken = _take(connection, name, store.now(), automatic=automatic)
        return taken, _drop_oldest(connection, kept, keep=name, automatic=automatic)


def list_snapshots(store: Store) -> list[Snapshot]:
    """All snapshots, newest first."""
    with store.reading() as connection:
        sql = "SELECT name, at, memories, automatic, length(rows) FROM snapshots ORDER BY at DESC, name"
        return [_snapshot(*row) for row in connection.execute(sql)]


def remove_snapshot(store: Store, name: str) -> None:
    """Forget a snapshot; no memory changes. Raises `UserError` (unknown-snapshot)."""
    with store.writing() as connection:
        connection.execute("DELETE FROM snapshots WHERE name = ?", (name,))
        if not connection.changes():
            raise unknown_snapshot(connection, name)


def roll_back(
    store: Store,
    name: str,
    *,
    kept: int,
    dry_run: bool = False,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> RollbackReport:
    """Bring what is remembered back to the snapshot `name`, all of it or nothing of it, with new revisions.

    Raises `UserError` (unknown-snapshot), `Cancelled`.
    """
    now, dropped = store.now(), tuple[str, ...]()
    undo = f"before-rollback-{re.sub('[^0-9TZ]', '', rfc3339(now))}"
    with store.reading() if dry_run else store.writing() as connection:
        rows, at = read_snapshot(connection, name)
        known = {entry.row for entry in states.of_rows(connection, rows, at)}
        steps = list(_steps(connection, rows, at))
        if not dry_run:
            _take(connection, undo, now, automatic=True)
            for number, step in enumerate(steps):
                if cancel is not None:
                    cancel.check()
                if number % STEP == 0:
                    progress("Rolling back", number, len(steps))
                _apply(connection, step, now)
            dropped = _drop_oldest(connection, kept, keep=undo, automatic=True)
    return RollbackReport(
        snapshot=name,
        ended=sum(step.then is None for step in steps),
        brought_back=sum(step.now is None for step in steps),
        reset=sum(step.now is not None and step.then is not None for step in steps),
        lost=len(rows) - len(known),
        undo="" if dry_run else undo,
        dropped=dropped,
        dry_run=dry_run,
    )


def read_snapshot(connection: apsw.Connection, name: str) -> tuple[list[int], int]:
    """The rows that were current then, and when that was. Raises `UserError` (unknown-snapshot)."""
    found = connection.execute("SELECT rows, at FROM snapshots WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise unknown_snapshot(connection, name)
    return list(states.unpack_rows(found[0])), int(found[1])


def unknown_snapshot(connection: apsw.Connection, name: str) -> UserError:
    """The error for a snapshot that is not there; what to do names the newest ones."""
    sql = "SELECT name FROM snapshots ORDER BY at DESC LIMIT 3"
    there = ", ".join(str(one) for (one,) in connection.execute(sql))
    fix = f"The newest are: {there}." if there else "`aqe memory snapshot NAME` takes the first one."
    return UserError(f"There is no snapshot {name!r}.", code="unknown-snapshot", fix=fix)


def check_name(name: str) -> str:
    """`name` if a snapshot can have it; raises `UserError` (bad-id)."""
    if not NAME.fullmatch(name) or name == NOW:
        raise UserError(
            f"{name!r} is no name for a snapshot.",
            code="bad-id",
            fix=f"Use letters, digits, `_`, `.` and `-`, at most 80; {NOW!r} means the present.",
        )
    return name


def _take(connection: apsw.Connection, name: str, now: int, *, automatic: bool) -> Snapshot:
    """Keep the state of now; its moment is after that of every row in it, whatever the clock says."""
    rows = states.current_rows(connection)
    newest = connection.execute("SELECT max(valid_from) FROM memories WHERE valid_to IS NULL").get
    blob, at = states.pack_rows(rows), max(now, int(newest or 0))
    connection.execute("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)", (name, at, automatic, len(rows), blob))
    return _snapshot(name, at, len(rows), automatic, len(blob))


def _drop_oldest(connection: apsw.Connection, kept: int, *, keep: str, automatic: bool) -> tuple[str, ...]:
    """Remove what is beyond `kept`, aqe's own first; for one of aqe's own none of the user's goes."""
    sql = "SELECT name, automatic FROM snapshots WHERE name != ? ORDER BY automatic, at DESC, name LIMIT -1 OFFSET ?"
    beyond: list[Any] = connection.execute(sql, (keep, max(0, kept - 1))).fetchall()
    gone = tuple(str(name) for name, is_own in beyond if is_own or not automatic)
    connection.executemany("DELETE FROM snapshots WHERE name = ?", ((name,) for name in gone))
    return gone


def _snapshot(name: str, at: int, memories: int, automatic: bool, size: int) -> Snapshot:
    return Snapshot(str(name), rfc3339(at), int(memories), bool(automatic), int(size))


def _steps(connection: apsw.Connection, rows: list[int], at: int) -> Iterator[_Step]:
    for now, then in states.pairs(states.current(connection), states.of_rows(connection, rows, at)):
        if now is None or then is None or (now.row != then.row and now.content != then.content):
            yield _Step(now, then)


def _apply(connection: apsw.Connection, step: _Step, now: int) -> None:
    if step.now is not None:
        end_row(connection, step.now.namespace, step.now.id, now)
    if step.then is not None:
        row, created_at, id_given = _row_of(connection, step.then.row)
        insert_row(connection, row, step.then.id, id_given=id_given, created_at=created_at, now=now)
        connection.execute(_LIKE, (step.then.row, step.then.namespace, step.then.id))
        seal_current(connection, step.then.namespace, step.then.id)


def _row_of(connection: apsw.Connection, number: int) -> tuple[Row, int, bool]:
    """An ended row as it is written again, with the vector that was put aside when it ended."""
    sql = (
        'SELECT id, namespace, text, text_hash, metadata, file, line, "commit", run, worktree, created_at, id_given,'
        " retired_vectors.vector, embedder_id FROM memories LEFT JOIN embedders ON number = embedder"
        " LEFT JOIN retired_vectors USING (row) WHERE memories.row = ?"
    )
    found: tuple[Any, ...] = connection.execute(sql, (number,)).fetchall()[0]
    id, namespace, text, text_hash, metadata, *origin = found[:10]
    created_at, id_given, vector, embedder_id = found[10:]
    if vector is not None and is_damaged(connection, number, vector):
        vector = None  # made anew from the text
    row = Row(id, namespace, text, text_hash, metadata, vector, embedder_id or "", Provenance(*origin))
    return row, created_at, bool(id_given)
