"""The tools that look, over a real server on a copy of the shop: what is planted there comes back in few bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.server.clients.plugin import plugin_files, write_plugin

OnStdio = Callable[..., Any]
SHOP = Path(__file__).resolve().parents[2] / "fixtures" / "shop"
LISTS = {
    "find_flaky_tests": "tests",
    "coverage_gaps": "gaps",
    "select_tests": "tests",
    "review_changes": "findings",
}
FIELDS = {"state", "job_id", "summary", "figures", "hints", "report"}


def git(project: Path, *words: str) -> None:
    """Run git as nobody in particular."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=project, check=True, capture_output=True)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the shop under git in which a discount was changed and not committed."""
    project = tmp_path / "shop"
    shutil.copytree(SHOP, project, ignore=shutil.ignore_patterns(".aqe", "__pycache__", ".*_cache"))
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "The shop")
    pricing = project / "shop" / "pricing.py"
    text = pricing.read_text(encoding="utf-8")
    assert text.count("if quantity >= 50:") == 1
    pricing.write_text(text.replace("if quantity >= 50:", "if quantity > 50:"), encoding="utf-8")
    return project


def everything(project: Path) -> dict[str, bytes]:
    """Each file of the project but aqe's own and git's, with its bytes."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file()
        and not {".aqe", ".git", "__pycache__", ".pytest_cache"} & set(path.relative_to(project).parts)
    }


async def finished(client: Any, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The answer of a tool when its job has ended; every answer on the way is small."""
    while True:
        result = await client.call_tool(tool, arguments)
        assert len(result.model_dump_json(by_alias=True).encode()) <= 8_000
        assert not result.is_error, result.content[0].text
        data: dict[str, Any] = result.structured_content
        assert set(data) >= FIELDS
        assert data["report"] == "aqe://reports/last"
        if data["state"] != "running":
            assert data["summary"] in result.content[0].text
            assert all(hint in result.content[0].text for hint in data["hints"])
            return data
        assert tool in data["summary"]
        arguments = {"job_id": data["job_id"]}


async def whole(client: Any, tool: str, job_id: str, detail: str) -> str:
    """A detail, page by page."""
    text, offset = "", 0
    while offset is not None:
        asked = {"job_id": job_id, "detail": detail, "offset": offset}
        page = await client.call_tool(tool, asked)
        assert len(page.model_dump_json(by_alias=True).encode()) <= 8_000
        text += page.structured_content["summary"]
        offset = page.structured_content.get("next_offset")
    return text


