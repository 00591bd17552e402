"""The batch form of a command: JSON lines in, one JSON line out for each, in order and flushed as made."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from aqe.engine.errors import AqeError, GateFailed, UserError

LinesOption = Annotated[bool, typer.Option("--jsonl", help="Read JSON lines on stdin, write one line for each.")]


def answer_lines(project: Path | None, command: str, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Answer each line of stdin on a line of its own; a summary is kept as the result of `command`.

    Raises `GateFailed` (lines-failed) at the end when some failed; their output lines have the error.
    """
    from aqe.server.cli.output import json_object, keep_result

    lines = failed = 0
    for lines, line in enumerate(_input_lines(), start=1):
        try:
            out = answer(_object(line))
        except AqeError as error:
            failed += 1
            out = {"error": {"message": error.message, "code": error.code, "fix": error.fix}, "line": lines}
        sys.stdout.write(json.dumps(out, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    if project is not None:
        keep_result(project, command, json_object(command, {"lines": lines, "failed": failed}))
    if failed:
        raise GateFailed(
            f"{failed} of {lines} input lines failed.", code="lines-failed", fix="Their output lines say why."
        )


def _input_lines() -> Iterable[bytes]:
    return (line for line in sys.stdin.buffer if line.strip())


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise UserError(f"The line is not JSON: {exc}.", code="bad-line", fix="Give one JSON object a line.") from None
    if not isinstance(found, dict):
        raise UserError("The line is not a JSON object.", code="bad-line", fix="Give one JSON object a line.")
    return found
