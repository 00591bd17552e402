"""`aqe memory`: keep, find and change what aqe remembers of a project."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqe.engine.errors import UserError
from aqe.engine.terminal import as_written, one_line, shortened
from aqe.server.cli import memory_lines
from aqe.server.cli.answers import piped_text
from aqe.server.cli.lines import LinesOption, answer_lines, with_id
from aqe.server.cli.memory_lines import read_pairs
from aqe.server.cli.memory_objects import absent_object, answer_object, memory_object, tell_absent
from aqe.server.cli.memory_scores import explained, shown_scores, summed_up
from aqe.server.cli.output import (
    JsonOption,
    ProjectOption,
    kept_where,
    new_group,
    print_json,
    project_at,
    terminal_progress,
)
from aqe.server.kept import kept_object, taken_over
from aqe.server.nearness import held_of_each

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder
    from aqe.engine.memory import Kept, Memory, SearchAnswer, Store
    from aqe.engine.memory.store import Prior

MOST_LISTED = 1_000_000
_KEPT = "It was kept already"

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
    ttl: Annotated[str | None, typer.Option("--ttl", metavar="TIME", help="Keep it this long: 30d, never.")] = None,
    jsonl: LinesOption = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Remember a text. The same text twice is one memory, unless you gave ids: it takes over what is new about it.

    That is its metadata, file, line and run; of two ends the later one counts, and one without an end keeps none. With
    --ttl never its end is taken away.

    With --jsonl each line holds `text` and may hold namespace, id, metadata, vector, embedder_id, file, line, commit,
    run and ttl; the options are for the lines that leave them out.
    """
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
    if file:
        given["file"] = _as_seen_here(root, file)
    with store:
        keep = partial(_keep, store, _embedder(root), root)
        if jsonl:
            _add_lines(root, keep, given)
            return
        if text is None:
            raise UserError("There is no text to remember.", code="bad-text", fix="Give it, or - to read stdin.")
        ((kept, warning),) = keep([{**given, "text": piped_text() if text == "-" else text, "id": id}])
    if json:
        print_json("memory-add", _warned(kept, warning), project=root)
        return
    print(kept.id)
    if warning:
        print(warning, file=sys.stderr)
    if kept.existed:
        how = f"It says nothing beyond what was just recalled from {kept.namespace}" if kept.recalled else _KEPT
        print(f"{how}.{taken_over(kept)}", file=sys.stderr)


def _as_seen_here(root: Path, file: str) -> str:
    """The file that a user means who names it relative to the folder that they are in; else as it is named."""
    here = Path(os.path.normpath(Path.cwd() / file))
    return str(here) if "\0" not in file and here.is_file() and here.is_relative_to(root.resolve()) else file


def _keep(store: Store, embedder: Embedder, root: Path, lines: Sequence[Mapping[str, Any]]) -> list[tuple[Kept, str]]:
    """Keep what the lines hold; for each what came of it, and a warning where the project lacks its file."""
    from aqe.engine.memory.growth.staleness import file_warning
    from aqe.engine.memory.line import memory_of_line
    from aqe.engine.retrieval import remember

    new = [memory_of_line(line) for line in lines]
    about = ["" if one.provenance is None else one.provenance.file for one in new]
    return [(one, file_warning(root, file)) for one, file in zip(remember(store, embedder, new), about, strict=True)]


