"""Whatever is handed to a public call of the engine: it is taken as what it means, or refused with a code."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqe.engine.answer import QueryConfig
from aqe.engine.embedding import StaticEmbedder
from aqe.engine.errors import InternalError, UserError
from aqe.engine.sync import Engine

ODD: tuple[Any, ...] = (
    *(None, 5, 0, -1, 1.5, math.nan, math.inf, 10**30, True, 1j, object(), str, lambda *_: 1),
    *("", " \n", "a\0b", "a\ud800", "nosuch", "q" * 5000, "\N{SNAKE}", b"x", Path("nosuch"), range(3)),
    *([], [None], [5], ["a", "b"], ["ok", ""], {}, {"a": 1}, {5: 1}, {"a": {"gt": None}}, {"a"}),
    *(np.ones(3), np.ones((2, 2))),
)
GOOD: dict[str, dict[str, Any]] = {
    "query": {"prompt": "When?", "session": None, "task": "t", "config": QueryConfig(), "validate": None},
    "stream": {"prompt": "When?", "retrieve": True, "session": None, "task": None, "config": None, "stop": ()},
    "query_batch": {"prompts": ["When?"], "parallel": 2, "window_ms": 5.0, "task": None, "config": None},
    "search": {"query": "cart", "vector": None, "k": 3, "namespace": None, "filter": None, "embedder_id": None}
    | {"explain": False, "as_of": None},
    "remember": {"text": "a note", "namespace": "n", "id": None, "metadata": None, "file": "", "line": 0, "ttl": None},
    "forget": {"id": "nil", "namespace": "default", "erase": False},
    "feedback": {"request_id": "nil", "rating": 3, "task_success": None, "correction": None, "signal_type": None}
    | {"metadata": None},
    "route": {"prompt": "x", "task": None, "config": None, "needs_model": False},
    "embed": {"texts": "x"},
    "similarity": {"a": "x", "b": "y"},
    "index": {"paths": (), "progress": print, "cancel": None},
    "export_state": {"target": "nosuch/out.aqe", "force": False, "progress": print, "cancel": None},
    "import_state": {"source": "nosuch.aqe", "conflict": "keep", "dry_run": True, "progress": print, "cancel": None},
    "sessions.create": {"name": None, "metadata": None, "token_budget": None},
    "sessions.chat": {"name": "nil", "prompt": "x", "task": None, "config": None, "validate": None},
    "sessions.add_context": {"name": "talk", "text": "x"},
    "sessions.get": {"name": "talk"},
    "sessions.set_metadata": {"name": "talk", "metadata": {}},
    "sessions.history": {"name": "talk", "last": None},
    "sessions.messages": {"name": "talk"},
    "sessions.search": {"query": "x", "k": 3},
    "sessions.resume": {"name": "talk"},
    "sessions.end": {"name": "nil", "remove": False},
    "sessions.export": {"name": "talk"},
    "sessions.import_session": {"document": "{}", "name": None},
    "sessions.list": {"every": False, "limit": 5},
}


@pytest.fixture
def engine(project: Path, embedder: StaticEmbedder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An open engine with a memory and a session, started in an empty folder."""
    (project / "empty").mkdir()
    monkeypatch.chdir(project / "empty")
    with Engine.open(project, embedder=embedder) as opened:
        opened.remember("keep this", id="first")
        opened.sessions.create("talk")
        yield opened


def method(engine: Engine, name: str) -> Callable[..., Any]:
    """The method of the engine, or of its sessions."""
    owner, _, call = name.rpartition(".")
    found: Callable[..., Any] = getattr(getattr(engine, owner) if owner else engine, call)
    return found


def code_of(call: Callable[..., Any], /, *args: Any, **arguments: Any) -> str:
    """The code of the error that a call ends with; "" where it works."""
    try:
        found = call(*args, **arguments)
        if inspect.isgenerator(found) or hasattr(found, "__next__"):
            list(found)
    except InternalError:
        raise
    except UserError as error:
        return error.code
    return ""


