"""`aqe select`: the tests that a change needs, and why."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.agents.advice import advice_lines
from aqe.engine.errors import UserError
from aqe.engine.terminal import page
from aqe.server.cli.interrupts import working
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    give,
    json_object,
    keep_result,
    project_at,
    seconds_of,
)

if TYPE_CHECKING:
    from aqe.agents.select import SelectReport

LISTED = 40
LEFT_LISTED = 10


def command(
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="REF", help="What changed from REF to the working tree (else HEAD)."),
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="DIR", help="With --head: what differs between two folders, no git.")
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", metavar="DIR", help="With --base: the project as it became.")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print one node id a line on stdout and nothing else.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Run the selected tests, riskiest first.")] = False,
    mapped_only: Annotated[
        bool, typer.Option("--mapped-only", help="Without a recorded map select nothing, not the whole suite.")
    ] = False,
    assistant: Annotated[
        bool, typer.Option("--assistant", help="With --json: what an assistant may have of it, for hooks.")
    ] = False,
    budget: BudgetOption = None,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Name the tests that a change needs, each with its reason, the riskiest first; with --run run them.

    It rests on a map of which test executes which function, recorded by `aqe execute --map` or `pytest --aqe-map`;
    without one the whole suite is selected. Exit status: 0 done, 1 a test that was run failed, 4 the budget was too
    short to run all.
    """
    from aqe.agents.registry import AGENTS, run_agent
    from aqe.agents.select import SelectRequest

    if assistant and not json:
        raise UserError("--assistant is for --json.", code="usage", fix="Add --json.")
    root = project_at(project)
    request = SelectRequest(
        project=str(root),
        since=since,
        base=base,
        head=head,
        run=run,
        budget_s=seconds_of(budget),
        python=python,
        cwd=str(Path.cwd()),
        mapped_only=mapped_only,
    )
    with working(quiet=ids) as (progress, cancel):
        report = run_agent(AGENTS["select"], request, progress=progress, cancel=cancel)
    if assistant:
        _hand_over(root, report)
    else:
        give("select", report, partial(_ids_of if ids else text_of, report), project=root, json=json)
        if ids and not json:
            sys.stderr.write(f"{report.why}\n")
    if report.run is not None and report.run.failed + report.run.errors + report.run.crashed:
        return 1
    return 4 if report.partial else 0


def _hand_over(project: Path, report: SelectReport) -> None:
    """Print the report for an assistant, through the privacy guard: names and reasons may say things as well."""
    from aqe.engine.results import json_text
    from aqe.server.cli.guarded import guarded

    whole = json_object("select", report)
    keep_result(project, "select", whole)
    sources = [] if report.run is None else [failure.nodeid.partition("::")[0] for failure in report.run.failures]
    sys.stdout.write(json_text(guarded(project, "select", whole, sources)) + "\n")


def _ids_of(report: SelectReport) -> str:
    """One node id a line: as it is for another program, harmless for a terminal."""
    names = [test.nodeid for test in report.tests]
    return page(names) if sys.stdout.isatty() else "".join(f"{name}\n" for name in names)


def text_of(report: SelectReport) -> str:
    """The report for a person."""
    lines = [report.why]
    was_run = report.run is not None or bool(report.not_run)
    if report.tests and not report.whole_suite and not was_run:
        lines.append("  risk  test")
        for test in report.tests[:LISTED]:
            lines += [f"  {test.risk:.2f}  {test.nodeid}", f"        {test.reason}"]
        if len(report.tests) > LISTED:
            lines.append(f"  and {len(report.tests) - LISTED} more (--ids or --json names all)")
    lines += [f"Note: {note}" for note in report.notes]
    if report.run is not None:
        lines += _run_lines(report)
    if report.not_run:
        lines.append(f"Not run: {', '.join(report.not_run[:LEFT_LISTED])}{_more(len(report.not_run) - LEFT_LISTED)}")
    lines += advice_lines(report.advice)
    return page(lines)


def _run_lines(report: SelectReport) -> list[str]:
    run = report.run
    assert run is not None
    bad = run.failed + run.errors + run.crashed
    many = f"{run.tests} test{'' if run.tests == 1 else 's'}"
    lines = [f"Ran {many} in {run.duration_s:.1f} s: {run.passed} passed, {bad} failed."]
    lines += [f"  {failure.nodeid}: {failure.message}" for failure in run.failures[:LISTED]]
    return lines


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
