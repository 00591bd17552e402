"""`aqe query`: answer a question about the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.answers import fell_back, prompt_of, show_answer, show_pieces
from aqe.server.cli.interrupts import working
from aqe.server.cli.memory_objects import absent_object, tell_absent
from aqe.server.cli.output import JsonOption, ProjectOption, as_json, print_json
from aqe.server.cli.sessions_objects import begun_object, tell_begun

if TYPE_CHECKING:
    from pathlib import Path

    from aqe.engine.answer import Answer
    from aqe.engine.sync import Engine

Where = Literal["local", "cloud"]
SessionOption = Annotated[
    str | None,
    typer.Option("--session", "-s", metavar="NAME", help="Ask within this conversation; a new name begins one."),
]
TaskOption = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="What the request is for; the rule table routes by it.")
]
StrategyOption = Annotated[
    str | None,
    typer.Option("--strategy", metavar="NAME", help="What counts most: balanced, cost, latency, quality or privacy."),
]
ForceOption = Annotated[
    Where | None, typer.Option("--force", metavar="WHERE", help="Where a model is asked: local or cloud.")
]


def command(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The question; - reads stdin.")],
    session: SessionOption = None,
    task: TaskOption = None,
    k: Annotated[int, typer.Option("-k", metavar="N", help="Passages of each place that are looked at.")] = 16,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only from here; `index/` is the project.")
    ] = None,
    strategy: StrategyOption = None,
    force: ForceOption = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="The most that models may take.")] = "60s",
    index: Annotated[
        bool, typer.Option("--index/--no-index", help="Bring the project's index up to date before.")
    ] = True,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Answer a question from the project's docs, code, tests and memory, with the file and line of each quote.

    Without a model the passages themselves answer; where they hold nothing near enough, "I do not know" does.
    """
    from aqe.engine.answer import QueryConfig
    from aqe.engine.budget import parse_budget
    from aqe.engine.sync import Engine

    config = QueryConfig(k=k, namespace=namespace, strategy=strategy, force=force, timeout_s=parse_budget(timeout))
    asked = prompt_of(prompt)
    with Engine.open(project) as engine:
        begun = begun_object(engine.project, session)
        if index:
            refresh_index(engine, quiet=json)
        if json:
            answer = engine.query(asked, session=session, task=task, config=config)
            nothing = _absent(answer, namespace, engine.project)
            print_json("query", {**as_json(answer), **nothing, **begun}, project=engine.project)
            _tell_unmet(answer, force, engine.project)
            tell_absent(nothing)
            tell_begun(begun)
            return
        with engine.stream(asked, session=session, task=task, config=config) as stream:
            show_pieces(stream)
        if stream.answer is not None:
            show_answer(stream.answer, text=False)
            if not fell_back(stream.answer):
                _tell_unmet(stream.answer, force, engine.project)
            tell_absent(_absent(stream.answer, namespace, engine.project))
            tell_begun(begun)


def _tell_unmet(answer: Answer, force: str | None, project: Path) -> None:
    """Say on stderr why passages answered where a model was asked for by force."""
    from aqe.engine.settings import load_settings

    if answer.tier == "extractive" and (force or load_settings(project).router.force == "cloud"):
        typer.echo(f"Passages answered: {answer.route_reason.rstrip('.')}.", err=True)


def _absent(answer: Answer, namespace: str | None, project: Path) -> dict[str, Any]:
    """What is to be added where nothing is in the namespace that was asked."""
    from aqe.engine.memory.opening import open_to_read

    if namespace is None or answer.answered:
        return {}
    with open_to_read(project) as store:
        return absent_object(store, namespace)


def refresh_index(engine: Engine, *, quiet: bool) -> None:
    """Read what changed in the project since it was indexed; Ctrl-C ends it in good order. Where nothing can be
    written the index stays as it was; a full disk is said, as opening says that a store is only read."""
    from aqe.engine.memory.care.place import UNWRITABLE

    try:
        with working(quiet=quiet) as (progress, cancel):
            engine.index(progress=progress, cancel=cancel)
        cancel.check()  # a Ctrl-C at the very end is one too: what the index was read for is not wanted any more
    except UserError as error:
        if error.code not in UNWRITABLE:
            raise
        if error.code == "disk-full":
            typer.echo("The project's index is as it was before: there is no space left to write it.", err=True)
