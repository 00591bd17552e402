"""The gate judges a real test file in real boxes: what holds, what proves something, what it kills."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from aqe.agents.gate.evidence import Evidence, TestEvidence
from aqe.agents.gate.verify import VerifyReport, VerifyRequest, verify
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken

SUBJECT = '''
"""Prices."""
LIMIT = 10


def clamp(value, low=0, high=LIMIT):
    """The value, not below low and not above high."""
    if value < low:
        return low
    if value > high:
        return high
    return value


def parts(text):
    found = []
    while "," in text:
        head, _, text = text.partition(",")
        found.append(head)
    found.append(text)
    return found


class Basket:
    def __init__(self):
        self.items = []

    def add(self, item):
        if not item:
            raise ValueError("empty item")
        self.items.append(item)
        return len(self.items)
'''

TESTS = """
import os
import unittest

import pytest

from prices import LIMIT, Basket, clamp, parts

CALLS = []


@pytest.fixture
def basket():
    return Basket()


@pytest.mark.parametrize(("value", "want"), [(1, 1), (-5, 0), (11, 10)])
def test_clamp(value, want):
    assert clamp(value) == want


def test_clamp_once_more():
    assert clamp(1) == 1


def test_parts():
    assert parts("a,b,c") == ["a", "b", "c"]


def test_add(basket):
    assert basket.add("pear") == 1
    assert basket.items == ["pear"]


def test_add_nothing(basket):
    with pytest.raises(ValueError):
        basket.add("")


def test_limit():
    assert LIMIT == 10


def test_swallows():
    try:
        assert clamp(3) == 7
    except BaseException:
        pass


def test_wrong():
    assert clamp(3) == 7, "three is no seven"


def test_order_of_a_set():
    assert sorted({"a", "b"}, key=hash) == ["a", "b"]


def test_leaves():
    os._exit(0)


class TestUnit(unittest.TestCase):
    def test_high(self):
        self.assertEqual(clamp(11), 10)

    @unittest.skip("later")
    def test_later(self):
        self.fail()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prices")
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--cov=prices -n 4'\n")
    (root / "prices.py").write_text(SUBJECT)
    (root / "tests").mkdir()
    (root / "tests" / "test_prices.py").write_text(TESTS)
    return root


@pytest.fixture(scope="module")
def report(project: Path) -> VerifyReport:
    return verify(VerifyRequest(tests=("tests/test_prices.py",), project=str(project), max_mutants=None))


def row(evidence: Evidence, name: str) -> TestEvidence:
    return next(test for test in evidence.tests if test.name == f"tests/test_prices.py::{name}")


def test_verdicts_tell_stable_failing_and_hollow_tests_apart(report: VerifyReport) -> None:
    """A passing test is stable, a failing one failing, and one that passes on a broken subject proves nothing."""
    verdicts = {test.name.partition("::")[2]: test.verdict for test in report.evidence.tests}
    assert verdicts == {
        "test_clamp[1-1]": "stable",
        "test_clamp[-5-0]": "stable",
        "test_clamp[11-10]": "stable",
        "test_clamp_once_more": "stable",
        "test_parts": "stable",
        "test_add": "stable",
        "test_add_nothing": "stable",
        "test_limit": "stable",
        "test_swallows": "passes-on-broken-twin",
        "test_wrong": "failing",
        "test_order_of_a_set": verdicts["test_order_of_a_set"],
        "test_leaves": "failing",
        "TestUnit::test_high": "stable",
        "TestUnit::test_later": "not-run",
    }


def test_failing_tests_say_why(report: VerifyReport) -> None:
    """A failed assertion is quoted with its place; a test that ends the process is named as the one that did."""
    assert "three is no seven" in row(report.evidence, "test_wrong").message
    assert "(test_prices.py:" in row(report.evidence, "test_wrong").message
    assert row(report.evidence, "test_leaves").message == "it ended the process with exit status 0"


@pytest.mark.services
def test_hash_seeds_expose_a_test_that_depends_on_set_order(project: Path) -> None:
    """A test whose outcome follows the hash seed passes in some of the runs only."""
    source = "from prices import clamp\ndef test_order():\n    assert clamp(1) and hash('a') % 2 == 0\n"
    request = VerifyRequest(tests=(), sources={"test_order.py": source}, project=str(project), runs=6, max_mutants=0)
    (test,) = verify(request).evidence.tests
    assert test.verdict == "flaky"
    assert 0 < test.passed < test.runs == 6


def test_figures_come_from_stable_tests_only(report: VerifyReport) -> None:
    """Coverage and kills are counted over the stable tests, each test's share beside what only it adds."""
    (measure,) = report.evidence.subjects
    assert (measure.module, measure.lines_total, measure.lines_covered) == ("prices", 22, 22)
    assert (measure.branches_total, measure.branches_covered) == (8, 8)
    parts = row(report.evidence, "test_parts")
    assert (parts.lines, parts.adds_lines, parts.branches) == (6, 6, 2)
    assert parts.mutants_killed == parts.adds_kills > 3
    assert row(report.evidence, "test_wrong").lines == 0


