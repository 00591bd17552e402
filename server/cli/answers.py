"""How an answer is shown: the text, what it cites, and on stderr a line of how it came about."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from aqe.engine.errors import AqeError
from aqe.engine.terminal import as_written, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aqe.engine.answer import Answer
    from aqe.engine.providers.extractive import Citation

QUOTE = 100
MOST_PIPED = 32_000_000


def show_answer(answer: Answer, *, text: bool = True) -> None:
    """Print an answer (without its `text` where that was streamed already) with what it cites."""
    if text:
        typer.echo(styled(harmless(answer.text), bold=answer.tier != "extractive"))
    if answer.tier != "extractive":  # quotes name their places themselves
        for citation in answer.citations:
            quote = " ".join(citation.quote.split())
            short = quote if len(quote) <= QUOTE else quote[: QUOTE - 3] + "..."
            typer.echo(f"  {styled(place_of(citation), fg='cyan')}  {styled(harmless(short), dim=True)}")
    told = [f"{answer.provider}/{answer.model}" if answer.provider != answer.model else answer.provider]
    if answer.finish_reason not in ("", "stop"):
        told.append(f"ended with {answer.finish_reason}")
    if answer.confidence is not None:
        told.append(f"confidence {answer.confidence:.2f}")
    if answer.samples:
        told.append(f"{len(answer.samples)} samples in {len({one.group for one in answer.samples})} groups")
    if answer.session is not None:
        told.append(f"session {answer.session}{' (its own passages)' if answer.reused else ''}")
    if answer.cost_usd:
        told.append(f"{answer.cost_usd:.5f} USD")
    told += [f"{answer.latency_ms:.0f} ms", f"request {answer.request_id}"]
    typer.echo(styled(", ".join(told), err=True, dim=True), err=True)
    if fell_back(answer):
        typer.echo(answer.route_reason[0].upper() + answer.route_reason[1:], err=True)


def fell_back(answer: Answer) -> bool:
    """Whether passages answered since every model that was asked failed."""
    from aqe.engine.answering import NO_MODEL_DID

    return answer.route_reason.startswith(NO_MODEL_DID)


def show_pieces(pieces: Iterable[str]) -> None:
    """Print an answer as it comes; the line is ended also where it breaks off, so that its error stands below it."""
    begun = False
    try:
        for piece in pieces:
            typer.echo(harmless(piece), nl=False)
            begun = True
    except AqeError:
        if begun:
            typer.echo()
        raise
    typer.echo()


def place_of(citation: Citation) -> str:
    """Where a quote stands, on one line whatever the file's name holds: file:line, or the memory that holds it."""
    if citation.file is None:
        return f"memory {citation.id}"
    file = one_line(citation.file)
    return file if citation.line is None else f"{file}:{citation.line}"


def harmless(text: str) -> str:
    """Words of others as they may stand on a terminal, which obeys some characters; what is piped is left as it is."""
    return as_written(text) if sys.stdout.isatty() else text


def styled(text: str, *, err: bool = False, fg: str | None = None, bold: bool = False, dim: bool = False) -> str:
    """`text` in a style where a person reads it on a terminal, plain where it is piped."""
    stream = sys.stderr if err else sys.stdout
    return typer.style(text, fg=fg, bold=bold or None, dim=dim or None) if stream.isatty() else text


def prompt_of(given: str | None) -> str:
    """What was asked: the argument, or with - standard input."""
    return piped_text() if given is None or given == "-" else given


def piped_text() -> str:
    """Standard input as far as a text may be long, and then some, so that a longer one is refused as such."""
    return sys.stdin.read(MOST_PIPED)
