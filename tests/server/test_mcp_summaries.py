"""What an assistant is told of a report: complete in itself, short, and what to do next."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from aqe.agents.coverage import CoverageReport, DiffCoverage, FileDiff, Gap
from aqe.agents.execute import ExecuteReport, TestFailure
from aqe.agents.flaky import FlakyReport, TestVerdict
from aqe.agents.gate.evidence import Evidence
from aqe.agents.review import Finding, NotCompared, ReviewFigures, ReviewReport
from aqe.agents.select import SelectedTest, SelectReport
from aqe.server.mcp.answers import LARGEST_ANSWER_BYTES
from aqe.server.mcp.summaries import figures_of, hints_of, list_of, sources_of, summary_of

NOTHING = Evidence("1", "3.12", "python", {}, "none", False, (), (), 0, (), 1, None, 1.0, (), (), (), 0, 0, 0)
Report = dict[str, Any]


def plain(report: Any) -> Report:
    """A report as it lies in the job table."""
    found: Report = json.loads(json.dumps(asdict(report)))
    return found


def flaky(**tests: TestVerdict) -> Report:
    """The report of a hunt through these tests."""
    count = [test.verdict for test in tests.values()].count
    found = FlakyReport(
        {f"t.py::{name}": test for name, test in tests.items()},
        executions=15,
        runs=12,
        diagnosis=3,
        test_executions=40,
        flaky=count("flaky"),
        broken=count("broken"),
        stable=count("stable"),
        duration_s=3.0,
        seed=0,
        partial=False,
        isolation="copy",
        evidence=NOTHING,
    )
    return plain(found)


def test_hunt_tells_cause_and_where_the_command_is() -> None:
    """Flaky tests come first with cause in words; broken ones are told apart; each command stands in the list."""
    victim = TestVerdict(
        True, "flaky", "order", ("t.py::test_b",), 0.99, "pytest t.py::test_b t.py::test_a", "why", passed=8, failed=4
    )
    broken = TestVerdict(False, "broken", message="assert 1\n == 2", failed=12)
    report = flaky(test_b=TestVerdict(False, "stable", passed=12), test_c=broken, test_a=victim)
    assert summary_of("flaky", report) == (
        "1 flaky test among 3 after 12 runs of the suite and 3 experiments; 1 failed in every run (broken, not flaky)."
    )
    hints = hints_of("flaky", report)
    assert hints[0] == (
        "t.py::test_a: flaky; depends on the order (order); red in 4 of 12 runs; fails after t.py::test_b"
    )
    assert "detail='tests'" in hints[1]
    assert hints[2] == "t.py::test_c is broken: assert 1 == 2"
    listed = list_of("flaky", report, Path()).splitlines()
    assert [line.partition(":")[2].partition(":")[0] + line.partition("::")[2][:6] for line in listed]
    assert listed[0].endswith("; pytest t.py::test_b t.py::test_a")
    assert figures_of("flaky", report)["flaky"] == 1


def test_hunt_after_one_test_explains_it() -> None:
    """Asked for one test the summary is its verdict, and the hints its command and what to do."""
    victim = TestVerdict(
        True, "flaky", "async_wait", repro="pytest t.py::test_a", why="It passes and fails.", failed=1, advice="Wait."
    )
    report = flaky(test_a=victim)
    assert "t.py::test_a: flaky; does not wait for what it started (async_wait)" in summary_of("flaky", report)
    assert hints_of("flaky", report) == ["reproduce: pytest t.py::test_a", "Wait."]
    assert summary_of("flaky", flaky(test_a=TestVerdict(False, "stable"))).endswith("t.py::test_a: stable.")


def test_hunt_that_found_nothing_is_no_promise() -> None:
    """Where no test flipped it is said that rare flakes need more runs."""
    names = {f"test_{number}": TestVerdict(False, "stable") for number in range(3)}
    assert "0 flaky tests among 3" in summary_of("flaky", flaky(**names))
    assert "more runs" in summary_of("flaky", flaky(**names))


def coverage(gaps: tuple[Gap, ...] = (), diff: DiffCoverage | None = None, **more: Any) -> Report:
    """A coverage report with these gaps."""
    rest: dict[str, Any] = {"tests": 9, "tests_failed": 0, "failures": (), "partial": False, "evidence": NOTHING}
    found = CoverageReport(gaps, len(gaps) + 4, 5, 2, 1, 100, 80, 80.0, 10, 5, 50.0, 77.3, diff, **{**rest, **more})
    return plain(found)


def test_gaps_come_with_risk_and_target() -> None:
    """A gap has place, kind, risk and reasons, and what to give to generate_tests; missing changed lines come first."""
    gap = Gap("a.py", "pay", 3, 9, "branch", (4, 5, 6, 8), ((3, 8),), 61.5, "high", ("it raises",), 4, 1, 2, "a")
    top = Gap("a.py", "<module>", 1, 2, "line", (1,), (), 5.0, "low", ("few lines",), 1, 0, 0)
    diff = DiffCoverage("main", (FileDiff("a.py", (4, 5, 6), (5, 6), ()),), 3, 1, 33.3)
    report = coverage((gap, top), diff, partial=True, tests_failed=1)
    assert hints_of("coverage", report) == [
        "changed and not run: a.py lines 5-6",
        "a.py:3 pay (an arm is missing, risk 62): it raises; generate_tests target=a.py::pay",
        "a.py:1 <module> (lines are missing, risk 5): few lines",
    ]
    summary = summary_of("coverage", report)
    assert "Of the change since main: 1 of 3 lines run. 1 of 9 tests failed." in summary
    assert "unknown, not fine" in summary
    listed = list_of("coverage", report, Path()).splitlines()
    assert listed[0] == "a.py:3 pay branch, risk 62 (high); lines 4-6, 8; branches 3->8; it raises"
    assert listed[-1] == "4 more: ask with a larger top"
    assert figures_of("coverage", report)["changed_lines_percent"] == 33.3


def review(findings: tuple[Finding, ...] = (), scope: str = "changes", **more: Any) -> Report:
    """A review with these findings."""
    figures = ReviewFigures(
        2, 5, 3, functions_changed=3, functions_compared=2, not_compared=(NotCompared("a.py", "A.run", "it is async"),)
    )
    found = ReviewReport(scope, "HEAD", "the working tree", findings, 0, 0, 8, figures, NOTHING)
    return {**plain(found), **more}


def test_findings_come_with_what_was_executed() -> None:
    """A finding has severity, rule, place and evidence; what was not executed is named; nothing is nothing."""
    finding = Finding(
        "0a1b",
        "behaviour-changed",
        "warning",
        0.8,
        "a.py",
        7,
        9,
        "pay",
        "pay(2) returned 1, now returns 2",
        ("99 calls",),
    )
    report = review((finding,), hidden=3)
    assert summary_of("review", report) == (
        "1 finding (1 warning) and 3 more of less weight: 8 changed lines in 2 files (HEAD to the working tree); old "
        "and new version of 2 of 3 changed functions executed on the same inputs."
    )
    assert hints_of("review", report) == [
        "warning behaviour-changed a.py:7: pay(2) returned 1, now returns 2; 99 calls",
        "not executed: A.run (it is async)",
    ]
    assert list_of("review", report, Path()).startswith("0a1b warning behaviour-changed a.py:7")
    assert figures_of("review", report) | {"findings": 4, "warnings": 1} == figures_of("review", report)
    assert summary_of("review", review()).startswith("Nothing to report: 8 changed lines")
    assert "0 tests in 2 files" in summary_of("review", review(scope="tests"))


def select(count: int, run: ExecuteReport | None = None, **more: Any) -> Report:
    """A selection of so many tests of ten."""
    tests = tuple(SelectedTest(f"t.py::test_{number}", "executes a.pay", number / 10) for number in range(count))
    why = f"{count} of 10 tests are needed for what changed since HEAD."
    found = SelectReport("HEAD", "the working tree", tests, 10, False, why, 1, run, (), False, NOTHING)
    return {**plain(found), **more}


def ran(*failures: TestFailure) -> ExecuteReport:
    """The run of two tests with these failures."""
    bad = len(failures)
    return ExecuteReport(
        "r", "python", "3.12", "9", (), int(bool(bad)), 1.0, 2, 2 - bad, bad, 0, 0, 0, 0, 0, failures, (), 2
    )


def test_selection_says_what_to_do_or_what_failed() -> None:
    """Without a run the reasons come and that none ran; with one the failures, each with why it was run."""
    assert summary_of("select", select(2)) == (
        "2 of 10 tests are needed for what changed since HEAD; none was run: call again with run=true."
    )
    assert hints_of("select", select(1)) == ["t.py::test_0: executes a.pay"]
    failed = select(2, ran(TestFailure("t.py::test_1", "failed", "assert 1\n  == 2", 4)))
    assert summary_of("select", failed) == (
        "2 of 10 tests are needed for what changed since HEAD; 2 tests ran, 1 failed."
    )
    assert hints_of("select", failed) == ["failed: t.py::test_1: assert 1 == 2 (it ran because: executes a.pay)"]
    assert sources_of("select", failed) == ("t.py",)
    assert summary_of("select", select(2, ran())).endswith("2 tests ran, none failed.")
    assert list_of("select", select(2), Path()).splitlines()[0] == "t.py::test_1: executes a.pay"


def test_selection_that_is_empty_or_everything_says_why() -> None:
    """Neither an empty selection nor the whole suite goes without its reason."""
    nothing = select(0, why="No test is needed: nothing changed since HEAD.")
    assert summary_of("select", nothing) == "No test is needed: nothing changed since HEAD."
    whole = select(10, whole_suite=True, why="The whole suite, 10 tests: no map is recorded.")
    assert summary_of("select", whole).startswith("The whole suite, 10 tests: no map is recorded; none was run")


@pytest.mark.parametrize("agent", ["flaky", "coverage", "review", "select"])
def test_summary_and_hints_of_a_large_report_fit_an_answer(agent: str) -> None:
    """With hundreds of long entries the summary and its hints, which are sent twice, stay below the limit."""
    long = "x" * 900
    reports = {
        "flaky": flaky(**{f"test_{n}_{long}": TestVerdict(True, "flaky", "order", why=long) for n in range(200)}),
        "coverage": coverage(
            tuple(Gap("a.py", long, n, n, "line", (n,), (), 9.0, "low", (long,), 1, 0, 0) for n in range(200))
        ),
        "review": review(
            tuple(Finding(f"{n}", "clone", "note", 0.5, "a.py", n, n, "f", long, (long,)) for n in range(200))
        ),
        "select": select(9, ran(*(TestFailure(f"t.py::{long}", "failed", long, 1) for _ in range(200)))),
    }
    shown = [summary_of(agent, reports[agent]), *hints_of(agent, reports[agent])]
    assert 2 * len(json.dumps(shown)) <= LARGEST_ANSWER_BYTES - 500
    assert "more (detail='report')" in shown[-1]


def test_what_memory_says_comes_last_with_its_source() -> None:
    """Two lines of what others left in memory are told, apart from what was measured."""
    advice = [{"about": "a.py", "text": f"lesson {number}", "source": f"notes/{number}"} for number in range(3)]
    hints = hints_of("select", {**select(9), "advice": advice})
    assert hints[6:] == [
        "memory on a.py: lesson 0 [notes/0]",
        "memory on a.py: lesson 1 [notes/1]",
        "and 3 more (detail='report')",
    ]
