"""`aqe generate --coverage-gaps`: which gaps are worked on, and what is told of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.generate.target import resolve_all
from aqe.server.cli import main
from tests.warm_command import warm_command

MODULE = """\
def share(part, whole):
    \"\"\"The share of `part` in `whole`.\"\"\"
    if whole == 0:
        raise ValueError("of nothing")
    return part / whole


def grade(points):
    \"\"\"A letter for points.\"\"\"
    if points > 90:
        return "a"
    if points > 50:
        return "b"
    return "c"


def double(number):
    return number * 2


def opens_socket():
    def inner():
        return 1

    return inner
"""
TESTS = "from marks import double, share\n\n\ndef test_both():\n    assert double(share(1, 2)) == 1\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "tests").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n', encoding="utf-8")
    (folder / "marks.py").write_text(MODULE, encoding="utf-8")
    (folder / "tests" / "test_marks.py").write_text(TESTS, encoding="utf-8")
    return folder


def generate(project: Path, *words: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "AQE", "VIRTUAL_ENV"))}
    command = ("generate", *words, "--evaluations", "800", "--json")
    done = warm_command().run(command, cwd=project, env=kept, limit_s=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.services
def test_the_riskiest_gaps_are_closed_and_measured(project: Path) -> None:
    """Tests for the riskiest gap alone are written beside the suite; the next run takes the next gap in a new file,
    and each gap is told with what is left of it."""
    first = generate(project, "--coverage-gaps", "1")
    assert [(gap["name"], gap["state"], gap["lines_left"]) for gap in first["gaps"]] == [("grade", "closed", [])]
    assert first["files"] == ["tests/test_marks_gaps.py"]
    kept = (project / "tests" / "test_marks_gaps.py").read_bytes()
    second = generate(project, "marks.py", "--coverage-gaps", "2")
    assert "grade" not in {gap["name"] for gap in second["gaps"]}
    assert ("share", "closed") in {(gap["name"], gap["state"]) for gap in second["gaps"]}
    assert second["files"] == ["tests/test_marks_gaps2.py"]
    assert (project / "tests" / "test_marks_gaps.py").read_bytes() == kept


def test_several_names_of_a_module_are_one_subject(project: Path) -> None:
    """Names of one file are searched together, each once; with the file itself among them it is meant as a whole."""
    (one,) = resolve_all(["marks.py::share", "marks.py::grade", "marks::share"], project)
    assert one.names == ("share", "grade")
    assert one.within() == ((1, 5), (8, 14))
    (whole,) = resolve_all(["marks.py::share", "marks.py"], project)
    assert whole.names is None


@pytest.mark.parametrize("words", [[], ["a.py", "b.py"], ["a.py", "b.py", "--coverage-gaps"], ["0", "--coverage-gaps"]])
def test_words_that_are_no_target_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No target, two of them, or no number of gaps: one sentence and exit 2."""
    assert main(["generate", *words]) == 2
    assert "[usage]" in capsys.readouterr().err
