"""`aqe complete`: plain text generation by a model."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from aqe.engine.errors import UserError
from aqe.server.cli.answers import prompt_of, show_answer, show_pieces
from aqe.server.cli.output import JsonOption, ProjectOption, print_json


def command(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The prompt; - reads stdin.")],
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="What the model is told before.")
    ] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", metavar="T", help="0 is the likeliest.")] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", metavar="P", help="Share of the likeliest tokens.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", metavar="N", help="The longest answer.")] = None,
    stop: Annotated[list[str] | None, typer.Option("--stop", metavar="TEXT", help="Text to stop before.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed of the model's choices.")] = None,
    schema: Annotated[Path | None, typer.Option("--schema", metavar="FILE", help="A JSON Schema to answer by.")] = None,
    n: Annotated[int, typer.Option("-n", metavar="N", help="Samples; what most of them say is the answer.")] = 1,
    task: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="What it is for; the rule table routes by it.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="The most that it may take.")] = "60s",
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Have a model complete a prompt, without looking anything up. It needs a model: the error names how to add one."""
    from aqe.engine.answer import QueryConfig
    from aqe.engine.budget import parse_budget
    from aqe.engine.completing import as_messages
    from aqe.engine.providers.protocol import Message
    from aqe.engine.sync import Engine

    messages = as_messages(prompt_of(prompt))
    if system is not None:
        messages = (Message("system", system), *messages)
    timeout_s, shape = parse_budget(timeout), _schema(schema)
    with Engine.open(project) as engine:
        if json or n != 1 or shape is not None:
            answer = engine.complete(
                messages,
                temperature=temperature,
                top_p=top_p,
                max_tokens=max_tokens,
                stop=stop or (),
                seed=seed,
                json_schema=shape,
                n=n,
                task=task,
                timeout_s=timeout_s,
            )
            if json:
                print_json("complete", answer, project=engine.project)
            else:
                show_answer(answer)
            return
        config = QueryConfig(temperature=temperature, max_tokens=max_tokens, timeout_s=timeout_s)
        options: dict[str, Any] = {"top_p": top_p, "stop": stop or (), "seed": seed}
        with engine.stream(messages, retrieve=False, task=task, config=config, **options) as stream:
            show_pieces(stream)
        if stream.answer is not None:
            show_answer(stream.answer, text=False)


def _schema(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        found = jsonlib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise UserError(
            f"The schema {str(file)!r} cannot be read: {why}.",
            code="bad-argument",
            fix="Give a file with a JSON Schema.",
        ) from None
    if not isinstance(found, dict):
        raise UserError(
            f"{str(file)!r} holds no JSON object.", code="bad-argument", fix="Give a file with a JSON Schema."
        )
    return found
