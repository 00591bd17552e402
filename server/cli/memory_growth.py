"""`aqe memory pin`, `unpin`, `merge` and `prune`: what keeps a memory from growing without bound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.errors import UserError
from aqe.engine.terminal import shortened
from aqe.server.cli.interrupts import working
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, project_at
from aqe.server.counting import counted, memories

if TYPE_CHECKING:
    from aqe.engine.memory import Store
    from aqe.server.cli.growth_objects import PruneShown

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="The memory's namespace.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done and why; change nothing.")]
UndoOption = Annotated[str | None, typer.Option("--undo", metavar="ID", help="Bring this memory back.")]
LogOption = Annotated[bool, typer.Option("--log", help="Show what was done lately, by the background too.")]
_SHOWN = 20
_TEXT = 70


def add_to(app: typer.Typer) -> None:
    """Put the commands of this module under `aqe memory`."""
    for function in (pin, unpin, merge, prune):
        app.command()(function)


def pin(
    id: Annotated[str, typer.Argument(metavar="ID")],
    namespace: NamespaceOption = "default",
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Keep a memory from being pruned or merged away."""
    _set_pin(id, namespace, True, json, project)


def unpin(
    id: Annotated[str, typer.Argument(metavar="ID")],
    namespace: NamespaceOption = "default",
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Take a memory's pin away."""
    _set_pin(id, namespace, False, json, project)


def merge(
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only in this namespace (else in all).")
    ] = None,
    undo: UndoOption = None,
    log: LogOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Merge near-duplicates: the newer one stays, with the metadata of both.

    Memories with ids of yours, pinned ones and corrections are left alone, and so are texts whose numbers, signs or
    negations differ. A server merges in the background what says the same word for word (setting memory.merge).
    """
    from aqe.engine.memory.growth import merging
    from aqe.engine.settings import load_settings
    from aqe.server.cli.growth_objects import MergesShown

    root, store = _open(project, looks=dry_run or log)
    with store:
        if undo is not None or log:
            _undo_or_show(store, root, "memory-merge", undo, namespace, json)
            return
        memory = load_settings(root).memory
        with working(quiet=json) as (progress, cancel):
            found = merging.find_duplicates(
                store,
                namespace=namespace,
                cosine=memory.merge_cosine,
                least_overlap=memory.merge_overlap,
                progress=progress,
                cancel=cancel,
            )
            done = 0 if dry_run else merging.merge(store, found, progress=progress, cancel=cancel)
    if json:
        print_json("memory-merge", MergesShown(dry_run, done, found), project=kept_where(root))
        return
    for one in found[:_SHOWN]:
        near = "" if one.cosine is None else f", meaning {one.cosine:.2f}"
        print(f"{one.id}  {one.namespace}  {shortened(one.text, _TEXT)}")
        print(f"  into {one.into}  {shortened(one.into_text, _TEXT)}")
        print(f"  words {one.overlap:.2f}{near}")
    _say_more(len(found))
    print(f"{len(found)} would be merged" if dry_run else f"{done} merged", file=sys.stderr)


def prune(
    max_mb: Annotated[
        float | None, typer.Option("--max-mb", metavar="MB", min=0, help="The size to keep (else memory.max_mb).")
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=0, help="How many to keep (else memory.max_count).")
    ] = None,
    undo: UndoOption = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", metavar="NAME", help="Where the memory of --undo is, or what --log shows."),
    ] = None,
    log: LogOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """End what is over, and the memories of least worth until the rest fits the budget; 0 means no budget.

    The worth of a memory is how often it was recalled lately times what feedback says of it. Pinned ones and
    corrections stay. The budget is one of all namespaces, so --namespace goes with --undo and --log alone.
    """
    from aqe.engine.memory.growth.pruning import prune as prune_store
    from aqe.engine.memory.growth.upkeep import budget_plan
    from aqe.engine.settings import load_settings
    from aqe.server.cli.growth_objects import prune_shown

    if namespace is not None and undo is None and not log:
        raise UserError(
            "--namespace goes with --undo and --log alone: the budget is one of all namespaces.",
            code="bad-argument",
            fix="Leave it out.",
        )
    root, store = _open(project, looks=dry_run or log)
    with store:
        if undo is not None or log:
            _undo_or_show(store, root, "memory-prune", undo, namespace, json)
            return
        with working(quiet=json) as (progress, cancel):
            plan = budget_plan(store, load_settings(root), max_mb=max_mb, keep=keep)
            done = None if dry_run else prune_store(store, plan, progress=progress, cancel=cancel)
    shown = prune_shown(plan, done)
    if json:
        print_json("memory-prune", shown, project=kept_where(root))
        return
    _print_pruned(shown, dry_run=dry_run)


def _print_pruned(shown: PruneShown, *, dry_run: bool) -> None:
    """What goes and why, and what the budget is."""
    for one in shown.goes[:_SHOWN]:
        quality = "" if one.quality is None else f", feedback {one.quality:+.2f}"
        when = f", last {one.recalled_at}" if one.recalled_at else ""
        print(f"{one.id}  {one.namespace}  {shortened(one.text, _TEXT)}")
        print(f"  worth {one.worth:.3g}: recalled {counted(one.recalls, 'time')}{when}{quality}; {one.bytes:,} bytes")
    _say_more(len(shown.goes))
    print(f"{memories(shown.memories)}, {shown.bytes:,} bytes{_budget(shown.max_memories, shown.max_bytes)}")
    if dry_run:
        print(f"{len(shown.goes)} would go", file=sys.stderr)
    else:
        print(f"{shown.pruned} pruned, {shown.expired} over, {shown.erased} erased for good", file=sys.stderr)


def _set_pin(id: str, namespace: str, pinned: bool, json: bool, project: Path | None) -> None:
    from aqe.engine.memory.growth.pins import set_pinned
    from aqe.server.cli.growth_objects import PinShown

    root, store = _open(project)
    with store:
        changed = set_pinned(store, id, pinned, namespace=namespace)
    if json:
        print_json(f"memory-{'pin' if pinned else 'unpin'}", PinShown(id, namespace, pinned, changed), project=root)
        return
    print(f"{id} is {'' if changed else 'already '}{'pinned' if pinned else 'not pinned'}")


def _undo_or_show(store: Store, root: Path, command: str, undo: str | None, namespace: str | None, json: bool) -> None:
    """Bring a memory back into its namespace ("default" where none is said), or show the log (of all where none is)."""
    from aqe.engine.memory.growth.log import read_log
    from aqe.engine.memory.growth.merging import revive
    from aqe.server.cli.growth_objects import Revived, log_shown

    if undo is not None:
        place = "default" if namespace is None else namespace
        revision = revive(store, undo, namespace=place)
        if json:
            print_json(command, Revived(undo, place, revision), project=root)
        else:
            print(f"{undo} is back, at revision {revision}")
        return
    with store.reading() as connection:
        shown = log_shown(read_log(connection, namespace=namespace))
    if json:
        print_json(command, shown, project=kept_where(root))
        return
    if not shown.entries:
        print("Nothing was merged, pruned or ended yet.", file=sys.stderr)
    for one in shown.entries:
        into = f" into {one.facts['into']}" if "into" in one.facts else ""
        print(f"{one.at}  {one.what}{into}  {one.id}  {one.namespace}")


def _open(project: Path | None, *, looks: bool = False) -> tuple[Path, Store]:
    from aqe.engine.memory import open_store
    from aqe.engine.memory.opening import open_to_read

    root = project_at(project)
    return root, open_to_read(root) if looks else open_store(root)


def _budget(most: int, size: int) -> str:
    parts = [memories(most)] if most else []
    parts += [f"{size:,} bytes"] if size else []
    return f"; the budget is {' and '.join(parts)}" if parts else "; there is no budget"


def _say_more(count: int) -> None:
    if count > _SHOWN:
        print(f"... and {count - _SHOWN} more (--json shows all)")
