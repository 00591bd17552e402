"""`aqe run`: what a change needs, by several agents side by side."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.server.cli.interrupts import working
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    SeedOption,
    give,
    project_at,
    seconds_of,
)

if TYPE_CHECKING:
    from aqe.agents.fleet import Part
    from aqe.agents.review import ReviewReport


def command(
    since: Annotated[
        str | None, typer.Option("--since", metavar="REF", help="What changed since REF (else what is not committed).")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit 1 also where the review shows an error or a warning.")
    ] = False,
    budget: BudgetOption = None,
    seed: SeedOption = 0,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Run what a change needs: its tests, the coverage of its lines, and a review, side by side.

    The tests are those that `aqe select` names; they run on a shielded tree. Exit status: 1 a test failed, else that of
    an agent that failed, else 4 where the budget was too short, else 0.
    """
    from aqe.agents.fleet import RunRequest, run
    from aqe.server.cli.fleet_text import run_text

    root = project_at(project)
    request = RunRequest(
        project=str(root),
        since=since,
        budget_s=seconds_of(budget),
        seed=seed,
        python=python,
        cwd=str(Path.cwd()),
    )
    with working() as (progress, cancel):
        report = run(request, progress=progress, cancel=cancel)
    give("run", report, partial(run_text, report), project=root, json=json)
    if report.tests_failed or (gate and is_alarming(report.review)):
        return 1
    return status_of(report.parts, report.partial)


def is_alarming(report: ReviewReport | None) -> bool:
    """Whether a review shows more than notes."""
    return report is not None and any(one.severity != "note" for one in report.findings)


def status_of(parts: Iterable[Part], partial: bool) -> int:
    """The exit status of parts that found nothing to fail for: that of the first that failed, else 4, else 0."""
    return next((part.exit_status for part in parts if part.state == "failed"), 4 if partial else 0)
