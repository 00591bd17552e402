"""`aqe memory backup|verify|restore|snapshot|snapshots|rollback|diff`: the care of what is remembered."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.terminal import one_line, page, shortened
from aqe.server.cli import memory_key
from aqe.server.cli.care_work import DryRunOption, named_keys, place_in
from aqe.server.cli.interrupts import working
from aqe.server.cli.memory_migrate import migrate
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json
from aqe.server.counting import memories

if TYPE_CHECKING:
    from aqe.engine.memory.care.comparing import Change

FileArgument = Annotated[Path, typer.Argument(metavar="FILE")]
KeyOption = Annotated[
    str | None,
    typer.Option("--key-env", metavar="NAME", help="The variable with the backup's key, where it is another one."),
]


def add_to(app: typer.Typer) -> None:
    """Put the commands of this module under `aqe memory`."""
    for function in (migrate, backup, verify, repair, restore, snapshot, snapshots, rollback, diff):
        app.command()(function)
    app.add_typer(memory_key.app, name="key")


def backup(
    file: FileArgument,
    since: Annotated[
        Path | None,
        typer.Option("--since", metavar="BACKUP", help="Write only what differs from this whole backup."),
    ] = None,
    key_env: KeyOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> int:
    """Write all that is kept to one file, while servers run, and read it again.

    The file has the store's own key, if it has one. It gets its name when it is whole. With --since it is small, and
    both files are needed to go back. Exit 1 where it holds damaged texts, as the store does.
    """
    from aqe.engine.memory.care import back_up
    from aqe.server.cli.care_text import held

    root, place, _ = place_in(project)
    with working(quiet=json) as (progress, cancel):
        report = back_up(
            place,
            file,
            since=since,
            keys=named_keys(key_env),
            force=force,
            dry_run=dry_run,
            progress=progress,
            cancel=cancel,
        )
    if json:
        print_json("memory-backup", report, project=root)
        return 1 if report.damage else 0
    done = "would hold" if dry_run else "holds"
    rest = f", with {report.since}" if report.since else ""
    sealed = ", encrypted" if report.encrypted else ""
    print(f"{report.file} {done} {held(report.memories, report.remembered)} in {report.bytes:,} bytes{rest}{sealed}")
    if report.damage:
        print(
            f"It holds damage, as the store does: {report.damage}. `aqe memory repair` mends the store.",
            file=sys.stderr,
        )
        return 1
    return 0


def verify(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A backup, in place of the store.")] = None,
    key_env: KeyOption = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> int:
    """Look whether all that is kept is sound: pages, texts, revisions, both indexes. Exit 1 if anything is wrong."""
    from aqe.engine.memory.care import verify as verify_store
    from aqe.server.cli.care_text import finding_lines, held

    root, place, _ = place_in(project)
    with working(quiet=json) as (progress, cancel):
        report = verify_store(place, file, keys=named_keys(key_env), progress=progress, cancel=cancel)
    if json:
        print_json("memory-verify", report, project=kept_where(root))
    else:
        for run in report.checks:
            print(f"{run.state:<8} {run.name:<12} {run.looked_at:>10,} {run.of}")
        sys.stdout.write(page(finding_lines(report.findings)))
        count = held(report.memories, report.remembered)
        count = count if report.sound or report.memories else "no memory can be counted"
        print(f"{report.file}: {'sound' if report.sound else 'not sound'}, {count}")
    return 0 if report.sound else 1


def repair(dry_run: DryRunOption = False, json: JsonOption = False, project: ProjectOption = None) -> int:
    """Bring a damaged store to the last good state, and say what was lost. Exit 1 if it is not sound, or all was lost.

    Where its pages are sound, rows are put right while servers run. Else every row that still stands is saved into a
    new file, and the damaged one is kept in .aqe/backups.
    """
    from aqe.engine.memory.care import repair as repair_store
    from aqe.server.cli.care_text import repair_lines

    root, place, settings = place_in(project)
    with working(quiet=json) as (progress, cancel):
        report = repair_store(
            place,
            copies=settings.care.copies,
            copies_mb=settings.care.copies_mb,
            dry_run=dry_run,
            progress=progress,
            cancel=cancel,
        )
    if json:
        print_json("memory-repair", report, project=root)
    else:
        sys.stdout.write(page(repair_lines(report)))
    return 0 if report.sound and not report.everything_lost else 1


def restore(
    file: FileArgument,
    base: Annotated[
        Path | None,
        typer.Option("--base", metavar="BACKUP", help="The backup that an incremental one rests on, if it moved."),
    ] = None,
    key_env: KeyOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> int:
    """Put a backup in the place of what is kept; what was there is kept in .aqe/backups. Exit 1 where it is damaged.

    Servers may run: they see it in one moment. The audit log, consents and running jobs stay as they are.
    """
    from aqe.engine.memory.care import restore as restore_store
    from aqe.engine.project import aqe_dir_if_done
    from aqe.server.cli.care_text import held

    root, place, settings = place_in(project)
    folder = contextlib.nullcontext() if dry_run else aqe_dir_if_done(place.folder.parent)
    with folder, working(quiet=json) as (progress, cancel):
        report = restore_store(
            place,
            file,
            base=base,
            keys=named_keys(key_env),
            copies=settings.care.copies,
            copies_mb=settings.care.copies_mb,
            dry_run=dry_run,
            progress=progress,
            cancel=cancel,
        )
    if json:
        print_json("memory-restore", report, project=kept_where(root))
        return 1 if report.findings else 0
    would = "would be" if dry_run else "is"
    steps = f", brought up to date by {report.migrated} steps" if report.migrated else ""
    now_held = held(report.memories, report.remembered)
    print(f"{report.file} {would} restored: {now_held} in place of {report.memories_before:,}{steps}")
    if report.kept:
        print(f"What was there is kept in {report.kept}", file=sys.stderr)
    if report.now_in_clear:
        lies = "would lie" if dry_run else "lies"
        print(f"What was encrypted in it {lies} in clear here: `aqe memory key set` encrypts it.", file=sys.stderr)
    sys.stdout.write(page(f"found: {one}" for one in report.findings))
    if report.findings:
        print("The backup is damaged, or was made of a damaged store: `aqe memory repair` mends what can be.")
    return 1 if report.findings else 0


def snapshot(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Keep this moment under a name, to compare with it or go back to it.

    It holds what was remembered; the project index and aqe's own knowledge, which follow the files, are not in it.
    """
    from aqe.engine.memory import open_store
    from aqe.engine.memory.care import take_snapshot

    root, _, settings = place_in(project)
    with open_store(root, settings=settings) as store:
        taken, dropped = take_snapshot(store, name, kept=settings.care.snapshots)
    if json:
        print_json("memory-snapshot", {"snapshot": taken, "dropped": dropped}, project=root)
        return
    print(f"{taken.name} holds {memories(taken.memories)} of {taken.at}")
    if dropped:
        print(f"Of more than {settings.care.snapshots} snapshots went {', '.join(dropped)}", file=sys.stderr)


