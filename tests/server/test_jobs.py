"""Jobs in fresh processes: they end by themselves, with their caller, or when asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aqe.agents.fresh import FreshProcesses, WorkerDied
from aqe.agents.jobs import JobRunner, deadline_s
from aqe.agents.registry import AGENTS, Agent, build_request
from aqe.engine.errors import UserError
from aqe.engine.jobs import Job, JobTable
from tests.alive import is_alive

PATIENCE_S = 20.0  # benchmarks/cancel.py measures the bar of one second; a test only waits for the end
AGENT_SOURCE = """
import dataclasses, os, subprocess, sys, time
from pathlib import Path
from aqe.engine.errors import UserError

@dataclasses.dataclass(frozen=True)
class Request:
    project: str
    do: str = "add"
    numbers: tuple = ()
    budget_s: float | None = None

@dataclasses.dataclass(frozen=True)
class Report:
    total: int
    pid: int

def run(request, *, progress, cancel):
    (Path(request.project) / "started").write_text(str(os.getpid()))
    if request.do == "refuse":
        raise UserError("It is not there.", code="usage", fix="Name one.")
    if request.do == "crash":
        raise ZeroDivisionError("oops")
    if request.do == "die":
        os._exit(7)
    if request.do == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (Path(request.project) / "child").write_text(str(child.pid))
    if request.do == "obey":
        cancel.on_cancel(lambda: (Path(request.project) / "obeyed").write_text("yes"))
        while not cancel.is_set:
            time.sleep(0.01)
        cancel.check()
    if request.do in ("stubborn", "child"):
        progress("Being stubborn", 1, 4)
        time.sleep(60)
    print("noise on stdout")
    return Report(sum(request.numbers), os.getpid())
