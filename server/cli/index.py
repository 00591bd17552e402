"""`aqe index`: read the project's docs, code and tests into its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.progress import CancelToken
from aqe.server.cli.interrupts import stopped_by_signals
from aqe.server.cli.output import (
    JsonOption,
    ProjectOption,
    json_object,
    keep_result,
    print_json,
    terminal_progress,
)

if TYPE_CHECKING:
    from aqe.engine.index import IndexReport

LISTED = 10


def command(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATHS]...", help="Files or folders of the project (else all of it).")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Read the project's docs, docstrings, code and tests into its memory, so that questions are answered from them.

    Only what changed since the last time is read again. What git ignores, what is binary or larger than 1 MB, links and
    other people's code (.venv, node_modules, vendor) are left out.
    """
    from aqe.engine.embedding import open_embedder
    from aqe.engine.index import index_project
    from aqe.engine.memory import open_store
    from aqe.engine.project import find_project, locate
    from aqe.engine.settings import load_settings

    root = find_project(explicit=None if project is None else str(project))
    settings = load_settings(root)
    wanted = [locate(path, root).absolute() for path in paths or ()]
    cancel = CancelToken()
    with (
        open_store(root, settings=settings) as store,
        stopped_by_signals(cancel),
        terminal_progress(quiet=json) as progress,
    ):
        embedder = open_embedder(settings)
        report = index_project(store, embedder, root, paths=wanted, progress=progress, cancel=cancel)
    if json:
        print_json("index", report, project=root)
        return
    keep_result(root, "index", json_object("index", report))
    print(_summary(report))


def _summary(report: IndexReport) -> str:
    files = f"{report.files} file{'' if report.files == 1 else 's'}"
    passages = f"{report.passages} passage{'' if report.passages == 1 else 's'}"
    changes = f"{report.new} new, {report.changed} changed, {report.gone} gone"
    lines = [f"{files}, {passages}: {changes}, in {report.seconds:.1f} s"]
    lines += [f"  {one.file}: {one.reason}" for one in report.left_out[:LISTED]]
    more = len(report.left_out) - LISTED
    return "\n".join([*lines, f"  and {more} more (--json lists all)"] if more > 0 else lines)
