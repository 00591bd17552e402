"""Runs an agent as a job: a plain-data spec, a process of its own, a row in the job table that every face can read.

The runner submits `run_job(spec)` to an executor that is handed in (by default `FreshProcesses`). In the job's process
a supervisor watches the row's cancel mark, the death of the process that asked, and the deadline; nobody relies on
`Future.cancel`. The same arguments while a job runs join it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqe.agents.fresh import FreshProcesses
from aqe.agents.registry import AGENTS, Agent, build_request, run_agent
from aqe.engine.errors import AqeError, Cancelled, InternalError, OutOfTime, UserError
from aqe.engine.jobs import Job, JobTable
from aqe.engine.mistakes import mistake_of
from aqe.engine.owner import Owner, current_owner
from aqe.engine.progress import CancelToken
from aqe.engine.results import write_result

WATCH_S = 0.1
GRACE_S = 0.6
LONGEST_S = 3600.0


@dataclass(frozen=True)
class JobSpec:
    """What a job's process needs to know: plain data only. `deadline_s` is its longest wall time."""

    job_id: str
    agent: Agent
    arguments: dict[str, Any]
    project: str
    deadline_s: float
    asked_by: Owner
    own_process: bool


class JobRunner:
    """Starts, joins, watches and cancels the jobs of one process; `close` ends those that it started."""

    def __init__(self, executor: Executor | None = None, agents: Mapping[str, Agent] = AGENTS) -> None:
        self._executor: Executor = FreshProcesses() if executor is None else executor
        self._own = executor is None
        self._agents = agents
        self._futures: dict[str, Future[None]] = {}
        self._projects: dict[str, Path] = {}
        self._tables: dict[Path, JobTable] = {}
        self._lock = threading.Lock()

    def start(self, project: Path, agent: str, arguments: Mapping[str, Any]) -> tuple[str, bool]:
        """Start a job, or join the one that runs with the same arguments; returns its id and whether it was joined."""
        self._forget_ended()
        job, joined = self._table(project).begin(agent, dict(arguments))
        if not joined:
            spec = JobSpec(
                job_id=job.id,
                agent=self._agents[agent],
                arguments=dict(arguments),
                project=str(project),
                deadline_s=deadline_s(arguments.get("budget_s")),
                asked_by=current_owner(),
                own_process=self._own,
            )
            future = self._executor.submit(run_job, spec)
            with self._lock:
                self._futures[job.id], self._projects[job.id] = future, project
        return job.id, joined

    def wait(self, job_id: str, seconds: float) -> None:
        """Wait until the job of this process ends, at most `seconds`; returns at once for a job of another process."""
        with self._lock:
            future = self._futures.get(job_id)
        if future is None:
            time.sleep(min(seconds, WATCH_S))
            return
        with contextlib.suppress(BaseException):
            future.exception(timeout=seconds)

    def view(self, project: Path, job_id: str) -> Job:
        """The job's row; a job whose process died without a word is failed here.

        Raises `UserError` (no-such-job).
        """
        with self._lock:
            future = self._futures.get(job_id)
        ended = future is not None and future.done()
        table = self._table(project)
        job = table.get(job_id)
        if job.is_live and ended:
            error = None if future is None or future.cancelled() else future.exception()
            table.fail(job_id, _as_error(InternalError(f"The job's process died: {error}.", code="internal")))
            job = table.get(job_id)
        return job

    def cancel(self, project: Path, job_id: str) -> None:
        """Ask the job to stop, and end its process if it has not stopped by itself within the grace time."""
        table = self._table(project)
        table.request_cancel(job_id)
        with self._lock:
            future = self._futures.get(job_id)
        if future is None:
            return
        with contextlib.suppress(BaseException):
            future.exception(timeout=GRACE_S)
        if not future.done() and isinstance(self._executor, FreshProcesses):
            self._executor.kill(future)
            table.fail(job_id, _as_error(_CANCELLED))

    def close(self) -> None:
        """End the jobs that this runner started, if the executor is its own."""
        if self._own:
            self._executor.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            tables, self._tables = list(self._tables.values()), {}
        for table in tables:
            table.close()

    def _forget_ended(self) -> None:
        """Let go of the jobs that have ended, after the row of each says how."""
        with self._lock:
            ended = {id: self._projects[id] for id, future in self._futures.items() if future.done()}
        for id, project in ended.items():
            with contextlib.suppress(AqeError):
                self.view(project, id)
            with self._lock:
                self._futures.pop(id, None)
                self._projects.pop(id, None)

    def _table(self, project: Path) -> JobTable:
        """The project's job table, kept open; opened anew when its file was taken away."""
        with self._lock:
            table = self._tables.get(project)
            if table is not None and not table.path.exists():
                self._tables.pop(project).close()
                table = None
            if table is None:
                table = self._tables[project] = JobTable.open(project)
            return table


