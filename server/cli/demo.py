"""`aqe demo`: every agent on a small shop with planted flaws, with an honest score and a report."""

from __future__ import annotations

import dataclasses
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.results import json_text
from aqe.server.cli.output import BudgetOption, JsonOption, SeedOption, json_object, print_json, terminal_progress

if TYPE_CHECKING:
    from aqe.server.demo.report import DemoReport
    from aqe.server.demo.session import Step

DEFAULT_BUDGET = "60s"
PAGE = "report.html"
FIGURES = "report.json"


def command(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where the shop and the report go (else a new temporary folder)."),
    ] = None,
    budget: BudgetOption = DEFAULT_BUDGET,
    seed: SeedOption = 0,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    json_: JsonOption = False,
) -> int:
    """Run every agent on a small shop with planted flaws and leave a report.

    Copies the shop, starts `aqe serve` and calls its tools over MCP: a question, tests generated and verified, flaky
    tests, coverage, a bad change reviewed, feedback. What was found is compared with what was planted. Exit status 1
    when of any kind less than half was found, or two were false alarms.
    """
    from aqe.engine.budget import parse_budget
    from aqe.engine.marker import write_atomic
    from aqe.engine.project import unwritable
    from aqe.server.demo.story import run_demo

    budget_s = parse_budget(budget or DEFAULT_BUDGET)
    try:
        home = _folder(folder)
    except OSError as error:
        raise unwritable(folder or Path(tempfile.gettempdir()), error) from error
    with terminal_progress(quiet=json_) as progress:
        report = run_demo(home, budget_s=budget_s, seed=seed, progress=progress)
    page = home / PAGE
    write_atomic(page, page_of(report))
    report = dataclasses.replace(report, page=str(page))
    write_atomic(home / FIGURES, json_text(json_object("demo", report)) + "\n")
    if json_:
        print_json("demo", report)
    else:
        typer.echo(summary(report))
    if open_:
        typer.launch(page.as_uri())
    return 0 if report.met else 1


def _folder(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="aqe-demo-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def page_of(report: DemoReport) -> str:
    """The report as one HTML page."""
    from aqe.server.demo.script import read_script
    from aqe.server.reports.page import render_page

    made_on = datetime.now(UTC).date().isoformat()
    calls = sum(module.executions for module in report.modules)
    message = read_script().message
    return render_page("demo.html", report=report, made_on=made_on, calls=calls, message=message)


def summary(report: DemoReport) -> str:
    """What the demo did and found, for a terminal."""
    proof = report.verification
    below = " (below namespaces)" if proof.below_namespaces else ""
    lines = [
        f"aqe worked on {report.folder}/shop over MCP for {report.duration_s:.0f} s.",
        "",
        *(line for step in report.steps if (line := _told(step))),
        "",
        f"Tests written: {proof.stable} of {proof.tests} stable in {proof.runs} shuffled runs, "
        f"{proof.branches_percent:.1f} % of branches, {proof.mutants_killed} of {proof.mutants_total} mutants killed, "
        f"sandbox: {proof.rung}{below}",
        "",
        f"Planted bugs: {report.suspected} of {report.planted} suspected",
    ]
    for entry in report.score.found:
        state = "suspected" if entry.suspects else "for a reader" if entry.bug.found_by == "reading" else "missed"
        lines.append(f"  {state:<13} {entry.bug.file}:{entry.bug.line} {entry.bug.function}")
    lines += [f"  false alarm   {alarm.module}::{alarm.target}: {alarm.why}" for alarm in report.score.false_alarms]
    lines += ["", *table(report)]
    if not report.met:
        lines += ["", "The bar is missed: of each kind at least half found, at most one false alarm, no failed tool."]
    lines += ["", f"Report: {report.page}"]
    return "\n".join(lines)


def _told(step: Step) -> str:
    """One step as a line; the calls that only prepare another step have none."""
    if step.tool in ("initialize", "memory_search"):
        return ""
    came = f"failed: {step.came}" if step.failed else step.came
    about = f" of {step.subject}" if step.subject else ""
    return f"  {step.duration_s:5.1f} s  {step.stage:<9} {step.tool}{about}: {came}"


def table(report: DemoReport) -> list[str]:
    """Planted and found, one line a kind."""
    rows = [("Planted and found", "planted", "found", "false alarms")]
    rows += [(row.what, str(row.planted), str(row.found), str(row.false_alarms)) for row in report.bars]
    width = max(len(row[0]) for row in rows)
    return [f"{what:<{width}}  {planted:>7}  {found:>5}  {alarms:>12}" for what, planted, found, alarms in rows]
