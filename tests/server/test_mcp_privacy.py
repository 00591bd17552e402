"""What an MCP client receives goes through the privacy guard: planted secrets, the real server in this process, and
as a process where a test takes `on_stdio`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.engine.jobs import JobTable
from aqe.engine.memory.opening import open_store
from aqe.engine.privacy import audit
from aqe.engine.settings import user_file

OnStdio = Callable[..., Any]
AWS = "AKIAQYLPMN5HNMZ2KJQP"
MAIL = "jane.roe@acme-corp.io"
MODULE = f'''
OWNER = "{MAIL}"


def region(key: str) -> str:
    """The region of a key."""
    if key == "{AWS}":
        return "north {AWS}"
    return "south"
'''
DRAFT = f"""
from regions import region


def test_north():
    assert region("{AWS}") == "north {AWS}"


def test_wrong():
    assert region("{AWS}") == "west {AWS}"
"""


@pytest.fixture(autouse=True)
def _settings_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user's settings file is the test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))


def _set(file: Path, **privacy: str) -> None:
    """Set these in the user's file, or in a project's."""
    head = "tool.aqe.privacy" if file.name == "pyproject.toml" else "privacy"
    table = "".join(f'{name} = "{value}"\n' for name, value in privacy.items())
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as opened:
        opened.write(f"\n[{head}]\n{table}")


def _whole(result: Any) -> str:
    return json.dumps(result.model_dump(mode="json", by_alias=True, exclude_none=True), ensure_ascii=False)


def _answers(connect: OnStdio, project: Path, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    async def ask() -> list[Any]:
        async with connect(project, "auto") as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return anyio.run(ask)


REMEMBER = ("memory_add", {"text": f"deploy with {AWS}, ask {MAIL}", "metadata": {"by": MAIL}, "file": "ops/deploy.py"})
SEARCH = ("memory_search", {"query": "deploy"})


@pytest.mark.parametrize(
    ("connection", "mode"), [pytest.param("on_stdio", "balanced", marks=pytest.mark.services), ("in_memory", "strict")]
)
def test_memory_comes_back_redacted(request: pytest.FixtureRequest, project: Path, connection: str, mode: str) -> None:
    """A secret and an address in a memory reach the client as placeholders; the store keeps them whole."""
    _set(user_file(), mode=mode)
    _, found = _answers(request.getfixturevalue(connection), project, REMEMBER, SEARCH)
    assert AWS not in _whole(found)
    assert MAIL not in _whole(found)
    row = found.structured_content["found"][0]
    assert row["text"] == "deploy with [redacted:aws-access-token], ask [redacted:email]"
    assert row["text"] in found.content[0].text
    with open_store(project) as store:
        assert AWS in store.list()[0].text


def test_full_content_where_the_user_said_so(in_memory: OnStdio, project: Path) -> None:
    """With mcp_content = full the memory comes back as it is, also in strict mode."""
    _set(user_file(), mode="strict", mcp_content="full")
    _, found = _answers(in_memory, project, REMEMBER, SEARCH)
    assert AWS in found.structured_content["found"][0]["text"]
    assert AWS in found.content[0].text


def test_a_project_cannot_open_what_a_client_gets(in_memory: OnStdio, project: Path) -> None:
    """With mode = off and mcp_content = full in the project's file alone the memory comes back redacted."""
    _set(project / "pyproject.toml", mode="off", mcp_content="full")
    _, found = _answers(in_memory, project, REMEMBER, SEARCH)
    assert AWS not in _whole(found)
    assert "[redacted:aws-access-token]" in found.structured_content["found"][0]["text"]


def test_references_hold_ids_and_places_only(in_memory: OnStdio, project: Path) -> None:
    """With mcp_content = references a hit has its id, score and file, and no word of the memory."""
    _set(user_file(), mcp_content="references")
    added, found = _answers(in_memory, project, REMEMBER, SEARCH)
    row = found.structured_content["found"][0]
    assert (row["id"], row["file"]) == (added.structured_content["id"], "ops/deploy.py")
    assert "deploy with" not in _whole(found)


def test_memory_of_a_covered_file_is_withheld(in_memory: OnStdio, project: Path) -> None:
    """A memory about a file that never_send covers comes back without its text, even where content is full."""
    _set(user_file(), mode="off", never_send="ops/")
    _, found = _answers(in_memory, project, REMEMBER, SEARCH)
    assert "deploy with" not in _whole(found)
    assert found.structured_content["found"][0]["file"] == "ops/deploy.py"


def test_long_secret_is_taken_out_before_the_answer_is_cut(in_memory: OnStdio, project: Path) -> None:
    """A secret that stands where a long memory is cut leaves no part of itself in the answer."""
    _set(user_file(), mode="strict")
    texts = [{"text": f"deploy {'x ' * (560 + shift)}{AWS} and more {'y ' * 400}"} for shift in range(0, 40, 4)]
    *_, found = _answers(in_memory, project, *(("memory_add", text) for text in texts), SEARCH)
    for part in (AWS[:8], AWS[-8:]):
        assert part not in _whole(found)


