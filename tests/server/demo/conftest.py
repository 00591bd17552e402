"""A demo report of known content, for tests of the page and the score."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aqe.server.demo.report import Asked, DemoReport, ModuleResult, Verification
from aqe.server.demo.scoring import Score, Suspect, compare
from aqe.server.demo.script import Script, read_script
from aqe.server.demo.session import Step
from aqe.server.demo.shop import Truth, read_truth
from aqe.server.demo.tally import (
    FlakyTally,
    GapTally,
    Lesson,
    Passage,
    Quote,
    ReviewTally,
    Told,
    bugs_bar,
    compare_flaky,
    compare_gaps,
    compare_review,
    compare_selection,
    lessons_bar,
)


@pytest.fixture
def sample_report() -> Callable[..., DemoReport]:
    """Makes a report: `sample_report(missed=3, alarms=1, why=...)`."""
    return make_report


def make_report(
    *, missed: int = 3, alarms: int = 1, why: str = "raises what nothing documents", failed: bool = False
) -> DemoReport:
    """A report in which of each table the first planted entries but `missed` are found (of the bugs, the executable
    ones), and `alarms` bugs are false ones; with `failed` the hunt for flaky tests has failed."""
    truth, script = read_truth(), read_script()
    score = sample_score(truth, missed, alarms, why)
    flaky = None if failed else sample_flaky(truth, missed, why)
    gaps, review = sample_gaps(truth, missed, why), sample_review(script, missed, why)
    tests = [{"nodeid": test, "reason": "it runs quarter, which changed", "risk": 0.4} for test in script.breaks]
    selection = compare_selection(script.breaks, {"tests": tests, "all_tests": 71, "whole_suite": False, "why": ""})
    lessons = sample_lessons(script)
    bars = [bugs_bar(score), *([flaky.bar()] if flaky else []), gaps.bar(), review.bar(), selection.bar()]
    bars.append(lessons_bar(lessons))
    modules = tuple(
        ModuleResult(
            f"shop.{name}", (f"generated/test_{name}.py",), 20 + n, 99.0, 96.4 - 3 * n, 40 + n, 50 + n, n, 12_345, ()
        )
        for n, name in enumerate(truth.modules)
    )
    excerpt = (
        '@pytest.mark.parametrize(("text", "cents"), [("12.50", 1250), ("$4.99", 499), (" 7 ", 700), ("-3", -300)])\n'
    )
    return DemoReport(
        folder="/tmp/aqe-demo-1234",
        page="/tmp/aqe-demo-1234/report.html",
        seed=0,
        duration_s=147.4,
        steps=sample_steps(truth, failed),
        bars=tuple(bars),
        asked=Asked(script.question, Told(True, 0.86, (Quote("a", "docs/pricing.md", 6, "5 % from 10 on."),)), True),
        modules=modules,
        score=score,
        suspected=score.suspected,
        planted=len(score.found),
        flaky=flaky,
        gaps=gaps,
        selection=selection,
        review=review,
        lessons=lessons,
        met=all(row.met for row in bars) and not failed,
        verification=Verification(
            *(161, 161, 5, (0, 1, 2, 3, 4), 98.2, 95.1, 301, 344, "namespaces", False, "3.12.1", "0.1.0"),
            hints=("shop/pricing.py line 44: nothing fails when > becomes >=", "test_slug adds nothing to test_a"),
        ),
        memories=375,
        namespaces={"index/code": 84, "index/docs": 11, "knowledge/flaky": 22},
        jobs={"done": 12},
        test_outcomes=1380,
        store_bytes=4_251_376,
        excerpt_file="generated/test_pricing.py",
        excerpt=excerpt + "def test_prices_are_read(text, cents):\n    assert parse_price(text) == cents",
    )


def sample_score(truth: Truth, missed: int, alarms: int, why: str) -> Score:
    """The executable bugs but the last `missed`, and some false alarms."""
    executable = [bug for bug in truth.bugs if bug.found_by == "execution"]
    suspects = [
        Suspect(
            module=bug.module,
            target=bug.function,
            kind="undocumented-exception" if bug.raises else "docstring-broken",
            line=bug.line,
            why=f"{bug.function} {why}: {bug.why}",
            reproduction=f"from {bug.module} import {bug.function.split('.')[0]}\n\n{bug.function}('')",
            exception=bug.raises,
        )
        for bug in executable[: len(executable) - missed]
    ]
    suspects += [
        Suspect("shop.dates", "quarter", "undocumented-exception", 0, why, "quarter(None)", "AttributeError")
    ] * alarms
    return compare(truth.bugs, suspects)


def sample_flaky(truth: Truth, missed: int, why: str) -> FlakyTally:
    """The planted flaky tests but the last `missed`, and a stable test."""
    tests = {
        test.id: {
            "flaky": True,
            "verdict": "flaky",
            "category": test.category,
            "polluters": list(test.partners),
            "score": 0.98,
            "why": why,
            "repro": f"/usr/bin/python3.12 -m pytest {test.id}",
        }
        for test in truth.flaky[: len(truth.flaky) - missed]
    }
    tests["tests/test_dates.py::test_quarter_of_december"] = {"flaky": False, "verdict": "stable"}
    return compare_flaky(truth.flaky, {"tests": tests, "executions": 18, "partial": False})


def sample_gaps(truth: Truth, missed: int, why: str) -> GapTally:
    """The untested functions but the last `missed`, one line of another, and the figures of the suite."""
    gaps = [
        {"path": file, "name": name, "kind": "function", "risk": 60.0 - rank, "reasons": [why, "its name is public"]}
        for rank, (file, name) in enumerate(truth.untested[: len(truth.untested) - missed])
    ]
    gaps.append({"path": "shop/dates.py", "name": "quarter", "kind": "branch", "risk": 3.0, "reasons": [why]})
    figures = {"gaps_total": len(gaps), "lines_percent": 83.44, "branches_percent": 71.2}
    return compare_gaps(truth.untested, {"gaps": gaps, **figures})


def sample_review(script: Script, missed: int, why: str) -> ReviewTally:
    """A finding for each planted flaw but the last `missed`, and one of a harmless function."""
    findings = [
        {
            "id": f"{number:012x}",
            "rule": flaw.rules[0].replace("*", "no-assertion"),
            "severity": "warning",
            "path": flaw.file,
            "line": 12,
            "name": flaw.name,
            "message": f"{flaw.name} {why}",
            "evidence": ["15 of 195 calls that were tried on both versions differ"],
        }
        for number, flaw in enumerate(script.planted[: len(script.planted) - missed])
    ]
    figures = {"functions_changed": 14, "functions_compared": 12}
    file, name = script.harmless[0]
    findings.append(dict(findings[0], id="f" * 12, path=file, name=name))
    return compare_review(script, {"findings": findings, "hidden": 2, "changed_lines": 65, "figures": figures})


def sample_lessons(script: Script) -> tuple[Lesson, ...]:
    """Each lesson of the script, learned."""
    known = Quote("b", "shop/client.py", 92, "async def names(self, skus: list[str]) -> dict[str, str]:")
    ranking = (Passage("shop/client.py:92", "names", 1.0, 0.0), Passage("shop/inventory.py:131", "name", 0.98, -0.33))
    return tuple(
        Lesson(
            prompt=plan.prompt,
            given="rating 1 of 5 for the first quote",
            why=plan.why,
            before=Told(True, 0.64, (known,), ranking),
            after=Told(True, 0.71, (Quote("c", "", 0, plan.words), known), ranking),
            marked=1,
            changed=True,
            helped=True,
        )
        for plan in script.lessons
    )


def sample_steps(truth: Truth, failed: bool) -> tuple[Step, ...]:
    """A step for each stage."""
    return (
        Step("ask", "initialize", "", {}, 0.0, 0.9, "The server runs", "aqe serve --stdio, a process of its own"),
        *(
            Step("generate", "generate_tests", f"shop.{name}", {"target": f"shop/{name}.py"}, 1 + n, 8.0, "20 tests")
            for n, name in enumerate(truth.modules)
        ),
        Step("verify", "verify_tests", "7 files", {"paths": ["a.py", "b.py"]}, 33.0, 14.2, "161 of 161 stable"),
        Step("flaky", "find_flaky_tests", "", {"runs": 12}, 47.2, 40.0, "no such tool" if failed else "8", "", failed),
        Step("stats", "stats", "", {}, 147.3, 0.05, "375 memories"),
    )
