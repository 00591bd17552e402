"""Long work behind a tool call: progress, answers in time, joining, cancelling. A small agent is the work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from aqe.agents.jobs import JobRunner
from aqe.agents.registry import Agent
from aqe.server.mcp.app import create_server
from aqe.server.mcp.prompts import make_resources
from aqe.server.mcp.service import Service
from aqe.server.mcp.tools import make_tools
from tests.alive import is_alive

PATIENCE_S = 20.0  # benchmarks/cancel.py measures the bar of one second; a test only waits for the end
AGENT_SOURCE = """
import os, time
from pathlib import Path
from aqe.agents.generate.report import GenerateReport, GenerateRequest, SuspectedBug, Unreached

def run(request, *, progress, cancel):
    out = Path(request.out)
    with (Path(request.project) / "started").open("a") as log:
        log.write(f"{os.getpid()}\\n")
    end = time.monotonic() + request.budget_s
    step = 0
    while time.monotonic() < end:
        cancel.check()
        step += 1
        progress(f"Trying call {step}", step, 100)
        time.sleep(0.05)
    out.mkdir(parents=True, exist_ok=True)
    (out / "test_it.py").write_text("def test_it():\\n    assert 1 + 1 == 2\\n" * 200)
    bugs = tuple(
        SuspectedBug("it", f"f{n}", "crash", n, "raises IndexError for ''" + " and so on" * 50, "f('')")
        for n in range(12)
    )
    return GenerateReport(
        request.target, (str(out / "test_it.py"),), 1, None, bugs, (Unreached("it", "g", 4, "needs a file"),), 9
    )
"""


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Agent]:
    """A `generate` that takes as long as its budget says and reports real files."""
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "patient_agent.py").write_text(AGENT_SOURCE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    request = "aqe.agents.generate.report:GenerateRequest"
    return {"generate": Agent("generate", "generate", "generate_tests", request, "patient_agent:run")}


@pytest.fixture
def service(agents: dict[str, Agent], project: Path) -> Iterator[Service]:
    """A service that answers within a second and a half."""
    service = Service(str(project), runner=JobRunner(agents=agents), answer_s=1.5)
    yield service
    service.close()


@pytest.fixture
def patient(agents: dict[str, Agent], project: Path) -> Iterator[Service]:
    """A service whose calls wait for their job however busy the machine is."""
    service = Service(str(project), runner=JobRunner(agents=agents), answer_s=600)
    yield service
    service.close()


def client_of(service: Service, mode: str = "legacy") -> Client:
    """The SDK's client, connected to a server over this service."""
    return Client(create_server(make_tools(service), resources=make_resources(service)), mode=mode)


async def finished(client: Client, arguments: dict[str, Any]) -> Any:
    """The answer of generate_tests once its job is done, however long a busy machine takes."""
    done = await client.call_tool("generate_tests", arguments)
    while done.structured_content["state"] == "running":
        done = await client.call_tool("generate_tests", {"job_id": done.structured_content["job_id"]})
    return done


async def started(project: Path) -> list[int]:
    """The processes that worked on the project so far, once there is one."""
    path = project / "started"
    while not path.exists() or not path.read_text():
        await anyio.sleep(0.02)
    return [int(line) for line in path.read_text().split()]


def test_short_work_is_answered_with_figures_and_pages(service: Service, project: Path, mode: str) -> None:
    """A finished call names files and bugs; its tests and report can be paged by argument and read as resource."""

    async def work() -> None:
        async with client_of(service, mode) as client:
            done = await finished(client, {"target": "it.py", "budget_s": 0.1})
            data = done.structured_content
            assert data["state"] == "done"
            assert "1 test of it.py in " in data["summary"]
            assert len(data["hints"]) == 9
            assert data["figures"] == {"suspected_bugs": 12}
            assert len(done.model_dump_json(by_alias=True).encode()) <= 8_000
            parts, offset = [], 0
            while offset is not None:
                more = {"job_id": data["job_id"], "detail": "tests", "offset": offset}
                page = await client.call_tool("generate_tests", more)
                assert len(page.model_dump_json(by_alias=True).encode()) <= 8_000
                parts.append(page.structured_content["summary"])
                offset = page.structured_content.get("next_offset")
            assert "".join(parts).count("assert 1 + 1 == 2") == 200
            report = await client.read_resource(data["report"])
            assert '"schema": "aqe.generate/1"' in report.contents[0].text

    anyio.run(work)
    assert (project / ".aqe" / "tests" / "test_it.py").exists()