def test_answers_stand_in_the_audit_log(in_memory: OnStdio, project: Path) -> None:
    """What a client was given is logged with its name, the tool and what was taken out; a look at figures is not."""
    _answers(in_memory, project, REMEMBER, SEARCH, ("stats", {}))
    with open_store(project) as store:
        entries = audit.entries(store)
        assert audit.verify(store).intact
    assert [(entry.event, entry.purpose) for entry in entries] == [("answered", "memory_search")]
    assert entries[0].recipient.startswith("mcp")
    assert entries[0].spans["aws-access-token"] >= 1
    assert entries[0].mode == "balanced/redacted"


def test_search_that_finds_nothing_writes_nothing(in_memory: OnStdio, project: Path) -> None:
    """A search in a project where nothing is kept leaves no file."""
    _answers(in_memory, project, SEARCH, ("stats", {}))
    assert not (project / ".aqe" / "aqe.db").exists()


async def _all_of(client: Any, result: Any) -> list[str]:
    """A finished job in every form that a client can ask for: summary, verdicts, report, resource, prompt."""
    seen = [_whole(result)]
    for detail in ("tests", "report"):
        offset = 0
        while offset is not None:
            arguments = {"job_id": result.structured_content["job_id"], "detail": detail, "offset": offset}
            page = await client.call_tool("verify_tests", arguments)
            seen.append(_whole(page))
            offset = page.structured_content.get("next_offset")
    seen.append(_whole(await client.read_resource("aqe://reports/last")))
    seen.append(_whole(await client.get_prompt("aqe-generate", {"target": f"regions.py {AWS}"})))
    return seen


def _assert_redacted(seen: list[str]) -> None:
    assert any("test_wrong" in text for text in seen)
    assert any("survives" in text for text in seen)
    assert any("redacted:aws-access-token" in text for text in seen)
    for secret in (AWS, MAIL):
        for text in seen:
            assert secret not in text, text[max(0, text.find(secret) - 100) :][:200]


def test_what_a_job_left_comes_back_redacted(in_memory: OnStdio, project: Path) -> None:
    """Secrets in the stored outcome of a verify job are in no summary, verdict, report, resource or prompt."""
    _set(user_file(), mode="strict")
    stored = (Path(__file__).parent / "judged_with_secrets.json").read_text(encoding="utf-8")
    assert AWS in stored
    assert MAIL in stored
    with JobTable.open(project) as jobs:
        job, _ = jobs.begin("verify", {"tests": ["test_draft.py"]})
        jobs.finish(job.id, json.loads(stored))

    async def look() -> list[str]:
        async with in_memory(project, "auto") as client:
            return await _all_of(client, await client.call_tool("verify_tests", {"job_id": job.id}))

    _assert_redacted(anyio.run(look))


@pytest.mark.services
def test_tests_and_reports_come_back_redacted(on_stdio: OnStdio, project: Path) -> None:
    """A secret in a source file and in a draft is in no summary, verdict, report or resource of the judged tests."""
    _set(user_file(), mode="strict")
    (project / "regions.py").write_text(MODULE)

    async def judge() -> list[str]:
        async with on_stdio(project, "auto") as client:
            result = await client.call_tool("verify_tests", {"draft": DRAFT, "runs": 1, "budget_s": 60})
            while result.structured_content.get("state") == "running":
                result = await client.call_tool("verify_tests", {"job_id": result.structured_content["job_id"]})
            assert result.structured_content["figures"]["tests"] == 2
            return await _all_of(client, result)

    _assert_redacted(anyio.run(judge))


def test_error_repeats_no_secret(in_memory: OnStdio, project: Path) -> None:
    """An error that names what the caller gave names it redacted."""
    _set(user_file(), mode="strict")
    (result,) = _answers(in_memory, project, ("verify_tests", {"paths": [f"tests/{AWS}.py"]}))
    assert result.is_error
    assert AWS not in _whole(result)


def test_secrets_under_names_come_back_redacted(in_memory: OnStdio, project: Path) -> None:
    """A password that only its key in a memory's metadata tells, and an address that is a key, reach no client."""
    kept = {
        "text": "the deploy account",
        "metadata": {"password": "hunter2", MAIL: "owner", "api_token": "9f2c77ab01d9"},
    }
    _, found = _answers(in_memory, project, ("memory_add", kept), SEARCH)
    seen = _whole(found)
    assert found.structured_content["found"][0]["metadata"]["password"] == "[redacted:password-assignment]"
    for secret in ("hunter2", MAIL, "9f2c77ab01d9"):
        assert secret not in seen


def test_progress_is_redacted(in_memory: OnStdio, project: Path) -> None:
    """A job that speaks of a test with a secret in its name speaks of it redacted."""
    told: list[str] = []
    heard = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(message or "")
        heard.set()

    with JobTable.open(project) as jobs:
        job, _ = jobs.begin("verify", {"tests": ["test_draft.py"]})
        jobs.progress(job.id, f"running test_login[{AWS}]", 1)

        async def look() -> None:
            async with in_memory(project, "auto") as client, anyio.create_task_group() as group:
                arguments = {"job_id": job.id}
                group.start_soon(lambda: client.call_tool("verify_tests", arguments, progress_callback=hear))
                with anyio.fail_after(60):
                    await heard.wait()
                group.cancel_scope.cancel()

        anyio.run(look)
    assert any("redacted:aws-access-token" in text for text in told), told
    assert not any(AWS in text for text in told)
