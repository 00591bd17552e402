"""`aqe verify`: judge anybody's tests: stability, coverage, mutants killed."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.progress import CancelToken
from aqe.engine.project import locate
from aqe.server.cli.interrupts import two_stops
from aqe.server.cli.output import (
    BudgetOption,
    JsonOption,
    ProjectOption,
    PythonOption,
    SeedOption,
    give,
    project_at,
    seconds_of,
    terminal_progress,
)

if TYPE_CHECKING:
    from aqe.agents.gate.verify import VerifyReport

STOPPING = "Stopping: what is known of the tests so far follows."


def command(
    tests: Annotated[list[str], typer.Argument(metavar="TEST_FILE...", help="Test files or folders of them.")],
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", metavar="MODULE", help="Module under test, or its file (else found from imports)."),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, help="Shuffled runs, each with a hash seed.")] = 5,
    mutants: Annotated[
        str, typer.Option("--mutants", metavar="N", help="Mutants to turn on, sampled with the seed; or `all`.")
    ] = "200",
    keep_equivalent: Annotated[
        bool, typer.Option("--keep-equivalent", help="Leave no mutant out for looking equivalent.")
    ] = False,
    alone: Annotated[
        bool, typer.Option("--alone", help="Do not compare with the project's other tests of the same modules.")
    ] = False,
    gate: Annotated[
        bool,
        typer.Option("--gate", help="Exit 1 unless a test is stable, and each one that is run and not marked xfail."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show a row for each test.")] = False,
    budget: BudgetOption = None,
    seed: SeedOption = 0,
    python: PythonOption = None,
    project: ProjectOption = None,
    json: JsonOption = False,
) -> int:
    """Run tests through the gate, whoever wrote them.

    Each test runs N times in shuffled order in a sandbox, then against a broken twin of the module under test, then
    against mutants of it. Shown: what holds, what it covers and kills, which mutants survive, what adds nothing.
    """
    from aqe.agents.gate.verify import VerifyRequest, verify
    from aqe.server.cli.verify_text import text_of

    root = project_at(project)
    request = VerifyRequest(
        tests=tuple(str(locate(test, root).absolute()) for test in tests),
        project=str(root),
        subjects=tuple(_subject(name, root) for name in subject or ()),
        python=python,
        seed=seed,
        runs=runs,
        max_mutants=_count(mutants),
        budget_s=seconds_of(budget),
        leave_out=not keep_equivalent,
        beside=not alone,
    )
    stop, cancel = CancelToken(), CancelToken()
    with terminal_progress() as progress, two_stops(stop, cancel, progress.say, STOPPING):
        report = verify(request, progress=progress, cancel=cancel, stop=stop)
    give("verify", report, partial(text_of, report, verbose=verbose), project=root, json=json)
    return 130 if report.interrupted else int(gate and not _is_proven(report))


def _is_proven(report: VerifyReport) -> bool:
    """Whether there is a stable test, and no other kind than those that are not run or expected to fail."""
    verdicts = {test.verdict for test in report.evidence.tests}
    return "stable" in verdicts and verdicts <= {"stable", "xfail", "not-run"}


def _subject(name: str, root: Path) -> str:
    """A module's name as it is; a file as found from the working directory, then from the project."""
    return str(locate(name, root).absolute()) if name.endswith(".py") or "/" in name or os.sep in name else name


def _count(text: str) -> int | None:
    if text == "all":
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    raise typer.BadParameter(f"{text!r} is neither a number nor `all`", param_hint="--mutants")
