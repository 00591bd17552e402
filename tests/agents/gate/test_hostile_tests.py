"""Verify on tests that attack the harness: no verdict is forged for others, and aqe itself never breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.gate.verify import VerifyReport, VerifyRequest, verify

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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one small module."""
    (tmp_path / "prices.py").write_text(SUBJECT, "utf-8")
    return tmp_path


def judged(project: Path, **drafts: str) -> VerifyReport:
    """The report on drafts of test files."""
    sources = {f"test_{name}.py": text for name, text in drafts.items()}
    return verify(VerifyRequest(tests=(), sources=sources, project=str(project), runs=2))


def test_a_test_that_kills_its_sandbox_kills_one_mutant_not_all(project: Path) -> None:
    """Mutants whose sandbox was gone before they ran count as not run, never as killed."""
    evidence = judged(project, killer=KILLS_ITS_BOX).evidence
    assert evidence.mutants_killed <= 4
    assert any("were not run" in note for note in evidence.notes)


def test_a_test_that_speaks_for_the_harness_breaks_nothing(project: Path) -> None:
    """Messages that no session sends are passed over; the tests beside keep their verdicts."""
    evidence = judged(project, speaker=SPEAKS_FOR_THE_HARNESS, honest=HONEST).evidence
    assert {one.name: one.verdict for one in evidence.tests}["test_honest.py::test_price"] == "stable"


def test_a_file_left_in_tmp_is_no_reason_to_kill_every_mutant(project: Path) -> None:
    """A test that would fail on its own leftovers kills what its assertion kills, and no more."""
    honest = judged(project, honest=HONEST).evidence
    leaving = judged(project, leaving=LEAVES_A_FILE).evidence
    assert leaving.tests[0].verdict == "stable"
    assert leaving.mutants_killed == honest.mutants_killed < honest.mutants_total
