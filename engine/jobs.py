"""The one table of jobs: what runs, how far it is, what came of it. MCP, HTTP and command line are views of it.

A job's row outlives the process that asked for it. The same arguments while a job runs join it, and a job whose owner
died is failed by whoever looks next.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.entry import uuid7
from aqe.engine.memory.opening import open_store
from aqe.engine.memory.store import Store
from aqe.engine.owner import Owner, current_owner
from aqe.engine.results import json_text

State = Literal["queued", "running", "done", "failed", "cancelled"]
LIVE: tuple[State, State] = ("queued", "running")
SILENT_US = 120_000_000
"""A job of another machine, whose owner cannot be looked up, is dead after this time without a heartbeat."""

BEAT_S = 5.0
KEPT = 200
KEPT_US = 30 * 86_400_000_000
_COLUMNS = (
    "id, kind, arguments, state, text, done, total, result, error, cancel_asked,"
    " owner_pid, owner_started, owner_host, created_at, heartbeat_at, ended_at"
)


@dataclass(frozen=True)
class Job:
    """One row. `done` and `total` are in the job's own unit; times are UTC microseconds; `error` holds message, code,
    fix and exit_status."""

    id: str
    kind: str
    arguments: dict[str, Any]
    state: State
    text: str
    done: float
    total: float | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    cancel_asked: bool
    owner: Owner
    created_at: int
    heartbeat_at: int
    ended_at: int | None

    @property
    def is_live(self) -> bool:
        """Whether it has not ended: queued or running."""
        return self.state in LIVE


class JobTable:
    """The jobs of one project; a context manager with `close`, safe to share between threads."""

    def __init__(self, store: Store, scope: str = "") -> None:
        self._store = store
        self._scope = scope
        self._beats: dict[str, float] = {}

    @classmethod
    def open(cls, project: Path) -> Self:
        """The job table in the project's store. Raises what `open_store` raises."""
        return cls(open_store(project, take_spool=False), str(project))

    @property
    def path(self) -> Path:
        """The file that holds the table."""
        return self._store.path

    def close(self) -> None:
        """Close the store behind the table."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(
        self, kind: str, arguments: Mapping[str, Any], *, state: State = "running", owner: Owner | None = None
    ) -> tuple[Job, bool]:
        """A new job owned by `owner` (this process), or the live one with the same kind and arguments; says whether
        it was joined. Ended jobs beyond the last 200, or older than 30 days, are pruned."""
        owner = owner or current_owner()
        text = json_text(dict(arguments))
        digest = hashlib.sha256(
            json.dumps([self._scope, arguments], sort_keys=True, default=str).encode("utf-8", "surrogatepass")
        ).digest()
        now = self._store.now()
        with self._store.writing() as connection:
            running = connection.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE kind = ? AND arguments_hash = ? AND state IN (?, ?)",
                (kind, digest, *LIVE),
            ).fetchone()
            if running is not None:
                job = _read(running)
                if not _owner_is_dead(job, now):
                    return job, True
                _end(connection, job.id, "failed", None, _owner_died(job), now)
            _prune(connection, now)
            id = uuid7(now)
            connection.execute(
                "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, '', 0.0, NULL, NULL, NULL, 0, ?, ?, ?, ?, ?, NULL)",
                (id, kind, text, digest, state, owner.pid, owner.started, owner.host, now, now),
            )
            return _read(_row(connection, id)), False

    def get(self, id: str) -> Job:
        """The job; one whose owner died is failed first. Raises `UserError` (no-such-job)."""
        with self._store.reading() as connection:
            row = _row(connection, id)
        if row is None:
            raise _unknown(id)
        job = _read(row)
        return self._buried(job) if job.is_live and _owner_is_dead(job, self._store.now()) else job

    def list(self, *, limit: int = 50, live: bool = False) -> list[Job]:
        """The last jobs (`live`: only those that have not ended), newest first; dead ones are failed first."""
        where = "WHERE state IN ('queued', 'running')" if live else ""
        with self._store.reading() as connection:
            sql = f"SELECT {_COLUMNS} FROM jobs {where} ORDER BY created_at DESC, id DESC LIMIT ?"
            jobs = [_read(row) for row in connection.execute(sql, (limit,))]
        now = self._store.now()
        seen = [self._buried(job) if job.is_live and _owner_is_dead(job, now) else job for job in jobs]
        return [job for job in seen if job.is_live or not live]

    def own(self, id: str, owner: Owner | None = None) -> None:
        """Make `owner` (this process) the one whose death fails the job."""
        owner = owner or current_owner()
        self._change(id, "owner_pid = ?, owner_started = ?, owner_host = ?", owner.pid, owner.started, owner.host)

    def progress(self, id: str, text: str, done: float = 0.0, total: float | None = None) -> None:
        """Say how far the job is; nothing happens to one that has ended."""
        self._change(id, "state = 'running', text = ?, done = ?, total = ?", text, float(done), total)

    def finish(self, id: str, result: Mapping[str, Any]) -> None:
        """End the job with its result; one that has ended stays as it is."""
        with self._store.writing() as connection:
            _end(connection, id, "done", json_text(dict(result)), None, self._store.now())

    def fail(self, id: str, error: Mapping[str, Any]) -> None:
        """End the job with an error (`cancelled` when its code says so); one that has ended stays as it is."""
        state: State = "cancelled" if error.get("code") == "cancelled" else "failed"
        with self._store.writing() as connection:
            _end(connection, id, state, None, json_text(dict(error)), self._store.now())

    def request_cancel(self, id: str) -> None:
        """Ask the job to stop; a queued one ends at once. Raises `UserError` (no-such-job)."""
        with self._store.writing() as connection:
            row = _row(connection, id)
            if row is None:
                raise _unknown(id)
            connection.execute("UPDATE jobs SET cancel_asked = 1 WHERE id = ?", (id,))
            if _read(row).state == "queued":
                error = {"message": "The job was cancelled.", "code": "cancelled", "fix": "", "exit_status": 130}
                _end(connection, id, "cancelled", None, json_text(error), self._store.now())

    def cancel_requested(self, id: str) -> bool:
        """Whether the job was asked to stop (True for one that is gone); asking keeps its heartbeat fresh."""
        if time.monotonic() - self._beats.get(id, 0.0) >= BEAT_S:
            self._beats[id] = time.monotonic()
            self._change(id, "cancel_asked = cancel_asked")
        with self._store.reading() as connection:
            row = connection.execute("SELECT cancel_asked FROM jobs WHERE id = ?", (id,)).fetchone()
        return row is None or bool(row[0])

    def _change(self, id: str, what: str, *values: object) -> None:
        with self._store.writing() as connection:
            connection.execute(
                f"UPDATE jobs SET {what}, heartbeat_at = ? WHERE id = ? AND state IN ('queued', 'running')",
                (*values, self._store.now(), id),
            )

    def _buried(self, job: Job) -> Job:
        """The job failed, unless another owner took it over meanwhile."""
        with self._store.writing() as connection:
            before = _row(connection, job.id)
            if before is not None and _read(before).owner == job.owner:
                _end(connection, job.id, "failed", None, _owner_died(job), self._store.now())
            row = _row(connection, job.id)
        return job if row is None else _read(row)


def _row(connection: apsw.Connection, id: str) -> Any:
    return connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (id,)).fetchone()


def _read(row: Any) -> Job:
    return Job(
        id=row[0],
        kind=row[1],
        arguments=json.loads(row[2]),
        state=row[3],
        text=row[4],
        done=row[5],
        total=row[6],
        result=None if row[7] is None else json.loads(row[7]),
        error=None if row[8] is None else json.loads(row[8]),
        cancel_asked=bool(row[9]),
        owner=Owner(row[10], row[11], row[12]),
        created_at=row[13],
        heartbeat_at=row[14],
        ended_at=row[15],
    )


def _end(connection: apsw.Connection, id: str, state: State, result: str | None, error: str | None, now: int) -> None:
    connection.execute(
        "UPDATE jobs SET state = ?, result = ?, error = ?, ended_at = ?, heartbeat_at = ?"
        " WHERE id = ? AND state IN ('queued', 'running')",
        (state, result, error, now, now, id),
    )


def _owner_is_dead(job: Job, now: int) -> bool:
    if job.owner.is_dead():
        return True
    return job.owner.host != current_owner().host and now - job.heartbeat_at > SILENT_US


def _owner_died(job: Job) -> str:
    return json_text(
        {
            "message": f"The process {job.owner.pid} that ran this job died: owner died.",
            "code": "owner-died",
            "fix": "Start the job again.",
            "exit_status": 3,
        }
    )


def _unknown(id: str) -> UserError:
    return UserError(
        f"There is no job {id!r} in this project.", code="no-such-job", fix="Ended jobs are kept for 30 days."
    )


def _prune(connection: apsw.Connection, now: int) -> None:
    connection.execute(
        "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND (created_at < ? OR id NOT IN"
        " (SELECT id FROM jobs ORDER BY created_at DESC, id DESC LIMIT ?))",
        (now - KEPT_US, KEPT),
    )