"""


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Agent]:
    """One small agent that can be told to misbehave, importable in the job's process."""
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "small_agent.py").write_text(AGENT_SOURCE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return {"small": Agent("small", "small", None, "small_agent:Request", "small_agent:run")}


@pytest.fixture
def runner(agents: dict[str, Agent]) -> Iterator[JobRunner]:
    """A runner with fresh processes, closed at the end."""
    runner = JobRunner(agents=agents)
    yield runner
    runner.close()


def ended(runner: JobRunner, project: Path, job_id: str, seconds: float = 10) -> Job:
    """The job's row once it ended."""
    end = time.monotonic() + seconds
    while (job := runner.view(project, job_id)).is_live:
        assert time.monotonic() < end, "the job did not end"
        runner.wait(job_id, 0.2)
    return job


def written(path: Path, seconds: float = 10) -> str:
    """What a file holds once the job wrote it."""
    end = time.monotonic() + seconds
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, f"{path.name} was not written"
        time.sleep(0.02)
    return path.read_text()


def test_job_runs_in_a_process_of_its_own_and_leaves_its_report(runner: JobRunner, project: Path) -> None:
    """A finished job has its report in its row and in `.aqe/results`, made by another process."""
    job_id, joined = runner.start(project, "small", {"numbers": [1, 2, 3]})
    job = ended(runner, project, job_id)
    assert not joined
    assert job.state == "done"
    assert job.result is not None
    assert (job.result["schema"], job.result["total"]) == ("aqe.small/1", 6)
    assert job.result["pid"] != os.getpid()
    assert '"total": 6' in (project / ".aqe" / "results" / "small.json").read_text()


@pytest.mark.parametrize(
    ("do", "code", "words"),
    [
        ("refuse", "usage", "It is not there."),
        pytest.param("crash", "internal", "ZeroDivisionError: oops", marks=pytest.mark.services),
        pytest.param("die", "internal", "status 7", marks=pytest.mark.services),
    ],
)
def test_failed_job_says_why(runner: JobRunner, project: Path, do: str, code: str, words: str) -> None:
    """A refusal keeps its sentence and code; a crash and a dead process are faults of aqe with what is known."""
    job = ended(runner, project, runner.start(project, "small", {"do": do})[0])
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == code
    assert words in job.error["message"]


def test_same_arguments_join_the_running_job(runner: JobRunner, project: Path) -> None:
    """While a job runs, the same arguments give its id; other arguments start another job."""
    first, _ = runner.start(project, "small", {"do": "obey"})
    assert runner.start(project, "small", {"do": "obey"}) == (first, True)
    other, joined = runner.start(project, "small", {"do": "add"})
    assert (other != first, joined) == (True, False)


def test_progress_is_in_the_row(runner: JobRunner, project: Path) -> None:
    """What a running job says can be read by any process from its row."""
    job_id, _ = runner.start(project, "small", {"do": "stubborn"})
    end = time.monotonic() + 10
    while not (job := runner.view(project, job_id)).text:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (job.text, job.done, job.total) == ("Being stubborn", 1, 4)


@pytest.mark.parametrize(
    "do", ["child", *(pytest.param(do, marks=pytest.mark.services) for do in ("obey", "stubborn"))]
)
def test_cancelled_job_is_gone(runner: JobRunner, project: Path, do: str) -> None:
    """A cancelled job, its process and its children are gone, whether it listens or not."""
    job_id, _ = runner.start(project, "small", {"do": do})
    pids = [int(written(project / "started"))]
    if do == "child":
        pids.append(int(written(project / "child")))
    if do == "obey":
        time.sleep(0.1)
    start = time.monotonic()
    runner.cancel(project, job_id)
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() - start < PATIENCE_S
        time.sleep(0.01)
    assert runner.view(project, job_id).state == "cancelled"
    if do == "obey":
        assert (project / "obeyed").exists()


@pytest.mark.services
def test_supervisor_alone_ends_a_job_that_was_asked_to_stop(runner: JobRunner, project: Path) -> None:
    """The mark in the row is enough: the job's own supervisor ends it, whoever set the mark."""
    job_id, _ = runner.start(project, "small", {"do": "stubborn"})
    pid = int(written(project / "started"))
    with JobTable.open(project) as table:
        table.request_cancel(job_id)
    assert ended(runner, project, job_id).state == "cancelled"
    end = time.monotonic() + 2
    while is_alive(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.services
def test_job_dies_with_the_process_that_asked(agents: dict[str, Agent], project: Path) -> None:
    """When the asking process is killed, the job's process goes within two seconds and its row is failed."""
    script = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from aqe.agents.jobs import JobRunner
        from aqe.agents.registry import Agent
        agents = {{"small": Agent("small", "small", None, "small_agent:Request", "small_agent:run")}}
        print(JobRunner(agents=agents).start(Path({str(project)!r}), "small", {{"do": "child"}})[0], flush=True)
        time.sleep(60)
    """)
    asker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert asker.stdout is not None
    job_id = asker.stdout.readline().strip()
    pids = [int(written(project / "started")), int(written(project / "child"))]
    asker.send_signal(signal.SIGKILL)
    asker.communicate()
    end = time.monotonic() + 2
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < end
        time.sleep(0.02)
    with JobTable.open(project) as table:
        assert table.get(job_id).state == "failed"


def test_closed_runner_leaves_nothing_alive(agents: dict[str, Agent], project: Path) -> None:
    """Closing the runner ends its jobs."""
    runner = JobRunner(agents=agents)
    runner.start(project, "small", {"do": "stubborn"})
    pid = int(written(project / "started"))
    runner.close()
    assert not is_alive(pid)


def test_any_executor_can_run_jobs(agents: dict[str, Agent], project: Path) -> None:
    """The executor is handed in: the same spec runs in a thread pool too, and stops when asked."""
    with ThreadPoolExecutor(1) as pool:
        runner = JobRunner(pool, agents)
        job = ended(runner, project, runner.start(project, "small", {"numbers": [4]})[0])
        assert job.result is not None
        assert job.result["pid"] == os.getpid()
        job_id, _ = runner.start(project, "small", {"do": "obey"})
        time.sleep(0.2)
        runner.cancel(project, job_id)
        assert ended(runner, project, job_id).state == "cancelled"
        runner.close()


def test_deadline_follows_the_budget() -> None:
    """A job may take what the contract allows a command, plus a minute; without a budget an hour."""
    assert deadline_s(20) == 1.5 * 20 + 15 + 60
    assert deadline_s(None) == 3600


def test_fresh_processes_answer_raise_and_can_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call gets an interpreter of its own; exceptions come back; one call can be killed alone."""
    with FreshProcesses(2) as executor:
        pids = {executor.submit(os.getpid).result(10) for _ in range(2)}
        assert len(pids | {os.getpid()}) == 3
        assert isinstance(executor.submit(int, "x").exception(10), ValueError)
        sleeping = executor.submit(time.sleep, 60)
        other = executor.submit(sum, [1, 2])
        time.sleep(0.2)
        executor.kill(sleeping)
        assert isinstance(sleeping.exception(5), WorkerDied)
        assert other.result(10) == 3


def test_request_is_built_from_plain_data() -> None:
    """Lists become tuples, and a field that the request lacks is named."""
    request = build_request(AGENTS["generate"], {"target": "x.py", "project": "."})
    assert (request.target, request.project) == ("x.py", ".")
    with pytest.raises(UserError, match="has no argument 'taget'"):
        build_request(AGENTS["generate"], {"taget": "x.py", "project": "."})


def test_registry_names_what_exists() -> None:
    """Every agent's request and function can be imported."""
    from aqe.agents.registry import resolve

    for agent in AGENTS.values():
        request: Callable[..., object] = resolve(agent.request)
        assert callable(request)
        assert callable(resolve(agent.run))