async def looked_through(client: Any, tool: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A tool's short answer and its whole report, which the resource and the pages tell alike."""
    data = await finished(client, tool, arguments)
    report = json.loads((await client.read_resource("aqe://reports/last")).contents[0].text)
    assert json.loads(await whole(client, tool, data["job_id"], "report")) == report
    assert await whole(client, tool, data["job_id"], LISTS[tool])
    return data, report


@pytest.mark.services
def test_change_is_reviewed_and_its_tests_are_selected(on_stdio: OnStdio, shop: Path) -> None:
    """The planted change is shown by an input, its test is selected with the reason and fails; nothing is written."""
    before = everything(shop)

    async def look() -> None:
        async with on_stdio(shop, "auto") as client:
            data, report = await looked_through(client, "review_changes", {"message": "tidy up", "budget_s": 60})
            assert report["schema"] == "aqe.review/1"
            assert data["figures"]["functions_compared"] == 1
            assert any("bulk_discount(50) returned 10, now returns 5" in hint for hint in data["hints"])
            audit = await finished(client, "review_changes", {"scope": "tests", "budget_s": 60})
            assert any("test_catalogue_port_is_open" in hint for hint in audit["hints"])
            unmapped = await finished(client, "select_tests", {})
            assert "no map" in unmapped["summary"]
            assert unmapped["figures"]["selected"] == unmapped["figures"]["tests"] > 50
            recorded = subprocess.run(
                [sys.executable, "-m", "aqe.server.cli", "execute", "--map", "--project", str(shop)],
                capture_output=True,
                text=True,
                timeout=110,
            )
            assert "tests in" in recorded.stdout, recorded.stderr
            data, report = await looked_through(client, "select_tests", {"run": True})
            assert 0 < data["figures"]["selected"] < data["figures"]["tests"]
            assert data["figures"]["failed"] == 1
            assert report["run"]["isolation"] in ("overlay", "copy")
            assert "test_bulk_discount[50-10]" in data["hints"][0]
            assert "executes pricing.bulk_discount" in data["hints"][0]
            other = await client.call_tool("review_changes", {"job_id": data["job_id"]})
            assert other.structured_content["code"] == "no-such-job"
            assert "select_tests" in other.structured_content["fix"]

    anyio.run(look)
    assert everything(shop) == before


@pytest.mark.services
def test_gaps_come_by_risk_and_as_targets(on_stdio: OnStdio, shop: Path) -> None:
    """The module that no test imports is the first gap, with a target; of the change all lines run."""

    async def look() -> None:
        async with on_stdio(shop, "legacy") as client:
            data, report = await looked_through(client, "coverage_gaps", {"since": "HEAD", "top": 3})
            assert report["schema"] == "aqe.coverage/1"
            assert len(report["gaps"]) == 3
            assert any("generate_tests target=shop/legacy.py::" in hint for hint in data["hints"])
            assert data["figures"]["changed_lines_percent"] == 100
            assert 0 < data["figures"]["lines_percent"] < 100

    anyio.run(look)


@pytest.mark.services
@pytest.mark.timeout(400)
def test_one_test_is_explained_by_a_hunt(on_stdio: OnStdio, shop: Path) -> None:
    """Asked for the planted victim of another test, the hunt names the polluter and the command that shows it."""
    victim = "tests/test_cart.py::test_receipt_shows_euros"
    polluter = "tests/test_pricing.py::test_prices_can_be_shown_in_dollars"

    async def look() -> None:
        async with on_stdio(shop, "auto") as client:
            data, report = await looked_through(client, "find_flaky_tests", {"test": victim, "runs": 4, "seed": 1})
            assert list(report["tests"]) == [victim]
            assert f"fails after {polluter}" in data["summary"]
            assert any(hint.startswith("reproduce: ") and polluter in hint for hint in data["hints"])
            assert data["figures"]["runs"] == 4

    anyio.run(look)


@pytest.mark.services
def test_hook_of_the_plugin_hands_back_what_an_edit_broke(shop: Path, tmp_path: Path) -> None:
    """The plugin's hook, fed as Claude Code feeds it, is silent without a map, tells the failing test with one, and
    is silent again when the edit is mended."""
    aqe = [sys.executable, "-m", "aqe.server.cli"]
    write_plugin(tmp_path / "plugin", plugin_files(aqe))
    edited = shop / "shop" / "pricing.py"
    event = {"session_id": "s", "cwd": str(shop), "tool_name": "Edit", "tool_input": {"file_path": str(edited)}}

    def edit() -> subprocess.CompletedProcess[str]:
        script = tmp_path / "plugin" / "aqe" / "scripts" / "reach.py"
        words = [sys.executable, str(script), "after-edit"]
        return subprocess.run(words, input=json.dumps(event), capture_output=True, text=True, timeout=100, cwd=shop)

    (shop / ".aqe").mkdir()
    unmapped = edit()
    assert (unmapped.returncode, unmapped.stdout, unmapped.stderr) == (0, "", "")
    environ = {**os.environ, "AQE_PROJECT": str(shop)}
    subprocess.run([*aqe, "execute", "--map"], cwd=shop, env=environ, capture_output=True, timeout=110, check=False)
    broken = edit()
    assert broken.returncode == 2, broken.stderr
    assert "test_bulk_discount[50-10] failed: assert 5 == 10" in broken.stderr
    assert "it ran because: executes pricing.bulk_discount" in broken.stderr
    git(shop, "checkout", "-q", "shop/pricing.py")
    mended = edit()
    assert (mended.returncode, mended.stdout, mended.stderr) == (0, "", "")
