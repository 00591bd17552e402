"""`aqe memory tiers`: which memories have their vectors in which form, and what that takes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from aqe.engine.memory.tiers.figures import TierFigures
from aqe.server.cli.interrupts import working
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, project_at


@dataclass(frozen=True)
class TiersShown:
    """The tiers, most recalled first; the share that each takes, in percent, the last the rest; whether the background
    moves memories between them; how many were moved to each just now (null: none was asked for), how many of those
    bound for the last tier stayed int8 because their vectors cannot be made anew, and the bytes that the file lost."""

    tiers: list[TierFigures]
    percent: dict[str, float]
    in_background: bool
    moved: dict[str, int] | None
    kept_int8: int
    file_shrunk_by: int


def add_to(app: typer.Typer) -> None:
    """Put the command of this module under `aqe memory`."""
    app.command()(tiers)


def tiers(
    move: Annotated[
        bool, typer.Option("--move", help="Move memories to their tier now, however few there are.")
    ] = False,
    compact: Annotated[bool, typer.Option("--compact", help="Give free pages back: the file is written anew.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show how many memories are in each tier, by how often they are recalled, and the bytes of their vectors.

    The most recalled keep float32, the next float16, the next int8, the rest 4 bits a number. A server moves them in
    the background from 20,000 memories on (settings memory.tiers, memory.hot_percent and so on).
    """
    from aqe.engine.embedding import open_embedder
    from aqe.engine.memory import open_store
    from aqe.engine.memory.growth.upkeep import thresholds_of
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.memory.tiers.figures import read_figures
    from aqe.engine.memory.tiers.moving import compact_file, retier
    from aqe.engine.settings import load_settings

    root = project_at(project)
    settings, moved, shrunk = load_settings(root), None, 0
    thresholds = thresholds_of(settings)
    with open_store(root) if move or compact else open_to_read(root) as store:
        with working(quiet=json) as (progress, cancel):
            if move:
                life = settings.memory.half_life_days
                embedder = open_embedder(settings)
                moved = retier(store, embedder, thresholds, half_life_days=life, progress=progress, cancel=cancel)
            if compact:
                shrunk = compact_file(store)
        with store.reading() as connection:
            found = read_figures(connection)
    percent = dict(zip((one.name for one in found), thresholds.percents, strict=True))
    to, kept = (None, 0) if moved is None else (moved.to, moved.kept_int8)
    shown = TiersShown(found, percent, settings.memory.tiers, to, kept, shrunk)
    if json:
        print_json("memory-tiers", shown, project=kept_where(root))
    else:
        _print_tiers(shown, compact=compact)


def _print_tiers(shown: TiersShown, *, compact: bool) -> None:
    """A line for each tier, and what was done."""
    print("tier  form   share   memories  bytes in the file  bytes in memory")
    for one in shown.tiers:
        share = f"{shown.percent[one.name]:g} %"
        sizes = f"{one.file_bytes:>17,}  {one.memory_bytes:>15,}"
        print(f"{one.name:<5} {one.form:<5} {share:>6} {one.memories:>10,}  {sizes}")
    if shown.moved is not None:
        told = ", ".join(f"{count} to {name}" for name, count in shown.moved.items() if count) or "nothing"
        stay = f"; {shown.kept_int8} stay int8, their vectors cannot be made anew" if shown.kept_int8 else ""
        print(f"moved: {told}{stay}", file=sys.stderr)
    if compact:
        print(f"the file is {_grown(shown.file_shrunk_by)}", file=sys.stderr)


def _grown(shrunk_by: int) -> str:
    """What became of the size of the file.

    >>> _grown(8192), _grown(-4096), _grown(0)
    ('8,192 bytes smaller', '4,096 bytes larger', 'as large as before')
    """
    if not shrunk_by:
        return "as large as before"
    return f"{abs(shrunk_by):,} bytes {'smaller' if shrunk_by > 0 else 'larger'}"
