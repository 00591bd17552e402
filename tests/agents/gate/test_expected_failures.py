"""Tests that are expected to fail pass nothing, whatever they do; a strict one that passes is a failure."""

from __future__ import annotations

import pytest

from aqe.agents.gate.verify import VerifyReport, VerifyRequest, verify
from aqe.server.cli.verify_text import text_of

SUBJECT = "def area(width, height):\n    return width * height\n"
TESTS = """
import pytest
from shapes import area

@pytest.mark.xfail(reason="areas are not lengths")
def test_fails_as_expected():
    assert area(2, 3) == 5

@pytest.mark.xfail
def test_passes_unexpectedly():
    assert area(2, 3) == 6

@pytest.mark.xfail(strict=True)
def test_strictly_expected_and_passes():
    assert area(2, 3) == 6

@pytest.mark.xfail(strict=True)
def test_strictly_expected_and_fails():
    assert area(2, 3) == 5

@pytest.mark.xfail(False, reason="elsewhere")
def test_condition_does_not_hold():
    assert area(2, 1) > 0

def test_gives_up_by_itself():
    pytest.xfail("not yet" if area(2, 3) == 6 else "")
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> VerifyReport:
    """What the gate says of all six."""
    root = tmp_path_factory.mktemp("shapes")
    (root / "shapes.py").write_text(SUBJECT, "utf-8")
    (root / "test_shapes.py").write_text(TESTS, "utf-8")
    return verify(VerifyRequest(tests=("test_shapes.py",), project=str(root), runs=2, max_mutants=None))


def test_only_a_test_that_can_fail_is_stable(report: VerifyReport) -> None:
    """Expected failures have a verdict of their own with no pass, and a strict one that passes fails."""
    seen = {test.name.partition("::")[2]: (test.verdict, test.passed) for test in report.evidence.tests}
    assert seen == {
        "test_fails_as_expected": ("xfail", 0),
        "test_passes_unexpectedly": ("xfail", 0),
        "test_strictly_expected_and_passes": ("failing", 0),
        "test_strictly_expected_and_fails": ("xfail", 0),
        "test_condition_does_not_hold": ("stable", 2),
        "test_gives_up_by_itself": ("xfail", 0),
    }


def test_expected_failures_cover_and_kill_nothing(report: VerifyReport) -> None:
    """`assert area(2, 3) == 6` would notice every change of the product, but under a mark it kills none."""
    killers = {name for mutant in report.evidence.mutants for name in mutant.killed_by}
    assert killers <= {"test_shapes.py::test_condition_does_not_hold"}
    assert {(test.lines, test.mutants_killed) for test in report.evidence.tests if test.verdict == "xfail"} == {(0, 0)}


def test_report_says_why_they_prove_nothing(report: VerifyReport) -> None:
    """The text and the summary name the expected failures, their reason and a pass that nobody expected."""
    text = text_of(report)
    assert "4 expected to fail" in text
    assert "fails as expected: areas are not lengths" in text
    assert "is expected to fail, but passes (with strict=True that would be a failure)" in text
    assert "4 are expected to fail, which proves nothing" in report.summary
    assert "XPASS(strict)" in text
