"""The lines of --jsonl as they arrive: blank ones take no room, and break up no batch."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from aqe.engine.errors import GateFailed
from aqe.server.cli import lines
from aqe.server.cli.lines import answer_lines


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Let `data` be what stdin holds."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(data))))


@pytest.mark.services
def test_blank_lines_without_end_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million blank lines that nothing follows are read in the room of a few blocks."""
    given(monkeypatch, b"\n" * 1_000_000)
    tracemalloc.start()
    answer_lines(None, "any", lambda line: line, keys=("n",))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_line_that_is_wrong_leaves_the_others_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blank and broken lines are refused at their places; those around them are answered in one go."""
    batches: list[list[Any]] = []

    def answer_all(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        batches.append([line["n"] for line in lines])
        return [{"was": line["n"]} for line in lines]

    given(monkeypatch, b'\n\n{"n": 1}\n\n{"n": 2}\nbroken\n{"n": 3}\n\n\n')
    with pytest.raises(GateFailed, match="4 of 7"):
        answer_lines(None, "any", lambda line: {"alone": line["n"]}, keys=("n",), answer_all=answer_all)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("was", line.get("line")) for line in told] == [1, 2, 1, 4, 2, 6, 3]
    assert batches == [[1, 2, 3]]


@pytest.mark.services
def test_a_line_without_end_takes_no_room(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a line longer than any may be little more is kept than shows that; the lines around it are answered."""
    monkeypatch.setattr(lines, "LONGEST_LINE", 1 << 20)
    given(monkeypatch, b'{"n": 1}\n"' + b"x" * 20_000_000 + b'"\n{"n": 2}\n' + b"y" * 2_000_000)
    tracemalloc.start()
    with pytest.raises(GateFailed, match="2 of 4"):
        answer_lines(None, "any", lambda line: {"was": line["n"]}, keys=("n",))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("was", line.get("line")) for line in told] == [1, 2, 2, 4]
    assert told[1]["error"]["message"] == "The line is longer than 1 MB."
    assert peak < 8_000_000
