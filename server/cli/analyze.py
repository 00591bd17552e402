"""`aqe analyze`: the state of a project from three sides, as one report."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from aqe.engine.budget import parse_budget
from aqe.engine.progress import CancelToken
from aqe.engine.project import as_seen_from_here, find_project
from aqe.server.cli.interrupts import stopped_by_signals
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    SeedOption,
    json_object,
    keep_result,
    print_json,
    refuse_output,
    terminal_progress,
    write_output,
)
from aqe.server.cli.run import is_alarming, status_of

TOP = 20


def command(
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="REF", help="Review what changed since REF (else what is not committed)."),
    ] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="Let nothing leave this machine, whatever the settings allow: privacy mode strict."
        ),
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write the report as one self-contained page.")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", metavar="N", min=0, help="How many gaps to report; 0: all. Else 20, and the text shows 5."
        ),
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit 1 if a test failed or a finding is more than a note.")
    ] = False,
    budget: BudgetOption = None,
    seed: SeedOption = 0,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Look at a project from three sides at the same time: coverage, a review of the change, an audit of the tests.

    With --local the tests have no network but loopback, and no server or model elsewhere is asked. Exit status: with
    --gate 1, else that of an agent that failed, else 4 where the budget was too short, else 0.
    """
    from aqe.agents.fleet import AnalyzeRequest, analyze
    from aqe.server.cli.fleet_text import analysis_text

    root = find_project(explicit=None if project is None else str(project))
    if html is not None:
        refuse_output(html, "The page")
    request = AnalyzeRequest(
        project=str(root),
        since=since,
        budget_s=None if budget is None else parse_budget(budget),
        top=TOP if top is None else top,
        local=local,
        seed=seed,
        python=python,
        cwd=str(Path.cwd()),
    )
    cancel = CancelToken()
    with terminal_progress() as progress, stopped_by_signals(cancel):
        report = analyze(request, progress=progress, cancel=cancel)
    if html is not None:
        from aqe.server.reports.analysis import analysis_page

        write_output(html, analysis_page(report, root.name, datetime.now(UTC).date().isoformat()))
    if json:
        print_json("analyze", report, project=root)
    else:
        keep_result(root, "analyze", json_object("analyze", report))
        sys.stdout.write(analysis_text(report) if top is None else analysis_text(report, top=top))
        if html is not None:
            sys.stdout.write(f"\nThe page: {as_seen_from_here(html.absolute())}\n")
    failed = report.coverage is not None and report.coverage.tests_failed
    if gate and (failed or is_alarming(report.review) or is_alarming(report.audit)):
        return 1
    return status_of(report.parts, report.partial)
