"""What pytest itself uses, what short time leaves, and what the quick way of running tests must not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.agents.gate.verify import VerifyRequest, verify

SUBJECT = """
def area(width, height):
    if width < 0:
        raise ValueError("width")
    return width * height
"""

TESTS = """
import unittest
import warnings

import pytest
from shapes import area


@pytest.fixture
def report_of_call(request):
    yield
    assert request.node.outcomes == ["passed", "passed"]


def test_folder(tmp_path):
    (tmp_path / "a").write_text(str(area(2, 3)))
    assert (tmp_path / "a").read_text() == "6"


def test_prints(capsys):
    print(area(2, 3))
    assert capsys.readouterr().out == "6\\n"


@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    assert area(2, 3) == 7


@pytest.mark.filterwarnings("error")
def test_warning_is_an_error():
    with pytest.raises(UserWarning):
        warnings.warn("now")
    assert area(1, 5) == 5


def test_hooks_of_the_conftest(report_of_call):
    assert area(4, 1) == 4


class TestOld(unittest.TestCase):
    def test_area(self):
        self.assertEqual(area(3, 3), 9)
"""

CONFTEST = """
import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    item.outcomes = [*getattr(item, "outcomes", []), outcome.get_result().outcome]
"""


@pytest.mark.services
@pytest.mark.parametrize("conftest", ["", CONFTEST], ids=["bare", "with hooks"])
def test_every_kind_of_test_kills(tmp_path: Path, conftest: str) -> None:
    """Fixtures, expected failures, warnings, unittest and hooks of a conftest mean under a mutant what they mean."""
    tests = TESTS if conftest else TESTS.replace("def test_hooks_of_the_conftest(report_of_call)", "def test_plain()")
    (tmp_path / "shapes.py").write_text(SUBJECT)
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_shapes.py").write_text(tests)
    evidence = verify(VerifyRequest(tests=("test_shapes.py",), project=str(tmp_path), runs=1)).evidence
    verdicts = {test.name.rpartition("::")[2]: test.verdict for test in evidence.tests}
    assert verdicts.pop("test_expected_to_fail") == "xfail"
    assert set(verdicts.values()) == {"stable"}
    assert not [note for note in evidence.notes if "kill map" in note]
    (product,) = [one for one in evidence.mutants if one.operator == "arithmetic"]
    killers = {name.rpartition("::")[2] for name in product.killed_by}
    named = "test_hooks_of_the_conftest" if conftest else "test_plain"
    assert killers >= {"test_folder", "test_prints", "test_area", "test_warning_is_an_error"}
    assert named not in killers  # 4 / 1 is 4


@pytest.mark.services
def test_subject_that_pytest_imports_is_measured_from_its_import_on(tmp_path: Path) -> None:
    """iniconfig, which pytest has loaded before any test runs, shows its module level as covered."""
    source = "from iniconfig import IniConfig\n"
    source += "def test_it():\n    assert IniConfig('x', data='[a]\\nb=1')['a']['b'] == '1'\n"
    request = VerifyRequest(
        tests=(), sources={"test_i.py": source}, project=str(tmp_path), subjects=("iniconfig",), runs=1, max_mutants=12
    )
    evidence = verify(request).evidence
    (measure,) = evidence.subjects
    lines = Path(measure.path).read_text().splitlines()
    missing = [lines[number - 1] for number in measure.missing_lines]
    assert not [line for line in missing if line.startswith(("import", "from", "class", "def"))]
    assert measure.lines_covered > 20
    assert evidence.mutants_killed > 0


@pytest.mark.services
def test_short_budget_claims_nothing_that_did_not_run(tmp_path: Path) -> None:
    """With a second for slow tests verify counts what ran, and says of the rest that it was not run."""
    (tmp_path / "shapes.py").write_text(SUBJECT * 8)
    slow = "import time\nfrom shapes import area\n"
    slow += "".join(f"def test_{n}():\n    time.sleep(.1)\n    assert area(2, {n}) == {2 * n}\n" for n in range(8))
    request = VerifyRequest(
        tests=(), sources={"test_s.py": slow}, project=str(tmp_path), runs=2, max_mutants=None, budget_s=1.0
    )
    report = verify(request)
    evidence = report.evidence
    assert evidence.mutants_not_run > 0
    left = sum(one.state == "left-out" for one in evidence.mutants)
    assert evidence.mutants_total == len(evidence.mutants) - left
    assert "not" in report.summary.rpartition(";")[2]
    if not evidence.subjects:
        assert "lines and branches not measured" in report.summary
