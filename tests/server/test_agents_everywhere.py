"""Every agent gives the same answer in this process, with its memory on a server, and as a tool of a server."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.agents.registry import AGENTS, build_request, run_agent
from aqe.engine.results import json_text
from aqe.engine.sync import Engine

MODULE = '''"""Stages of life."""


def stage(age: int) -> str:
    """The stage of life.

    >>> stage(30)
    'adult'
    """
    if age < 0:
        raise ValueError("negative")
    if age < 18:
        return "child"
    return "adult"
'''
TESTS = """import ages

SEEN = []


def test_child():
    assert ages.stage(3) == "child"


def test_leaves_something():
    SEEN.append(ages.stage(40))


def test_finds_it_clean():
    assert SEEN == [], "somebody was here"
"""
WHAT: dict[str, dict[str, Any]] = {
    "generate": {"target": "ages.py", "budget_s": None, "evaluations": 300, "seed": 1},
    "verify": {"tests": ["tests/test_ages.py"], "runs": 2, "seed": 1, "max_mutants": 8},
    "execute": {"paths": ["tests/test_ages.py"]},
    "coverage": {"since": "HEAD"},
    "flaky": {"runs": 3, "seed": 1},
    "select": {"since": "HEAD"},
    "review": {"since": "HEAD", "budget_s": 60.0},
    "run": {"since": "HEAD", "budget_s": 120.0},
    "analyze": {"budget_s": 120.0},
}
"""What each agent is asked; one that is registered and not named here fails the test."""

AS_TOOL: dict[str, dict[str, Any]] = {
    "generate": {"target": "ages.py", "budget_s": 5.0, "seed": 1},
    "verify": {"paths": ["tests/test_ages.py"], "runs": 2, "seed": 1},
}
"""Where the tool takes less: no count of evaluations or mutants. Then what cannot differ is compared."""

PASSING = frozenset(
    ("duration_s", "duration_ms", "phases_s", "slowest", "run", "call_s", "command", "started_at", "budget_s")
)
"""Fields that differ from run to run: times, what is left of a budget, and names of temporary files."""


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a polluter, a victim, and a change that is not committed."""
    root = tmp_path_factory.mktemp("agents") / "project"
    (root / "tests").mkdir(parents=True)
    (root / "pyproject.toml").write_text(
        '[project]\nname = "ages"\nversion = "1"\n[tool.pytest.ini_options]\npythonpath = "."\n'
    )
    (root / "ages.py").write_text(MODULE)
    (root / "tests" / "test_ages.py").write_text(TESTS)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    (root / "ages.py").write_text(MODULE.replace("age < 18", "age <= 18"))
    return root


def seed(project: Path) -> None:
    """What somebody noted about the module."""
    with Engine.open(project) as engine:
        engine.remember("ages.py: eighteen is adult, by law", id="law", file="ages.py")


def lasting(value: Any) -> Any:
    """A report without what differs from run to run."""
    if isinstance(value, dict):
        left_by_an_agent = str(value.get("source", "")).startswith("agents/")  # each memory gives it an id of its own
        passing = {*PASSING, "schema", *(("source",) if left_by_an_agent else ())}
        return {name: lasting(below) for name, below in value.items() if name not in passing}
    return [lasting(below) for below in value] if isinstance(value, (list, tuple)) else value


def plain(report: Any) -> Any:
    return lasting(json.loads(json_text(dataclasses.asdict(report))))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server on another project, whose memory holds the same note."""
    from tests.server.conftest import HttpServer

    root = tmp_path_factory.mktemp("elsewhere")
    (root / "pyproject.toml").write_text("")
    seed(root)
    server = HttpServer(root)
    yield server
    server.close()


@pytest.mark.services
@pytest.mark.parametrize("name", AGENTS)
def test_each_agent_answers_alike_everywhere(
    name: str,
    changed: Path,
    elsewhere: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_stdio: Callable[..., Any],
) -> None:
    """In this process, with the memory behind a server, and as a tool: the reports are equal but for times."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # no run may change what the next says
    seed(changed)
    wanted = dict(WHAT[name])
    if name == "generate":
        wanted["out"] = str(changed / ".aqe" / "tests")

    def here() -> Any:
        return plain(run_agent(AGENTS[name], build_request(AGENTS[name], {**wanted, "project": str(changed)})))

    own = here()
    monkeypatch.setattr("aqe.agents.counsel.SERVER_S", 60.0)  # what is said is compared, however busy the machine is
    monkeypatch.setenv("AQE_ENGINE_SERVER", elsewhere.url)
    monkeypatch.setenv("AQE_ENGINE_TOKEN", elsewhere.token)
    assert here() == own
    monkeypatch.delenv("AQE_ENGINE_SERVER")
    monkeypatch.setenv("AQE_PRIVACY_MCP_CONTENT", "full")
    if AGENTS[name].tool is not None:
        asked, said = anyio.run(_as_tool, on_stdio, AGENTS[name].tool, changed, AS_TOOL.get(name, wanted))
        if name not in AS_TOOL:
            assert asked == wanted.keys()
            assert said == own
        elif name == "verify":
            assert verdicts(said) == verdicts(own)
        else:
            assert (said["target"], said["files"]) == (own["target"], own["files"])


def verdicts(report: Any) -> list[tuple[str, str]]:
    """Each judged test of the project with its verdict."""
    return [(one["name"], one["verdict"]) for one in report["evidence"]["tests"]]


async def _as_tool(
    on_stdio: Callable[..., Any], tool: str, project: Path, wanted: dict[str, Any]
) -> tuple[set[str], Any]:
    """What of `wanted` the tool takes, and its whole report, page by page."""
    async with on_stdio(project, "auto") as client:
        schema = next(one.input_schema for one in (await client.list_tools()).tools if one.name == tool)
        given = {key: value for key, value in wanted.items() if key in schema["properties"]}
        said = (await client.call_tool(tool, given)).structured_content
        while said["state"] == "running":
            said = (await client.call_tool(tool, {"job_id": said["job_id"]})).structured_content
        text, offset = "", 0
        while offset is not None:
            page = {"job_id": said["job_id"], "detail": "report", "offset": offset}
            part = (await client.call_tool(tool, page)).structured_content
            text, offset = text + part["summary"], part.get("next_offset")
        return set(given), lasting(json.loads(text))
