"""Plugins that run a failed test again hide no flaky test from the gate, also where the project's plugins load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aqe.agents.gate.verify import VerifyRequest, verify
from tests.environments import install, new_environment

SUBJECT = "def area(width, height):\n    return width * height\n"
TESTS = """
import pytest
from shapes import area

RUNS = []

{mark}
def test_passes_the_second_time({fixture}):
    RUNS.append(area(1, 1))
    assert sum(RUNS) > 1

def test_passes({fixture}):
    assert area(2, 3) == 6
"""
RERUNNER = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in (2, 1, 0):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not left or not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
LENDER = "import pytest\n\n@pytest.fixture\ndef lent():\n    return 1\n"
# module, name of its entry point
KINDS = [
    ("pytest_rerunfailures", "rerunfailures"),
    ("flaky_pytest_plugin", "flaky"),
    ("retry_plugin", "pytest-retry"),
]


def write_project(root: Path, mark: str = "", fixture: str = "lent") -> None:
    """A project with one test that passes only when it is run twice; `lent` comes from a plugin of the project."""
    (root / "shapes.py").write_text(SUBJECT, "utf-8")
    (root / "test_shapes.py").write_text(TESTS.format(mark=mark, fixture=fixture), "utf-8")


def verdicts_of(root: Path, python: str | None = None) -> dict[str, str]:
    """The gate's verdict on each test."""
    request = VerifyRequest(tests=("test_shapes.py",), project=str(root), python=python, runs=2, max_mutants=0)
    return {test.name.partition("::")[2]: test.verdict for test in verify(request).evidence.tests}


def passes_by_itself(root: Path, python: str) -> bool:
    """Whether plain pytest, with all plugins, is content with the project."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False)
    return done.returncode == 0


@pytest.mark.parametrize(("module", "name"), KINDS)
@pytest.mark.services
def test_plugin_that_runs_failures_again_is_off_in_the_gate(tmp_path: Path, module: str, name: str) -> None:
    """A test that passes only with a second run is failing, though the project's other plugins are at work."""
    write_project(tmp_path)
    (tmp_path / f"{module}.py").write_text(RERUNNER, "utf-8")
    (tmp_path / "lender.py").write_text(LENDER, "utf-8")
    facts = tmp_path / "reruns-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: reruns\nVersion: 1\n", "utf-8")
    (facts / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\nlender = lender\n", "utf-8")
    assert passes_by_itself(tmp_path, sys.executable)
    assert verdicts_of(tmp_path) == {"test_passes_the_second_time": "failing", "test_passes": "stable"}


@pytest.mark.services
@pytest.mark.parametrize(
    ("package", "mark"),
    [
        ("pytest-rerunfailures", "@pytest.mark.flaky(reruns=3)"),
        ("flaky", "@pytest.mark.flaky(max_runs=4)"),
        ("pytest-retry", "@pytest.mark.flaky(retries=3)"),
    ],
)
def test_real_plugins_that_run_failures_again_are_off_in_the_gate(tmp_path: Path, package: str, mark: str) -> None:
    """The packages that people use for it make the test pass in a plain run, and do not in the gate."""
    write_project(tmp_path, mark, "mocker")
    environment = new_environment(tmp_path / ".venv")
    install(environment, "pytest-mock", package)
    python = str(environment)
    assert passes_by_itself(tmp_path, python)
    assert verdicts_of(tmp_path, python) == {"test_passes_the_second_time": "failing", "test_passes": "stable"}
