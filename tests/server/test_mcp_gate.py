"""The job tools over a real stdio server and the real gate."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.agents.inject._aqe_inject.zygote import descendants

OnStdio = Callable[..., Any]
PATIENCE_S = 20.0  # benchmarks/cancel.py measures the bar of one second; a test only waits for the end
DRAFT = """
import ages

def test_child():
    assert ages.stage(3) == "child"

def test_nothing():
    assert True
"""


async def judged(client: Any, arguments: dict[str, Any], **options: Any) -> Any:
    """The finished answer of verify_tests, however long a busy machine takes."""
    result = await client.call_tool("verify_tests", arguments, **options)
    while not result.is_error and result.structured_content["state"] == "running":
        result = await client.call_tool("verify_tests", {"job_id": result.structured_content["job_id"]})
    assert not result.is_error, result.content[0].text
    return result


async def pages(client: Any, job_id: str) -> list[str]:
    """The whole report of a verification, page by page."""
    found, offset = [], 0
    while offset is not None:
        arguments = {"job_id": job_id, "detail": "report", "offset": offset}
        page = await client.call_tool("verify_tests", arguments)
        assert len(page.model_dump_json(by_alias=True).encode()) <= 8_000
        found.append(page.structured_content["summary"])
        offset = page.structured_content.get("next_offset")
    return found


@pytest.mark.services
def test_draft_goes_through_the_gate_and_comes_back_with_evidence(on_stdio: OnStdio, project: Path) -> None:
    """A draft given as text is run: the good test counts, the empty one falls, survivors come back as hints.

    A test that adds nothing to those of the project is named with the nearest of them, and the report can be paged.
    """
    (project / "test_there.py").write_text("import ages\n\ndef test_young():\n    assert ages.stage(3) == 'child'\n")
    spoken: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        spoken.append(message or "")

    async def judge() -> None:
        async with on_stdio(project, "auto") as client:
            arguments = {"draft": DRAFT, "subjects": ["ages"], "runs": 2}
            result = await judged(client, arguments, progress_callback=hear)
            data = result.structured_content
            assert data["state"] == "done"
            assert data["figures"]["tests"] == 2
            assert 0 < data["figures"]["mutants_killed"] < data["figures"]["mutants_total"]
            assert any("survives" in hint for hint in data["hints"])
            surplus = "test_child adds nothing: all it covers and kills, others do too; the nearest is test_there.py"
            assert any(surplus in hint for hint in data["hints"])
            detail = await client.call_tool("verify_tests", {"job_id": data["job_id"], "detail": "tests"})
            lines = detail.structured_content["summary"].splitlines()
            assert "stable" in next(line for line in lines if "test_child" in line)
            assert "stable" not in next(line for line in lines if "test_nothing" in line)
            report = json.loads((await client.read_resource("aqe://reports/last")).contents[0].text)
            assert report["schema"] == "aqe.verify/1"
            assert json.loads("".join(await pages(client, data["job_id"]))) == report

    anyio.run(judge)
    assert len(spoken) >= 2
    assert not (project / "test_draft.py").exists()


@pytest.mark.services
def test_mistakes_are_worded_for_tools(in_memory: OnStdio, project: Path) -> None:
    """A draft that is no Python is named with its line, and each fix names an argument of the tool, not an option."""

    async def ask() -> None:
        async with in_memory(project, "auto") as client:
            broken = await client.call_tool("verify_tests", {"draft": "import ages\ndef test_x(:\n    pass\n"})
            assert broken.structured_content["code"] == "syntax-error"
            assert "line 2" in broken.structured_content["message"]
            nothing = await client.call_tool("verify_tests", {"draft": "def test_x():\n    pass\n"})
            assert nothing.structured_content["fix"] == "Name the module under test: `subjects`."
            unknown = await client.call_tool("verify_tests", {"draft": DRAFT, "subjects": ["nope"]})
            assert unknown.structured_content["code"] == "module-not-found"
            assert "pass `python` with" in unknown.structured_content["fix"]
            missing = await client.call_tool("generate_tests", {"target": "nope"})
            assert missing.structured_content == unknown.structured_content

    anyio.run(ask)


@pytest.mark.services
def test_printing_subject_never_reaches_the_protocol(on_stdio: OnStdio, project: Path) -> None:
    """A subject that prints at import, by print, os.write and a child process, leaves the protocol whole."""
    (project / "loud.py").write_text(
        "import os, subprocess, sys\nprint('{\"jsonrpc\": \"2.0\"}')\nos.write(1, b'noise\\n')\n"
        "subprocess.run([sys.executable, '-c', 'print(1)'])\n\ndef double(n: int) -> int:\n    return 2 * n\n"
    )

    async def judge() -> None:
        async with on_stdio(project, "legacy") as client:
            draft = "import loud\n\ndef test_double():\n    assert loud.double(2) == 4\n"
            result = await judged(client, {"draft": draft, "runs": 1})
            assert result.structured_content["figures"]["stable"] == 1
            assert not (await client.call_tool("stats")).is_error

    anyio.run(judge)


@pytest.mark.services
def test_cancelled_call_leaves_no_process(on_stdio: OnStdio, project: Path) -> None:
    """Cancelling the call ends job, sandbox and the endless test in it; only the server stays."""
    (project / "test_endless.py").write_text(
        "import ages\nimport time\n\ndef test_endless():\n    ages.stage(1)\n    while 1:\n        time.sleep(0.01)\n"
    )

    async def cancel() -> None:
        async with on_stdio(project, "legacy") as client:
            await client.call_tool("stats")
            before = set(descendants(os.getpid()))
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "verify_tests", {"paths": ["test_endless.py"], "runs": 2})
                while len(set(descendants(os.getpid())) - before) < 3:
                    await anyio.sleep(0.05)
                await anyio.sleep(1.5)
                group.cancel_scope.cancel()
            start = time.monotonic()
            while left := set(descendants(os.getpid())) - before:
                assert time.monotonic() - start < PATIENCE_S, left
                await anyio.sleep(0.02)
            assert (await client.call_tool("stats")).structured_content["jobs"] == {"cancelled": 1}

    anyio.run(cancel)


@pytest.mark.services
def test_http_call_speaks_of_its_progress_and_can_be_cancelled(
    start_http: Callable[[Path], Any], project: Path, mode: str
) -> None:
    """Over HTTP, in both protocols, a call reports progress and its cancellation ends the job."""
    server = start_http(project)
    spoken: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        spoken.append(message or "")

    async def judge() -> None:
        async with server.client(mode) as client:
            arguments: dict[str, Any] = {"draft": DRAFT, "subjects": ["ages"], "runs": 1}
            result = await judged(client, arguments, progress_callback=hear)
            assert result.structured_content["state"] == "done"
            assert spoken
            before = set(descendants(server.process.pid))
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "generate_tests", {"target": "ages.py", "budget_s": 60})
                while len(set(descendants(server.process.pid)) - before) < 2:
                    await anyio.sleep(0.05)
                group.cancel_scope.cancel()
            start = time.monotonic()
            while left := set(descendants(server.process.pid)) - before:
                assert time.monotonic() - start < PATIENCE_S, left
                await anyio.sleep(0.02)

    try:
        anyio.run(judge)
    finally:
        server.close()
