"""`aqe index`: read the project's docs, code and tests into its memory."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.interrupts import working
from aqe.server.cli.output import JsonOption, ProjectOption, give, project_at

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
    from aqe.engine.settings import load_settings

    root = project_at(project)
    settings = load_settings(root)
    wanted = [_meant(path, root) for path in paths or ()]
    with open_store(root, settings=settings) as store, working(quiet=json) as (progress, cancel):
        embedder = open_embedder(settings)
        report = index_project(store, embedder, root, paths=wanted, progress=progress, cancel=cancel)
    give("index", report, partial(_summary, report), project=root, json=json)


def _meant(text: str, root: Path) -> Path:
    """The path that is meant: one that is there, or one that may have been indexed and is gone."""
    from aqe.engine.project import locate

    try:
        return locate(text, root).absolute()
    except UserError:
        here = Path(os.path.expanduser(text)).absolute()
        is_of_here = here.is_relative_to(root) and os.path.isdir(here.parent)
        return here if is_of_here else root / text


def _summary(report: IndexReport) -> str:
    files = f"{report.files} file{'' if report.files == 1 else 's'}"
    passages = f"{report.passages} passage{'' if report.passages == 1 else 's'}"
    changes = f"{report.new} new, {report.changed} changed, {report.gone} gone"
    lines = [f"{files}, {passages}: {changes}, in {report.seconds:.1f} s"]
    lines += [f"  {one.file}: {one.reason}" for one in report.left_out[:LISTED]]
    more = len(report.left_out) - LISTED
    lines += [f"  and {more} more (--json lists all)"] if more > 0 else []
    return "".join(f"{line}\n" for line in lines)