def deadline_s(budget_s: float | None) -> float:
    """The longest wall time of a job: what contracts.md allows a command, and a minute to start and to tidy up."""
    return LONGEST_S if budget_s is None else 1.5 * budget_s + 15 + 60


def run_job(spec: JobSpec) -> None:
    """Run the agent of `spec` here, with progress and outcome in the job's row; the report goes to `.aqe/results`."""
    project = Path(spec.project)
    token = CancelToken()
    done = threading.Event()
    with JobTable.open(project) as table:
        watch = threading.Thread(target=_supervise, args=(spec, table, token, done), name="aqe-supervisor", daemon=True)
        watch.start()
        try:
            request = build_request(spec.agent, {**spec.arguments, "project": spec.project})
            report = run_agent(spec.agent, request, progress=_Recorder(table, spec.job_id), cancel=token)
            whole = {"schema": f"aqe.{spec.agent.verb}/1", **dataclasses.asdict(report)}
            with contextlib.suppress(UserError):
                write_result(project, spec.agent.verb, whole)
            table.finish(spec.job_id, whole)
        except AqeError as error:
            table.fail(spec.job_id, _as_error(error))
        except Exception as error:
            if (mistake := mistake_of(error)) is not None:
                table.fail(spec.job_id, _as_error(mistake))
                return
            what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            table.fail(spec.job_id, _as_error(InternalError(f"aqe itself failed with {what}.", code="internal")))
            raise
        finally:
            done.set()
            watch.join()


class _Recorder:
    """A progress that writes at most two lines a second into the job's row."""

    def __init__(self, table: JobTable, job_id: str) -> None:
        self._table = table
        self._job_id = job_id
        self._next = 0.0

    def __call__(self, text: str, done: float = 0.0, total: float | None = None) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 0.5
            with contextlib.suppress(AqeError):  # a database that is locked for a while is no reason to fail
                self._table.progress(self._job_id, text, done, total)


def _supervise(spec: JobSpec, table: JobTable, token: CancelToken, done: threading.Event) -> None:
    """Cancel the work when asked to, when the asker is gone or when the time is up; then end the process itself."""
    ends = time.monotonic() + spec.deadline_s
    while not done.wait(WATCH_S):
        late = time.monotonic() > ends
        if late or spec.asked_by.is_dead() or _is_cancelled(table, spec.job_id):
            break
    else:
        return
    token.cancel()
    if done.wait(GRACE_S):
        return
    error = OutOfTime("The job ran past its deadline.", code="out-of-time") if late else _CANCELLED
    with contextlib.suppress(AqeError):  # whoever looks next sees that the owner died
        table.fail(spec.job_id, _as_error(error))
    if spec.own_process:
        if sys.platform != "win32":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        os._exit(error.exit_status)


def _is_cancelled(table: JobTable, job_id: str) -> bool:
    try:
        return table.cancel_requested(job_id)
    except AqeError:  # locked for longer than it waits; the next look will tell
        return False


_CANCELLED = Cancelled("The job was cancelled.", code="cancelled")


def _as_error(error: AqeError) -> dict[str, Any]:
    return {"message": error.message, "code": error.code, "fix": error.fix, "exit_status": error.exit_status}
