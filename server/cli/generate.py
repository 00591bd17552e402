"""`aqe generate`: write executed, stable tests for a module, with evidence."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from aqe.engine.budget import parse_budget
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken
from aqe.engine.project import as_seen_from_here, find_project
from aqe.engine.settings import load_settings
from aqe.server.cli.interrupts import two_stops
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    SeedOption,
    print_json,
    terminal_progress,
)

STOPPING = "Stopping: what was found so far is verified and kept. Ctrl-C again ends at once and writes nothing."


def command(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="PATH[::NAME] or MODULE[::NAME].")],
    out: Annotated[
        str | None, typer.Option("--out", metavar="DIR", help="Folder of the test files (else the project's tests).")
    ] = None,
    budget: BudgetOption = None,
    seed: SeedOption = 0,
    evaluations: Annotated[
        int | None,
        typer.Option("--evaluations", metavar="K", help="Calls to try, in place of a budget: byte-identical output."),
    ] = None,
    suffix: Annotated[
        str | None, typer.Option("--suffix", metavar="WORD", help="Word at the end of the file's name.")
    ] = None,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Write executed, stable pytest tests for a file, folder, module or one name in it.

    Every test has passed five shuffled runs in a sandbox, and fails when the code under test is broken. Behaviour that
    nothing documents is marked; suspected bugs are reported apart. Ctrl-C keeps what is done; twice ends at once.
    """
    from aqe.agents.generate import GenerateRequest, generate
    from aqe.agents.generate.report import text_of

    root = find_project(_start(target), str(project) if project else None)
    request = GenerateRequest(
        target=target,
        project=str(root),
        out=out,
        budget_s=_budget(budget, evaluations, root),
        seed=seed,
        evaluations=evaluations,
        python=python,
        suffix=suffix,
    )
    cancel, stop = CancelToken(), CancelToken()
    with terminal_progress() as progress, two_stops(stop, cancel, progress.say, STOPPING):
        try:
            report = generate(request, progress=progress, cancel=cancel, stop=stop)
        except Cancelled:
            when = "at once" if cancel.is_set else "before any test was found"
            raise Cancelled(f"Stopped {when}; nothing was written.", code="cancelled") from None
    _keep(report, root)
    seen = replace(report, files=tuple(as_seen_from_here(root / name) for name in report.files))
    if json:
        print_json("generate", seen)
    else:
        sys.stdout.write(text_of(seen))
    if report.interrupted:
        return 130
    return 4 if report.partial else 0


def _budget(budget: str | None, evaluations: int | None, root: Path) -> float | None:
    if evaluations is None:
        return parse_budget(budget) if budget is not None else load_settings(root).budget
    if budget is not None:
        raise UserError("--budget and --evaluations exclude each other.", code="usage", fix="Give one of them.")
    if evaluations < 1:
        raise UserError(f"--evaluations {evaluations} is not a count.", code="usage", fix="Give a number from 1 on.")
    return None


def _start(target: str) -> Path | None:
    """Where the search for the project begins: the working directory, or the target's folder when it lies outside."""
    path = Path(target.partition("::")[0]).expanduser()
    try:
        outside = path.exists() and not path.resolve().is_relative_to(find_project())
    except OSError:
        return None
    if not outside or "site-packages" in path.resolve().parts:
        return None
    return path if path.is_dir() else path.parent


def _keep(report: object, root: Path) -> None:
    from aqe.server.cli.output import json_object, keep_result

    keep_result(root, "generate", json_object("generate", report))
