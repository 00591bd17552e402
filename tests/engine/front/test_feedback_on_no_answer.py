"""What a word on "I do not know" comes to: it rests on nothing, so it moves no passage that it did not cite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aqe.engine.learning.prior import read_priors
from aqe.engine.memory import Store

pytestmark = pytest.mark.anyio
UNKNOWN = "Which hormone regulates sleep in zebras?"


def priors(project: Path, keys: Any) -> dict[Any, float]:
    """What feedback adds to the scores of these memories, where it adds anything."""
    with Store.open(project / ".aqe" / "aqe.db") as store:
        return dict(read_priors(store, keys))


@pytest.mark.parametrize("said", [{"rating": 5}, {"rating": 1}, {"task_success": False}, {"signal_type": "implicit"}])
async def test_word_on_no_answer_marks_nothing(opened: Any, project: Path, said: dict[str, Any]) -> None:
    """Whether it was right or not that nothing answers, what came nearest is neither raised nor lowered, and what was
    said is kept."""
    async with opened() as engine:
        await engine.index()
        answer = await engine.query(UNKNOWN)
        assert answer.context
        kept = await engine.feedback(answer.request_id, **{"task_success": True, **said})
        assert (kept.marked, sum((await engine.stats()).signals.values())) == (0, 1)
    assert priors(project, answer.context) == {}


async def test_check_of_no_answer_marks_nothing(opened: Any, project: Path) -> None:
    """A caller's check that takes "I do not know" for right raises nothing either."""
    async with opened() as engine:
        await engine.index()
        answer = await engine.query(UNKNOWN, validate=lambda answer: not answer.answered)
    assert answer.verdict is not None
    assert answer.verdict.passed
    assert priors(project, answer.context) == {}


async def test_passage_that_held_the_answer_after_all_is_raised(opened: Any, project: Path) -> None:
    """Named as `used`, a passage that was only nearest is raised, however bad it was that nothing answered."""
    async with opened() as engine:
        await engine.index()
        answer = await engine.query(UNKNOWN)
        held = answer.context[1]
        kept = await engine.feedback(answer.request_id, rating=1, metadata={"used": [held[1]]})
    assert (kept.success, kept.marked) == (0.0, 1)
    found = priors(project, answer.context)
    assert list(found) == [held]
    assert found[held] > 0


async def test_correction_of_no_answer_is_remembered_by_itself(opened: Any, project: Path) -> None:
    """A correction is remembered and raised; nothing that came nearest is said to have been mended by it."""
    async with opened() as engine:
        await engine.index()
        answer = await engine.query(UNKNOWN)
        kept = await engine.feedback(answer.request_id, correction="Melatonin, in zebras as in us.")
    assert kept.marked == 1
    assert list(priors(project, [*answer.context, ("corrections", kept.memory_id)])) == [
        ("corrections", kept.memory_id)
    ]
    with Store.open(project / ".aqe" / "aqe.db") as store, store.reading() as connection:
        assert not connection.execute("SELECT 1 FROM edges WHERE kind = 'fixed-by'").fetchall()


async def test_terse_correction_answers_its_question_from_then_on(opened: Any) -> None:
    """A correction of a word or two is the answer where its question is asked again, and to no other question."""
    async with opened() as engine:
        await engine.index()
        answer = await engine.query(UNKNOWN)
        await engine.feedback(answer.request_id, correction="Melatonin does.")
        again = await engine.query(UNKNOWN)
        other = await engine.query("Which enzyme digests starch in zebras?")
    assert again.answered
    assert again.citations[0].quote == "Melatonin does."
    assert not other.answered
