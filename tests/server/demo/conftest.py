"""A demo report of known content, for tests of the page and the score."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aqe.server.demo.scoring import Suspect, compare
from aqe.server.demo.shop import read_truth
from aqe.server.demo.story import DemoReport, ModuleResult, Step, Verification


@pytest.fixture
def sample_report() -> Callable[..., DemoReport]:
    """Makes a report: `sample_report(missed=3, alarms=1, why=...)`."""
    return make_report


def make_report(*, missed: int = 3, alarms: int = 1, why: str = "raises what nothing documents") -> DemoReport:
    """A report in which the first planted bugs but `missed` of the executable ones are suspected."""
    truth = read_truth()
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
    score = compare(truth.bugs, suspects)
    modules = tuple(
        ModuleResult(
            f"shop.{name}", (f"generated/test_{name}.py",), 20 + n, 99.0, 96.4 - 3 * n, 40 + n, 50 + n, n, 12_345, ()
        )
        for n, name in enumerate(truth.modules)
    )
    steps = (
        Step("initialize", "aqe serve --stdio", 0.0, 0.9),
        *(Step("generate_tests", f"shop.{name}", 1.0 + 8 * (n // 2), 8.0) for n, name in enumerate(truth.modules)),
        Step("verify_tests", "7 files", 33.0, 14.2),
        Step("stats", "", 47.3, 0.05),
    )
    proof = Verification(
        *(161, 161, 5, (0, 1, 2, 3, 4), 98.2, 95.1, 301, 344, "namespaces", False, "3.12.1", "0.1.0"),
        hints=("shop/pricing.py line 44: nothing fails when > becomes >=", "test_slug adds nothing to test_initials"),
    )
    excerpt = (
        '@pytest.mark.parametrize(("text", "cents"), [("12.50", 1250), ("$4.99", 499), (" 7 ", 700), ("-3", -300)])\n'
    )
    return DemoReport(
        folder="/tmp/aqe-demo-1234",
        page="/tmp/aqe-demo-1234/report.html",
        seed=0,
        duration_s=47.4,
        steps=steps,
        modules=modules,
        score=score,
        suspected=score.suspected,
        planted=len(score.found),
        met=score.met,
        verification=proof,
        memories=0,
        jobs={"done": 8},
        excerpt_file="generated/test_pricing.py",
        excerpt=excerpt + "def test_prices_are_read(text, cents):\n    assert parse_price(text) == cents",
    )
