"""A verification that is stopped says what it knows of the tests by then, and never more."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from aqe.agents.gate.verify import VerifyReport, VerifyRequest, verify
from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken

SUBJECT = """
def double(number):
    if number > 100:
        return 200
    return number * 2


def half(number):
    return number / 2
"""
TESTS = """
import os
import time

from numbers_ import double, half


def test_double():
    time.sleep({pause})
    assert double(3) == 6


def test_wrong():
    assert half(4) == 3


def test_slow_except_with_hash_seed_0():
    time.sleep(float(os.environ["PYTHONHASHSEED"] != "0") * {wait})
    assert half(4) == 2
"""


def stopped_at(folder: Path, sign: str, *, wait: float = 0.0, pause: float = 0.0) -> VerifyReport:
    """The report of a verification that is stopped when its progress says `sign`."""
    (folder / "numbers_.py").write_text(SUBJECT)
    (folder / "test_numbers.py").write_text(TESTS.format(wait=wait, pause=pause))
    stop = CancelToken()

    def progress(text: str, done: float = 0.0, total: float | None = None) -> None:
        if sign in text:
            threading.Thread(target=stop.cancel).start()

    request = VerifyRequest(tests=("test_numbers.py",), project=str(folder))
    return verify(request, progress=progress, stop=stop)


@pytest.mark.services
def test_runs_that_ended_are_reported(tmp_path: Path) -> None:
    """Stopped after the first of five runs, the report has that run's verdicts and says what was not done."""
    report = stopped_at(tmp_path, "run 1 of 5", wait=8.0)
    verdicts = {test.name.rpartition("::")[2]: (test.verdict, test.runs) for test in report.evidence.tests}
    assert report.interrupted
    assert report.evidence.runs == len(report.evidence.hash_seeds) == 1
    assert verdicts == {
        "test_double": ("stable", 1),
        "test_wrong": ("failing", 1),
        "test_slow_except_with_hash_seed_0": ("stable", 1),
    }
    assert report.evidence.subjects == ()
    assert report.evidence.mutants_total == 0
    (note,) = (note for note in report.evidence.notes if note.startswith("stopped by Ctrl-C"))
    assert note.startswith("stopped by Ctrl-C: 1 of 5 shuffled runs ended; not done: the run beside")
    assert "the broken twin" in note


@pytest.mark.services
def test_mutants_that_were_judged_are_reported(tmp_path: Path) -> None:
    """Stopped among the mutants, the report has lines, branches and the mutants judged so far, and counts the rest."""
    report = stopped_at(tmp_path, "mutant 2 of", pause=0.4)
    evidence = report.evidence
    assert report.interrupted
    assert evidence.runs == 5
    assert evidence.subjects[0].lines_covered == 5
    assert evidence.mutants_not_run > 0
    assert evidence.mutants_total >= 2
    assert evidence.mutants_total + evidence.mutants_not_run + evidence.mutants_left_out >= 6
    assert any(f"{evidence.mutants_not_run} of " in note for note in evidence.notes)


def test_nothing_is_reported_before_a_run_has_ended(tmp_path: Path) -> None:
    """Stopped while the interpreters start, the verification ends as cancelled and says why there is no report."""
    with pytest.raises(Cancelled, match="before a run of the tests ended"):
        stopped_at(tmp_path, "starting 5 interpreters")


NEEDY = """
import time

def test_needs_a_plugin_of_the_project(wanted):
    pass


def test_slow():
    time.sleep(0.1)
"""


def test_tests_without_their_plugins_are_never_reported(tmp_path: Path) -> None:
    """Stopped in the runs without the project's pytest plugins, a test that needs one is not called failing."""
    (tmp_path / "numbers_.py").write_text(SUBJECT)
    (tmp_path / "test_numbers.py").write_text("import numbers_\n" + NEEDY)
    stop = CancelToken()

    def progress(text: str, done: float = 0.0, total: float | None = None) -> None:
        if "run 1 of 2" in text:
            stop.cancel()

    with pytest.raises(Cancelled, match="before a run of the tests ended"):
        verify(VerifyRequest(tests=("test_numbers.py",), project=str(tmp_path), runs=2), progress=progress, stop=stop)
