"""What runs inside a project's own interpreter, from 3.9 on, with nothing installed but pytest.

This file needs only pytest and the injected package, in Python 3.9 syntax: `make test` runs it under aqe's own Python,
`make test-services` under every older one that starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import _aqe_inject
import pytest

INJECT = str(Path(_aqe_inject.__file__).resolve().parent.parent)
SUBJECT = '''"""A subject."""


def grade(points: int, *, best: int = 100) -> str:
    """Name the grade.

    >>> grade(95)
    'A'
    """
    if points < 0 or points > best:
        raise ValueError("points out of range")
    if points * 10 >= best * 9:
        return "A"
    return "B" if points * 2 >= best else "F"


class Stack:
    """A last-in first-out list."""

    def __init__(self) -> None:
        self.items = []

    def push(self, item: int) -> None:
        self.items.append(item)

    def pop(self) -> int:
        if not self.items:
            raise IndexError("empty stack")
        return self.items.pop()
'''
SEARCH = """
import json, sys
from _aqe_inject.search import run
answer = run({"module": "subject", "names": None, "budget_s": None, "evaluations": 2000, "seed": 3,
              "example_sources": []}, lambda message: None)
json.dump(answer, sys.stdout)
"""
TWIN = """
from _aqe_inject.instrument import load
module, program, probes = load("subject")
module.grade(95)
print(sum(probes.hits), len(program.arms), len(program.mutants))
probes.broken = True
try:
    module.grade(95)
except BaseException as error:
    print(type(error).__name__, isinstance(error, Exception))
"""
SUITE = """
import pytest
def test_passes(): pass
@pytest.mark.parametrize("n", [1, 2])
def test_one(n): assert n == 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the subject and a small suite."""
    (tmp_path / "subject.py").write_text(SUBJECT)
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def python(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in the project with the injected folder on its path."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE"))}
    environ["PYTHONPATH"] = os.pathsep.join([INJECT, str(project)])
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=90, check=False)


def cases_of(answer: dict[str, Any], target: str) -> list[dict[str, Any]]:
    """The cases that the search kept for one target."""
    return [case for case in answer["cases"] if case["target"] == target]


def test_the_search_finds_every_outcome(project: Path) -> None:
    """The search reaches each branch of a small module and keeps the doctest's example, the values and the errors."""
    done = python(project, "-c", SEARCH)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    outcomes = {case["outcome"]["src"] or case["outcome"]["exception"] for case in cases_of(answer, "grade")}
    assert {'"A"', '"B"', '"F"', "ValueError"} <= outcomes
    assert any(case["origin"] == "doctest" for case in cases_of(answer, "grade"))
    assert any(case["outcome"]["exception"] == "IndexError" for case in cases_of(answer, "Stack.pop"))
    assert sum(mutant["killed"] for mutant in answer["mutants"]) >= 5


def test_probes_and_the_broken_twin(project: Path) -> None:
    """An instrumented module counts the arms that ran, and its broken twin raises what `except Exception` lets pass."""
    done = python(project, "-c", TWIN)
    assert done.returncode == 0, done.stderr
    counts, twin = done.stdout.splitlines()
    hit, arms, mutants = map(int, counts.split())
    assert 0 < hit < arms
    assert mutants > 5
    assert twin == "BrokenTwin False"


def test_the_plugin_records_under_this_interpreter(project: Path) -> None:
    """With the plugin injected, `pytest --aqe` leaves one line a test in the spool."""
    done = python(project, "-m", "pytest", "-q", "-p", "_aqe_inject.plugin", "-p", "no:cacheprovider", "--aqe")
    assert done.returncode == 1, done.stdout + done.stderr
    spool = [line for path in (project / ".aqe" / "spool").glob("*.jsonl") for line in path.read_text().splitlines()]
    records = [json.loads(line) for line in spool]
    outcomes = sorted(record["outcome"] for record in records if "outcome" in record)
    assert outcomes == ["failed", "passed", "passed"]
