"""`aqe query`, `aqe complete` and `aqe sessions` as a user types them."""

from __future__ import annotations

import http.server
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aqe.server.cli import main

Run = Callable[..., tuple[int, str, str]]
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project to stand in."""
    for name in [name for name in os.environ if name.startswith("AQE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config-home"))
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "small"\nversion = "1"\n')
    (root / "shipping.md").write_text("# Shipping\n\nShipping is free above 50 euros.\n")
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def aqe(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in the project; gives exit status, stdout and stderr."""

    def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        status = main(list(words))
        out, err = capsys.readouterr()
        return status, out, err

    return run


class _Model(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible server that says "It is free [1].", streamed where that is asked for."""

    pieces: tuple[tuple[str, str | None], ...] = (("It is", None), (" free [1].", "stop"))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        head = {"id": "x", "created": 0, "model": "m", "object": "chat.completion"}
        self.send_response(200)
        if asked.get("stream"):
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for word, finish in self.pieces:
                chunk = {**head, "object": "chat.completion.chunk"}
                chunk["choices"] = [{"index": 0, "delta": {"content": word}, "finish_reason": finish}]
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.write(b"data: [DONE]\n\n")
            return
        message = {"role": "assistant", "content": "It is free [1]."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        body = json.dumps({**head, "choices": [choice], "usage": usage}).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def model(home: Path) -> Iterator[None]:
    """A model on loopback that the project's settings name."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Model)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with (home / "pyproject.toml").open("a") as file:
        file.write('[tool.aqe.providers.house]\nkind = "openai-compatible"\nmodels = ["m"]\n')
        file.write(f'base_url = "http://127.0.0.1:{server.server_port}/v1"\n')
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def checked(command: str, printed: str) -> dict[str, Any]:
    """The one object that was printed, which its schema describes."""
    found: dict[str, Any] = json.loads(printed)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{command}.json").read_text(encoding="utf-8")))
    assert found["schema"] == f"aqe.{command}/1"
    return found


def test_query_answers_with_file_and_line(aqe: Run) -> None:
    """A question is answered on stdout with its place; how it came about stands on stderr."""
    status, out, err = aqe("query", "When is shipping free?")
    assert status == 0
    assert "above 50 euros" in out
    assert "[shipping.md:3]" in out
    assert err.startswith("extractive, confidence ")


def test_query_reads_what_changed(aqe: Run, home: Path) -> None:
    """The index follows the files from one question to the next, unless that is turned off."""
    aqe("query", "When is shipping free?")
    (home / "shipping.md").write_text("# Shipping\n\nShipping is free above 70 euros.\n")
    assert "50 euros" in aqe("query", "When is shipping free?", "--no-index")[1]
    assert "70 euros" in aqe("query", "When is shipping free?")[1]


def test_query_of_a_namespace_without_a_memory_says_so(aqe: Run) -> None:
    """Where nothing is in the namespace that is asked stderr says so and which there are, with --json the object too;
    where a memory is in it nothing is said."""
    aqe("memory", "add", "Shipping is free above 50 euros.", "-n", "notes")
    told = "No memory is in the namespace 'note'; there are memories in notes"
    assert told in aqe("query", "When is shipping free?", "-n", "note")[2]
    _, out, err = aqe("query", "When is shipping free?", "-n", "note", "--json")
    assert told in err
    assert json.loads(out)["absent"]["nearest"] == ["notes"]
    for question in ("When is shipping free?", "Which hormone regulates the sleep of zebras?"):
        assert "No memory is" not in aqe("query", question, "-n", "notes")[2]
        assert "absent" not in json.loads(aqe("query", question, "-n", "notes", "--json")[1])


def test_query_without_evidence_says_so(aqe: Run) -> None:
    """A question that nothing answers is told as such, with exit status 0."""
    status, out, _ = aqe("query", "Which hormone regulates the sleep of zebras?")
    assert status == 0
    assert out.startswith("I do not know.")


def test_query_forced_to_a_cloud_that_is_not_there_says_so(aqe: Run) -> None:
    """With --force cloud and no cloud model the passages answer, and stderr says that none is configured."""
    status, out, err = aqe("query", "What does shipping cost?", "--force", "cloud")
    assert status == 0
    assert "shipping.md" in out
    assert "the request forces cloud, but no cloud model is configured" in err


def test_query_json_is_what_its_schema_says(aqe: Run) -> None:
    """--json prints the whole answer, whose request id feedback takes."""
    found = checked("query", aqe("query", "-", "--json", stdin="When is shipping free?")[1])
    assert found["citations"][0]["file"] == "shipping.md"
    assert aqe("feedback", found["request_id"], "--rating", "5")[0] == 0
    assert "[unknown-request]" in aqe("feedback", "nothing", "--rating", "5")[2]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["query", " "], "bad-text"),
        (["query", "x", "-k", "0"], "bad-limit"),
        (["query", "x", "--strategy", "luck"], "bad-argument"),
        (["query", "x", "--force", "moon"], "usage"),
        (["query", "x", "--session", "a/b"], "bad-session"),
        (["sessions", "list", "--limit", "9" * 30], "bad-limit"),
        (["complete", "x"], "no-model"),
        (["complete", "x", "-n", "0"], "bad-limit"),
        (["complete", "x", "--schema", "nowhere.json"], "bad-argument"),
        (["sessions", "show", "nobody"], "unknown-session"),
        (["sessions", "resume", "nobody"], "unknown-session"),
        (["sessions", "import", "nowhere.json"], "no-such-path"),
        (["sessions", "chat", "a", "x", "--context", "@nowhere.txt"], "no-such-path"),
    ],
)
def test_mistakes_are_one_sentence(aqe: Run, words: list[str], code: str) -> None:
    """A user's mistake ends with exit status 2 and one line with its code."""
    status, out, err = aqe(*words)
    assert (status, out) == (2, "")
    assert err.rstrip().endswith(f"[{code}]")


