"""`aqe memory export` and `aqe memory import`: memories into files that people and other systems read, and back."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from aqe.engine.errors import UserError
from aqe.engine.ignored import MOST_NAMED
from aqe.engine.terminal import one_line
from aqe.server.cli.memory_objects import absent_object, tell_absent
from aqe.server.cli.output import (
    JsonOption,
    ProjectOption,
    as_json,
    kept_where,
    print_json,
    project_at,
    refuse_output,
    terminal_progress,
)
from aqe.server.counting import counted

if TYPE_CHECKING:
    from aqe.engine.memory.transfer import Exported, Imported, StateExported
    from aqe.engine.memory.transfer.detecting import Form
    from aqe.engine.memory.transfer.importing import Conflict

STATE = (".aqe", ".zip")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The file; .jsonl, .md or .aqe tells the form.")]
VectorsOption = Annotated[
    Path | None, typer.Option("--vectors", metavar="FILE", help="The safetensors file with all vectors (with .jsonl).")
]


def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What to write: .jsonl, .md, .aqe for the whole state; - for stdout.")
    ],
    form: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="jsonl, markdown or state (else by FILE's ending).")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace (`name/`: all below).")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="All revisions, ended ones too.")] = False,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="WHEN", help="What held then: 2026-03-01, 3h ago, RFC 3339.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only revisions that began or ended since then.")
    ] = None,
    vectors: VectorsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Write memories to a file: JSON lines (nothing is lost), Markdown to read, or the whole state.

    A file of JSON lines has the vectors that callers gave; those of aqe's own embedder are made again at import, unless
    --vectors writes them all beside. A state (.aqe) also holds sessions, answers and feedback.
    """
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.memory.transfer import Wanted, export_memories, export_state
    from aqe.engine.moments import read_moment

    root = project_at(project)
    piped = str(file) == "-"
    chosen = _out_form(form, file, piped)
    if piped and (chosen == "state" or json):
        raise UserError("This cannot go to stdout.", code="bad-argument", fix="Name a file.")
    _refuse_targets((file, vectors), force=force)
    if chosen == "state":
        _refuse_limits(namespace=namespace, history=history or None, as_of=as_of, since=since, vectors=vectors)
    with open_to_read(root) as store, terminal_progress(quiet=json) as progress:
        told: Exported | StateExported
        if chosen == "state":
            told = export_state(store, file, progress=progress)
        else:
            now = store.now()
            wanted = Wanted(
                namespace=namespace,
                history=history or since is not None,
                at=None if as_of is None else read_moment(as_of, now=now),
                since=None if since is None else read_moment(since, now=now),
            )
            out = sys.stdout if piped else file
            told = export_memories(store, out, form=chosen, wanted=wanted, vectors=vectors, progress=progress)
        nothing = absent_object(store, namespace, ever=history or as_of is not None or since is not None)
    if json:
        print_json("memory-export", {"file": file, **_export_object(told), **nothing}, project=kept_where(root))
        return
    if not piped:
        print(f"{file}: {_export_line(told)}")
    tell_absent(nothing)


def _export_object(told: Exported | StateExported) -> dict[str, Any]:
    """What was written, for --json."""
    facts = dict(vars(told))
    return {"format": facts.pop("form", "state"), **facts}


def _export_line(told: Exported | StateExported) -> str:
    """What was written, for people."""
    from aqe.engine.memory.transfer import Exported

    if isinstance(told, Exported):
        return f"{counted(told.memories, 'memory', 'memories')}, {counted(told.revisions, 'revision')}"
    return ", ".join(f"{count} in {name}" for name, count in told.rows.items() if count) or "nothing was kept yet"


def _refuse_targets(files: Iterable[Path | None], *, force: bool) -> None:
    """`UserError` (bad-output) where a file cannot be written, or is there and not to be written over."""
    from aqe.engine.memory.transfer.exporting import refuse_present

    for target in files:
        if target is None or str(target) == "-":
            continue
        refuse_output(target, "The file")
        if not force:
            refuse_present(target, "Give --force to write over it.")


def _refuse_limits(**limits: object) -> None:
    """`UserError` (bad-argument) where a part of the state was asked for."""
    for name, value in limits.items():
        if value is not None:
            raise UserError(
                f"--{name.replace('_', '-')} does not go with a whole state.",
                code="bad-argument",
                fix="Export .jsonl or .md.",
            )


