"""The batch form of a command: JSON lines in, one JSON line out for each, in order and flushed as made.

A command may answer lines that arrived together in one go: a file is answered in batches, a line of somebody who waits
for its answer at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from aqe.engine.errors import AqeError, GateFailed, UserError
from aqe.engine.ignored import IgnoredKeys

if TYPE_CHECKING:
    from io import BufferedReader

LinesOption = Annotated[bool, typer.Option("--jsonl", help="Read JSON lines on stdin, write one line for each.")]


TOGETHER = 64
"""Lines to one batch at most."""

LONGEST_LINE = 64 * 2**20
"""Bytes of the longest line; of a longer one no more is kept than shows that it is."""

_BLOCK = 65_536

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]
AnswerAll = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]


def answer_lines(
    project: Path | None, command: str, answer: Answer, *, keys: Collection[str], answer_all: AnswerAll | None = None
) -> None:
    """Answer each line of stdin on a line of its own; a summary is kept as the result of `command`.

    Of a line the `keys` are read; any other is ignored, which is said on stderr where it comes first. `answer_all`
    answers several or, when it raises, none: they are answered one by one then. Raises `GateFailed` (lines-failed) at
    the end when some failed; their output lines have the error.
    """
    from aqe.server.cli.output import json_object, keep_result

    lines = failed = 0
    ignored = IgnoredKeys(keys)
    for arrived in _input_lines():
        asked = [_object_or_error(line) for _, line in arrived]
        good = [one for one in asked if not isinstance(one, AqeError)]
        for (number, _), one in zip(arrived, asked, strict=True):
            _tell_ignored(ignored, number, () if isinstance(one, AqeError) else one)
        together = None if answer_all is None or len(good) < 2 else _answered_together(good, answer_all)
        for (number, _), one in zip(arrived, asked, strict=True):
            lines += 1
            try:
                if isinstance(one, AqeError):
                    raise one
                out = answer(one) if together is None else next(together)
            except AqeError as error:
                failed += 1
                said = {"message": error.message, "code": error.code, "fix": error.fix}
                named = {"id": one["id"]} if not isinstance(one, AqeError) and "id" in one else {}
                out = {**named, "error": said, "line": number}
            sys.stdout.write(json.dumps(out, ensure_ascii=False) + "\n")
            if together is None:
                sys.stdout.flush()
        sys.stdout.flush()
    if project is not None:
        summary = {"lines": lines, "failed": failed, "ignored_keys": ignored.found}
        keep_result(project, command, json_object(command, summary))
    if failed:
        raise GateFailed(
            f"{failed} of {lines} input lines failed.", code="lines-failed", fix="Their output lines say why."
        )


def with_id(line: Mapping[str, Any], out: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a line under the id that the line has, where it has one.

    >>> with_id({"text": "a"}, {"n": 1}), with_id({"id": 7}, {"n": 1})
    ({'n': 1}, {'id': 7, 'n': 1})
    """
    return {"id": line["id"], **out} if "id" in line else dict(out)


def _tell_ignored(ignored: IgnoredKeys, number: int, keys: Collection[str]) -> None:
    for said in ignored.note(number, keys):
        print(said, file=sys.stderr)


def _answered_together(asked: Sequence[Mapping[str, Any]], answer_all: AnswerAll) -> Iterator[Mapping[str, Any]] | None:
    """What stands for each line; None where one is refused, which its own answer says then."""
    try:
        return iter(answer_all(asked))
    except AqeError:
        return None


def _input_lines() -> Iterator[list[tuple[int, bytes]]]:
    """The lines of stdin, each with its number, together as they arrived; blank ones at the end are none."""
    parts: list[bytes] = []
    before = blank = held = 0
    source = cast("BufferedReader", sys.stdin.buffer)
    while block := source.read1(_BLOCK):
        ends = b"\n" in block
        if ends or held <= LONGEST_LINE:
            parts.append(block)
            held += len(block)
        if ends:
            *whole, rest = b"".join(parts).split(b"\n")
            parts, held = [rest], len(rest)
            yield from _in_batches(_told(whole, before, blank))
            before += len(whole)
            blank = next((n for n, line in enumerate(reversed(whole)) if line.strip()), blank + len(whole))
    yield from _in_batches(_told([b"".join(parts)], before, blank))


def _told(lines: Sequence[bytes], before: int, blank: int) -> Iterator[tuple[int, bytes]]:
    """`lines` up to the last that is not blank, numbered after those `before`, whose last `blank` ones were left."""
    for number, line in enumerate(lines, before + 1):
        if line.strip():
            yield from ((left, b"") for left in range(number - blank, number))
            yield number, line
            blank = 0
        else:
            blank += 1


def _in_batches(told: Iterator[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    while batch := list(islice(told, TOGETHER)):
        yield batch


def _object_or_error(line: bytes) -> Mapping[str, Any] | AqeError:
    try:
        return _object(line)
    except AqeError as error:
        return error


def _object(line: bytes) -> Mapping[str, Any]:
    if not line.strip():
        raise UserError("The line is blank.", code="bad-line", fix="Give one JSON object a line.")
    if len(line) > LONGEST_LINE:
        what = f"The line is longer than {LONGEST_LINE >> 20} MB."
        raise UserError(what, code="bad-line", fix="Give one JSON object a line, each on a line of its own.")
    try:
        found = json.loads(line.decode("utf-8-sig"))  # some editors begin a file with a mark
    except UnicodeDecodeError as exc:
        what = f"The line is not UTF-8: byte {line[exc.start]:#04x} at offset {exc.start}."
        raise UserError(what, code="bad-line", fix="Write the lines as UTF-8.") from None
    except (ValueError, RecursionError) as exc:
        why = "it is nested too deeply" if isinstance(exc, RecursionError) else exc
        raise UserError(f"The line is not JSON: {why}.", code="bad-line", fix="Give one JSON object a line.") from None
    if not isinstance(found, dict):
        raise UserError("The line is not a JSON object.", code="bad-line", fix="Give one JSON object a line.")
    if not isinstance(found.get("id"), (str, NoneType)):
        _check_number(found["id"])
    return found


def _check_number(id: object) -> None:
    """An id stands in the answer, where a number that is none would not be JSON."""
    try:
        json.dumps(id, allow_nan=False)
    except ValueError:
        raise UserError("The id holds a number that is none.", code="bad-id", fix="Give a string.") from None