def snapshots(
    remove: Annotated[str | None, typer.Option("--remove", metavar="NAME", help="Forget this one.")] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """List the snapshots, newest first, with how many memories each holds."""
    from aqe.engine.memory import open_store
    from aqe.engine.memory.care import list_snapshots
    from aqe.engine.memory.care.snapshots import remove_snapshot
    from aqe.engine.memory.opening import open_to_read

    root, place, settings = place_in(project)
    is_there = place.path.exists()
    with open_to_read(root) if remove is None or not is_there else open_store(root, settings=settings) as store:
        if remove is not None:
            remove_snapshot(store, remove)
        found = list_snapshots(store)
    if json:
        print_json("memory-snapshots", {"snapshots": found}, project=kept_where(root))
        return
    for one in found:
        print(f"{one.at}  {one.memories:>8,}  {one.name}")


def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A snapshot.")],
    dry_run: DryRunOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Bring what is remembered back to a snapshot; a snapshot of now is taken first.

    What was erased stays erased. Servers may run: they see it in one moment.
    """
    from aqe.engine.embedding import open_embedder
    from aqe.engine.memory import open_store
    from aqe.engine.memory.care import roll_back
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.retrieval import reembed

    root, place, settings = place_in(project)
    place.connect_to_read().close()  # else a store would be made to look for a snapshot in
    opened = open_to_read(root) if dry_run else open_store(root, settings=settings)
    with opened as store, working(quiet=json) as (progress, cancel):
        report = roll_back(store, name, kept=settings.care.snapshots, dry_run=dry_run, progress=progress, cancel=cancel)
        if not dry_run:
            reembed(store, open_embedder(settings), progress=progress, cancel=cancel)
    if json:
        print_json("memory-rollback", report, project=root)
        return
    would = "would be " if dry_run else ""
    print(f"{report.ended:,} {would}ended, {report.brought_back:,} {would}brought back, {report.reset:,} {would}reset")
    if report.lost:
        print(f"{memories(report.lost)} of {name} were erased since and stay so", file=sys.stderr)
    if report.undo:
        print(f"`aqe memory rollback {report.undo}` takes it back", file=sys.stderr)


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="A snapshot, a backup, or `now`.")],
    b: Annotated[str, typer.Argument(metavar="[B]", help="The same.")] = "now",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Show at most this many.")] = 50,
    key_env: KeyOption = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show which memories differ between two snapshots, backups or now."""
    from aqe.engine.memory.care import compare

    root, place, _ = place_in(project)
    with working(quiet=json) as (progress, cancel):
        report = compare(place, a, b, limit=limit, keys=named_keys(key_env), progress=progress, cancel=cancel)
    if json:
        print_json("memory-diff", report, project=root)
        return
    for change in report.changes:
        for line in _change_lines(change):
            print(line)
    more = report.added + report.changed + report.removed - len(report.changes)
    if more:
        print(f"and {more:,} more (--limit N)")
    print(
        f"{report.added:,} added, {report.changed:,} changed, {report.removed:,} removed, {report.same:,} the same",
        file=sys.stderr,
    )


def _change_lines(change: Change) -> Iterator[str]:
    name = one_line(f"{change.namespace}  {change.id}")
    yield f"{ {'added': '+', 'removed': '-', 'changed': '~'}[change.kind] } {name}"
    if change.before is not None and change.before != change.after:
        yield f"    - {shortened(change.before)}"
    if change.after is not None and change.before != change.after:
        yield f"    + {shortened(change.after)}"
    if change.kind == "changed" and change.metadata_before != change.metadata_after:
        before, after = (shortened(str(one)) for one in (change.metadata_before, change.metadata_after))
        yield f"    metadata {before} -> {after}"
