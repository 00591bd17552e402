"""`aqe run` and `aqe analyze`, as processes, on a real project in git."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.warm_command import warm_command

ROOT = Path(__file__).resolve().parents[3]
MODULE = """\
def stage(age):
    if age < 0:
        raise ValueError("negative")
    if age < 18:
        return "child"
    return "adult"


def title(name):
    return name.strip().title()
"""
TESTS = """\
import os

from ages import stage, title


def test_stage():
    assert stage(3) == "child"
    assert stage(18) == "adult"


def test_title():
    assert title(" ann ") == "Ann"


def test_nothing():
    title("x")
"""


def aqe(folder: Path, *words: str, status: int = 0) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE", "VIRTUAL_ENV"))}
    environ = {**kept, "PYTHONDONTWRITEBYTECODE": "1"}
    done = warm_command().run(words, cwd=folder, env=environ, limit_s=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def answer(folder: Path, command: str, *words: str, status: int = 0, shows: str = "") -> dict[str, Any]:
    """What a command keeps as JSON, after it printed a text that holds `shows`."""
    assert shows in aqe(folder, command, *words, status=status)
    found: dict[str, Any] = json.loads((folder / ".aqe" / "results" / f"{command}.json").read_text(encoding="utf-8"))
    schema = json.loads((ROOT / "docs" / "schemas" / f"{command}.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, schema)
    return found


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def states(report: dict[str, Any]) -> dict[str, str]:
    return {part["name"]: part["state"] for part in report["parts"]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in git whose working tree has a change that one of its tests notices."""
    folder = tmp_path / "project"
    (folder / "tests").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n', encoding="utf-8")
    (folder / "ages.py").write_text(MODULE, encoding="utf-8")
    (folder / "tests" / "test_ages.py").write_text(TESTS, encoding="utf-8")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "ages.py").write_text(MODULE.replace("age < 18", "age <= 18"), encoding="utf-8")
    return folder


@pytest.mark.services
def test_a_change_gets_its_tests_its_coverage_and_its_review(project: Path) -> None:
    """The tests that the change needs run, the failing one is told with exit 1, and the review shows what was run."""
    git(project, "stash", "-q")
    aqe(project, "execute", "--map")
    git(project, "stash", "pop", "-q")
    found = answer(project, "run", "--budget", "60", status=1, shows="1 of 3 tests selected")
    assert states(found) == {"select": "done", "coverage": "done", "review": "done"}
    assert [test["nodeid"] for test in found["select"]["tests"]] == ["tests/test_ages.py::test_stage"]
    assert (found["tests"], found["tests_failed"]) == (1, 1)
    assert found["coverage"]["failures"][0]["nodeid"] == "tests/test_ages.py::test_stage"
    assert found["coverage"]["diff"]["files"][0]["lines"] == [4]
    assert {gap["name"] for gap in found["coverage"]["gaps"]} == {"stage"}
    assert "behaviour-changed" in {one["rule"] for one in found["review"]["findings"]}


@pytest.mark.services
def test_one_agent_that_fails_leaves_the_others_their_say(project: Path) -> None:
    """With a conftest that raises no test can run: that part has its code, the review is there, and the exit status
    is the part's."""
    (project / "conftest.py").write_text("1 / 0\n", encoding="utf-8")
    found = answer(project, "run", "--budget", "60", status=2, shows="[suite-not-collected]")
    failed = {part["name"]: part["code"] for part in found["parts"] if part["state"] == "failed"}
    assert set(failed.values()) == {"suite-not-collected"}
    assert found["review"]["changed_lines"] > 0


def test_nothing_changed_is_said(project: Path) -> None:
    """Without a change nothing runs, and the report says why instead of being silent."""
    git(project, "commit", "-q", "-a", "-m", "second")
    found = answer(project, "run", shows="Nothing changed since HEAD")
    assert (found["changed_files"], found["tests"], set(states(found).values())) == (0, 0, {"left out"})


@pytest.mark.services
def test_a_project_is_seen_from_three_sides(project: Path) -> None:
    """Coverage, review and audit stand in one report and on one page without a request to anywhere; --local keeps the
    tests from the network of this machine; --gate is exit 1 for a failing test."""
    namespace = os.readlink("/proc/self/ns/net")
    with (project / "tests" / "test_ages.py").open("a", encoding="utf-8") as stream:
        stream.write(
            "\n\ndef test_network():\n    import os\n    import socket\n\n    socket.socket().close()\n"
            f"    assert os.readlink('/proc/self/ns/net') == {namespace!r}\n"
        )
    open_report = answer(project, "analyze", "--budget", "60")
    assert states(open_report) == {"coverage": "done", "review": "done", "audit": "done"}
    assert [one["nodeid"] for one in open_report["coverage"]["failures"]] == ["tests/test_ages.py::test_stage"]
    assert "test-smell-no-assertion" in {one["rule"] for one in open_report["audit"]["findings"]}
    shown = aqe(project, "analyze", "--budget", "60", "--local", "--html", "state.html", "--gate", status=1)
    assert "tests/test_ages.py::test_network" in shown
    assert "nothing left this machine" in shown
    page = (project / "state.html").read_text(encoding="utf-8")
    assert "title" in page
    assert "test_network" in page
    assert not {"src=", "http://", "https://", "<script"} & set(page.lower().replace('"', " ").split())


@pytest.mark.services
def test_without_git_the_other_two_sides_are_seen(project: Path) -> None:
    """A project without a repository has its coverage and its audit; the review says why it is left out."""
    (project / ".git").rename(project.parent / "away")
    found = answer(project, "analyze", "--budget", "60")
    assert states(found) == {"coverage": "done", "review": "left out", "audit": "done"}
    assert "not in a git repository" in " ".join(part["message"] for part in found["parts"])


@pytest.mark.services
def test_a_test_that_hangs_is_named_and_what_ended_is_counted(project: Path) -> None:
    """When the time ends during a test, the ones that ended count, that one is named, and the status is 4."""
    with (project / "tests" / "test_ages.py").open("a", encoding="utf-8") as stream:
        stream.write("\n\ndef test_hangs():\n    import time\n\n    stage(5)\n    time.sleep(600)\n")
    hangs = "tests/test_ages.py::test_hangs"
    found = answer(project, "run", "--budget", "12", status=1, shows=f"{hangs} was still running when the time ended")
    assert (found["tests"], found["tests_failed"], found["partial"]) == (3, 1, True)
    assert found["coverage"]["running"] == hangs
    chosen = answer(
        project, "select", "--run", "--budget", "8", status=4, shows=f"Still running when the time ended: {hangs}"
    )
    assert (chosen["running"], chosen["not_run"]) == ([hangs], [hangs])


@pytest.mark.services
def test_as_many_gaps_are_shown_as_were_asked_for(project: Path) -> None:
    """--top N shows N gaps in the text too, and without it five."""
    functions = "".join(f"\n\ndef f{number}(x):\n    return x + {number}\n" for number in range(9))
    with (project / "ages.py").open("a", encoding="utf-8") as stream:
        stream.write(functions)
    assert "Riskiest gaps, 7 of 10" in aqe(project, "analyze", "--budget", "40", "--top", "7")
    assert "Riskiest gaps, 5 of 10" in aqe(project, "analyze", "--budget", "40")
