"""`run`: what a change needs, by several agents side by side.

One process selects the tests of the change and runs them under coverage, another reviews the change. The selected tests
are all that may reach what changed, so their run tells which of them fail and which changed lines no test runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from aqe.agents.coverage.report import CoverageReport, CoverageRequest
from aqe.agents.fleet.joining import deadline_s, joined_evidence
from aqe.agents.fleet.report import Part, RunReport, RunRequest
from aqe.agents.fleet.side_by_side import Task, ask_agent, failed_part, side_by_side
from aqe.agents.gate.interpreter import Interpreter, find_interpreter
from aqe.agents.registry import AGENTS, run_agent
from aqe.agents.select.report import SelectReport, SelectRequest
from aqe.engine.errors import AqeError
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.settings import load_settings

REVIEW_S = 20.0
LEAST_RUN_S = 3.0
MOST_NAMED = 1500
"""With more tests than `MOST_NAMED` the whole suite runs: no command line names so many."""


def run(request: RunRequest, *, progress: Progress = silent, cancel: CancelToken | None = None) -> RunReport:
    """Do what the change needs and report it as one.

    Raises `UserError` (no-git, unknown-ref, shallow-clone, no-interpreter, ...) for what no agent could work with, and
    `Cancelled`. What goes wrong in one agent is a part of the report.
    """
    from aqe.agents.changes import read_changes

    started = time.monotonic()
    project = Path(request.project).resolve()
    progress("Reading the change")
    cancel = cancel or CancelToken()
    with cancel.reading():
        changes = read_changes(project, since=request.since)
    interpreter = find_interpreter(project, request.python, load_settings(project).python, trusted=True)
    if not changes.files:
        return _nothing(request, changes.base, interpreter, time.monotonic() - started)
    shared = {"project": str(project), "since": request.since, "python": request.python, "cwd": request.cwd}
    review = {**shared, "budget_s": request.budget_s or REVIEW_S, "seed": request.seed}
    outcomes = side_by_side(
        [
            Task("tests", check_tests, {"arguments": shared, "budget_s": request.budget_s}),
            Task("review", ask_agent, {"agent": "review", "arguments": review}),
        ],
        deadline_s=deadline_s(request.budget_s),
        progress=progress,
        cancel=cancel,
    )
    tested = outcomes["tests"].value or _Tested(None, None, (outcomes["tests"].part,))
    reviewed = outcomes["review"].value
    reports = (tested.select, tested.coverage, reviewed)
    duration_s = time.monotonic() - started
    return RunReport(
        base=changes.base,
        changed_files=len(changes.files),
        select=tested.select,
        coverage=tested.coverage,
        review=reviewed,
        parts=(*tested.parts, outcomes["review"].part),
        tests=0 if tested.coverage is None else tested.coverage.tests,
        tests_failed=0 if tested.coverage is None else tested.coverage.tests_failed,
        partial=any(report is not None and report.partial for report in reports),
        duration_s=round(duration_s, 3),
        evidence=joined_evidence(
            reports, interpreter, seed=request.seed, budget_s=request.budget_s, duration_s=duration_s
        ),
    )


@dataclass(frozen=True)
class _Tested:
    """What selecting and running gave, with a part for each of the two."""

    select: SelectReport | None
    coverage: CoverageReport | None
    parts: tuple[Part, ...]


def check_tests(arguments: dict[str, str | None], budget_s: float | None) -> _Tested:
    """Select the tests of the change and run them under coverage; in a process of its own."""
    started = time.monotonic()
    project = str(arguments["project"])
    python, since = arguments["python"], arguments["since"]
    try:
        selected: SelectReport = run_agent(AGENTS["select"], SelectRequest(project, since, python=python))
    except AqeError as error:
        return _Tested(None, None, (failed_part("select", time.monotonic() - started, error),))
    first = Part("select", "done", round(time.monotonic() - started, 3))
    if not selected.tests and not selected.whole_suite:
        return _Tested(selected, None, (first, Part("coverage", "left out", 0.0, f"No test was run: {selected.why}")))
    again = time.monotonic()
    named = tuple(test.nodeid for test in selected.tests)
    left_s = None if budget_s is None else max(LEAST_RUN_S, budget_s - (again - started))
    whole = selected.whole_suite or len(named) > MOST_NAMED
    asked = CoverageRequest(
        project, since or "HEAD", top=0, budget_s=left_s, python=python, tests=() if whole else named
    )
    try:
        covered: CoverageReport = run_agent(AGENTS["coverage"], asked)
    except AqeError as error:
        return _Tested(selected, None, (first, failed_part("coverage", time.monotonic() - again, error)))
    return _Tested(selected, _of_change(covered), (first, Part("coverage", "done", round(time.monotonic() - again, 3))))


def _nothing(request: RunRequest, base: str, interpreter: Interpreter, duration_s: float) -> RunReport:
    """The report of no change at all: every part says why it is left out."""
    why = f"Nothing changed since {base}."
    return RunReport(
        base=base,
        changed_files=0,
        select=None,
        coverage=None,
        review=None,
        parts=tuple(Part(name, "left out", 0.0, why) for name in ("select", "coverage", "review")),
        tests=0,
        tests_failed=0,
        partial=False,
        duration_s=round(duration_s, 3),
        evidence=joined_evidence((), interpreter, seed=request.seed, budget_s=request.budget_s, duration_s=duration_s),
    )


def _of_change(report: CoverageReport) -> CoverageReport:
    """The report with the gaps of functions that have a changed line: of others not all tests may have run."""
    changed = {one.path: one.lines for one in report.diff.files} if report.diff is not None else {}
    gaps = tuple(
        gap for gap in report.gaps if any(gap.line <= line <= gap.end_line for line in changed.get(gap.path, ()))
    )
    return replace(report, gaps=gaps, gaps_total=len(gaps))
