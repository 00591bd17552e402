"""`generate --coverage-gaps`: measure the suite, write tests for its riskiest gaps, measure what they close."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from aqe.agents.coverage import CoverageRequest, Gap, coverage
from aqe.agents.coverage.measured import FileCoverage
from aqe.agents.coverage.running import run_covered
from aqe.agents.gate.interpreter import find_interpreter
from aqe.agents.generate import files
from aqe.agents.generate.report import GenerateReport, GenerateRequest, WorkedGap
from aqe.agents.generate.run import generate
from aqe.agents.generate.target import resolve_all, search_path
from aqe.engine.errors import AqeError, Cancelled, OutOfTime
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.settings import load_settings

SUFFIX = "gaps"
MEASURE_SHARE = 0.5  # of the budget, for the suite that shows the gaps
LEAST_SHARE = 0.3  # of the budget, for the generator
GAP_S = 8.0  # of the generator for each gap, where no budget is given
AFTER_S = 4.0


@dataclass(frozen=True)
class GapsRequest:
    """Which gaps to work on: the `count` riskiest, of the source files or folders in `paths` where any is named.

    `budget_s` is wall time in seconds of all of it, the suite's run included; without it the suite takes what it
    takes. The rest is as in `GenerateRequest`.
    """

    project: str
    count: int = 5
    paths: tuple[str, ...] = ()
    out: str | None = None
    budget_s: float | None = None
    seed: int = 0
    evaluations: int | None = None
    python: str | None = None
    suffix: str | None = None
    cwd: str | None = None


def close_gaps(
    request: GapsRequest,
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
    stop: CancelToken | None = None,
) -> GenerateReport:
    """Write verified tests for the riskiest gaps and report, by a run of them under coverage, what they close.

    Raises what `coverage` and `generate` raise, and `OutOfTime` where the suite takes more than half of the budget.
    """
    started = time.monotonic()
    cancel = cancel or CancelToken()
    project = Path(request.project).resolve()
    gaps = _gaps(request, progress, cancel)
    if not gaps:
        return _nothing(request)
    what = f"the {len(gaps)} riskiest gaps" if len(gaps) > 1 else "the riskiest gap"
    asked = GenerateRequest(
        target=what,
        project=request.project,
        out=request.out,
        budget_s=_generator_s(request, len(gaps), time.monotonic() - started, project),
        seed=request.seed,
        evaluations=request.evaluations,
        python=request.python,
        suffix=request.suffix or _free_suffix(request, gaps, project),
        targets=tuple(f"{gap.path}::{gap.name}" for gap in gaps),
    )
    report = generate(asked, progress=progress, cancel=cancel, stop=stop)
    left_s = None if request.budget_s is None else 1.5 * request.budget_s - (time.monotonic() - started)
    measured, note = _measure(report, request, left_s, progress, cancel)
    worked = tuple(_worked(gap, measured.get(gap.path)) for gap in gaps)
    return replace(report, gaps=worked, notes=(*report.notes, *([note] if note else [])))


def _gaps(request: GapsRequest, progress: Progress, cancel: CancelToken) -> list[Gap]:
    """The riskiest gaps that a test can be written for."""
    limit = None if request.budget_s is None else MEASURE_SHARE * request.budget_s
    found = coverage(
        CoverageRequest(
            project=request.project, paths=request.paths, top=0, budget_s=limit, python=request.python, cwd=request.cwd
        ),
        progress=progress,
        cancel=cancel,
    )
    if found.partial:
        raise OutOfTime(
            "The suite did not end in half of the budget, so its gaps are not known; nothing was written.",
            code="out-of-time",
            fix="Give a larger --budget, or leave it out.",
        )
    return [gap for gap in found.gaps if gap.module][: request.count]


def _generator_s(request: GapsRequest, count: int, spent_s: float, project: Path) -> float | None:
    if request.evaluations is not None:
        return None
    if request.budget_s is None:
        return max(load_settings(project).budget, GAP_S * count)
    return max(LEAST_SHARE * request.budget_s, request.budget_s - spent_s - AFTER_S)


def _free_suffix(request: GapsRequest, gaps: list[Gap], project: Path) -> str:
    """A word at the end of the files' names with which no file of an earlier run is replaced."""
    folder = files.output_folder(project, request.out)
    subjects = resolve_all([gap.path for gap in gaps], project)
    number = 1
    while True:
        suffix = SUFFIX if number == 1 else f"{SUFFIX}{number}"
        if not any((folder / name).exists() for name in files.file_names(subjects, suffix).values()):
            return suffix
        number += 1


def _measure(
    report: GenerateReport, request: GapsRequest, left_s: float | None, progress: Progress, cancel: CancelToken
) -> tuple[dict[str, FileCoverage], str]:
    """What the written tests alone reach, in the user's environment; a note where that could not be measured."""
    project = Path(request.project).resolve()
    if not report.files:
        return {}, ""
    asked = CoverageRequest(
        project=str(project), tests=report.files, budget_s=None if left_s is None else max(AFTER_S, left_s)
    )
    try:
        interpreter = find_interpreter(project, request.python, load_settings(project).python, trusted=True)
        roots = [root for root in search_path(project) if root.is_relative_to(project)]
        run = run_covered(asked, interpreter, progress, cancel, import_from=roots)
    except Cancelled:
        raise
    except AqeError as error:
        return {}, f"What the tests close could not be measured: {error.message}"
    note = f"{len(run.failures)} of the written tests fail outside the sandbox." if run.failures else ""
    return dict(run.measured.files), note


def _worked(gap: Gap, after: FileCoverage | None) -> WorkedGap:
    ran = after.ran if after is not None else frozenset[int]()
    taken = after.arms_ran if after is not None else frozenset[tuple[int, int]]()
    lines = tuple(line for line in gap.missing_lines if line not in ran)
    arms = tuple(arc for arc in gap.missing_branches if arc not in taken)
    state: Literal["closed", "partly", "open"] = "partly"
    if not lines and not arms:
        state = "closed"
    elif len(lines) == len(gap.missing_lines) and len(arms) == len(gap.missing_branches):
        state = "open"
    return WorkedGap(
        path=gap.path,
        name=gap.name,
        line=gap.line,
        risk=gap.risk,
        lines=len(gap.missing_lines),
        branches=len(gap.missing_branches),
        lines_left=lines,
        branches_left=arms,
        state=state,
    )


def _nothing(request: GapsRequest) -> GenerateReport:
    where = f" of {', '.join(request.paths)}" if request.paths else ""
    return GenerateReport(
        target=f"gaps{where}",
        files=(),
        tests=0,
        evidence=None,
        suspects=(),
        unreached=(),
        executions=0,
        notes=("The suite leaves no gap in a function that could be called.",),
    )