def test_model_answers_and_its_citations_are_listed(aqe: Run, model: None) -> None:
    """A model's answer is streamed, and what it cites stands below it."""
    status, out, err = aqe("query", "When is shipping free?", "--strategy", "quality")
    assert status == 0
    assert out.splitlines()[0] == "It is free [1]."
    assert "shipping.md:3" in out
    assert err.startswith("house/m, ")


def test_complete_streams_or_votes(aqe: Run, model: None) -> None:
    """A completion comes as the model makes it; samples and --json come whole."""
    assert aqe("complete", "Is it?")[1] == "It is free [1].\n"
    assert "3 samples in 1 groups" in aqe("complete", "Is it?", "-n", "3")[2]
    found = checked("complete", aqe("complete", "-", "--json", "--system", "Be brief.", stdin="Is it?")[1])
    assert (found["text"], found["usage"]["output_tokens"]) == ("It is free [1].", 5)


def test_half_an_answer_is_an_error_below_it(aqe: Run, model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that closes in the middle leaves what came on a line of its own, and ends with an error."""
    monkeypatch.setattr(_Model, "pieces", (("It is", None),))
    for words in (["complete", "Is it?"], ["query", "When is shipping free?", "--strategy", "quality"]):
        status, out, err = aqe(*words)
        assert (status, out) == (2, "It is\n")
        assert "broke off after 5 characters" in err
        assert err.rstrip().endswith("[provider-failed]")


def test_an_answer_that_was_cut_short_says_so(aqe: Run, model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that ran out of tokens ends its answer with that, in the line below it."""
    monkeypatch.setattr(_Model, "pieces", (("It is", "length"),))
    status, out, err = aqe("complete", "Is it?")
    assert (status, out) == (0, "It is\n")
    assert "ended with length" in err


def test_an_answer_does_not_speak_to_the_terminal(aqe: Run, model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a terminal would obey is shown as escapes there, and left as it is where the answer is piped."""
    monkeypatch.setattr(_Model, "pieces", (("It is\x07\n", None), ("free", "stop")))
    assert aqe("complete", "Is it?")[1] == "It is\x07\nfree\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert aqe("complete", "Is it?")[1] == "It is\\x07\nfree\n"


def test_a_files_name_stands_on_one_line(aqe: Run, home: Path) -> None:
    """The place of a quote is one line, piped too: a line end or a sign that a terminal obeys is shown as an escape."""
    (home / "par\nrot\x1b[31m.md").write_text("# Parrots\n\nA macaw is fed above 12 euros.\n", encoding="utf-8")
    status, out, _ = aqe("query", "When is a macaw fed?")
    assert status == 0
    assert "[par\\nrot\\x1b[31m.md:3]" in out


def test_what_was_said_does_not_speak_to_the_terminal_later(
    aqe: Run, model: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is shown is shown as its answers were."""
    monkeypatch.setattr(_Model, "pieces", (("It is\x07\n", None), ("free", "stop")))
    aqe("sessions", "chat", "shop", "Is it?", "--new")
    assert "It is\x07\nfree\n" in aqe("sessions", "show", "shop")[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "It is\\x07\nfree\n" in aqe("sessions", "show", "shop")[1]


def test_a_shape_that_a_server_ignores_is_an_error(aqe: Run, home: Path, model: None) -> None:
    """--schema is held also where the server does not: prose in place of JSON is no answer."""
    (home / "shape.json").write_text('{"type": "object", "required": ["free"]}')
    status, out, _ = aqe("complete", "Is it?", "--schema", "shape.json", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (2, "provider-failed")
    assert "it is no JSON" in json.loads(out)["error"]["message"]
    (home / "shape.json").write_text('{"type": "nope"}')
    assert "[bad-argument]" in aqe("complete", "Is it?", "--schema", "shape.json")[2]


def test_sessions_are_talked_to_listed_and_moved(aqe: Run, home: Path) -> None:
    """A conversation is begun, shown, ended, resumed, exported, removed and imported."""
    lines = "When is shipping free?\nAnd is it?\n\nnever asked\n"
    status, out, _ = aqe("sessions", "chat", "talk", "--context", "Totals round half up.", stdin=lines)
    assert status == 0
    assert out.count("50 euros") == 2
    assert "talk" in aqe("sessions", "list")[1]
    shown = checked("sessions-show", aqe("sessions", "show", "talk", "--json")[1])
    assert [turn["role"] for turn in shown["turns"]] == ["context", "user", "assistant", "user", "assistant"]
    assert "Totals round half up." in aqe("sessions", "show", "talk")[1]
    assert checked("sessions-end", aqe("sessions", "end", "talk", "--json")[1])["session"]["state"] == "ended"
    assert aqe("sessions", "list")[1] == ""
    assert "[session-ended]" in aqe("query", "x", "--session", "talk", "--no-index")[2]
    assert len(checked("sessions-list", aqe("sessions", "list", "--all", "--json")[1])["sessions"]) == 1
    checked("sessions-resume", aqe("sessions", "resume", "talk", "--json")[1])
    assert aqe("sessions", "export", "talk", "--out", "talk.json")[0] == 0
    assert aqe("sessions", "export", "talk")[1] == (home / "talk.json").read_text()
    whole = checked("sessions-export", aqe("sessions", "export", "talk", "--json")[1])
    assert {**json.loads((home / "talk.json").read_text()), "schema": "aqe.sessions-export/1"} == whole
    status, _, err = aqe("sessions", "export", "talk", "--out", "talk.json")
    assert (status, "bad-output" in err, "--force" in err) == (2, True, True)
    again = ("sessions", "export", "talk", "--json", "--out", "talk.json", "--force")
    written = checked("sessions-export", aqe(*again)[1])
    assert written["bytes"] == (home / "talk.json").stat().st_size
    status, _, err = aqe("sessions", "export", "talk", "--out", "no/such/talk.json")
    assert (status, "[bad-output]" in err) == (2, True)
    assert aqe("sessions", "end", "talk", "--remove")[1] == "talk is removed\n"
    made = checked("sessions-import", aqe("sessions", "import", "talk.json", "--name", "again", "--json")[1])
    assert made["session"]["turns"] == 5
    assert "[session-exists]" in aqe("sessions", "import", "talk.json", "--name", "again")[2]
    assert aqe("sessions", "import", "-", "--name", "piped", stdin=json.dumps(whole))[0] == 0
    assert json.loads(aqe("sessions", "export", "piped", "--json")[1])["messages"] == whole["messages"]


def test_mistyped_session_is_not_begun(aqe: Run) -> None:
    """A talk in a session whose name looks like another mistyped is refused with that one and the command that begins
    it; nothing is made. With --new it is begun, once."""
    assert aqe("sessions", "chat", "pricing", "When is shipping free?")[2].startswith("The session 'pricing' begins")
    assert "begins" not in aqe("sessions", "chat", "pricing", "And is it?")[2]
    status, out, err = aqe("sessions", "chat", "pricng", "And is it?")
    assert (status, out) == (2, "")
    assert "Did you mean 'pricing'? Begin a new one with `aqe sessions chat pricng --new`." in err
    assert "[unknown-session]" in err
    assert len(json.loads(aqe("sessions", "list", "--json")[1])["sessions"]) == 1
    said = checked("query", aqe("sessions", "chat", "pricng", "When is shipping free?", "--new", "--json")[1])
    assert said["begun"]["nearest"] == ["pricing"]
    assert "[session-exists]" in aqe("sessions", "chat", "pricng", "And is it?", "--new")[2]
    assert "Did you mean 'pricing'" in aqe("sessions", "show", "pricin")[2]


def test_names_that_differ_by_a_number_are_meant(aqe: Run) -> None:
    """A session of the next number begins without being asked for."""
    for name in ("run-1", "run-2"):
        assert aqe("sessions", "chat", name, "When is shipping free?")[0] == 0
    assert len(json.loads(aqe("sessions", "list", "--json")[1])["sessions"]) == 2


def test_a_name_next_to_one_that_differs_by_a_number_is_not_taken_for_another(aqe: Run) -> None:
    """Of two names that are near the nearest counts: the next of its row is begun without a word of the other."""
    for name in ("hives-2", "hivez"):
        aqe("sessions", "chat", name, "When is shipping free?", "--new")
    _, out, err = aqe("query", "When is shipping free?", "--session", "hivez2", "--json")
    assert "The session 'hivez2' begins with this question.\n" in err
    assert checked("query", out)["begun"]["nearest"] == ["hivez", "hives-2"]


def test_query_says_that_a_session_begins(aqe: Run) -> None:
    """A question in a session of a new name says that it begins one, and which is near; one in a session that is there
    says nothing, and a bad question begins none."""
    begins = "The session 'pricing' begins with this question.\n"
    assert aqe("query", "When is shipping free?", "--session", "pricing")[2].endswith(begins)
    assert "begins" not in aqe("query", "And is it?", "--session", "pricing")[2]
    _, out, err = aqe("query", "When is shipping free?", "--session", "pricng", "--json")
    assert "there is one called 'pricing'." in err
    assert checked("query", out)["begun"]["mistaken_for"] == "pricing"
    assert aqe("sessions", "chat", "other", "")[0] == 2
    status, _, err = aqe("sessions", "chat", "other", stdin="What\0?\n")
    assert (status, "begins" in err) == (2, False)
    assert len(json.loads(aqe("sessions", "list", "--json")[1])["sessions"]) == 2


def test_chat_answers_one_question_in_json(aqe: Run) -> None:
    """One question of a session as JSON is an answer that names the session; a talk is not for JSON."""
    assert aqe("sessions", "chat", "talk", "--json")[0] == 2
    found = checked("query", aqe("sessions", "chat", "talk", "When is shipping free?", "--json")[1])
    assert found["session"] == "talk"


def test_looking_at_sessions_writes_nothing(aqe: Run, home: Path) -> None:
    """Listing and showing sessions makes no .aqe where nothing is kept."""
    assert checked("sessions-list", aqe("sessions", "list", "--json")[1])["sessions"] == []
    assert aqe("sessions", "show", "talk")[0] == 2
    assert not (home / ".aqe").exists()


def test_stats_count_what_was_asked_and_said(aqe: Run) -> None:
    """`aqe stats` counts questions, what answered them, feedback and sessions, the same in both forms."""
    assert json.loads(aqe("stats", "--json")[1])["activity"]["queries"] == 0
    asked = json.loads(aqe("query", "What does shipping cost?", "--session", "talk", "--json")[1])
    aqe("feedback", asked["request_id"], "--rating", "5")
    figures = json.loads(aqe("stats", "--json")[1])
    activity = figures["activity"]
    assert (activity["queries"], activity["providers"], activity["signals"]) == (1, {"extractive": 1}, {"positive": 1})
    assert (activity["sessions"], activity["mean_confidence"]) == ({"open": 1}, pytest.approx(asked["confidence"]))
    jsonschema.validate(figures, json.loads((SCHEMAS / "stats.json").read_text()))
    out = aqe("stats")[1]
    assert "asked       1 query, 0 completions, mean confidence" in out
    assert "feedback    1 positive" in out


def test_stats_count_the_last_word_on_each_answer(aqe: Run) -> None:
    """A rating in the middle is neutral, and what is said again of the same answer takes the place of what was said."""
    asked = json.loads(aqe("query", "What does shipping cost?", "--json")[1])
    for rating in ("5", "3", "3"):
        aqe("feedback", asked["request_id"], "--rating", rating)
    assert "feedback    1 neutral" in aqe("stats")[1].splitlines()
    aqe("feedback", asked["request_id"], "--rating", "1")
    assert "feedback    1 negative" in aqe("stats")[1].splitlines()
    assert "An implicit signal alone" in aqe("feedback", asked["request_id"], "--signal", "implicit")[2]


def test_stats_say_of_exact_searches_only_that_they_are(aqe: Run) -> None:
    """Where every vector is compared one line says so for all namespaces; the JSON has each with its figures."""
    aqe("query", "What does shipping cost?")
    lines = [line for line in aqe("stats")[1].splitlines() if line.startswith("search")]
    figures = json.loads(aqe("stats", "--json")[1])["searches"]
    assert len(figures) > 1
    vectors = sum(one["vectors"] for one in figures)
    assert lines == [
        f"search      {vectors:,} vectors in {len(figures)} namespaces: all are compared, so the nearest are found"
    ]
