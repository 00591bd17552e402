"""`aqe memory migrate`: the version of the store's file, and vectors of another embedder made anew."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.server.cli.care_work import DryRunOption, place_in
from aqe.server.cli.interrupts import working
from aqe.server.cli.output import JsonOption, ProjectOption, print_json
from aqe.server.counting import memories

if TYPE_CHECKING:
    from aqe.engine.memory.care.migrating import MigrationReport
    from aqe.engine.progress import CancelToken, Progress
    from aqe.engine.settings import Settings


def migrate(
    dry_run: DryRunOption = False,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", min=1, max=100_000, help="Memories embedded in one transaction.")
    ] = 512,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Put the copy of before the last migration back.")
    ] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Bring what is kept up to date: the steps of the file, and vectors of the embedder in force.

    A copy of the file is put beside it first. Ctrl-C while memories are embedded keeps what is done; the next call goes
    on. A dry run applies the steps to a copy. --rollback is for an earlier aqe: this one brings it up to date again.
    """
    from aqe.engine.memory.care.migrating import bring_up_to_date, take_back

    root, place, settings = place_in(project)
    with working(quiet=json) as (progress, cancel):
        work = take_back if rollback else bring_up_to_date
        report = work(place, dry_run=dry_run, progress=progress, cancel=cancel)
        waits, embedded, embedder = 0, 0, ""
        if not rollback and (not dry_run or not report.steps):
            waits, embedded, embedder = _embed(root, settings, batch, dry_run, progress, cancel)
    if json:
        facts = {"waiting": waits, "embedded": embedded, "embedder": embedder}
        print_json("memory-migrate", dataclasses.asdict(report) | facts, project=root)
        return
    print("\n".join(_lines(report, back=rollback)))
    if waits:
        print(f"{memories(waits)} {'to be ' if dry_run else ''}embedded anew by {embedder}")


def _embed(
    root: Path, settings: Settings, batch: int, dry_run: bool, progress: Progress, cancel: CancelToken
) -> tuple[int, int, str]:
    """How many memories wait for a vector of the embedder in force, how many got one, and its name."""
    from aqe.engine.embedding import open_embedder
    from aqe.engine.memory import open_store
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.retrieval import reembed, waiting

    embedder = open_embedder(settings)
    with open_to_read(root) if dry_run else open_store(root, settings=settings) as store:
        waits = waiting(store, embedder, ended=True)
        done = 0
        if waits and not dry_run:
            done = reembed(store, embedder, ended=True, size=batch, progress=progress, cancel=cancel)
    return waits, done, embedder.id


def _lines(report: MigrationReport, *, back: bool) -> list[str]:
    would = "would be" if report.dry_run else "was"
    lines = [f"{report.file}: version {report.before}, the newest is {report.newest}"]
    lines += [f"  {name}: {would} {'taken back' if back else 'applied'}" for name in report.steps]
    if report.backup:
        lines.append(f"The file as it was is kept in {report.backup}")
    return lines
