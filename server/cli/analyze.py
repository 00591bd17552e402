"""`aqe analyze`: the state of a project from three sides, as one report."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.project import as_seen_from_here
from aqe.server.cli.interrupts import working
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    SeedOption,
    give,
    project_at,
    refuse_output,
    seconds_of,
    write_output,
)
from aqe.server.cli.run import is_alarming, status_of

if TYPE_CHECKING:
    from aqe.agents.fleet import AnalyzeReport

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

    root = project_at(project)
    if html is not None:
        refuse_output(html, "The page")
    request = AnalyzeRequest(
        project=str(root),
        since=since,
        budget_s=seconds_of(budget),
        top=TOP if top is None else top,
        local=local,
        seed=seed,
        python=python,
        cwd=str(Path.cwd()),
    )
    with working() as (progress, cancel):
        report = analyze(request, progress=progress, cancel=cancel)
    if html is not None:
        _write_page(html, report, root)
    give("analyze", report, partial(_text, report, top, html), project=root, json=json)
    failed = report.coverage is not None and report.coverage.tests_failed
    if gate and (failed or is_alarming(report.review) or is_alarming(report.audit)):
        return 1
    return status_of(report.parts, report.partial)


def _write_page(html: Path, report: AnalyzeReport, root: Path) -> None:
    """The page, without secrets and personal data unless the privacy mode is off: it is made to be passed on."""
    from aqe.engine.settings import load_settings
    from aqe.server.reports.analysis import analysis_page

    redacts = load_settings(root).privacy.mode != "off"
    write_output(html, analysis_page(report, root.name, datetime.now(UTC).date().isoformat(), redacts=redacts))


def _text(report: AnalyzeReport, top: int | None, page: Path | None) -> str:
    """The report for people, and where its page is, if one was written."""
    from aqe.server.cli.fleet_text import analysis_text

    told = analysis_text(report) if top is None else analysis_text(report, top=top)
    return told if page is None else f"{told}\nThe page: {as_seen_from_here(page.absolute())}\n"
