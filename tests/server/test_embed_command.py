"""`aqe embed` and `aqe similarity` as a user, or another program, types them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in an empty project, in this process; gives exit status, stdout and stderr."""
    return in_process


def objects(text: str) -> list[dict[str, Any]]:
    """Each line of output as an object."""
    return [json.loads(line) for line in text.splitlines()]


def test_text_is_printed_as_a_unit_vector(aqe: Run) -> None:
    """`aqe embed` prints one JSON list of 384 numbers of length 1, the same from an argument and from stdin."""
    status, out, err = aqe("embed", "parse the header")
    vector = json.loads(out)
    assert (status, err, len(vector)) == (0, "", 384)
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-3)
    assert aqe("embed", "-", stdin="parse the header")[1] == out


def test_json_names_the_embedder(aqe: Run) -> None:
    """--json gives the vector with the space it belongs to."""
    found = json.loads(aqe("embed", "parse the header", "--json")[1])
    assert (found["schema"], found["dimension"], len(found["vector"])) == ("aqe.embed/1", 384, 384)
    assert found["embedder_id"].startswith("aqe-static-1:")


@pytest.mark.parametrize("command", [("embed",), ("privacy", "scan"), ("route",), ("memory", "search")])
def test_an_answer_has_the_id_that_its_line_has(aqe: Run, command: tuple[str, ...]) -> None:
    """A line without an id is answered without one, and an id that is null is answered as such."""
    key = {"route": "prompt", "memory": "query"}.get(command[0], "text")
    lines = [json.dumps({key: "parse the header", **more}) for more in ({}, {"id": None}, {"id": "a"})]
    status, out, _ = aqe(*command, "--jsonl", stdin="\n".join(lines))
    assert status == 0
    assert [one.get("id", "none") for one in objects(out)] == ["none", None, "a"]


def test_each_line_is_answered_in_order(aqe: Run) -> None:
    """A batch gives one line for each, in order, with its id; a broken line is named and the rest goes on, exit 1."""
    lines = [
        b'{"id": "a", "text": "parse the header", "more": 1}',
        b"{broken",
        b'{"id": "b"}',
        b'{"id": "c", "text": ""}',
        b'{"id": "d", "text": 5}',
        b"[]",
        b'\xff{"text": "x"}',
        b'{"id": 7, "text": "parse the header"}',
        json.dumps({"id": "big", "text": "word " * 2_000_000}).encode(),
        b'{"id": "nul", "text": "a\\u0000b"}',
    ]
    status, out, err = aqe("embed", "--jsonl", stdin=b"\n".join(lines) + b"\n")
    answers = objects(out)
    assert status == 1
    assert "8 of 10 input lines failed." in err
    assert [one.get("id") for one in answers if "vector" in one] == ["a", 7]
    assert answers[0]["vector"] == answers[7]["vector"]
    failed = {one["line"]: one["error"]["code"] for one in answers if "error" in one}
    assert failed == {
        2: "bad-line", 3: "bad-text", 4: "bad-text", 5: "bad-text",
        6: "bad-line", 7: "bad-line", 9: "text-too-long", 10: "bad-text",
    }  # fmt: skip


def test_answers_come_as_they_are_made(tmp_path: Path) -> None:
    """The answer to a line is flushed before the next line is read."""
    command = [sys.executable, "-m", "aqe.server.cli", "embed", "--jsonl", "--project", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        for id in ("a", "b"):
            run.stdin.write(json.dumps({"text": f"note {id}", "id": id}) + "\n")
            run.stdin.flush()
            assert json.loads(run.stdout.readline())["id"] == id
        run.stdin.close()
        assert run.wait(timeout=60) == 0


def test_similarity_tells_a_paraphrase_from_something_else(aqe: Run) -> None:
    """`aqe similarity` prints a number from 0 to 1, higher for the same in other words."""
    near, far = (
        float(aqe("similarity", "delete a file", other)[1])
        for other in ("remove a document from disk", "round prices half up")
    )
    assert 0 <= far < near <= 1
    assert float(aqe("similarity", "delete a file", "delete a file")[1]) == 1.0
    found = json.loads(aqe("similarity", "delete a file", "remove a document from disk", "--json")[1])
    assert (found["schema"], found["similarity"]) == ("aqe.similarity/1", pytest.approx(near, abs=1e-3))


def test_embedding_writes_nothing(aqe: Run, tmp_path: Path) -> None:
    """Neither command makes anything in a project where nothing was kept yet."""
    before = sorted(tmp_path.rglob("*"))
    aqe("embed", "parse")
    aqe("embed", "--jsonl", stdin='{"id": 1, "text": "parse"}')
    aqe("similarity", "a", "b")
    assert sorted(tmp_path.rglob("*")) == before


REFUSED: list[tuple[str, list[str], str]] = [
    ("no text", ["embed"], "bad-text"),
    ("empty text", ["embed", " "], "bad-text"),
    ("empty side", ["similarity", "a", ""], "bad-text"),
    ("half a character", ["similarity", "a", "b\udcff"], "bad-text"),
    ("one side", ["similarity", "a"], "usage"),
]


@pytest.mark.parametrize(("words", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_embedded_is_refused(aqe: Run, words: list[str], code: str) -> None:
    """Bad input is one sentence with its code and exit 2."""
    status, out, err = aqe(*words)
    assert (status, out) == (2, "")
    assert f"[{code}]" in err
    assert len(err.strip().splitlines()) == 1


def test_model_that_is_not_there_is_one_sentence(aqe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another embedder set and its extra missing, the error has the line that installs it."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setenv("AQE_EMBEDDER", "sentence-transformers:no-such-model")
    status, _, err = aqe("embed", "parse")
    assert status == 2
    assert "pip install 'aqe[sentence-transformers]' [missing-extra]" in err
