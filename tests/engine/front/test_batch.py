"""Many questions at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from aqe.engine.answer import QueryConfig, Verdict
from aqe.engine.batches import in_batches
from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.providers import Completion, CompletionRequest
from aqe.engine.providers.scripted import Scripted
from aqe.engine.requests import RequestTable

pytestmark = pytest.mark.anyio
QUESTIONS = ["When is shipping free?", "", "When does an express parcel arrive?", "x" * 1_000_001, "What is a refund?"]


async def test_answers_come_in_order_and_errors_stay_their_own(opened: Any, project: Any) -> None:
    """Each question has its answer, as if asked alone; a bad one has its error, and the rest is kept."""
    async with opened() as engine:
        await engine.index()
        items = await engine.query_batch(QUESTIONS)
        alone = await engine.query(QUESTIONS[0])
    assert [item.prompt for item in items] == QUESTIONS
    assert [None if item.error is None else item.error.code for item in items] == [
        *(None, "bad-text", None, "text-too-long", None)
    ]
    assert items[0].answer is not None
    assert items[0].answer.text == alone.text
    assert items[0].answer.confidence == pytest.approx(alone.confidence, abs=1e-4)
    with Store.open(project / ".aqe" / "aqe.db") as store:
        assert [row.prompt for row in RequestTable(store).list()] == [*QUESTIONS[:1], *QUESTIONS[4:], *QUESTIONS[2::-2]]


async def test_check_of_a_batch_judges_each_answer(opened: Any) -> None:
    """A check is run on each answer of a batch."""
    async with opened() as engine:
        await engine.index()
        items = await engine.query_batch(QUESTIONS[:3], validate=lambda answer: Verdict(answer.answered, "seen"))
    assert [item.answer and item.answer.verdict and item.answer.verdict.detail for item in items] == [
        "seen",
        None,
        "seen",
    ]


class Counting(Scripted):
    """A model that knows how many calls it had at once."""

    now = most = 0

    async def complete(self, request: CompletionRequest, model: str) -> Completion:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        self.now -= 1
        return await super().complete(request, model)


async def test_models_are_asked_at_once_but_not_more(opened: Any) -> None:
    """The questions of one group are with their model together, and never more than `parallel`."""
    model = Counting(["yes"])
    async with opened(providers=(model,)) as engine:
        items = await engine.query_batch(
            ["a b", "c d", "e f", "g h", "i j"], parallel=2, config=QueryConfig(force="local", strategy="quality")
        )
    assert [item.answer and item.answer.text for item in items] == ["yes"] * 5
    assert model.most == 2


@pytest.mark.parametrize("parallel", [0, 257, "4"])
async def test_size_of_a_group_has_bounds(opened: Any, parallel: Any) -> None:
    """A size that is none is refused."""
    async with opened() as engine:
        with pytest.raises(UserError) as refused:
            await engine.query_batch(["a"], parallel=parallel)
    assert refused.value.code == "bad-limit"


async def test_async_source_is_answered_as_it_comes(opened: Any) -> None:
    """Questions of an async source are answered in order, the last group too."""

    async def source() -> AsyncIterator[str]:
        for question in QUESTIONS[:3]:
            yield question

    async with opened() as engine:
        await engine.index()
        items = await engine.query_batch(source(), parallel=2)
    assert [item.prompt for item in items] == QUESTIONS[:3]


async def test_what_arrives_within_the_window_is_one_group() -> None:
    """A group closes when it is full, when its window is over, or with the end of the source."""
    groups: list[list[int]] = []
    waited = anyio.Event()

    async def handle(group: list[int]) -> None:
        groups.append(group)
        if 3 in group:
            waited.set()

    async def source() -> AsyncIterator[int]:
        for number in (1, 2, 3):
            yield number
        await waited.wait()  # the window of 3 is over: it did not wait for 4
        yield 4

    with anyio.fail_after(60):
        await in_batches(source(), handle, size=2, window_s=0.01)
    assert groups == [[1, 2], [3], [4]]
