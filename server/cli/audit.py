"""`aqe audit`: every smell of every test of the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aqe.engine.budget import parse_budget
from aqe.server.cli.output import BudgetOption, JsonOption, ProjectOption, PythonOption, project_at
from aqe.server.cli.review import FORMATS, chosen_format, report_findings, reviewed


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
    from aqe.agents.review import ReviewRequest

    shown = chosen_format(form, json)
    root = project_at(project)
    request = ReviewRequest(
        project=str(root),
        scope="tests",
        paths=tuple(paths or ()),
        budget_s=60.0 if budget is None else parse_budget(budget),
        python=python,
        cwd=str(Path.cwd()),
    )
    return report_findings(reviewed(request), "audit", root, shown, verbose=verbose, gate=gate)
