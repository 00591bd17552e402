"""The job table: joining, ending, cancelling, and owners that die."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.jobs import KEPT, SILENT_US, JobTable
from aqe.engine.memory import Store
from aqe.engine.owner import Owner, current_owner


class Clock:
    """UTC microseconds that move when told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(tmp_path: Path, clock: Clock) -> Iterator[JobTable]:
    with JobTable(Store.open(tmp_path / "aqe.db", now=clock)) as table:
        yield table


def test_same_arguments_join_while_the_job_runs(jobs: JobTable) -> None:
    """Equal kind and arguments give the running job; others, and a job that ended, give a new one."""
    first, joined = jobs.begin("verify", {"tests": ["a"], "seed": 1})
    assert not joined
    assert jobs.begin("verify", {"seed": 1, "tests": ["a"]}) == (first, True)
    assert not jobs.begin("verify", {"tests": ["a"], "seed": 2})[1]
    assert not jobs.begin("generate", {"tests": ["a"], "seed": 1})[1]
    jobs.finish(first.id, {"ok": True})
    assert not jobs.begin("verify", {"tests": ["a"], "seed": 1})[1]


def test_progress_and_result_are_seen_by_others(jobs: JobTable, tmp_path: Path) -> None:
    """Another open table sees how far a job is and what came of it."""
    job, _ = jobs.begin("verify", {})
    with JobTable(Store.open(tmp_path / "aqe.db")) as other:
        jobs.progress(job.id, "running 3 of 5", 3, 5)
        seen = other.get(job.id)
        assert (seen.state, seen.text, seen.done, seen.total) == ("running", "running 3 of 5", 3, 5)
        jobs.finish(job.id, {"figures": [1, 2]})
        assert (other.get(job.id).state, other.get(job.id).result) == ("done", {"figures": [1, 2]})


def test_ended_job_stays_as_it_ended(jobs: JobTable) -> None:
    """What comes after the end changes nothing."""
    job, _ = jobs.begin("verify", {})
    jobs.finish(job.id, {"n": 1})
    jobs.fail(job.id, {"code": "internal"})
    jobs.progress(job.id, "late")
    seen = jobs.get(job.id)
    assert (seen.state, seen.result, seen.error, seen.text) == ("done", {"n": 1}, None, "")


@pytest.mark.parametrize(("code", "state"), [("cancelled", "cancelled"), ("out-of-time", "failed")])
def test_error_ends_a_job(jobs: JobTable, code: str, state: str) -> None:
    """An error is kept; a cancelled job is told apart from a failed one."""
    job, _ = jobs.begin("verify", {})
    jobs.fail(job.id, {"message": "why", "code": code})
    seen = jobs.get(job.id)
    assert (seen.state, seen.error) == (state, {"message": "why", "code": code})


def test_cancel_is_a_mark_that_the_worker_reads(jobs: JobTable) -> None:
    """Asking to cancel sets the mark; a queued job ends at once, a job that is gone counts as cancelled."""
    job, _ = jobs.begin("verify", {})
    assert not jobs.cancel_requested(job.id)
    jobs.request_cancel(job.id)
    assert jobs.cancel_requested(job.id)
    assert jobs.get(job.id).state == "running"
    queued, _ = jobs.begin("verify", {"later": True}, state="queued")
    jobs.request_cancel(queued.id)
    assert jobs.get(queued.id).state == "cancelled"
    assert jobs.cancel_requested("gone")


def test_a_job_that_was_taken_over_meanwhile_is_not_failed(jobs: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds a job's owner dead fails it only if nobody else owns it by then."""
    here = current_owner()
    job, _ = jobs.begin("verify", {}, owner=replace(here, pid=999_999, started="0"), state="queued")
    is_dead = Owner.is_dead

    def taken_over_then(self: Owner) -> bool:
        found = is_dead(self)
        jobs.own(job.id)
        return found

    monkeypatch.setattr(Owner, "is_dead", taken_over_then)
    (seen,) = jobs.list()
    assert (seen.state, seen.owner) == ("queued", here)


def test_job_of_a_killed_process_is_failed(jobs: JobTable, tmp_path: Path) -> None:
    """A process that dies with a running job leaves it; whoever looks next fails it, and the work can begin anew."""
    script = (
        "import os, sys; from pathlib import Path; from aqe.engine.jobs import JobTable\n"
        "from aqe.engine.memory import Store\n"
        "job, _ = JobTable(Store.open(Path(sys.argv[1]))).begin('verify', {'x': 1})\n"
        "print(job.id, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "aqe.db")], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9, done.stderr
    new, joined = jobs.begin("verify", {"x": 1})
    assert not joined
    dead = jobs.get(done.stdout.strip())
    assert dead.state == "failed"
    assert dead.error is not None
    assert dead.error["code"] == "owner-died"
    assert [job.id for job in jobs.list(live=True)] == [new.id]


def test_silent_job_of_another_machine_is_failed(jobs: JobTable, clock: Clock) -> None:
    """An owner that cannot be looked up is alive by its heartbeat alone."""
    job, _ = jobs.begin("verify", {}, owner=Owner(1, "x", "elsewhere"))
    assert jobs.get(job.id).state == "running"
    jobs.cancel_requested(job.id)
    clock.now += SILENT_US // 2
    assert jobs.get(job.id).state == "running"
    clock.now += SILENT_US
    assert jobs.get(job.id).state == "failed"


def test_process_number_used_again_is_another_owner() -> None:
    """An owner is its start time as well: the same number later is not the same process."""
    here = current_owner()
    assert not here.is_dead()
    assert Owner(here.pid, "another time", here.host).is_dead()


def test_ended_jobs_are_pruned(jobs: JobTable, clock: Clock) -> None:
    """The last 200 ended jobs are kept for 30 days; running ones always."""
    running, _ = jobs.begin("verify", {"long": True})
    for number in range(KEPT + 10):
        jobs.finish(jobs.begin("verify", {"n": number})[0].id, {})
    jobs.begin("verify", {"last": True})
    kept = jobs.list(limit=1000)
    assert KEPT <= len(kept) <= KEPT + 2
    assert running.id in {job.id for job in kept}
    clock.now += 31 * 86_400_000_000
    jobs.begin("verify", {"a month later": True})
    assert all(job.is_live for job in jobs.list(limit=1000))


def test_unknown_job_is_an_error(jobs: JobTable) -> None:
    """A job that is not there is said to be so."""
    for ask in (jobs.get, jobs.request_cancel):
        with pytest.raises(UserError) as caught:
            ask("nobody")
        assert caught.value.code == "no-such-job"


def test_job_table_of_a_project_is_in_its_store(tmp_path: Path) -> None:
    """`JobTable.open` uses the project's database."""
    with JobTable.open(tmp_path) as table:
        job, _ = table.begin("generate", {"target": "a.py"})
    with JobTable.open(tmp_path) as table:
        assert table.get(job.id).arguments == {"target": "a.py"}
    assert (tmp_path / ".aqe" / "aqe.db").exists()
