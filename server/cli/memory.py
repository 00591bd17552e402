"""`aqe memory`: keep, find and change what aqe remembers of a project."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqe.engine.errors import UserError
from aqe.engine.terminal import as_written, one_line, shortened
from aqe.server.cli import memory_graph, memory_growth, memory_lines, memory_tiers, memory_transfer
from aqe.server.cli.answers import piped_text
from aqe.server.cli.lines import LinesOption, answer_lines
from aqe.server.cli.memory_care import add_care
from aqe.server.cli.memory_lines import read_pairs
from aqe.server.cli.memory_scores import explained, shown_scores
from aqe.server.cli.output import (
    JsonOption,
    ProjectOption,
    kept_where,
    new_group,
    print_json,
    project_at,
    terminal_progress,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory import Kept, Memory, SearchAnswer, Store
    from aqe.engine.memory.store import Prior

app = new_group("Keep, find and change what aqe remembers of this project.")

NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", metavar="NAME", help="The memory's namespace.")]
AnyNamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace (else all).")
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="Metadata; a VALUE that is JSON is taken as such."),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option("--metadata", "-m", metavar="KEY=VALUE", help='Only with this metadata; VALUE may be {"ge": 3}.'),
]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", metavar="WHEN", help="As it was then: 2026-03-01, 3h ago, RFC 3339.")
]
FileOption = Annotated[str, typer.Option("--file", metavar="PATH", help="The file that it is about.")]
LineOption = Annotated[int, typer.Option("--line", metavar="N", help="The line in that file.")]


@app.command()
def add(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What to remember; - reads stdin.")] = None,
    id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Your own id (else one is made).")] = None,
    namespace: NamespaceOption = "default",
    metadata: MetadataOption = None,
    file: FileOption = "",
    line: LineOption = 0,
    run: Annotated[str, typer.Option("--run", metavar="ID", help="The test run that it comes from.")] = "",
    ttl: Annotated[str | None, typer.Option("--ttl", metavar="TIME", help="Keep it this long, like 30d.")] = None,
    jsonl: LinesOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Remember a text. The same text twice is one memory, unless you gave ids.

    With --jsonl each line holds `text` and may hold namespace, id, metadata, vector, embedder_id, file, line, commit,
    run and ttl; the options are for the lines that leave them out.
    """
    from aqe.engine.memory.growth.staleness import file_warning
    from aqe.engine.retrieval import remember

    given = {
        "namespace": namespace,
        "metadata": read_pairs(metadata),
        "file": file,
        "line": line,
        "run": run,
        "ttl": ttl,
    }
    if jsonl:
        memory_lines.refuse_beside_lines(**{"A TEXT": text, "--id": id})
    memory_lines.check_defaults(given)
    root, store = _open(project)
    with store:
        embedder = _embedder(root)

        def kept_of(*lines: Mapping[str, Any]) -> list[tuple[Kept, str]]:
            new = [memory_lines.new_memory(line) for line in lines]
            about = ["" if one.provenance is None else one.provenance.file for one in new]
            return [
                (one, file_warning(root, file)) for one, file in zip(remember(store, embedder, new), about, strict=True)
            ]

        def kept_lines(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
            return [_kept_object(*one) for one in kept_of(*(memory_lines.with_defaults(line, given) for line in lines))]

        if jsonl:
            answer_lines(root, "memory-add", lambda line: kept_lines([line])[0], answer_all=kept_lines)
            return
        if text is None:
            raise UserError("There is no text to remember.", code="bad-text", fix="Give it, or - to read stdin.")
        ((kept, warning),) = kept_of({**given, "text": piped_text() if text == "-" else text, "id": id})
    if json:
        print_json("memory-add", {"namespace": namespace, **_kept_object(kept, warning)}, project=root)
        return
    print(kept.id)
    if warning:
        print(warning, file=sys.stderr)
    if kept.recalled:
        print(f"It says nothing beyond what was just recalled from {kept.namespace}.", file=sys.stderr)
    elif kept.existed:
        print("It was kept already.", file=sys.stderr)


@app.command()
def get(
    id: Annotated[str, typer.Argument(metavar="ID")],
    namespace: NamespaceOption = "default",
    history: Annotated[bool, typer.Option("--history", help="Show all revisions, ended ones too.")] = False,
    as_of: AsOfOption = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show a memory."""
    from aqe.engine.memory.adding import unknown
    from aqe.engine.memory.as_of import get_as_of, not_then

    if history and as_of:
        raise UserError("--history has every revision.", code="bad-argument", fix="Leave out --as-of.")
    root, store = _look(project)
    with store:
        at = _moment(store, as_of)
        current = store.get(id, namespace=namespace) if at is None else get_as_of(store, id, at, namespace=namespace)
        found = store.history(id, namespace=namespace) if history else [] if current is None else [current]
        if not found and at is not None:
            raise not_then(store, id, at, namespace=namespace)
        if not found:
            with store.reading() as connection:
                raise unknown(connection, id, namespace)
    if json:
        shown = [memory_object(memory) for memory in found]
        print_json("memory-get", {"revisions": shown} if history else shown[0], project=root)
        return
    for memory in found:
        _print_memory(memory)


@app.command()
def search(
    query: Annotated[str | None, typer.Argument(metavar="[QUERY]", help="What to look for.")] = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="At most this many.")] = 10,
    namespace: AnyNamespaceOption = None,
    metadata: FilterOption = None,
    as_of: AsOfOption = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each score is made of.")] = False,
    jsonl: LinesOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Find memories by their words and their meaning, best first.

    With --jsonl each line holds `query` or `vector` (or both) and may hold id, k, namespace, filter and embedder_id,
    which names what made the vector; the options are for the lines that leave them out.
    """
    from aqe.engine.retrieval import find, find_as_of, other_spaces

    if as_of and jsonl:
        raise UserError("--as-of does not go with --jsonl.", code="bad-argument", fix="Ask one query at a time.")
    if explain and as_of:
        raise UserError("--explain does not go with --as-of.", code="bad-argument", fix="Explain a search of today.")
    only = read_pairs(metadata)
    if jsonl:
        memory_lines.refuse_beside_lines(**{"A QUERY": query})
    asked: Any = None if jsonl else memory_lines.checked_query(query)
    root, store = _look(project)
    with store:
        embedder = _embedder(project_at(project))
        _embed_what_waits(store, embedder, quiet=json or jsonl)
        prior = _prior(store, project_at(project))
        if jsonl:
            given = {"k": k, "namespace": namespace, "filter": only}

            def found_of(line: Mapping[str, Any]) -> dict[str, Any]:
                filled = memory_lines.with_defaults(line, given)
                found = memory_lines.found_for(store, embedder, filled, prior=prior, explain=explain)
                return {**({"id": line["id"]} if "id" in line else {}), **answer_object(found)}

            answer_lines(root, "memory-search", found_of)
            return
        at = _moment(store, as_of)
        if at is None:
            answer = find(store, embedder, asked, k=k, namespace=namespace, filter=only, prior=prior, explain=explain)
        else:
            answer = find_as_of(store, embedder, asked, at, k=k, namespace=namespace, filter=only)
        apart = other_spaces(store, embedder)
    if json:
        print_json("memory-search", {**answer_object(answer), "other_spaces": apart}, project=root)
        return
    _print_answer(answer, None if store.growth.rank is None else store.growth.rank.text)
    if apart:
        names = " and ".join(map(repr, apart))
        print(f"Memories with a vector of {names} are found by their words alone.", file=sys.stderr)


def _print_answer(answer: SearchAnswer, rank: str | None) -> None:
    """A line for each hit, best first, and how they were found."""
    best_text = max((hit.text_score or 0.0 for hit in answer.hits), default=0.0) or 1.0
    for hit in answer.hits:
        name = f"{hit.memory.id}  {hit.memory.namespace}"
        print(one_line(f"{shown_scores(hit, best_text)}  {name}  {_told(hit.memory)}"))
        if hit.explained is not None:
            print(f"      {explained(hit, hit.explained, rank)}")
    print(f"{len(answer.hits)} found by {answer.mode}", file=sys.stderr)


@app.command()
def update(
    id: Annotated[str, typer.Argument(metavar="ID")],
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The new text; - reads stdin.")] = None,
    namespace: NamespaceOption = "default",
    metadata: MetadataOption = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Put a new revision of a memory in place of the current one, which is kept."""
    if text is None and metadata is None:
        raise UserError("There is nothing to change.", code="usage", fix="Give a text or --metadata KEY=VALUE.")
    from aqe.engine.retrieval import reembed

    root, store = _open(project)
    with store:
        new = piped_text() if text == "-" else text
        changed = None if metadata is None else read_pairs(metadata)
        revision = store.update(id, namespace=namespace, text=new, metadata=changed)
        if new is not None:
            reembed(store, _embedder(root))
    if json:
        print_json("memory-update", {"id": id, "namespace": namespace, "revision": revision}, project=root)
    else:
        print(f"{id} is at revision {revision}")


@app.command()
def delete(
    id: Annotated[str, typer.Argument(metavar="ID")],
    namespace: NamespaceOption = "default",
    erase: Annotated[bool, typer.Option("--erase", help="Remove all its revisions from the file too.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """End a memory, so that no search finds it."""
    root, store = _open(project)
    with store:
        store.delete(id, namespace=namespace, erase=erase)
    if json:
        print_json("memory-delete", {"id": id, "namespace": namespace, "erased": erase}, project=root)
    else:
        print(f"{id} is {'erased' if erase else 'deleted'}")


@app.command("list")
def list_memories(
    namespace: AnyNamespaceOption = None,
    metadata: FilterOption = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="At most this many.")] = 50,
    as_of: AsOfOption = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """List memories, newest first."""
    from aqe.engine.memory.as_of import list_as_of

    root, store = _look(project)
    with store:
        at, only = _moment(store, as_of), read_pairs(metadata)
        if at is None:
            found = store.list(namespace=namespace, filter=only, limit=limit)
        else:
            found = list_as_of(store, at, namespace=namespace, filter=only, limit=limit)
    if json:
        print_json("memory-list", {"memories": [memory_object(memory) for memory in found]}, project=root)
        return
    for memory in found:
        print(one_line(f"{memory.id}  {memory.namespace}  {_told(memory)}"))


add_care(app)


def memory_object(memory: Memory) -> dict[str, Any]:
    """A memory as the JSON of every form: times in RFC 3339."""
    from aqe.engine.memory import rfc3339

    return {
        "id": memory.id,
        "namespace": memory.namespace,
        "revision": memory.revision,
        "text": memory.text,
        "metadata": memory.metadata,
        "created_at": rfc3339(memory.created_at),
        "valid_from": rfc3339(memory.valid_from),
        "valid_to": None if memory.valid_to is None else rfc3339(memory.valid_to),
        "embedder_id": memory.embedder_id,
        "dimension": memory.dimension,
        "provenance": vars(memory.provenance),
        "expires_at": None if memory.expires_at is None else rfc3339(memory.expires_at),
        "pinned": memory.pinned,
        "stale": memory.stale,
        "end_note": memory.end_note,
    }


def answer_object(answer: SearchAnswer) -> dict[str, Any]:
    """What a search found as JSON; scores with 5 digits."""
    hits = [
        {
            "score": float(f"{hit.score:.5g}"),
            "text_score": None if hit.text_score is None else float(f"{hit.text_score:.5g}"),
            "vector_score": None if hit.vector_score is None else float(f"{hit.vector_score:.5g}"),
            "prior": float(f"{hit.prior:.5g}"),
            "explained": None if hit.explained is None else _rounded(vars(hit.explained)),
            **memory_object(hit.memory),
        }
        for hit in answer.hits
    ]
    return {"mode": answer.mode, "hits": hits}


def _open(project: Path | None) -> tuple[Path, Store]:
    from aqe.engine.memory import open_store

    root = project_at(project)
    return root, open_store(root)


def _moment(store: Store, text: str | None) -> int | None:
    from aqe.engine.moments import read_moment

    return None if text is None else read_moment(text, now=store.now())


def _embedder(root: Path) -> Embedder:
    from aqe.engine.embedding import open_embedder
    from aqe.engine.settings import load_settings

    return open_embedder(load_settings(root))


def _embed_what_waits(store: Store, embedder: Embedder, *, quiet: bool) -> None:
    """Embed with a bar on the terminal what was kept before, or by another embedder; a search does it without one."""
    from aqe.engine.retrieval import WORTH_A_BAR, reembed, waiting

    if not quiet and waiting(store, embedder) >= WORTH_A_BAR:
        with terminal_progress() as progress:
            reembed(store, embedder, progress=progress)


def _look(project: Path | None) -> tuple[Path | None, Store]:
    """The store of a command that only looks, and the project if its report is kept there."""
    from aqe.engine.memory.opening import open_to_read

    root = project_at(project)
    return kept_where(root), open_to_read(root)


def _kept_object(kept: Kept, warning: str) -> dict[str, Any]:
    """What an addition answers; of one that was just recalled also where that is, and a warning if there is one."""
    more: dict[str, Any] = {"recalled": True, "namespace": kept.namespace} if kept.recalled else {}
    more |= {"warning": warning} if warning else {}
    return {"id": kept.id, "existed": kept.existed, **more}


def _prior(store: Store, root: Path) -> Prior | None:
    """What feedback on earlier answers adds to a score, where it has a say."""
    from aqe.engine.learning import success_prior
    from aqe.engine.settings import load_settings

    return success_prior(store, load_settings(root))


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in values.items()}


def _print_memory(memory: Memory) -> None:
    shown = memory_object(memory)
    print(f"id          {one_line(memory.id)}")
    print(f"namespace   {shown['namespace']}")
    why = f" ({shown['end_note']})" if shown["end_note"] else ""
    ended = f", ended {shown['valid_to']}{why}" if shown["valid_to"] else ""
    print(f"revision    {shown['revision']} from {shown['valid_from']}{ended}")
    origin = ", ".join(f"{name} {value}" for name, value in shown["provenance"].items() if value)
    print(f"from        {one_line(origin or '-')}")
    print(f"metadata    {one_line(jsonlib.dumps(shown['metadata'], ensure_ascii=False))}")
    if shown["embedder_id"]:
        print(f"vector      {shown['dimension']} numbers by {shown['embedder_id']}")
    if shown["expires_at"]:
        print(f"expires     {shown['expires_at']}")
    if memory.pinned:
        print("pinned      never pruned, never merged away")
    if memory.stale:
        print("stale       its file changed since")
    print(as_written(memory.text))


def _told(memory: Memory) -> str:
    """The text of a memory in one line, and what there is to know of it."""
    marks = [name for name, is_so in (("stale", memory.stale), ("pinned", memory.pinned)) if is_so]
    return f"{shortened(memory.text)}{f' ({chr(44).join(marks)})' if marks else ''}"


memory_graph.add_to(app)
memory_growth.add_to(app)
memory_tiers.add_to(app)
memory_transfer.add_to(app)
