"""What a repetition in one process may be held against a test, in a real hunt."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aqe.agents.flaky import FlakyRequest, TestVerdict, hunt
from aqe.agents.flaky.runs import Suite
from aqe.agents.flaky.showing import show_all
from aqe.agents.gate.interpreter import find_interpreter
from aqe.engine.progress import CancelToken, silent

TEXT = '''
import unittest
import pytest

KEPT = []


def double(n):
    """
    >>> double(2)
    4
    """
    return 2 * n


@pytest.mark.parametrize("values", [[1], [2], [3]])
def test_turns_its_values(values):
    values[0] *= -1
    assert values[0] < 0


class TestBox:
    def test_marks_itself(self):
        assert not hasattr(self, "done")
        self.done = True


class TestOld(unittest.TestCase):
    def test_marks_itself(self):
        assert not hasattr(self, "done")
        self.done = True


def test_keeps():
    KEPT.append(1)
    assert len(KEPT) == 1
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--doctest-modules'\n")
    return tmp_path


@pytest.mark.services
def test_only_what_the_module_keeps_is_held_against_a_repeated_test(project: Path) -> None:
    """Doctests, instances and changed parameters are no flakes; a list that grows in the module is."""
    (project / "test_it.py").write_text(TEXT, encoding="utf-8")
    report = hunt(FlakyRequest(str(project), runs=4))
    assert report.flaky_ids == ("test_it.py::test_keeps",)
    assert report.shown == 1
    kept = report.tests["test_it.py::test_keeps"]
    assert kept.category == "nio"
    assert shlex.split(kept.repro)[0] in ("python", sys.executable)
    (note,) = report.notes
    assert note.startswith("test_it.py::test_turns_its_values changes its own parameters (3 cases)")


@pytest.mark.services
def test_few_runs_say_what_they_left_out_and_one_test_is_tried_all_the_same(project: Path) -> None:
    """One run finds the order of a set where the test is asked for; without that the notes name what was not tried."""
    (project / "test_it.py").write_text("def test_first(): assert list({'north', 'south'})[0] == %r\n")
    text = (project / "test_it.py").read_text()
    first = hunt(FlakyRequest(str(_written(project, text % "north")), runs=1))
    right = "north" if first.tests["test_it.py::test_first"].passed else "south"
    _written(project, text % right)
    told = hunt(FlakyRequest(str(project), runs=1, test="test_it.py::test_first")).tests["test_it.py::test_first"]
    assert (told.flaky, told.category) == (True, "unordered")
    assert any("from 4 runs on" in note for note in first.notes)


@pytest.mark.services
def test_a_command_that_does_not_fail_is_not_printed(project: Path) -> None:
    """A verdict of experiments falls with its command, one that the runs saw stands without, a true one is kept."""
    (project / "test_it.py").write_text("def test_a(): pass\ndef test_red(): assert 0\n", encoding="utf-8")
    run = f"{shlex.quote(sys.executable)} -m pytest test_it.py::"
    tried = TestVerdict(True, "flaky", "nio", repro=f"{run}test_a", why="It fails.", witnessed="diagnosis", passed=3)
    tests = {
        "test_it.py::test_a": tried,
        "test_it.py::test_b": replace(tried, witnessed="runs", repro=f"{run}test_red"),
        "test_it.py::test_red": replace(tried, repro=f"{run}test_red"),
    }
    folder = project.parent / f"{project.name}-hunt"
    folder.mkdir()
    suite = Suite(project, find_interpreter(project, sys.executable, None, trusted=True), (), folder)
    shown = show_all(tests, suite, time.monotonic() + 100, silent)
    assert [one.flaky for one in shown.tests.values()] == [False, True, True]
    assert [bool(one.repro) for one in shown.tests.values()] == [False, False, True]
    assert "not called flaky" in shown.tests["test_it.py::test_a"].why
    assert (shown.ran, shown.ended_early) == (3, False)


def _written(project: Path, text: str) -> Path:
    (project / "test_it.py").write_text(text)
    return project


def test_a_stop_ends_a_run_that_hangs_and_keeps_what_was_heard(project: Path) -> None:
    """The test that hangs is not waited for; the one before it is in the report, which is partial."""
    (project / "test_it.py").write_text(
        "import pathlib, time\ndef test_a(): pass\n"
        "def test_hangs():\n    pathlib.Path('.aqe', 'begun').touch()\n    time.sleep(600)\n"
    )
    stop = CancelToken()
    begun = project / ".aqe" / "begun"

    def press() -> None:
        while not begun.exists():
            time.sleep(0.02)
        stop.cancel()

    threading.Thread(target=press, daemon=True).start()
    report = hunt(FlakyRequest(str(project), runs=3), stop=stop)
    assert report.partial
    assert report.tests["test_it.py::test_a"].verdict == "stable"
    assert report.tests["test_it.py::test_hangs"].verdict == "not-run"
