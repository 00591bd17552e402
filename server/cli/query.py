"""`aqe query`: answer a question about the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aqe.engine.progress import CancelToken
from aqe.server.cli.answers import prompt_of, show_answer
from aqe.server.cli.interrupts import stopped_by_signals
from aqe.server.cli.output import JsonOption, ProjectOption, print_json, terminal_progress

if TYPE_CHECKING:
    from aqe.engine.sync import Engine

Where = Literal["local", "cloud"]
SessionOption = Annotated[
    str | None, typer.Option("--session", "-s", metavar="NAME", help="Ask within this conversation; a new one is made.")
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
        if index:
            refresh_index(engine, quiet=json)
        if json:
            answer = engine.query(asked, session=session, task=task, config=config)
            print_json("query", answer, project=engine.project)
            return
        with engine.stream(asked, session=session, task=task, config=config) as stream:
            for piece in stream:
                typer.echo(piece, nl=False)
        typer.echo()
        if stream.answer is not None:
            show_answer(stream.answer, text=False)


def refresh_index(engine: Engine, *, quiet: bool) -> None:
    """Read what changed in the project since it was indexed; Ctrl-C ends it in good order."""
    cancel = CancelToken()
    with stopped_by_signals(cancel), terminal_progress(quiet=quiet) as progress:
        engine.index(progress=progress, cancel=cancel)
