"""Bad texts, ids and limits in calls of the engine: an error with its code, and nothing stored or lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine import Engine
from aqe.engine.answer import QueryConfig
from aqe.engine.errors import UserError

pytestmark = pytest.mark.anyio

BIG = "word " * 2_100_000
HALF = "caf\udce9"
Call = Callable[[Engine], Awaitable[Any]]

CALLS: dict[str, tuple[Call, str]] = {
    "query nothing": (lambda engine: engine.query(" \n"), "bad-text"),
    "query 10 MB": (lambda engine: engine.query(BIG), "text-too-long"),
    "query half a character": (lambda engine: engine.query(HALF), "bad-text"),
    "query NUL": (lambda engine: engine.query("a\0b"), "bad-text"),
    "query odd namespace": (lambda engine: engine.query("x", config=QueryConfig(namespace="a:b")), "bad-namespace"),
    "query by force": (lambda engine: engine.query("x", config=QueryConfig(force=cast("Any", "x"))), "bad-argument"),
    "query for less than nothing": (
        lambda engine: engine.query("x", config=QueryConfig(max_cost_usd=-1)),
        "bad-argument",
    ),
    "query too hot": (lambda engine: engine.query("x", config=QueryConfig(temperature=9)), "bad-argument"),
    "query for no word": (lambda engine: engine.query("x", config=QueryConfig(max_tokens=0)), "bad-argument"),
    "query in text time": (
        lambda engine: engine.query("x", config=QueryConfig(timeout_s=cast("Any", "5s"))),
        "bad-argument",
    ),
    "complete too hot": (lambda engine: engine.complete("x", temperature=-1), "bad-argument"),
    "complete of no share": (lambda engine: engine.complete("x", top_p=2), "bad-argument"),
    "search of a moment in seconds": (lambda engine: engine.search("x", as_of=1_790_000_000), "bad-moment"),
    "query for half a task": (lambda engine: engine.query("x", task="a\ud800"), "bad-argument"),
    "find for half a task": (
        lambda engine: engine.query("x", task="a\ud800", config=QueryConfig(answer=False)),
        "bad-argument",
    ),
    "query odd session": (lambda engine: engine.query("x", session="a/b"), "bad-session"),
    "complete nothing": (lambda engine: engine.complete(""), "bad-text"),
    "complete half a character": (lambda engine: engine.complete(HALF), "bad-text"),
    "search odd namespace": (lambda engine: engine.search("x", namespace="a b"), "bad-namespace"),
    "search 10 MB": (lambda engine: engine.search(BIG), "text-too-long"),
    "search half a character": (lambda engine: engine.search(HALF), "bad-text"),
    "search NUL": (lambda engine: engine.search("a\0b"), "bad-text"),
    "route 10 MB": (lambda engine: engine.route(BIG), "text-too-long"),
    "route NUL": (lambda engine: engine.route("a\0b"), "bad-text"),
    "search for none": (lambda engine: engine.search("x", k=0), "bad-limit"),
    "search of no moment": (lambda engine: engine.search("x", as_of="never"), "bad-moment"),
    "search of a moment before": (lambda engine: engine.search("x", as_of=-1), "bad-moment"),
    "search of the past for nothing": (lambda engine: engine.search(as_of="1m"), "bad-query"),
    "search of the past explained": (lambda engine: engine.search("x", as_of="1m", explain=True), "bad-argument"),
    "search unknown operator": (lambda engine: engine.search("x", filter={"a": {"near": 1}}), "bad-filter"),
    "remember nothing": (lambda engine: engine.remember(""), "bad-text"),
    "remember 10 MB": (lambda engine: engine.remember(BIG), "text-too-long"),
    "remember half a character": (lambda engine: engine.remember(HALF), "bad-text"),
    "remember in all below one": (lambda engine: engine.remember("x", namespace="a/"), "bad-namespace"),
    "remember odd namespace": (lambda engine: engine.remember("x", namespace="../x"), "bad-namespace"),
    "remember in the index": (lambda engine: engine.remember("x", namespace="index/docs"), "bad-namespace"),
    "query by a table": (lambda engine: engine.query("x", config=cast("Any", {"answer": False})), "bad-argument"),
    "remember odd id": (lambda engine: engine.remember("x", id=HALF), "bad-id"),
    "remember odd metadata": (lambda engine: engine.remember("x", metadata={"a": HALF}), "bad-metadata"),
    "forget unknown": (lambda engine: engine.forget("nil"), "unknown-id"),
    "forget odd id": (lambda engine: engine.forget(HALF), "bad-id"),
    "feedback unknown": (lambda engine: engine.feedback("nil", rating=3), "unknown-request"),
    "feedback odd id": (lambda engine: engine.feedback(HALF, rating=3), "unknown-request"),
    "feedback says nothing": (lambda engine: engine.feedback("nil"), "bad-feedback"),
    "route nothing": (lambda engine: engine.route(""), "bad-text"),
    "chat unknown session": (lambda engine: engine.sessions.chat("nil", "x"), "unknown-session"),
    "context NUL": (lambda engine: engine.sessions.add_context("talk", "a\0b"), "bad-text"),
    "import half a character": (
        lambda engine: engine.sessions.import_session({"messages": [{"role": "user", "content": HALF}]}),
        "bad-session",
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_mistake_is_an_error_with_its_code_and_stores_nothing(opened: Any, name: str) -> None:
    """The call raises `UserError` with the code, and the store counts what it counted."""
    call, code = CALLS[name]
    async with opened() as engine:
        await engine.sessions.create("talk")
        await engine.remember("keep this", id="first")
        before = await engine.stats()
        with pytest.raises(UserError) as raised:
            await call(engine)
        assert raised.value.code == code
        after = await engine.stats()
        assert (after.store.memories, after.queries, after.signals) == (
            before.store.memories,
            before.queries,
            before.signals,
        )
        assert [hit.memory.id for hit in (await engine.search("keep this")).hits] == ["first"]


async def test_bad_item_of_a_batch_is_its_own(opened: Any) -> None:
    """A question that cannot be asked is an item with its error; the others are answered."""
    async with opened() as engine:
        items = await engine.query_batch(["what is kept?", "", HALF, "and now?"])
        assert [item.error.code if item.error else "" for item in items] == ["", "bad-text", "bad-text", ""]


async def test_used_of_feedback_that_is_no_list_of_ids_is_refused(opened: Any) -> None:
    """`used` may hold only ids of the answer; anything else is one error."""
    async with opened() as engine:
        answer = await engine.query("what is kept?")
        for used in ("first", [["first"]], [5], ["nil"]):
            with pytest.raises(UserError) as raised:
                await engine.feedback(answer.request_id, rating=5, metadata={"used": used})
            assert raised.value.code == "bad-feedback"


class Short:
    """An embedder of eight dimensions: one for each remainder of the bytes' sum."""

    id = "st:short:1"
    dimension = 8

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.eye(8, dtype=np.float32)[[sum(text.encode()) % 8 for text in texts]].reshape(len(texts), 8)


async def test_embedder_of_another_dimension_finds_what_was_kept(opened: Any) -> None:
    """What one embedder kept is found with another of another dimension, and again with the first: nothing is lost."""
    async with opened() as engine:
        await engine.remember("the warehouse is in Utrecht", id="first")
    async with opened(embedder=Short()) as engine:
        assert [hit.memory.id for hit in (await engine.search("the warehouse is in Utrecht")).hits] == ["first"]
        assert (await engine.embed("x")).shape == (8,)
    async with opened() as engine:
        found = (await engine.search("the warehouse is in Utrecht")).hits[0]
        assert (found.memory.id, found.memory.dimension) == ("first", 64)
