"""`aqe coverage`: what no test reaches, ranked by risk, and what of a change is covered."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.server.cli.interrupts import working
from aqe.server.cli.output import BudgetOption, JsonOption, ProjectOption, PythonOption, give, project_at, seconds_of

if TYPE_CHECKING:
    from aqe.agents.coverage import CoverageReport


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATHS]", help="Source files or folders of which gaps are wanted (else all)."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="REF", help="Also tell which lines changed since REF no test runs.")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=0, help="How many gaps to show; 0: all.")] = 20,
    tests: Annotated[
        list[str] | None,
        typer.Option("--tests", metavar="PATH", help="Test file, folder or node id to run in place of the suite."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE", help="Run nothing: read coverage.py's data file or JSON report."),
    ] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(
            "--fail-under",
            metavar="PERCENT",
            min=0,
            max=100,
            help="Exit 1 below it: of changed lines with --since, else of lines and branches.",
        ),
    ] = None,
    budget: BudgetOption = None,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Rank the functions and branches that no test runs by risk, with reasons.

    The suite runs on a shielded tree under coverage.py in branch mode, with the project's own coverage settings; the
    project's data file stays as it is. --since REF counts the lines changed since then as diff-cover does.
    """
    from aqe.agents.coverage import CoverageRequest
    from aqe.agents.registry import AGENTS, run_agent
    from aqe.server.cli.coverage_text import text_of

    root = project_at(project)
    request = CoverageRequest(
        project=str(root),
        since=since,
        paths=tuple(paths or ()),
        top=top,
        budget_s=seconds_of(budget),
        python=python,
        cwd=str(Path.cwd()),
        tests=tuple(tests or ()),
        data=data,
    )
    with working() as (progress, cancel):
        report = run_agent(AGENTS["coverage"], request, progress=progress, cancel=cancel)
    give("coverage", report, partial(text_of, report), project=root, json=json)
    return _status(report, fail_under)


def _status(report: CoverageReport, fail_under: float | None) -> int:
    if report.partial:
        return 4
    if fail_under is None:
        return 0
    found = report.percent if report.diff is None else report.diff.percent
    if found >= fail_under:
        return 0
    what = "the changed lines" if report.diff is not None else "lines and branches"
    sys.stderr.write(f"{found:.1f} % of {what} are covered, less than --fail-under {fail_under:g}.\n")
    return 1
