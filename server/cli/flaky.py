"""`aqe flaky`: find flaky tests, their causes and the commands that show them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken
from aqe.server.cli.interrupts import two_stops
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    SeedOption,
    json_object,
    keep_result,
    project_at,
    refuse_output,
    seconds_of,
    terminal_progress,
    write_output,
)

if TYPE_CHECKING:
    from aqe.agents.flaky import FlakyReport

STOPPING = "Stopping: what is known so far follows. Ctrl-C again ends at once."


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATHS]", help="Test files, folders or node ids (else the suite).")
    ] = None,
    runs: Annotated[
        int, typer.Option("--runs", metavar="N", help="Whole-suite runs; up to 15 more sessions find causes.")
    ] = 12,
    test: Annotated[
        str | None, typer.Option("--test", metavar="NODEID", help="Explain this one test; the suite runs all the same.")
    ] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 if a test is flaky.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write the JSON object to FILE.")
    ] = None,
    budget: BudgetOption = None,
    seed: SeedOption = 0,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Run the suite N times in varied orders, hash seeds and time zones, and tell flaky tests from broken ones.

    A test is flaky only if it was seen to pass and to fail. For each: cause, polluting tests, and a command that shows
    it again. Runs are made on a shielded tree, as in `aqe execute --isolated`; nothing of the project changes.
    """
    from aqe.agents.flaky import FlakyRequest
    from aqe.agents.registry import AGENTS, run_agent
    from aqe.engine.results import json_text
    from aqe.server.cli.flaky_text import text_of

    root = project_at(project)
    if out is not None:
        refuse_output(out, "The report")
    request = FlakyRequest(
        project=str(root),
        paths=tuple(paths or ()),
        runs=runs,
        seed=seed,
        budget_s=seconds_of(budget),
        python=python,
        cwd=str(Path.cwd()),
        test=test,
    )
    cancel, stop = CancelToken(), CancelToken()
    with terminal_progress() as progress, two_stops(stop, cancel, progress.say, STOPPING):
        try:
            report = run_agent(AGENTS["flaky"], request, progress=progress, cancel=cancel, stop=stop)
        except Cancelled:
            raise Cancelled("The hunt was ended; nothing is reported.", code="cancelled") from None
    whole = json_object("flaky", report)
    keep_result(root, "flaky", whole)
    if out is not None:
        write_output(out, json_text(whole, indent=2) + "\n")
    sys.stdout.write(json_text(whole) + "\n" if json else text_of(report, detail=test is not None))
    return _status(report, gate=gate, stopped=stop.is_set)


def _status(report: FlakyReport, *, gate: bool, stopped: bool) -> int:
    if stopped:
        return 130
    if gate and report.flaky:
        return 1
    return 4 if report.partial else 0
