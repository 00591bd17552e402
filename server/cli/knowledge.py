"""`aqe knowledge`: what aqe knows about testing, as this project has it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.answers import piped_text
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, new_group, print_json, project_at
from aqe.server.counting import counted

if TYPE_CHECKING:
    from pathlib import Path

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory import Store

app = new_group("List, add and remove what aqe knows about testing.")

PartOption = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="PART", help="patterns, quality, smells or flaky.")
]


@app.command("list")
def list_(namespace: PartOption = None, json: JsonOption = False, project: ProjectOption = None) -> None:
    """Show the entries of this project, or those that it starts with."""
    from aqe.engine.knowledge import list_entries
    from aqe.engine.memory.opening import open_to_read

    root = project_at(project)
    with open_to_read(root) as store:
        entries = list_entries(store, namespace=namespace)
    if json:
        print_json("knowledge-list", {"entries": entries}, project=kept_where(root))
        return
    part = ""
    for entry in entries:
        if entry.namespace != part:
            part = entry.namespace
            print(f"\n{part}" if entry is not entries[0] else part)
        print(f"  {entry.id:32} {entry.title}{'' if entry.version else '  (your own)'}")
    print(f"{counted(len(entries), 'entry', 'entries')}", file=sys.stderr)


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID")], json: JsonOption = False, project: ProjectOption = None
) -> None:
    """Show one entry with its source."""
    from aqe.engine.knowledge import list_entries
    from aqe.engine.memory.opening import open_to_read

    root = project_at(project)
    with open_to_read(root) as store:
        found = [entry for entry in list_entries(store) if entry.id == id]
    if not found:
        raise UserError(
            f"There is no entry {id!r} on the shelf.", code="unknown-id", fix="`aqe knowledge list` shows the ids."
        )
    if json:
        print_json("knowledge-show", {"entries": found}, project=kept_where(root))
        return
    for entry in found:
        print(f"{entry.title}\n\n{entry.text}")
        print(f"\nSource: {entry.source or 'this project'}")


@app.command()
def add(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What the project knows; - reads stdin.")] = None,
    title: Annotated[str, typer.Option("--title", metavar="WORDS", help="A few words about what it is.")] = "",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="PART", help="patterns, quality, smells or flaky.")
    ] = "quality",
    source: Annotated[str, typer.Option("--source", metavar="TEXT", help="Where its facts can be read up.")] = "",
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Your own id (else one is made).")] = None,
    starter: Annotated[
        list[str] | None, typer.Option("--starter", metavar="ID", help="Put a shipped entry back; `all` for all.")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Add an entry of your own, or put shipped ones back that were removed."""
    from aqe.engine.knowledge import add_entry, refresh, restore_entries

    root, store, embedder = _open(project)
    with store:
        refresh(store, embedder)
        if starter:
            ids = restore_entries(store, embedder, () if "all" in starter else tuple(starter))
        elif text is None:
            raise UserError("There is no text to add.", code="bad-text", fix="Give it, or - to read stdin.")
        else:
            body = piped_text() if text == "-" else text
            ids = [add_entry(store, embedder, body, namespace=namespace, title=title, source=source, id=id)]
    _done("knowledge-add", "added", ids, json, root)


@app.command()
def remove(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    namespace: PartOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all entries (of the namespace).")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Remove entries; those that aqe ships stay removed in later versions too."""
    from aqe.engine.knowledge import refresh, remove_entries

    if bool(ids) == everything:
        raise UserError("It is not said what to remove.", code="usage", fix="Give ids, or --all.")
    root, store, embedder = _open(project)
    with store:
        refresh(store, embedder)
        removed = remove_entries(store, tuple(ids or ()), namespace=namespace)
    _done("knowledge-remove", "removed", removed, json, root)


def _done(command: str, word: str, ids: list[str], json: bool, root: Path) -> None:
    if json:
        print_json(command, {word: ids}, project=root)
        return
    for id in ids:
        print(id)
    print(f"{len(ids)} {word}", file=sys.stderr)


def _open(project: Path | None) -> tuple[Path, Store, Embedder]:
    from aqe.engine.embedding import open_embedder
    from aqe.engine.memory import open_store
    from aqe.engine.settings import load_settings

    root = project_at(project)
    settings = load_settings(root)
    return root, open_store(root, settings=settings), open_embedder(settings)