def test_kills_name_their_tests(report: VerifyReport) -> None:
    """A mutant of a default value is killed by the tests that see the value; a boundary that none looks at survives."""
    mutants = report.evidence.mutants
    limit = next(one for one in mutants if (one.line, one.replacement) == (3, "11"))
    assert limit.state == "killed"
    assert {"tests/test_prices.py::test_limit", "tests/test_prices.py::test_clamp[11-10]"} <= set(limit.killed_by)
    boundary = next(one for one in mutants if one.original == "<")
    assert (boundary.replacement, boundary.state) == ("<=", "survived")
    assert report.evidence.mutants_killed == sum(one.state == "killed" for one in mutants)
    assert report.evidence.mutants_total == sum(one.state != "left-out" for one in mutants)


def test_endless_mutants_are_killed(report: VerifyReport) -> None:
    """A mutant that makes a loop endless is ended and counts as killed by the test that ran."""
    endless = next(one for one in report.evidence.mutants if (one.operator, one.original) == ("assigned value", "[]"))
    assert endless.state == "killed"
    loops = [one for one in report.evidence.mutants if one.function == "parts"]
    assert all(one.state == "killed" for one in loops if one.operator == "comparison")


def test_surplus_tests_are_named_with_the_nearest(report: VerifyReport) -> None:
    """Of tests that do the same all but one add nothing, and the nearest other test is named."""
    surplus = {test.name.partition("::")[2]: test.nearest for test in report.evidence.tests if test.adds_nothing}
    assert surplus["test_clamp_once_more"] == "tests/test_prices.py::test_clamp[1-1]"
    assert "test_parts" not in surplus
    (hint,) = [hint for hint in report.hints if "add nothing" in hint]
    assert hint.startswith(f"{len(surplus)} tests add nothing to the others: ")
    assert "test_clamp_once_more" in hint


def test_hints_word_survivors(report: VerifyReport) -> None:
    """A surviving mutant is worded with its line, its change and what no test looks at."""
    assert any(
        hint == "prices.py line 8: `<` -> `<=` in clamp survives: no test looks at the boundary"
        for hint in report.hints
    )


def test_evidence_says_where_it_was_made(report: VerifyReport) -> None:
    """The evidence names the sandbox, the interpreter, the seeds and the versions."""
    evidence = report.evidence
    assert evidence.rung
    assert evidence.layers
    assert evidence.hash_seeds[0] == 0
    assert len(set(evidence.hash_seeds)) == evidence.runs == 5
    assert "pytest" in evidence.packages
    assert evidence.subjects[0].sha256


@pytest.mark.services
def test_the_same_mutants_are_sampled_whatever_the_tests_are(project: Path) -> None:
    """Two different drafts for one subject are measured against the same mutants."""
    drafts = (
        "from prices import clamp\ndef test_a():\n    assert clamp(3) == 3\n",
        "import prices\ndef test_b():\n    assert prices.parts('x') == ['x']\n",
    )
    chosen = []
    for draft in drafts:
        request = VerifyRequest(
            tests=(),
            sources={"test_draft.py": draft},
            project=str(project),
            runs=1,
            max_mutants=6,
            subjects=("prices",),
        )
        chosen.append([one.id for one in verify(request).evidence.mutants if one.state != "left-out"])
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 6


@pytest.mark.parametrize(
    ("sources", "subjects", "code"),
    [
        ({"test_x.py": "import prices\n"}, (), "no-tests"),
        ({"test_x.py": "def test_x():\n    pass\n"}, (), "no-subject"),
        ({"test_x.py": "def test_x():\n    pass\n"}, ("nowhere",), "module-not-found"),
        ({"test_x.py": "def test_x(:\n    pass\n"}, (), "syntax-error"),
        ({"test_x.py": "def test_x(:\n    pass\n"}, ("prices",), "syntax-error"),
        ({"test_x.py": "def test_x():\n    pass\n"}, ("broken",), "import-failed"),
        ({"test_x.py": "def test_x():\n    pass\n"}, ("leaver",), "import-exits"),
        ({"test_x.py": "def test_x():\n    pass\n"}, ("math",), "c-extension"),
        ({"../test_x.py": ""}, (), "not-python"),
        ({}, (), "no-tests"),
    ],
)
def test_mistakes_are_worded(tmp_path: Path, sources: dict[str, str], subjects: tuple[str, ...], code: str) -> None:
    """Drafts without tests, subjects that cannot be imported and the like are the user's errors, each with its code."""
    (tmp_path / "prices.py").write_text("A = 1\n")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "leaver.py").write_text("import os\nos._exit(3)\n")
    with pytest.raises(UserError) as caught:
        verify(VerifyRequest(tests=(), sources=sources, project=str(tmp_path), subjects=subjects, runs=2))
    assert caught.value.code == code