def import_(
    file: FileArgument,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="jsonl, markdown, lines, state, agentic-qe, server-memory or mem0 (else found out).",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", metavar="NAME", help='Where they go (else their own, or "imported").'),
    ] = None,
    conflict: Annotated[
        str,
        typer.Option("--conflict", metavar="RULE", help="A memory that differs here: keep ours, take theirs, or fail."),
    ] = "keep",
    vectors: VectorsOption = None,
    batch: Annotated[int, typer.Option("--batch", metavar="N", help="Memories to one transaction.")] = 500,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come of it and write nothing.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Take in memories: of aqe, agentic-qe (memory.db), the MCP memory server (memory.jsonl), mem0, or any Markdown.

    What is there already is left alone, so an import that was cut off is simply done again. A memory that was deleted
    here stays so, and is named; `aqe memory merge --undo ID` brings it back.
    """
    from aqe.engine.embedding import open_embedder
    from aqe.engine.memory import open_store
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.memory.store import utc_now
    from aqe.engine.memory.transfer import import_memories, import_state, read_file
    from aqe.engine.memory.transfer.state import is_state
    from aqe.engine.retrieval import reembed
    from aqe.engine.settings import load_settings

    if str(file) == "-":  # a copy of it would lie in clear beside an encrypted store
        raise UserError(
            "An import reads a file, and not standard input.", code="bad-argument", fix="Write it to a file first."
        )
    rule = _rule(conflict)
    root = project_at(project)
    whole = form == "state" or (form is None and is_state(file))
    if whole and (namespace is not None or vectors is not None):
        raise UserError("A state has its own namespaces and vectors.", code="bad-argument", fix="Leave them out.")
    now = utc_now()
    found = None if whole else read_file(file, form=_in_form(form), namespace=namespace, vectors=vectors, now=now)
    with open_to_read(root) if dry_run else open_store(root) as store, terminal_progress(quiet=json) as progress:
        how: dict[str, Any] = {"conflict": rule, "dry_run": dry_run, "progress": progress}
        rest: dict[str, Any] = {}
        if found is None:
            state = import_state(store, file, **how)
            told, rest = state.memories, {"added_rows": dict(state.added), "same_rows": dict(state.same)}
        else:
            told = import_memories(store, found, namespace=namespace, batch=batch, **how)
        embedded = 0
        if not dry_run:
            embedded = reembed(store, open_embedder(load_settings(root)), ended=True, progress=progress)
    if json:
        report = {"file": file, **as_json(told), "embedded": embedded, **rest}
        print_json("memory-import", report, project=kept_where(root))
        return
    _print_import(told, rest)


def _out_form(form: str | None, file: Path, piped: bool) -> Literal["jsonl", "markdown", "state"]:
    from aqe.engine.memory.transfer.exporting import form_of

    if form is None:
        if piped:
            return "jsonl"
        return "state" if file.suffix.lower() in STATE else form_of(file)
    match form:
        case "jsonl" | "markdown" | "state":
            return form
    raise UserError(
        f"{form!r} is no form to write.", code="unknown-format", fix="Give --format jsonl, markdown or state."
    )


def _in_form(form: str | None) -> Form | None:
    from aqe.engine.memory.transfer.detecting import FORMS

    if form is None:
        return None
    if form in FORMS:
        return cast("Form", form)
    raise UserError(
        f"{form!r} is no form to read.", code="unknown-format", fix=f"Give one of state, {', '.join(FORMS)}."
    )


def _rule(conflict: str) -> Conflict:
    match conflict:
        case "keep" | "take" | "fail":
            return conflict
    raise UserError(f"{conflict!r} is no rule.", code="bad-argument", fix="Give keep, take or fail.")


def _print_import(told: Imported, rest: dict[str, Any]) -> None:
    would = "would be " if told.dry_run else ""
    counts = {f"{would}added": told.added, f"{would}continued": told.continued, "there already": told.same}
    counts |= {"kept as they are here": told.kept, f"{would}taken from the file": told.taken}
    parts = [f"{count:,} {what}" for what, count in counts.items() if count]
    print(f"{counted(told.memories, 'memory', 'memories')} of {told.form}: {', '.join(parts) or 'nothing'}")
    for what, rows in (("added", rest.get("added_rows", {})), ("there already", rest.get("same_rows", {}))):
        found = ", ".join(f"{count} {name}" for name, count in rows.items() if count)
        if found:
            print(f"{would}{what}: {found}")
    for name in told.named:
        print(f"differs: {one_line(name)}")
    _print_ended(told)
    for what, why in told.left_out[:20]:
        print(one_line(f"left out: {what}: {why}"), file=sys.stderr)
    if len(told.left_out) > 20:
        print(f"and {len(told.left_out) - 20} more left out", file=sys.stderr)
    for one in told.ignored_keys:
        print(one_line(f"{one} (in {counted(one.lines, 'line')})"), file=sys.stderr)
    if len(told.ignored_keys) == MOST_NAMED:
        print(f"at most {MOST_NAMED} keys are named", file=sys.stderr)


def _print_ended(told: Imported) -> None:
    """Say which memories of the file have ended here, and how one of them comes back."""
    if not told.ended:
        return
    namespace, _, id = told.ended_named[0].partition(": ")
    place = "" if namespace == "default" else f" -n {shlex.quote(namespace)}"
    how = (
        f"`aqe memory merge --undo {one_line(shlex.quote(id))}{place}` brings {'it' if told.ended == 1 else 'one'} back"
    )
    ended = "has ended here (deleted, merged, pruned or expired) and stays so"
    if told.ended > 1:
        ended = "have ended here (deleted, merged, pruned or expired) and stay so"
    print(f"{told.ended:,} of them {ended}; {how}")
    for name in told.ended_named[1:] and told.ended_named:
        print(f"ended here: {one_line(name)}")


def add_to(app: typer.Typer) -> None:
    """Put the commands into the group `memory`."""
    app.command("export")(export)
    app.command("import")(import_)
