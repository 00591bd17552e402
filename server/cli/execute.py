"""`aqe execute`: run the project's test suite and record each outcome."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.server.cli.output import JsonOption, ProjectOption, PythonOption, give, project_at

if TYPE_CHECKING:
    from aqe.agents.execute import ExecuteReport

LISTED = 5


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATHS [-- PYTEST_ARGS]", help="Test files, folders or node ids; after `--`, pytest's own options."
        ),
    ] = None,
    isolated: Annotated[
        bool,
        typer.Option(
            "--isolated", help="Run on a shielded tree: nothing in it changes; leftovers and changed files are told."
        ),
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="With --isolated: no network but loopback.")] = False,
    map_: Annotated[
        bool, typer.Option("--map", help="Also record which test executes which function, for `aqe select`.")
    ] = False,
    json_: JsonOption = False,
    project: ProjectOption = None,
    python: PythonOption = None,
) -> int:
    """Run the project's test suite in the project's interpreter, as its user does, and record each outcome.

    pytest's output passes through (with --json to stderr). Each test is recorded in `.aqe/spool`. Exit status: 0 all
    passed, 1 a test failed, 2 nothing was run, 130 Ctrl-C. With --isolated environment, home and network stay the
    user's, but the project is an overlay (a copy where there are no namespaces) and what outlives the run is ended. In
    the privacy mode strict a run is always isolated and offline.
    """
    from aqe.agents.execute import ExecuteRequest
    from aqe.agents.registry import AGENTS, run_agent

    root = project_at(project)
    files, options = _split(paths or [])
    request = ExecuteRequest(
        project=str(root),
        paths=tuple(files),
        pytest_args=tuple(options),
        python=python,
        cwd=str(Path.cwd()),
        isolated=isolated,
        offline=offline,
        map=map_,
    )
    report = run_agent(AGENTS["execute"], request, output="stderr" if json_ else "inherit")
    answer = {**dataclasses.asdict(report), "all_passed": report.all_passed}
    give("execute", answer, partial(_summary, report), project=root, json=json_)
    return 0 if report.all_passed else 1


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Paths before the first option, pytest's own words from there on."""
    for place, word in enumerate(words):
        if word.startswith("-"):
            return words[:place], words[place:]
    return words, []


def _summary(report: ExecuteReport) -> str:
    """The run in a few lines, after pytest's own output."""
    counts = (
        (report.passed, "passed"),
        (report.failed, "failed"),
        (report.errors, "with errors"),
        (report.crashed, "crashed"),
        (report.skipped, "skipped"),
        (report.xfailed, "failed as expected"),
        (report.xpassed, "passed unexpectedly"),
    )
    noun = "test" if report.tests == 1 else "tests"
    told = ", ".join(f"{number} {word}" for number, word in counts if number)
    lines = [
        "",
        f"{report.tests} {noun} in {report.duration_s:.1f} s on Python {report.python_version}, "
        f"pytest {report.pytest_version}: {told}",
    ]
    slow = [f"{test.nodeid} {test.duration_s:.2f} s" for test in report.slowest[:LISTED] if test.duration_s >= 0.1]
    if slow:
        lines.append(f"Slowest: {', '.join(slow)}")
    lines += _isolation(report)
    lines += [f"Known: {one.text}" for one in report.advice]
    lines += [f"Note: {note}" for note in report.notes]
    return "".join(f"{line}\n" for line in lines)


def _isolation(report: ExecuteReport) -> list[str]:
    """How the tree was shielded and what the run would have left."""
    if not report.isolation:
        return []
    changes = [f"{one.path} {one.kind}" for one in report.changed_files]
    more = f" and {len(changes) - LISTED} more" if len(changes) > LISTED else ""
    told = f"the run's changes are gone: {', '.join(changes[:LISTED])}{more}" if changes else "the run changed nothing"
    lines = [f"Isolated ({report.isolation}): {told}"]
    if report.leftovers:
        lines.append(f"Left running and ended: {report.leftovers} process{'es' if report.leftovers > 1 else ''}")
    return lines
