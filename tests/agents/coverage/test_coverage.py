"""`aqe coverage`, as a process, on real suites."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.warm_command import warm_command

ROOT = Path(__file__).resolve().parents[3]
SHOP = ROOT / "fixtures" / "shop"
MODULE = """\
def share(part, whole):
    if whole == 0:
        raise ValueError("of nothing")
    return part / whole


def parse(text):
    try:
        return int(text)
    except ValueError:
        return share(1, 2)


def never(text):
    return [one for one in text if one]


def left_out():
    raise AssertionError


def _called():
    return parse("2")
"""
TESTS = """\
import time
from pkg.mod import parse, share


def test_share():
    assert share(1, 2) == 0.5


def test_parse():
    assert parse("3") == 3
"""


def aqe(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE", "VIRTUAL_ENV"))}
    environ = {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **more}
    return warm_command().run(("coverage", *args), cwd=folder, env=environ, limit_s=110)


def answer(folder: Path, *args: str, status: int = 0, **more: str) -> dict[str, Any]:
    done = aqe(folder, *args, "--json", **more)
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(found, json.loads((ROOT / "docs" / "schemas" / "coverage.json").read_text(encoding="utf-8")))
    return found


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "pkg").mkdir(parents=True)
    (folder / "tests").mkdir()
    settings = (
        '[tool.coverage.run]\nsource = ["pkg"]\n[tool.coverage.report]\nexclude_also = ["raise AssertionError"]\n'
    )
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    (folder / "pkg" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "pkg" / "mod.py").write_text(MODULE, encoding="utf-8")
    (folder / "tests" / "test_mod.py").write_text(TESTS, encoding="utf-8")
    return folder


def test_gaps_are_measured_ranked_and_explained(project: Path) -> None:
    """Each function that lacks something is a gap with words, the project's settings hold, its data file stays, and
    with --since the changed lines are counted."""
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "first")
    (project / ".coverage").write_text("mine", encoding="utf-8")
    mod = project / "pkg" / "mod.py"
    mod.write_text(MODULE.replace('return parse("2")', 'text = "2"\n    return parse(text)'), encoding="utf-8")
    found = answer(project, "--since", "HEAD")
    gaps = {gap["name"]: gap for gap in found["gaps"]}
    assert set(gaps) == {"share", "parse", "never", "_called"}
    assert gaps["share"]["kind"] == "branch"
    assert "the condition on line 2 is never true" in gaps["share"]["reasons"]
    assert "the exception on line 3 is never raised" in gaps["share"]["reasons"]
    assert "called from 1 place" in gaps["share"]["reasons"]
    assert "the error handler on line 10 never runs" in gaps["parse"]["reasons"]
    assert gaps["never"]["kind"] == "function"
    assert (
        "changed by 1 commit in the last 6 months" in " ".join(gaps["share"]["reasons"])
        or gaps["share"]["commits"] == 1
    )
    assert gaps["_called"]["commits"] == 2
    assert [gap["risk"] for gap in found["gaps"]] == sorted((gap["risk"] for gap in found["gaps"]), reverse=True)
    assert (found["tests"], found["tests_failed"], found["functions"], found["functions_uncovered"]) == (2, 0, 4, 2)
    assert found["diff"]["files"] == [
        {"path": "pkg/mod.py", "lines": [23, 24], "missing_lines": [23, 24], "missing_branches": []}
    ]
    assert found["evidence"]["rung"] in ("suite: overlay", "suite: copy")
    assert (project / ".coverage").read_text(encoding="utf-8") == "mine"
    assert not (project / "tests" / "__pycache__").exists()


@pytest.mark.services
def test_a_module_of_a_src_folder_that_no_test_imports_counts(project: Path) -> None:
    """Where no setting says what to measure, `src` and a folder of scripts are in it, though they are no packages."""
    (project / "src").mkdir()
    (project / "pkg").rename(project / "src" / "pkg")
    (project / "src" / "pkg" / "alone.py").write_text("def alone(x):\n    return x + 1\n", "utf-8")
    (project / "scripts").mkdir()
    (project / "scripts" / "run.py").write_text("def run():\n    return 1\n", "utf-8")
    (project / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["src"]\n', "utf-8")
    found = answer(project)
    missed = {one["path"] for one in found["gaps"]}
    assert missed == {"src/pkg/mod.py", "src/pkg/alone.py", "scripts/run.py"}
    assert answer(project, "src/pkg/alone.py")["gaps"]


def test_a_data_file_is_read_and_nothing_is_run(project: Path) -> None:
    """--data gives what coverage.py measured, from its data file and from its JSON report alike, and changes neither;
    --fail-under is exit 1."""
    (project / "tests" / "test_mod.py").write_text(f"{TESTS}\n\nopen('ran', 'w').close()\n", encoding="utf-8")
    run = [sys.executable, "-m", "coverage"]
    subprocess.run([*run, "run", "--branch", "-m", "pytest", "-q"], cwd=project, check=True, capture_output=True)
    subprocess.run([*run, "json", "-q"], cwd=project, check=True, capture_output=True)
    (project / "ran").unlink()
    before = (project / ".coverage").read_bytes()
    one, two = answer(project, "--data", ".coverage"), answer(project, "--data", "coverage.json")
    assert one["gaps"] == two["gaps"]
    total = json.loads((project / "coverage.json").read_text(encoding="utf-8"))["totals"]
    assert one["percent"] == pytest.approx(total["percent_covered"], abs=0.01)
    assert one["tests"] == 0
    assert not (project / "ran").exists()
    assert (project / ".coverage").read_bytes() == before
    assert aqe(project, "--data", "coverage.json", "--fail-under", "99").returncode == 1


@pytest.mark.services
def test_a_test_that_hangs_costs_only_itself(project: Path) -> None:
    """When the budget ends, a hanging test is given up; what ran before it is reported as partial, with exit 4."""
    text = f"{TESTS}\n\ndef test_hang():\n    time.sleep(3600)\n"
    (project / "tests" / "test_mod.py").write_text(text, encoding="utf-8")
    found = answer(project, "--budget", "8", status=4)
    assert found["partial"]
    assert "test_hang" in " ".join(found["notes"])
    assert found["lines_covered"] > 4


@pytest.mark.services
def test_xdist_workers_are_measured(project: Path) -> None:
    """A suite that runs in several processes by its own settings is measured in all of them."""
    with (project / "pyproject.toml").open("a", encoding="utf-8") as stream:
        stream.write('[tool.pytest.ini_options]\naddopts = "-p xdist -n 2"\n')
    found = answer(project)
    assert (found["tests"], found["lines_covered"]) == (2, answer(project, "--tests", "tests")["lines_covered"])
    assert {gap["name"]: gap["kind"] for gap in found["gaps"]}["share"] == "branch"


@pytest.mark.services
def test_a_project_without_coverage_is_measured_with_ours(project: Path) -> None:
    """A project whose environment has neither pytest nor coverage is measured with the copies that aqe brings."""
    venv.create(project / ".venv", with_pip=False, symlinks=True)
    found = answer(project)
    assert found["tests"] == 2
    assert Path(found["evidence"]["python_executable"]).is_relative_to(project)
    assert {gap["name"] for gap in found["gaps"]} == {"share", "parse", "never", "_called"}


@pytest.mark.services
def test_the_shop_has_the_gaps_that_its_tests_leave(tmp_path: Path) -> None:
    """On the shop the module that no test imports comes first, and a table for a terminal shows reasons in words."""
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__", ".*")))
    done = aqe(shop, "--top", "3", SHOP_STATE=str(tmp_path / "state"), TZ="UTC")
    assert done.returncode == 0, done.stderr
    assert "voucher_number" in done.stdout
    assert "no test imports its module" in done.stdout
    assert "(--top 0 shows all)" in done.stdout
