"""`aqe memory`: keep, find and change what aqe remembers of a project."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqe.engine.errors import UserError
from aqe.server.cli import memory_graph, memory_growth, memory_tiers, memory_transfer
from aqe.server.cli.lines import LinesOption, answer_lines
from aqe.server.cli.memory_care import add_care
from aqe.server.cli.output import JsonOption, ProjectOption, kept_where, print_json, terminal_progress

if TYPE_CHECKING:
    from pathlib import Path

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory import Hit, Kept, Memory, NewMemory, SearchAnswer, Store
    from aqe.engine.memory.entry import Explained
    from aqe.engine.memory.store import Prior

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Keep, find and change what aqe remembers of this project.",
)

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
    run and ttl.
    """
    from aqe.engine.retrieval import keep

    root, store = _open(project)
    with store:
        embedder = _embedder(root)
        if jsonl:
            answer_lines(root, "memory-add", lambda line: _kept_object(keep(store, embedder, [_new_memory(line)])[0]))
            return
        if text is None:
            raise UserError("There is no text to remember.", code="bad-text", fix="Give it, or - to read stdin.")
        given = {"text": sys.stdin.read() if text == "-" else text, "namespace": namespace, "id": id}
        given |= {"metadata": _pairs(metadata), "file": file, "line": line, "run": run, "ttl": ttl}
        kept = keep(store, embedder, [_new_memory(given)])[0]
    if json:
        print_json("memory-add", {"namespace": namespace, **_kept_object(kept)}, project=root)
        return
    print(kept.id)
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
    from aqe.engine.memory.as_of import get_as_of

    if history and as_of:
        raise UserError("--history has every revision.", code="bad-argument", fix="Leave out --as-of.")
    root, store = _look(project)
    with store:
        at = _moment(store, as_of)
        current = store.get(id, namespace=namespace) if at is None else get_as_of(store, id, at, namespace=namespace)
        found = store.history(id, namespace=namespace) if history else [] if current is None else [current]
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
    which names what made the vector.
    """
    from aqe.engine.retrieval import find, find_as_of, other_spaces

    if as_of and jsonl:
        raise UserError("--as-of does not go with --jsonl.", code="bad-argument", fix="Ask one query at a time.")
    if explain and as_of:
        raise UserError("--explain does not go with --as-of.", code="bad-argument", fix="Explain a search of today.")
    root, store = _look(project)
    with store:
        embedder = _embedder(_root(project))
        _embed_what_waits(store, embedder, quiet=json or jsonl)
        prior = _prior(store, _root(project))
        if jsonl:
            answer_lines(root, "memory-search", lambda line: _found(store, embedder, line, k, prior, explain))
            return
        if query is None:
            raise UserError("There is nothing to look for.", code="bad-query", fix="Give some words.")
        at, only = _moment(store, as_of), _pairs(metadata)
        if at is None:
            answer = find(store, embedder, query, k=k, namespace=namespace, filter=only, prior=prior, explain=explain)
        else:
            answer = find_as_of(store, embedder, query, at, k=k, namespace=namespace, filter=only)
        apart = other_spaces(store, embedder)
    if json:
        print_json("memory-search", {**answer_object(answer), "other_spaces": apart}, project=root)
        return
    best_text = max((hit.text_score or 0.0 for hit in answer.hits), default=0.0) or 1.0
    for hit in answer.hits:
        print(f"{_scores(hit, best_text)}  {hit.memory.id}  {hit.memory.namespace}  {_told(hit.memory)}")
        if hit.explained is not None:
            print(f"      {explained(hit, hit.explained)}")
    print(f"{len(answer.hits)} found by {answer.mode}", file=sys.stderr)
    if apart:
        names = " and ".join(apart)
        print(f"Memories with a vector of {names} are found by their words alone.", file=sys.stderr)


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
        new = sys.stdin.read() if text == "-" else text
        changed = None if metadata is None else _pairs(metadata)
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
        at, only = _moment(store, as_of), _pairs(metadata)
        if at is None:
            found = store.list(namespace=namespace, filter=only, limit=limit)
        else:
            found = list_as_of(store, at, namespace=namespace, filter=only, limit=limit)
    if json:
        print_json("memory-list", {"memories": [memory_object(memory) for memory in found]}, project=root)
        return
    for memory in found:
        print(f"{memory.id}  {memory.namespace}  {_told(memory)}")


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


def _root(project: Path | None) -> Path:
    from aqe.engine.project import find_project

    return find_project(explicit=None if project is None else str(project))


def _open(project: Path | None) -> tuple[Path, Store]:
    from aqe.engine.memory import open_store

    root = _root(project)
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

    root = _root(project)
    return kept_where(root), open_to_read(root)


def _new_memory(line: Mapping[str, Any]) -> NewMemory:
    from aqe.engine.memory import NewMemory, Provenance
    from aqe.engine.memory.growth.expiry import parse_ttl

    named = {name: line[name] for name in ("file", "line", "commit", "run") if line.get(name)}
    return NewMemory(
        text=line.get("text", ""),
        namespace="default" if line.get("namespace") is None else line["namespace"],
        id=line.get("id"),
        metadata=line.get("metadata") or {},
        vector=line.get("vector"),
        embedder_id=line.get("embedder_id"),
        provenance=Provenance(**named) if named else None,
        ttl_s=None if line.get("ttl") is None else parse_ttl(line["ttl"]),
    )


def _kept_object(kept: Kept) -> dict[str, Any]:
    """What an addition answers; of one that was just recalled also where that is."""
    more = {"recalled": True, "namespace": kept.namespace} if kept.recalled else {}
    return {"id": kept.id, "existed": kept.existed, **more}


def _prior(store: Store, root: Path) -> Prior | None:
    """What feedback on earlier answers adds to a score, where it has a say."""
    from aqe.engine.learning import success_prior
    from aqe.engine.settings import load_settings

    return success_prior(store, load_settings(root))


def _found(
    store: Store, embedder: Embedder, line: Mapping[str, Any], k: int, prior: Prior | None, explain: bool
) -> dict[str, Any]:
    """The answer to one line; a vector whose maker it does not name is of the space of such vectors."""
    from aqe.engine.memory.entry import GIVEN
    from aqe.engine.retrieval import find

    vector, named = line.get("vector"), line.get("embedder_id")
    answer = find(
        store,
        embedder,
        line.get("query"),
        vector=vector,
        k=line.get("k", k),
        namespace=line.get("namespace"),
        filter=line.get("filter"),
        embedder_id=GIVEN if named is None and vector is not None else named,
        prior=prior,
        explain=explain,
    )
    return {**({"id": line["id"]} if "id" in line else {}), **answer_object(answer)}


def explained(hit: Hit, why: Explained) -> str:
    """What a score by words and meaning is made of, as one line."""
    words = "no word of it" if hit.text_score is None else f"BM25 {hit.text_score:.3g}"
    meaning = "no vector" if hit.vector_score is None else f"cosine {hit.vector_score:.3f}"
    alone = f"{why.text_rank or '-'} by words, {why.vector_rank or '-'} by meaning"
    share = f"{why.vector_share:.2f} x {why.vector_standard:+.2f} ({meaning})"
    rest = f"{1 - why.vector_share:.2f} x {why.text_standard:+.2f} ({words})"
    feedback = f" {hit.prior:+.2f} by feedback" if hit.prior else ""
    ranks = f"place {alone}, {why.reciprocal_rank} by reciprocal ranks, of {why.candidates}"
    return f"= {share} + {rest}{feedback}; {ranks}"


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in values.items()}


def _scores(hit: Hit, best_text: float) -> str:
    """The score of a hit and its parts: the share of the best BM25, the cosine, and what feedback adds, if any."""
    words = "   -" if hit.text_score is None else f"{hit.text_score / best_text:4.2f}"
    meaning = "    -" if hit.vector_score is None else f"{hit.vector_score:5.2f}"
    feedback = f", feedback {hit.prior:+.2f}" if hit.prior else ""
    return f"{hit.score:4.2f} (words {words}, meaning {meaning}{feedback})"


def _pairs(metadata: Iterable[str] | None) -> dict[str, Any]:
    found = {}
    for pair in metadata or ():
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--metadata {pair!r} is no KEY=VALUE.", code="bad-metadata", fix="Write KEY=VALUE.")
        try:
            found[key] = jsonlib.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    return found


def _print_memory(memory: Memory) -> None:
    shown = memory_object(memory)
    print(f"id          {shown['id']}")
    print(f"namespace   {shown['namespace']}")
    why = f" ({shown['end_note']})" if shown["end_note"] else ""
    ended = f", ended {shown['valid_to']}{why}" if shown["valid_to"] else ""
    print(f"revision    {shown['revision']} from {shown['valid_from']}{ended}")
    origin = ", ".join(f"{name} {value}" for name, value in shown["provenance"].items() if value)
    print(f"from        {origin or '-'}")
    print(f"metadata    {jsonlib.dumps(shown['metadata'], ensure_ascii=False)}")
    if shown["embedder_id"]:
        print(f"vector      {shown['dimension']} numbers by {shown['embedder_id']}")
    if shown["expires_at"]:
        print(f"expires     {shown['expires_at']}")
    if memory.pinned:
        print("pinned      never pruned, never merged away")
    if memory.stale:
        print("stale       its file changed since")
    print(shown["text"])


def _told(memory: Memory) -> str:
    """The text of a memory in one line, and what there is to know of it."""
    marks = [name for name, is_so in (("stale", memory.stale), ("pinned", memory.pinned)) if is_so]
    return f"{_one_line(memory.text)}{f' ({chr(44).join(marks)})' if marks else ''}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else line[:87] + "..."


memory_graph.add_to(app)
memory_growth.add_to(app)
memory_tiers.add_to(app)
memory_transfer.add_to(app)