def test_test_file_that_does_not_parse_is_a_verdict(project: Path) -> None:
    """A syntax error in a test file is reported as a failing file, beside the verdicts of the other file."""
    sources = {
        "test_bad.py": "def test_x(:\n",
        "test_good.py": "from prices import clamp\ndef test_y():\n    assert clamp(2) == 2\n",
    }
    request = VerifyRequest(tests=(), sources=sources, project=str(project), runs=2, max_mutants=0)
    verdicts = {test.name: (test.verdict, test.message) for test in verify(request).evidence.tests}
    assert verdicts["test_good.py::test_y"][0] == "stable"
    verdict, message = verdicts["test_bad.py"]
    assert verdict == "failing"
    assert "SyntaxError" in message


def test_cancel_ends_a_run(project: Path) -> None:
    """A cancelled run raises Cancelled, although a test sleeps."""
    source = "import time\nfrom prices import clamp\ndef test_sleeps():\n    time.sleep(60)\n    assert clamp(1)\n"
    cancel = CancelToken()
    moments: list[float] = []

    def progress(text: str, done: float = 0.0, total: float | None = None) -> None:
        if text.startswith("running the tests"):
            threading.Timer(0.5, lambda: (moments.append(time.monotonic()), cancel.cancel())).start()

    with pytest.raises(Cancelled):
        verify(
            VerifyRequest(tests=(), sources={"test_s.py": source}, project=str(project), runs=2),
            progress=progress,
            cancel=cancel,
        )
    assert time.monotonic() - moments[0] < 30  # the test that was running sleeps for 60


@pytest.mark.services
def test_budget_leaves_mutants_out_and_says_so(project: Path) -> None:
    """When the budget ends, the mutants that were not run are not counted and a note names their number."""
    source = "import time\nfrom prices import clamp\ndef test_slow():\n    time.sleep(.4)\n    assert clamp(1) == 1\n"
    request = VerifyRequest(
        tests=(), sources={"test_slow.py": source}, project=str(project), runs=1, max_mutants=None, budget_s=2.0
    )
    evidence = verify(request).evidence
    assert evidence.mutants_not_run > 0
    assert any(note.startswith(f"{evidence.mutants_not_run} of ") for note in evidence.notes)
    assert evidence.mutants_total < 30


@pytest.mark.services
def test_beside_compares_with_the_tests_that_exist(project: Path) -> None:
    """A draft that repeats a test of the project adds nothing, and that test is named; a new one adds."""
    source = (
        "from prices import Basket, clamp\n"
        "def test_repeats():\n    assert clamp(11) == 10\n"
        "def test_is_new():\n    assert clamp(0, 0) == 0 and Basket().add('x') == 1\n"
    )
    extra = project / "tests" / "test_clamp_only.py"
    extra.write_text("from prices import clamp\ndef test_there():\n    assert clamp(11) == 10\n")
    try:
        request = VerifyRequest(
            tests=(), sources={"test_d.py": source}, project=str(project), runs=1, max_mutants=30, beside=True
        )
        tests = {test.name: test for test in verify(request).evidence.tests}
    finally:
        extra.unlink()
    assert set(tests) == {"test_d.py::test_repeats", "test_d.py::test_is_new"}
    assert tests["test_d.py::test_repeats"].adds_nothing
    assert tests["test_d.py::test_repeats"].nearest == "tests/test_clamp_only.py::test_there"


@pytest.mark.services
def test_settings_of_the_project_hold_for_verify_too(tmp_path: Path) -> None:
    """The interpreter and the box's memory are those of `[tool.aqe]`, and a wrong setting is said."""
    (tmp_path / "prices.py").write_text(SUBJECT)
    source = "from prices import clamp\ndef test_hog():\n    assert clamp(len(bytearray(300_000_000))) == 10\n"

    def judged(table: str) -> TestEvidence:
        (tmp_path / "pyproject.toml").write_text(table)
        request = VerifyRequest((), str(tmp_path), ("prices",), runs=1, max_mutants=0, sources={"test_d.py": source})
        return verify(request).evidence.tests[0]

    assert judged("[tool.aqe.sandbox]\nmemory_mb = 1024\n").verdict == "stable"
    assert judged("[tool.aqe.sandbox]\nmemory_mb = 128\n").verdict == "failing"
    with pytest.raises(UserError, match=r"nowhere/python.*no-interpreter"):
        judged('[tool.aqe]\npython = "nowhere/python"\n')
    with pytest.raises(UserError, match="unknown-setting"):
        judged("[tool.aqe]\npyhton = 'x'\n")
