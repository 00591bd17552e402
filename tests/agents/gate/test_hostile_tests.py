"""Verify on tests that attack the harness: no verdict is forged for others, and aqe itself never breaks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aqe.agents.gate.kill_map import MAX_REOPENED
from aqe.agents.gate.verify import VerifyReport, VerifyRequest, verify
from aqe.agents.inject._aqe_inject.pytest_case import arguments

SUBJECT = """
def price(count):
    if count > 10:
        return count * 2
    return count + 1
"""
HONEST = "from prices import price\n\ndef test_price():\n    assert price(3) == 4\n    price(11)\n"
KILLS_ITS_BOX = """
import os, signal
from prices import price

def test_price():
    if price(3) != 4:
        os.kill(os.getppid(), signal.SIGKILL)
    price(11)
"""
SPEAKS_FOR_THE_HARNESS = """
import sys
from prices import price

def test_price():
    frame = sys._getframe()
    while frame:
        emit = frame.f_locals.get("emit")
        if callable(emit):
            for said in ({"test": {}}, {"collected": 5}, {"start": {}}, {"test": {"id": 1, "outcome": "passed"}}, [1]):
                emit(said)
        frame = frame.f_back
    assert price(3) == 4
"""
LEAVES_A_FILE = """
import os
from prices import price

def test_price():
    os.mkdir("/tmp/always-the-same")
    assert price(3) == 4
    price(11)
"""

PATCHES_WHERE_IT_IS_NOT_WATCHED = """
import _pytest.python
import prices

if not any(name.startswith("_aqe_") for name in vars(prices)):
    _pytest.python.Function.runtest = lambda self: None

def test_price():
    assert prices.price(3) == 5
"""
DIES_AFTER_ITS_REPORT = """
import os, threading, time
from prices import price

def test_price():
    assert price(3) == 4

def pytest_unconfigure():
    os._exit(0)

class Ends:
    def pytest_sessionfinish(self):
        os._exit(0)

def test_plugin(request):
    request.config.pluginmanager.register(Ends())
    assert price(3) == 4
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one small module."""
    (tmp_path / "prices.py").write_text(SUBJECT, "utf-8")
    return tmp_path


def judged(project: Path, **drafts: str) -> VerifyReport:
    """The report on drafts of test files."""
    sources = {f"test_{name}.py": text for name, text in drafts.items()}
    return verify(VerifyRequest(tests=(), sources=sources, project=str(project), runs=2))


@pytest.mark.services
def test_a_test_that_kills_its_sandbox_kills_one_mutant_not_all(project: Path) -> None:
    """Mutants whose sandbox was gone before they ran count as not run: each sandbox is killed once at most."""
    evidence = judged(project, killer=KILLS_ITS_BOX).evidence
    boxes = min(4, os.cpu_count() or 1) + MAX_REOPENED
    assert evidence.mutants_killed <= boxes
    assert any("were not run" in note for note in evidence.notes)


@pytest.mark.services
def test_a_test_that_speaks_for_the_harness_breaks_nothing(project: Path) -> None:
    """Messages that no session sends are passed over; the tests beside keep their verdicts."""
    evidence = judged(project, speaker=SPEAKS_FOR_THE_HARNESS, honest=HONEST).evidence
    assert {one.name: one.verdict for one in evidence.tests}["test_honest.py::test_price"] == "stable"


@pytest.mark.services
def test_a_file_left_in_tmp_is_no_reason_to_kill_every_mutant(project: Path) -> None:
    """A test that would fail on its own leftovers kills what its assertion kills, and no more."""
    honest = judged(project, honest=HONEST).evidence
    leaving = judged(project, leaving=LEAVES_A_FILE).evidence
    assert leaving.tests[0].verdict == "stable"
    assert leaving.mutants_killed == honest.mutants_killed < honest.mutants_total


@pytest.mark.services
@pytest.mark.parametrize("most", [0, 200])
def test_a_test_that_passes_only_where_it_is_not_watched_is_not_stable(project: Path, most: int) -> None:
    """A wrong test that patches pytest beside the uninstrumented subject fails, kills nothing and is told why."""
    draft = {"test_forged.py": PATCHES_WHERE_IT_IS_NOT_WATCHED}
    request = VerifyRequest(tests=(), project=str(project), sources=draft, runs=2, max_mutants=most)
    evidence = verify(request).evidence
    (forged,) = evidence.tests
    assert forged.verdict == "failing"
    assert "only beside the uninstrumented subject" in forged.message
    assert (forged.mutants_killed, evidence.mutants_killed) == (0, 0)


def test_a_session_that_dies_after_its_reports_proves_no_test(project: Path) -> None:
    """Tests whose session ends without its answer did not pass, whatever it had reported before."""
    evidence = judged(project, dies=DIES_AFTER_ITS_REPORT).evidence
    assert {test.verdict for test in evidence.tests} == {"failing"}
    assert all("ended after it had reported" in test.message for test in evidence.tests)


@pytest.mark.services
def test_files_of_one_name_in_two_folders_run_beside_each_other(project: Path) -> None:
    """A new test file may have the name of one in another folder: both are run and no note is left."""
    for folder in ("tests", "generated"):
        (project / folder).mkdir()
        (project / folder / "test_prices.py").write_text(HONEST, "utf-8")
    request = VerifyRequest(tests=("generated/test_prices.py",), project=str(project), runs=2, beside=True)
    evidence = verify(request).evidence
    assert [(test.verdict, test.adds_kills) for test in evidence.tests] == [("stable", 0)]
    assert evidence.notes == ()


def test_a_plugin_that_reruns_failures_hides_no_failure() -> None:
    """The plugins that run a failed test again are kept out of every session."""
    line = arguments({"files": [], "rootdir": "."})
    assert {"no:rerunfailures", "no:flaky"} <= set(line)
