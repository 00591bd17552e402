"""`aqe audit`: every smell of every test of the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aqe.engine.budget import parse_budget
from aqe.engine.progress import CancelToken
from aqe.engine.project import find_project
from aqe.server.cli.interrupts import stopped_by_signals
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    json_object,
    keep_result,
    terminal_progress,
)
from aqe.server.cli.review import FORMATS, chosen_format, write


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATHS]", help="Test files or folders (else the whole suite).")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text, json, sarif or github (workflow annotations).")
    ] = FORMATS[0],
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 if an error or a warning is found.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every finding.")] = False,
    budget: BudgetOption = None,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Look at every test for what makes it worth less than it seems; nothing is run.

    Tests that check nothing or cannot fail, swallow exceptions, sleep, depend on the clock, chance or this machine,
    change the process for others, are defined twice. What was dismissed with `aqe review --dismiss ID` stays away.
    """
    from aqe.agents.registry import AGENTS, run_agent
    from aqe.agents.review import ReviewRequest

    shown = chosen_format(form, json)
    root = find_project(explicit=None if project is None else str(project))
    request = ReviewRequest(
        project=str(root),
        scope="tests",
        paths=tuple(paths or ()),
        budget_s=60.0 if budget is None else parse_budget(budget),
        python=python,
        cwd=str(Path.cwd()),
    )
    cancel = CancelToken()
    with terminal_progress() as progress, stopped_by_signals(cancel):
        report = run_agent(AGENTS["review"], request, progress=progress, cancel=cancel)
    keep_result(root, "audit", json_object("audit", report))
    write(report, "audit", shown, verbose=verbose)
    if gate and any(one.severity != "note" for one in report.findings):
        return 1
    return 4 if report.partial else 0