@pytest.mark.services
def test_report_can_be_read_although_no_file_may_hold_it(
    service: Service, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an encryption key set the last report is still a resource, and no result lies in clear."""
    monkeypatch.setenv("AQE_DB_KEY", "k")

    async def work() -> None:
        async with client_of(service) as client:
            done = await finished(client, {"target": "it.py", "budget_s": 0.1})
            report = await client.read_resource(done.structured_content["report"])
            assert '"schema": "aqe.generate/1"' in report.contents[0].text

    anyio.run(work)
    assert not list((project / ".aqe").glob("results/*"))


def test_long_work_is_answered_while_it_goes_on(service: Service, project: Path) -> None:
    """Work that takes longer is answered with how far it is and a job id, with which a later call gets the end."""

    async def work() -> None:
        spoken: list[tuple[float, str]] = []

        later: list[str] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            spoken.append((progress, message or ""))

        async def hear_more(progress: float, total: float | None, message: str | None) -> None:
            later.append(message or "")

        async with client_of(service) as client:
            arguments = {"target": "it.py", "budget_s": 2.5}
            first = await client.call_tool("generate_tests", arguments, progress_callback=hear)
            assert first.structured_content["state"] == "running"
            assert "again with job_id=" in first.content[0].text
            again = await client.call_tool("generate_tests", arguments)
            assert again.structured_content["job_id"] == first.structured_content["job_id"]
            job_id = first.structured_content["job_id"]
            while again.structured_content["state"] == "running":
                again = await client.call_tool("generate_tests", {"job_id": job_id}, progress_callback=hear_more)
            assert again.structured_content["state"] == "done"
            assert len(await started(project)) == 1
            other = await client.call_tool("verify_tests", {"job_id": job_id})
            assert "is not one of verify_tests. Give it to generate_tests. [no-such-job]" in other.content[0].text
        assert [progress for progress, _ in spoken] == sorted({progress for progress, _ in spoken})
        assert any("Trying call" in text for text in [*(text for _, text in spoken), *later])

    anyio.run(work)


def test_cancelled_call_ends_its_job(patient: Service, project: Path) -> None:
    """When the only call that waits is cancelled, the job's process goes; other tools answer."""

    async def work() -> None:
        async with client_of(patient) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "generate_tests", {"target": "it.py", "budget_s": 60})
                pids = await started(project)
                assert not (await client.call_tool("stats")).is_error
                group.cancel_scope.cancel()
            begun = time.monotonic()
            while any(is_alive(pid) for pid in pids):
                assert time.monotonic() - begun < PATIENCE_S
                await anyio.sleep(0.01)
            jobs = (await client.call_tool("stats")).structured_content["jobs"]
            assert jobs == {"cancelled": 1}

    anyio.run(work)


@pytest.mark.services
def test_cancelled_call_leaves_a_job_that_another_call_waits_for(service: Service, project: Path) -> None:
    """Of two calls that joined one job, one may go; the other gets its answer."""

    async def work() -> None:
        answers: list[Any] = []
        arguments = {"target": "it.py", "budget_s": 1.0}

        async def stay(client: Client) -> None:
            answers.append(await client.call_tool("generate_tests", arguments))

        async with client_of(service) as client, anyio.create_task_group() as group:
            group.start_soon(stay, client)
            await started(project)
            with anyio.move_on_after(0.3):
                await client.call_tool("generate_tests", arguments)
        assert answers[0].structured_content["state"] in ("done", "running")
        assert len(await started(project)) == 1

    anyio.run(work)


def test_failed_job_answers_with_its_error(patient: Service, project: Path) -> None:
    """A job that failed is an error with code and sentence, not a success."""

    async def work() -> None:
        async with client_of(patient) as client:
            (project / ".aqe").mkdir()
            (project / ".aqe" / "tests").write_text("in the way")
            failed = await client.call_tool("generate_tests", {"target": "it.py", "budget_s": 0.1})
            assert failed.is_error
            assert failed.structured_content["code"] == "internal"

    anyio.run(work)