@pytest.mark.services
@pytest.mark.parametrize("name", GOOD)
def test_no_odd_argument_ends_in_an_error_without_a_code(engine: Engine, name: str) -> None:
    """Each argument in turn is something odd: the call works or ends in a `UserError`, and what was kept stays."""
    for argument in GOOD[name]:
        for odd in ODD:
            if argument == "progress" and odd is str:
                continue  # it can be called, and what it does then is the caller's own
            code_of(method(engine, name), **{**GOOD[name], argument: odd})
    assert [hit.memory.id for hit in engine.search("keep this", namespace="default").hits] == ["first"]


def test_an_engine_is_opened_by_what_it_needs_or_not_at_all(project: Path) -> None:
    """What stands in for settings, embedder, providers or the project is one, or the error says that it is none."""
    for odd in (5, b"x", [5], {"a": 1}, object(), math.nan, "a\0b", "q" * 300, "q" * 5000):
        for name in ("settings", "embedder", "providers", "project"):
            with pytest.raises(UserError):
                Engine.open(**{"project": project, name: odd})
    for name_of_function in ("count_tokens", "now"):
        with pytest.raises(UserError, match="cannot be called"):
            Engine.open(project, **{name_of_function: 5})


def test_a_text_in_place_of_a_list_is_not_its_letters(engine: Engine) -> None:
    """One path is looked at as one, one text gives one vector, and one question is no batch."""
    engine.index("docs/shipping.md")
    with engine._engine._store.reading() as connection:
        assert [file for (file,) in connection.execute("SELECT file FROM indexed_files")] == ["docs/shipping.md"]
    assert engine.embed("abc").shape == (64,)
    assert engine.embed(["abc", "de"]).shape == (2, 64)
    assert code_of(engine.query_batch, "string") == "bad-argument"
    assert code_of(engine.query_batch, {"a question": 1}) == "bad-argument"
    for vector in ("0123", bytes(4 * 64), dict.fromkeys(range(64), 1.0), {float(number) for number in range(64)}):
        assert code_of(engine.search, vector=vector) == "bad-vector"
    assert [code_of(engine.index, paths) for paths in ([5], 5, {"a": 1}, b"docs", ["a\0b"])] == ["bad-argument"] * 5


def test_what_cannot_be_embedded_is_refused_as_the_commands_refuse_it(engine: Engine) -> None:
    """`embed`, alone and among others, and `similarity` on either side refuse what `aqe embed` refuses."""
    for text, code in (
        *(("", "bad-text"), (" \n", "bad-text"), ("a\0b", "bad-text"), ("a\ud800", "bad-text"), (None, "bad-text")),
        *((5, "bad-text"), (b"x", "bad-text"), ("word " * 300_000, "text-too-long")),
    ):
        assert code_of(engine.embed, text) == code
        assert code_of(engine.embed, ["fine", text]) == code
        assert code_of(engine.similarity, text, "x") == code_of(engine.similarity, "x", text) == code


def test_a_search_for_nothing_is_refused(engine: Engine) -> None:
    """A blank query finds nothing worth an answer: it is an error, with `as_of` too; beside a vector it counts not."""
    for blank in ("", "  ", "\n\t"):
        assert code_of(engine.search, blank) == "bad-query"
        assert code_of(engine.search, blank, as_of="1s") == "bad-query"
    assert engine.search("", vector=engine.embed("keep this"), namespace="default").hits[0].memory.id == "first"


def test_a_time_that_is_none_is_no_window(engine: Engine) -> None:
    """A batch waits for a number of milliseconds, from none to an hour."""
    for window_ms in (-1, math.nan, math.inf, "5", None, True, 1e12):
        assert code_of(engine.query_batch, ["When?"], window_ms=window_ms) == "bad-limit"


def test_a_word_that_counts_as_true_erases_nothing(engine: Engine) -> None:
    """What cannot be taken back needs a true `True`: the text "no" is refused."""
    assert code_of(engine.forget, "first", erase="no") == "bad-argument"
    assert code_of(engine.sessions.end, "talk", remove="no") == "bad-argument"
    assert engine.search("keep this", namespace="default").hits[0].memory.id == "first"
    assert engine.sessions.get("talk").name == "talk"
