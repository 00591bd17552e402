"""`aqe sessions`: conversations that are kept."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.answers import MOST_PIPED, harmless, show_answer, show_pieces, styled
from aqe.server.cli.interrupts import wait_for_input
from aqe.server.cli.output import (
    JsonOption,
    ProjectOption,
    as_json,
    kept_where,
    new_group,
    print_json,
    project_at,
    refuse_output,
    write_output,
)
from aqe.server.cli.sessions_objects import begun_object, tell_begun
from aqe.server.counting import counted

if TYPE_CHECKING:
    from aqe.engine.memory import Store
    from aqe.engine.sessions import Session, SessionTable, Turn
    from aqe.engine.sync import Engine

app = new_group("Talk, and keep, resume and move conversations.")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The session's name or id.")]


@app.command("list")
def list_sessions(
    every: Annotated[bool, typer.Option("--all", help="Ended and expired ones too.")] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most this many.")] = 50,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """List sessions, the last used first."""
    root, store = _look(project)
    with store:
        found = _table(store, root).list(every=every, limit=limit)
    if json:
        print_json("sessions-list", {"sessions": [session_object(one) for one in found]}, project=kept_where(root))
        return
    for session in found:
        used = session_object(session)["used_at"][:16].replace("T", " ")
        typer.echo(
            f"{used}  {session.state:7}  {session.turns:4} {'turn ' if session.turns == 1 else 'turns'}  {session.name}"
        )
    typer.echo(f"{len(found)} session{'' if len(found) == 1 else 's'}", err=True)


@app.command()
def show(
    name: NameArgument,
    last: Annotated[int | None, typer.Option("--last", metavar="N", min=1, help="Only the last N turns.")] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Show a session: its figures, its summary and its turns."""
    root, store = _look(project)
    with store:
        table = _table(store, root)
        session, turns = table.get(name), table.turns(name, last=last)
    shown = session_object(session)
    if json:
        print_json(
            "sessions-show",
            {"session": shown, "turns": [turn_object(turn) for turn in turns]},
            project=kept_where(root),
        )
        return
    typer.echo(
        f"{session.name} ({session.state}), {counted(session.turns, 'turn')}, {session.tokens} tokens,"
        f" {session.bytes} bytes"
    )
    typer.echo(f"begun {shown['created_at']}, last used {shown['used_at']}, budget {session.token_budget} tokens")
    if session.metadata:
        typer.echo(f"metadata {jsonlib.dumps(session.metadata, ensure_ascii=False)}")
    if session.summary:
        typer.echo(f"\nsummary of the first {counted(session.summarised, 'turn')} (made by {session.summary_method}):")
        typer.echo(harmless(session.summary))
    for turn in turns:
        typer.echo(f"\n{styled(turn.role, bold=True)}: {harmless(turn.text)}")


