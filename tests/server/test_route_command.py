"""`aqe route` as a user types it: the decision, the score of each line, the rules, and the log."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import open_store
from aqe.engine.providers import CompletionRequest, Message, ProviderFailure
from aqe.engine.providers.scripted import Scripted
from aqe.engine.routing import Router, RouteRequest
from aqe.engine.settings import Settings

Run = Callable[..., tuple[int, str, str]]
PROVIDERS = {
    "house": {"kind": "openai-compatible", "base_url": "http://127.0.0.1:9/v1", "models": ["small"]},
    "far": {
        "kind": "openai-compatible",
        "base_url": "https://models.invalid/v1",
        "models": ["big"],
        "input_usd": 1.0,
        "output_usd": 2.0,
    },
}


@pytest.fixture
def aqe(in_process: Run) -> Run:
    """Runs a command in an empty project, in this process; gives exit status, stdout and stderr."""
    return in_process


def checked(repository: Path, command: str, printed: str) -> dict[str, Any]:
    """The one object that was printed, after its schema was found to describe it."""
    found: dict[str, Any] = json.loads(printed)
    schema = json.loads((repository / "docs" / "schemas" / f"{command}.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, schema, cls=jsonschema.Draft202012Validator)
    return found


def test_without_a_model_a_question_goes_to_the_passages(aqe: Run) -> None:
    """With nothing configured, a request is answered from passages, and looking writes nothing."""
    status, out, _ = aqe("route", "Why is the cart empty?")
    assert status == 0
    assert "goes to   extractive/extractive (extractive)" in out
    assert not Path(".aqe").exists()


def test_a_completion_without_a_model_names_the_two_commands(aqe: Run) -> None:
    """With nothing configured, a completion is exit 2 with both commands that add a model."""
    status, _, err = aqe("route", "Write a limerick.", "--completion")
    assert status == 2
    assert "[no-model]" in err
    assert "pip install 'aqe[openai]'" in err
    assert "export AQE_PROVIDERS=" in err


def test_explain_shows_every_candidate_and_what_moved_the_score(aqe: Run) -> None:
    """--explain lists each model with its reason and the features behind the score."""
    status, out, _ = aqe("route", "Prove it.", "--explain", "--privacy", "secret", providers=PROVIDERS)
    assert status == 0
    assert "kept house/small (local): right with" in out
    assert "out  far/big (cloud): " in out
    assert "stays on this machine" in out or "lets nothing leave" in out
    assert "length" in out


def test_json_is_what_its_schema_says(aqe: Run, repository: Path) -> None:
    """The decision, the rules and the log are objects that their schemas describe."""
    decision = checked(repository, "route", aqe("route", "Prove it.", "--json", providers=PROVIDERS)[1])
    assert 0 <= decision["score"] <= 1
    assert {one["model"] for one in decision["candidates"]} == {"small", "big", "extractive"}
    assert checked(repository, "route-rules", aqe("route", "--rules", "--json")[1])["strategy"] == "balanced"
    assert checked(repository, "route-log", aqe("route", "--explain", "--json")[1])["routes"] == []


def test_rules_are_printed_as_the_toml_that_decides(aqe: Run) -> None:
    """--rules prints TOML with the strategies and rules in force."""
    found = tomllib.loads(aqe("route", "--rules")[1])
    assert {"balanced", "cost", "latency", "quality", "privacy"} == set(found["strategies"])
    assert all(rule["why"] for rule in found["rules"])


def test_each_line_gets_its_score(aqe: Run) -> None:
    """--jsonl answers each line with its id and a score from 0 to 1, the same for the same prompt."""
    lines = [{"id": "a", "prompt": "2+2?"}, {"id": 7, "prompt": "Explain. " * 300, "more": 1}, {"prompt": "2+2?"}]
    status, out, _ = aqe("route", "--jsonl", stdin="\n".join(map(json.dumps, lines)))
    found = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [set(one) for one in found] == [{"id", "score"}, {"id", "score"}, {"score"}]
    assert [one.get("id") for one in found] == ["a", 7, None]
    assert all(0 <= one["score"] <= 1 for one in found)
    assert found[0]["score"] == found[2]["score"] != found[1]["score"]


def test_a_broken_line_is_named_and_the_rest_goes_on(aqe: Run) -> None:
    """A line that is no object, has no prompt or an empty one is an error line; the others are answered; exit 1."""
    status, out, err = aqe(
        "route", "--jsonl", stdin=b'{"prompt": "a"}\n[1]\n\xff\n{"prompt": 3}\n{"prompt": " "}\n{"prompt": "b"}\n'
    )
    found = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert [one.get("line") for one in found] == [None, 2, 3, 4, 5, None]
    assert "4 of 6 input lines failed" in err


def test_a_prompt_may_come_from_stdin(aqe: Run) -> None:
    """- reads the request from stdin."""
    assert aqe("route", "-", "--json", stdin="Prove it.")[1] == aqe("route", "Prove it.", "--json")[1]


@pytest.mark.parametrize("extra", [True, False], ids=["dead", "missing-extra"])
def test_a_question_that_passages_answered_in_the_end_is_one_route(
    aqe: Run, repository: Path, monkeypatch: pytest.MonkeyPatch, *, extra: bool
) -> None:
    """Where the configured model fails, `aqe query` says so in a line, and the log has one row: who answered, and the
    call that failed before."""
    if not extra:
        monkeypatch.setitem(sys.modules, "openai", None)
    Path("notes.md").write_text("# Cart\n\nThe cart is emptied when the session expires after 20 minutes.\n")
    house = {"house": PROVIDERS["house"]}
    status, out, err = aqe("query", "When is the cart emptied?", "--force", "local", providers=house)
    assert (status, "20 minutes" in out) == (0, True)
    said = [line for line in err.splitlines() if "no model did" in line]
    assert len(said) == 1
    assert said[0].startswith("The passages themselves answer, since no model did: ")
    out, err = aqe("route", "--explain")[1:]
    assert "  ok  extractive/extractive  " in out
    assert "decided for house/small: " in out
    assert ("house/small connection: " if extra else "house/small missing-extra: ") in out
    assert err == "1 route in the log\n"
    routes = checked(repository, "route-log", aqe("route", "--explain", "--json")[1])["routes"]
    assert [(one["provider"], one["tier"], one["outcome"]) for one in routes] == [("extractive", "extractive", "ok")]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), "usage"),
        (("",), "bad-text"),
        (("x", "--force", "moon"), "bad-argument"),
        (("x", "--strategy", "fastest"), "bad-argument"),
        (("x", "--privacy", "publick"), "bad-argument"),
        (("x", "--max-cost", "-1"), "usage"),
        (("x", "--completion", "--force", "cloud"), "no-model"),
        (("--jsonl", "--rules"), "bad-argument"),
        (("--jsonl", "--explain"), "bad-argument"),
        (("--jsonl", "--completion"), "bad-argument"),
    ],
)
def test_mistakes_are_one_sentence(aqe: Run, words: tuple[str, ...], code: str) -> None:
    """A mistake ends with its code and exit 2."""
    status, _, err = aqe("route", *words)
    assert (status, err.rstrip().endswith(f"[{code}]")) == (2, True), err


def test_a_kill_switch_shows_in_the_decision(aqe: Run) -> None:
    """A switch in pyproject.toml leaves its models out and is named as the reason."""
    Path("pyproject.toml").write_text("[tool.aqe.local]\nenabled = false\n")
    out = aqe("route", "Prove it.", "--explain", providers=PROVIDERS)[1]
    assert "out  house/small (local): local.enabled is false" in out


def test_the_log_shows_what_was_tried(aqe: Run, repository: Path) -> None:
    """--explain without a prompt shows the last routes, the newest first, with every call."""
    down = ProviderFailure("server", "out of order")
    ask = RouteRequest("secret words", needs_model=True, strategy="quality")

    with open_store(Path.cwd()) as store:
        providers = [Scripted([down], name="first", local=False), Scripted(["fine", down], name="second")]
        router = Router(providers, store=store, settings=Settings.model_validate({"router": {"rounds": 1}}))

        async def work() -> None:
            completion = CompletionRequest((Message("user", "x"),))
            await router.run(ask, completion, request_id="r-1")
            with pytest.raises(UserError):
                await router.run(ask, completion, request_id="r-2")

        anyio.run(work)
    status, out, err = aqe("route", "--explain")
    assert (status, err) == (0, "2 routes in the log\n")
    assert out.index("r-2  provider-failed") < out.index("r-1  ok  second/script")
    assert "round 1  first/script server: out of order" in out
    assert "secret words" not in out
    newest = checked(repository, "route-log", aqe("route", "--explain", "--limit", "1", "--json")[1])["routes"]
    assert [route["request_id"] for route in newest] == ["r-2"]
