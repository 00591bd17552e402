"""`aqe generate`: write executed, stable tests for a module, with evidence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    json_object,
    keep_result,
    print_json,
    seconds_of,
    terminal_progress,
)

if TYPE_CHECKING:
    from aqe.agents.generate import GenerateReport

GAPS = 5
STOPPING = "Stopping: what was found so far is verified and kept. Ctrl-C again ends at once and writes nothing."


def command(
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help="PATH[::NAME] or MODULE[::NAME].")] = None,
    count: Annotated[
        str | None, typer.Argument(metavar="[N]", help="With --coverage-gaps: how many gaps to work on (else 5).")
    ] = None,
    coverage_gaps: Annotated[
        bool,
        typer.Option(
            "--coverage-gaps",
            help="Work on the N riskiest gaps of the suite's coverage, of TARGET or of all: `--coverage-gaps 3`.",
        ),
    ] = False,
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
    from aqe.agents.counsel import consulted
    from aqe.agents.generate import GapsRequest, GenerateRequest, close_gaps, generate
    from aqe.agents.generate.report import text_of

    words = [word for word in (target, count) if word is not None]
    path, number = _gap_words(words) if coverage_gaps else (_only(words), 0)
    root = find_project(None if path is None else _start(path), str(project) if project else None)
    budget_s = _budget(budget, evaluations)
    how: dict[str, Any] = {"out": out, "seed": seed, "evaluations": evaluations, "python": python, "suffix": suffix}
    work: Callable[..., GenerateReport]
    if coverage_gaps:
        paths = () if path is None else (path,)
        work = partial(close_gaps, GapsRequest(str(root), number, paths, budget_s=budget_s, cwd=str(Path.cwd()), **how))
    else:
        if budget_s is None and evaluations is None:
            budget_s = load_settings(root).budget
        work = partial(generate, GenerateRequest(path or "", str(root), budget_s=budget_s, **how))
    report = consulted("generate", _until_stopped(work), root)
    keep_result(root, "generate", json_object("generate", report))
    seen = replace(report, files=tuple(as_seen_from_here(root / name) for name in report.files))
    if json:
        print_json("generate", seen)
    else:
        sys.stdout.write(text_of(seen))
    if report.interrupted:
        return 130
    return 4 if report.partial else 0


def _until_stopped(work: Callable[..., GenerateReport]) -> GenerateReport:
    """What the work made, as far as Ctrl-C let it. Raises `Cancelled` where there is nothing to keep."""
    cancel, stop = CancelToken(), CancelToken()
    with terminal_progress() as progress, two_stops(stop, cancel, progress.say, STOPPING):
        try:
            return work(progress=progress, cancel=cancel, stop=stop)
        except Cancelled:
            when = "at once" if cancel.is_set else "before any test was found"
            raise Cancelled(f"Stopped {when}; nothing was written.", code="cancelled") from None


def _only(words: list[str]) -> str:
    """The one target."""
    if not words:
        raise UserError("There is no TARGET.", code="usage", fix="Name a file, folder or module, or --coverage-gaps.")
    if len(words) > 1:
        raise UserError(f"{words[1]!r} is one word too many.", code="usage", fix="Name one target at a time.")
    return words[0]


def _gap_words(words: list[str]) -> tuple[str | None, int]:
    """The source file or folder that was named, if any, and how many gaps to work on."""
    *before, last = words or [""]
    if not last.isdecimal():
        before, last = words, str(GAPS)
    if len(before) > 1 or int(last) < 1:
        raise UserError(
            "--coverage-gaps takes at most a file or folder and a number from 1 on.",
            code="usage",
            fix="Write `aqe generate --coverage-gaps 3` or `aqe generate PATH --coverage-gaps 3`.",
        )
    return (before[0] if before else None), int(last)


def _budget(budget: str | None, evaluations: int | None) -> float | None:
    """The seconds that --budget gives; None without it. Raises `UserError` (usage, bad-budget)."""
    if evaluations is None:
        return seconds_of(budget)
    if budget is not None:
        raise UserError("--budget and --evaluations exclude each other.", code="usage", fix="Give one of them.")
    if evaluations < 1:
        raise UserError(f"--evaluations {evaluations} is not a count.", code="usage", fix="Give a number from 1 on.")
    return None


def _start(target: str) -> Path | None:
    """Where the search for the project begins: the working directory, or the target's folder when it lies outside."""
    path = Path(os.path.expanduser(target.partition("::")[0]))
    try:
        outside = os.path.exists(path) and not path.resolve().is_relative_to(find_project())
    except OSError:
        return None
    if not outside or "site-packages" in path.resolve().parts:
        return None
    return path if os.path.isdir(path) else path.parent