@app.command()
def chat(
    name: NameArgument,
    prompt: Annotated[
        str | None, typer.Argument(metavar="[PROMPT]", help="One question (else each line of stdin).")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", metavar="TEXT", help="A text to answer from; @FILE reads one.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Begin a session of this name, however like another it is.")
    ] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Talk within a session; an empty line or end of input ends the talk.

    A name that no session has begins one with the first question, and that is said. One that looks like another
    mistyped is an error, unless --new says that it is meant.
    """
    from aqe.engine.memory.entry import check_text
    from aqe.engine.sync import Engine
    from aqe.server.cli.query import refresh_index

    if json and prompt is None:
        raise UserError("--json answers one question.", code="usage", fix="Give the question as PROMPT.")
    texts = [_text_of(text) for text in context or ()]
    for text in texts if prompt is None else (*texts, prompt):
        check_text(text)
    with Engine.open(project) as engine:
        begun = _begun(engine, name, is_meant=new)
        refresh_index(engine, quiet=json)
        if begun and texts:
            engine.sessions.create(name)
        for text in texts:
            engine.sessions.add_context(name, text)
        for asked in [prompt] if prompt is not None else _lines():
            if json:
                said = as_json(engine.query(asked, session=name))
                tell_begun(begun)
                print_json("query", {**said, **begun}, project=engine.project)
                continue
            with engine.stream(asked, session=name) as stream:
                show_pieces(stream)
            tell_begun(begun)
            begun = {}
            if stream.answer is not None:
                show_answer(stream.answer, text=False)


@app.command()
def resume(name: NameArgument, json: JsonOption = False, project: ProjectOption = None) -> None:
    """Open an ended or expired session again."""
    root, store = _look(project)
    with store:
        session = _table(store, root).resume(name)
    _tell(
        session, f"{session.name} is open again, with {counted(session.turns, 'turn')}", "sessions-resume", json, root
    )


@app.command()
def end(
    name: NameArgument,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the session with all its turns.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """End a session: it can still be read, and resumed."""
    root, store = _look(project)
    with store:
        session = _table(store, root).end(name, remove=remove)
    _tell(session, f"{session.name} is {'removed' if remove else 'ended'}", "sessions-end", json, root)


@app.command()
def export(
    name: NameArgument,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it there (else stdout).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Write a session with all its turns as one JSON object."""
    from aqe.engine.memory.transfer.exporting import refuse_present
    from aqe.engine.sessions.transfer import export_session

    if out is not None:
        refuse_output(out, "The file")
        if out.is_file() and not force:
            refuse_present(out, "Give --force to write over it.")
    root, store = _look(project)
    with store:
        document = export_session(_table(store, root), name)
    text = jsonlib.dumps(document, ensure_ascii=False, indent=1) + "\n"
    if out is None and json:
        print_json("sessions-export", document, project=kept_where(root))
    elif out is None:
        sys.stdout.write(text)
    else:
        write_output(out, text)
        told = {
            "file": str(out),
            "name": document["name"],
            "turns": len(document["messages"]),
            "bytes": len(text.encode()),
        }
        if json:
            print_json("sessions-export", told, project=kept_where(root))
        typer.echo(f"{name} is in {out}", err=True)


@app.command("import")
def import_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What export wrote; - reads stdin.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Another name for it.")] = None,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Make a session of what export wrote, or of OpenAI-style messages; whole or not at all."""
    from aqe.engine.sync import Engine

    text = sys.stdin.read() if file == "-" else _read(Path(file))
    with Engine.open(project) as engine:
        session = engine.sessions.import_session(text, name=name)
        _tell(session, f"{session.name} has {session.turns} turns", "sessions-import", json, engine.project)


def session_object(session: Session) -> dict[str, Any]:
    """A session as the JSON of every form: times in RFC 3339."""
    from aqe.engine.memory import rfc3339

    found = asdict(session)
    for key in ("created_at", "used_at", "expires_at"):
        found[key] = None if found[key] is None else rfc3339(found[key])
    return found


def turn_object(turn: Turn) -> dict[str, Any]:
    """A turn as the JSON of every form."""
    from aqe.engine.memory import rfc3339

    return {**asdict(turn), "created_at": rfc3339(turn.created_at)}


def _tell(session: Session, sentence: str, command: str, json: bool, root: Path) -> None:
    if json:
        print_json(command, {"session": session_object(session)}, project=root)
    else:
        typer.echo(sentence)


def _look(project: Path | None) -> tuple[Path, Store]:
    from aqe.engine.memory.opening import open_to_read

    root = project_at(project)
    return root, open_to_read(root)


def _table(store: Store, root: Path) -> SessionTable:
    from aqe.engine.sessions import SessionLimits, SessionTable
    from aqe.engine.settings import load_settings

    found = load_settings(root).sessions
    return SessionTable(store, SessionLimits(found.expire_days, found.size_kb, found.token_budget))


def _begun(engine: Engine, name: str, *, is_meant: bool) -> dict[str, Any]:
    """What is to be added to an answer where no session has this name; nothing is made yet. Raises `UserError`
    (unknown-session for a name that looks mistyped, session-exists for one that `is_meant` to be new)."""
    import shlex

    begun = begun_object(engine.project, name)
    if is_meant and not begun:
        engine.sessions.create(name)  # which refuses it
    meant = begun.get("begun", {}).get("mistaken_for")
    if meant is not None and not is_meant:
        raise UserError(
            f"There is no session {name!r}.",
            code="unknown-session",
            fix=f"Did you mean {meant!r}? Begin a new one with `aqe sessions chat {shlex.quote(name)} --new`.",
        )
    return begun


def _lines() -> Iterator[str]:
    """The questions on standard input, with a prompt where a person types them."""
    while True:
        if sys.stdin.isatty():
            typer.echo(styled("> ", bold=True), nl=False)
            wait_for_input()
        line = sys.stdin.readline(MOST_PIPED).strip()
        if not line:
            return
        yield line


def _text_of(given: str) -> str:
    return _read(Path(given[1:])) if given.startswith("@") else given


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8"
        raise UserError(
            f"{str(file)!r} cannot be read: {why}.", code="no-such-path", fix="Name a file of text."
        ) from None