def _add_lines(
    root: Path, keep: Callable[[Sequence[Mapping[str, Any]]], list[tuple[Kept, str]]], given: Mapping[str, Any]
) -> None:
    """Answer `aqe memory add --jsonl`; what a line leaves out is `given`."""
    from aqe.engine.memory.line import KEYS

    def answers(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [_warned(*one) for one in keep([memory_lines.with_defaults(line, given) for line in lines])]

    answer_lines(root, "memory-add", lambda line: answers([line])[0], keys=KEYS, answer_all=answers)


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
    from aqe.engine.memory.search.as_of import get_as_of, not_then

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
        memory_lines.check_search(k, namespace, only)
    asked: Any = None if jsonl else memory_lines.checked_query(query)
    root, store = _look(project)
    with store:
        embedder = _embedder(project_at(project))
        _embed_what_waits(store, embedder, quiet=json or jsonl)
        prior = _prior(store, project_at(project))
        if jsonl:
            given = {"k": k, "namespace": namespace, "filter": only}
            search_one = partial(memory_lines.found_for, store, embedder, prior=prior, explain=explain)
            _search_lines(root, store, search_one, given)
            return
        at = _moment(store, as_of)
        if at is None:
            answer = find(store, embedder, asked, k=k, namespace=namespace, filter=only, prior=prior, explain=explain)
        else:
            answer = find_as_of(store, embedder, asked, at, k=k, namespace=namespace, filter=only)
        apart = other_spaces(store, embedder)
        nothing = {} if answer.hits else absent_object(store, namespace, ever=at is not None)
    if json:
        print_json("memory-search", {**answer_object(answer, asked), "other_spaces": apart, **nothing}, project=root)
        return
    tell_absent(nothing)
    _print_answer(answer, asked, None if store.growth.rank is None else store.growth.rank.text)
    if apart:
        names = " and ".join(map(repr, apart))
        print(f"Memories with a vector of {names} are found by their words alone.", file=sys.stderr)


def _search_lines(
    root: Path | None, store: Store, search: Callable[[Mapping[str, Any]], SearchAnswer], given: Mapping[str, Any]
) -> None:
    """Answer `aqe memory search --jsonl`; what a line leaves out is `given`."""

    def found_of(line: Mapping[str, Any]) -> dict[str, Any]:
        filled = memory_lines.with_defaults(line, given)
        found = search(filled)
        nothing = {} if found.hits else absent_object(store, filled.get("namespace"))
        return with_id(line, {**answer_object(found, filled.get("query") or ""), **nothing})

    answer_lines(root, "memory-search", found_of, keys=memory_lines.SEARCH_KEYS)


def _print_answer(answer: SearchAnswer, query: str, rank: str | None) -> None:
    """A line for each hit, best first, and how they were found."""
    counts = held_of_each(query, answer.hits)
    for hit, of_hit in zip(answer.hits, counts, strict=True):
        name = f"{hit.memory.id}  {hit.memory.namespace}"
        print(one_line(f"{shown_scores(hit, of_hit)}  {name}  {_told(hit.memory)}"))
        if hit.explained is not None:
            print(f"      {explained(hit, hit.explained, rank)}")
    print(summed_up(answer, counts, rank), file=sys.stderr)
    if answer.note:
        print(answer.note, file=sys.stderr)


@app.command()
def update(
    id: Annotated[str, typer.Argument(metavar="ID")],
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The new text; - reads stdin.")] = None,
    namespace: NamespaceOption = "default",
    metadata: MetadataOption = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help="Keep it this long from now, like 30d; never: for good.")
    ] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Put a new revision of a memory in place of the current one, which is kept; --ttl alone changes only its end.

    Metadata that are given are all that it has then; without any it keeps what it had.
    """
    if text is None and metadata is None and ttl is None:
        raise UserError("There is nothing to change.", code="usage", fix="Give a text, --metadata KEY=VALUE or --ttl.")
    from aqe.engine.memory import rfc3339
    from aqe.engine.memory.growth.ends import set_end
    from aqe.engine.memory.growth.expiry import read_ttl
    from aqe.engine.retrieval import reembed

    ttl_s = None if ttl is None else read_ttl(ttl)
    root, store = _open(project)
    with store:
        new = piped_text() if text == "-" else text
        if new is not None or metadata is not None:
            changed = None if metadata is None else read_pairs(metadata)
            store.update(id, namespace=namespace, text=new, metadata=changed, ttl_s=ttl_s)
        elif ttl_s is not None:
            set_end(store, id, ttl_s, namespace=namespace)
        if new is not None:
            reembed(store, _embedder(root))
        now = store.history(id, namespace=namespace)[-1]
    ends = None if now.expires_at is None else rfc3339(now.expires_at)
    if json:
        told = {"id": id, "namespace": namespace, "revision": now.revision, "expires_at": ends}
        print_json("memory-update", told, project=root)
    else:
        end = f" and ends at {ends}" if ends else " and has no end" if ttl is not None else ""
        print(f"{id} is at revision {now.revision}{end}")


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
    from aqe.engine.memory.search.as_of import list_as_of

    root, store = _look(project)
    with store:
        at, only = _moment(store, as_of), read_pairs(metadata)
        wide = limit + 1 if 0 < limit < MOST_LISTED else limit
        if at is None:
            found = store.list(namespace=namespace, filter=only, limit=wide)
        else:
            found = list_as_of(store, at, namespace=namespace, filter=only, limit=wide)
        nothing = {} if found else absent_object(store, namespace, ever=at is not None)
    found, more = found[:limit], len(found) > limit
    if json:
        shown = [memory_object(memory) for memory in found]
        print_json("memory-list", {"memories": shown, "more": more, **nothing}, project=root)
        return
    tell_absent(nothing)
    if more:
        print(f"The newest {limit:,}; --limit N shows more.", file=sys.stderr)
    elif not found and namespace is None and not only and at is None:
        print("Nothing is remembered yet.", file=sys.stderr)
    for memory in found:
        print(one_line(f"{memory.id}  {memory.namespace}  {_told(memory)}"))


def _open(project: Path | None) -> tuple[Path, Store]:
    from aqe.engine.memory import open_store

    root = project_at(project)
    return root, open_store(root)


def _moment(store: Store, text: str | None) -> int | None:
    from aqe.engine.memory.search.as_of import refuse_ahead
    from aqe.engine.moments import read_moment

    now = store.now()
    return None if text is None else refuse_ahead(read_moment(text, now=now), now)


def _embedder(root: Path) -> Embedder:
    from aqe.engine.embedding import open_embedder
    from aqe.engine.settings import load_settings

    return open_embedder(load_settings(root))


def _embed_what_waits(store: Store, embedder: Embedder, *, quiet: bool) -> None:
    """Embed with a bar on the terminal what was kept before, or by another embedder; a search does it without one."""
    from aqe.engine.embedding import StaticEmbedder
    from aqe.engine.retrieval import WORTH_A_BAR, WORTH_A_BAR_OF_OTHERS, catch_up, waiting

    least = WORTH_A_BAR if isinstance(embedder, StaticEmbedder) else WORTH_A_BAR_OF_OTHERS
    if not quiet and waiting(store, embedder) >= least:
        with terminal_progress() as progress:
            catch_up(store, embedder, progress=progress)


def _look(project: Path | None) -> tuple[Path | None, Store]:
    """The store of a command that only looks, and the project if its report is kept there."""
    from aqe.engine.memory.opening import open_to_read

    root = project_at(project)
    return kept_where(root), open_to_read(root)


def _warned(kept: Kept, warning: str) -> dict[str, Any]:
    return kept_object(kept) | ({"warning": warning} if warning else {})


def _prior(store: Store, root: Path) -> Prior | None:
    """What feedback on earlier answers adds to a score, where it has a say."""
    from aqe.engine.learning import success_prior
    from aqe.engine.settings import load_settings

    return success_prior(store, load_settings(root))


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
