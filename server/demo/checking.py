"""The demo's second half: the flaky suite, what it leaves out, and the review of a bad change."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from aqe.server.demo.script import Script, keep_base, make_change
from aqe.server.demo.session import Session
from aqe.server.demo.shop import Truth
from aqe.server.demo.tally import (
    FlakyTally,
    GapTally,
    ReviewTally,
    Selection,
    compare_flaky,
    compare_gaps,
    compare_review,
    compare_selection,
)

FLAKY_RUNS = 12
FLAKY_S = 60.0
GAPS = 40
COVERAGE_S = 30.0
REVIEW_S = 20.0
STATE = "state"
"""Beside the shop: what its tests leave from run to run."""


async def hunt(session: Session, truth: Truth, seed: int) -> FlakyTally:
    """Hunt for flaky tests in the whole suite."""
    session.begin("flaky")
    arguments = {"runs": FLAKY_RUNS, "seed": seed, "budget_s": FLAKY_S}
    return compare_flaky(truth.flaky, await session.job("find_flaky_tests", arguments, hunted))


def hunted(report: Mapping[str, Any]) -> tuple[str, str]:
    """What the hunt reported."""
    flaky = [entry for entry in report["tests"].values() if entry["flaky"]]
    return f"{len(flaky)} of {len(report['tests'])} tests are flaky", f"{report['executions']} runs of the suite"


async def rank_gaps(session: Session, truth: Truth) -> GapTally:
    """Measure the suite and rank what it leaves out."""
    session.begin("coverage")
    arguments = {"top": GAPS, "budget_s": COVERAGE_S}
    return compare_gaps(truth.untested, await session.job("coverage_gaps", arguments, measured))


def measured(report: Mapping[str, Any]) -> tuple[str, str]:
    """What the suite covers and which gap comes first."""
    gaps = report["gaps"]
    first = f"; first {gaps[0]['name']}: {', '.join(gaps[0]['reasons'])}" if gaps else ""
    came = f"{report['lines_percent']:.1f} % of lines, {report['branches_percent']:.1f} % of branches, {len(gaps)} gaps"
    return came + first, f"one run of {report['tests']} tests under coverage.py"


async def record_map(session: Session, shop: Path) -> None:
    """Run the suite as its owner would, with the map of what each test executes recorded for the selection."""
    session.begin("select")
    command = [sys.executable, "-m", "aqe.server.cli", "execute", "--map", "--project", str(shop)]
    start = session.now()
    session.say("the suite runs once and leaves a map")
    environ = os.environ | {"SHOP_STATE": str(shop.parent / STATE)}
    done = await anyio.run_process(command, check=False, cwd=shop, env=environ)
    lines = done.stdout.decode("utf-8", "replace").split("\n")
    told = next((line.strip() for line in reversed(lines) if " passed" in line), f"exit status {done.returncode}")
    session.note("aqe execute --map", {}, start, (told, "what each test executes is recorded"))


def change_shop(shop: Path, script: Script) -> None:
    """Keep the shop as it is in a commit, where there is git, and make the bad change in it."""
    keep_base(shop)
    make_change(shop, script.edits)


async def select(session: Session, script: Script) -> Selection:
    """Which tests the change needs."""
    return compare_selection(script.breaks, await session.job("select_tests", {"since": "HEAD"}, chosen))


def chosen(report: Mapping[str, Any]) -> tuple[str, str]:
    """How many tests were chosen, and why."""
    tests = report["tests"]
    reasons = "; ".join(f"{test['nodeid']}: {test['reason']}" for test in tests[:1])
    return f"{len(tests)} of {report['all_tests']} tests", reasons or str(report.get("why") or "")


async def review(session: Session, script: Script) -> ReviewTally:
    """Have the change reviewed."""
    session.begin("review")
    arguments = {"since": "HEAD", "message": script.message, "budget_s": REVIEW_S}
    return compare_review(script, await session.job("review_changes", arguments, reviewed))


def reviewed(report: Mapping[str, Any]) -> tuple[str, str]:
    """How many findings there are, and what was executed for them."""
    findings = report["findings"]
    hidden = f" and {report['hidden']} not shown" if report.get("hidden") else ""
    figures = report.get("figures") or {}
    compared = figures.get("functions_compared", 0)
    evidence = f"old and new version of {compared} functions executed on the same inputs" if compared else ""
    return f"{len(findings)} findings{hidden} in {report['changed_lines']} changed lines", evidence
