"""Queries that only find and route: what they say, what is kept of them, and when."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from aqe.engine import Engine, QueryConfig
from aqe.engine.answer import Answer
from aqe.engine.errors import UserError
from aqe.engine.routing import read_routes
from aqe.engine.sync import Engine as SyncEngine

pytestmark = pytest.mark.anyio
FOUND = QueryConfig(answer=False)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine without a model over a few memories."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'shop'\n", encoding="utf-8")
    async with await Engine.open(tmp_path, providers=()) as opened:
        await opened.remember("Refunds are rounded to the cent, halves away from zero.", id="refunds")
        await opened.remember("The header parser refuses tabs.", id="tabs")
        yield opened


async def test_query_without_an_answer_finds_and_routes(engine: Engine) -> None:
    """The text is empty, and what was found and where it would go are those of the query with an answer."""
    whole = await engine.query("How are refunds rounded?")
    found = await engine.query("How are refunds rounded?", config=FOUND)
    assert (found.text, found.answered, found.confidence, found.citations) == ("", False, None, ())
    assert found.context[0] == ("default", "refunds")
    assert set(whole.context) <= set(found.context)
    assert (found.tier, found.provider, found.route_reason) == (whole.tier, whole.provider, whole.route_reason)
    assert found.context_tokens > 0


async def test_what_is_found_on_the_spot_is_what_a_thread_finds(engine: Engine) -> None:
    """Once everything is at hand the event loop answers by itself, with the same memories."""
    asked = ["How are refunds rounded?", "Which parser refuses tabs?", "What is rounded?"]
    first = [await engine.query(text, config=FOUND) for text in asked]
    for _ in range(4):
        await engine.query("Something else?", config=FOUND)
    found = [engine._answering.at_hand(text, None, None, FOUND) for text in asked]
    assert [one.context for one in found if one is not None] == [one.context for one in first]


async def test_feedback_on_a_request_that_is_not_written_yet_is_kept(engine: Engine) -> None:
    """The id of an answer takes feedback at once, and the memories it named are marked."""
    found = await engine.query("How are refunds rounded?", config=FOUND)
    kept = await engine.feedback(found.request_id, rating=5)
    assert kept.marked > 0


async def test_request_is_logged_with_its_route(engine: Engine, tmp_path: Path) -> None:
    """A moment later the request and its decision are in the file, as of any other query."""
    found = await engine.query("How are refunds rounded?", task="unit_test", config=FOUND)
    row = await anyio.to_thread.run_sync(engine._requests.get, found.request_id)
    assert (row.prompt, row.answer, row.task) == ("How are refunds rounded?", "", "unit_test")
    assert row.context == found.context
    routes = read_routes(engine._store, request_id=found.request_id)
    assert [(route.tier, route.task, route.outcome) for route in routes] == [(found.tier, "unit_test", "ok")]


async def test_figures_count_what_is_not_written_yet(engine: Engine) -> None:
    """Whoever counts requests in this process counts all of them."""
    for _ in range(3):
        await engine.query("How are refunds rounded?", config=FOUND)
    assert (await engine.stats()).queries == 3


async def test_session_has_no_turn_of_a_query_without_an_answer(engine: Engine) -> None:
    """Nothing was said, so the conversation stays as it is."""
    await engine.query("How are refunds rounded?", session="talk")
    await engine.query("Which parser refuses tabs?", session="talk", config=FOUND)
    (talk,) = await engine.sessions.list()
    assert talk.turns == 2


async def test_stream_without_an_answer_gives_no_piece(engine: Engine) -> None:
    """A stream of it is empty and ends with the answer object."""
    async with engine.stream("How are refunds rounded?", config=FOUND) as stream:
        pieces = [piece async for piece in stream]
    assert pieces == []
    assert isinstance(stream.answer, Answer)
    assert stream.answer.context[0] == ("default", "refunds")


async def test_batch_without_answers_finds_for_each(engine: Engine) -> None:
    """Each question of a batch has its own findings, and one that is no question its own error."""
    items = await engine.query_batch(["How are refunds rounded?", "", "Which parser refuses tabs?"], config=FOUND)
    first, broken, last = items
    assert first.answer is not None
    assert last.answer is not None
    assert (first.answer.context[0][1], last.answer.context[0][1]) == ("refunds", "tabs")
    assert isinstance(broken.error, UserError)


async def test_check_of_no_answer_is_refused(engine: Engine) -> None:
    """A query that gives no text cannot be validated, and says so before it works."""
    with pytest.raises(UserError, match="nothing that could be validated") as refused:
        await engine.query("How are refunds rounded?", config=FOUND, validate=lambda _: True)
    assert refused.value.code == "bad-argument"


def test_blocking_engine_finds_the_same(tmp_path: Path) -> None:
    """The blocking engine's query without an answer finds, and closing it writes what waits."""
    with SyncEngine.open(tmp_path, providers=()) as engine:
        engine.remember("Refunds are rounded to the cent.", id="refunds")
        ids = [engine.query("How are refunds rounded?", config=FOUND).request_id for _ in range(6)]
    with SyncEngine.open(tmp_path, providers=()) as engine:
        assert [engine.feedback(id, rating=4).success for id in ids] == [0.75] * 6


KILLED = """
    import sys
    from aqe.engine import QueryConfig
    from aqe.engine.sync import Engine

    engine = Engine.open(sys.argv[1], providers=())
    engine.remember("Refunds are rounded to the cent.", id="refunds")
    answered = engine.query("How are refunds rounded?")
    found = engine.query("How are refunds rounded?", config=QueryConfig(answer=False))
    engine.feedback(found.request_id, rating=5)
    print(answered.request_id, found.request_id, flush=True)
    sys.stdin.read()
"""


@pytest.mark.services
def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    """After a kill -9 an answer's request is known, and so is one without a text that feedback was taken for."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ids = process.stdout.readline().split()
        process.kill()
    assert len(ids) == 2
    with SyncEngine.open(tmp_path, providers=()) as engine:
        for id in ids:
            assert engine.feedback(id, rating=5).marked > 0
