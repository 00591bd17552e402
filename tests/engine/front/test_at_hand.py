"""Queries that are answered on the spot: they find what a thread finds, whatever changed before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from aqe.engine import Engine, QueryConfig
from aqe.engine.answer import Answer
from aqe.engine.memory import NewMemory, Provenance
from aqe.engine.memory.search.names import Names
from aqe.engine.memory.terms import postings
from aqe.engine.providers.scripted import Scripted
from aqe.engine.retrieval import keep

pytestmark = pytest.mark.anyio
FOUND = QueryConfig(answer=False)
ASKED = ["When does shipping cost nothing?", "What pays an order back within thirty days?", "parcels before noon"]


@pytest.fixture(autouse=True)
def _lists_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postings, "SEARCHES", 0)


async def ready(engine: Engine) -> None:
    """After a question or two that read what is to be at hand."""
    for _ in range(2):
        await engine.query("Something else?", config=FOUND)


def at_hand(engine: Engine, text: str, config: QueryConfig = FOUND) -> Answer:
    """What is answered on the spot."""
    found = engine._answering.at_hand(text, None, None, config)
    assert found is not None
    return found


def in_a_thread(engine: Engine, text: str, config: QueryConfig = FOUND) -> Answer:
    """What the way of all other queries finds, whose passages are made and weighed one by one."""
    return engine._asking.found_alone(engine._asking.prepare(text, session=None, task=None, config=config))


def told(answer: Answer) -> tuple[object, ...]:
    """What an answer without a text says, but for its id and its times."""
    return answer.context, answer.context_tokens, answer.usage, answer.route_reason, answer.tier


async def test_names_and_weights_are_those_of_the_passages(opened: Any) -> None:
    """Memories and indexed passages, these without their first line, weigh by the caller's own measure what they weigh
    as passages."""
    async with opened(count_tokens=len) as engine:
        await engine.index()
        await engine.remember("Refunds of an express parcel are paid back at noon.", id="noon")
        await ready(engine)
        for text in ASKED:
            found = at_hand(engine, text)
            assert told(found) == told(in_a_thread(engine, text))
            assert {name for name, _ in found.context} > {"default"}
            assert found.context_tokens > 50


async def test_a_change_is_seen_and_the_others_stay_known(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change by another process only the memory that changed is read anew, and it weighs what it is now."""
    async with opened(count_tokens=len) as engine:
        for at in range(12):
            await engine.remember(f"Parcel {at} arrives before noon.", id=f"p-{at}")
        await ready(engine)
        before = at_hand(engine, ASKED[2])
        assert before.context_tokens == sum(len(f"Parcel {at} arrives before noon.") for at in range(12))
        engine._store.update("p-3", text="Parcel 3 arrives a good while before noon.")
        engine._store.delete("p-5")
        await ready(engine)
        read: list[int] = []
        real = Names._look_up
        monkeypatch.setattr(Names, "_look_up", lambda *asked: read.extend(asked[2]) or real(*asked))
        after = at_hand(engine, ASKED[2])
        assert len(read) <= 1
        assert ("default", "p-5") not in after.context
        assert len(after.context) == 11
        assert after.context_tokens == before.context_tokens - len("Parcel 5 arrives before noon.") + 13


@pytest.mark.parametrize("policy", ["mark", "lower", "hide"])
async def test_a_file_that_changed_counts_as_the_settings_say(opened: Any, project: Path, policy: str) -> None:
    """A memory whose file changed since stays where it is, goes down, or is left out, also of what is found at once."""
    with (project / "pyproject.toml").open("a") as file:
        file.write(f'memory.stale = "{policy}"\n')
    file, about = project / "rates.md", "The rate of an express parcel is three."
    file.write_text("three")
    async with opened() as engine:
        notes = [NewMemory(about, id="rate", provenance=Provenance("rates.md", 1))]
        notes += [NewMemory(f"What an express parcel {at} is and the rate of it.", id=f"p-{at}") for at in range(3)]
        notes.append(NewMemory("Nothing of the kind.", id="other"))
        await anyio.to_thread.run_sync(lambda: keep(engine._store, engine._embedder, notes))
        await ready(engine)
        asked = "What is the rate of an express parcel?"
        assert at_hand(engine, asked).context[0] == ("default", "rate")
        file.write_text("four and more")
        found = await engine.query(asked, config=FOUND)
        ids = [id for _, id in found.context]
        assert told(found) == told(in_a_thread(engine, asked))
        assert ("rate" in ids) == (policy != "hide")
        assert (ids[0] == "rate") == (policy == "mark")


async def test_a_question_for_a_model_names_what_it_would_be_shown(opened: Any) -> None:
    """Where a model would answer, the passages that it would be shown are named, found on the spot or in a thread."""
    async with opened(providers=(Scripted(["Never asked."]),)) as engine:
        await engine.remember("An express parcel arrives before noon.", id="noon")
        await ready(engine)
        config = QueryConfig(answer=False, force="local")
        found = at_hand(engine, ASKED[2], config)
        assert found.tier == "local"
        assert told(found) == told(in_a_thread(engine, ASKED[2], config))
        assert ("default", "noon") in found.context


async def test_what_fts5_finds_is_named_alike(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the words are looked up in the file a thread finds and names what is found on the spot later."""
    async with opened() as engine:
        await engine.index()
        monkeypatch.setattr(postings, "SEARCHES", 10**9)
        for text in ASKED:
            assert engine._answering.at_hand(text, None, None, FOUND) is None
        first = [told(await engine.query(text, config=FOUND)) for text in ASKED]
        monkeypatch.setattr(postings, "SEARCHES", 0)
        await ready(engine)
        engine._store._searcher.found.clear()
        assert [told(at_hand(engine, text)) for text in ASKED] == first


async def test_feedback_with_a_say_leaves_it_to_a_thread(opened: Any, project: Path) -> None:
    """Once enough answers were marked what they rested on has a say, which is not found on the spot."""
    with (project / "pyproject.toml").open("a") as file:
        file.write("learning.min_marks = 1\n")
    async with opened() as engine:
        await engine.remember("An express parcel arrives before noon.", id="noon")
        await ready(engine)
        found = at_hand(engine, ASKED[2])
        await engine.feedback(found.request_id, rating=1)
        await ready(engine)
        assert engine._answering.at_hand(ASKED[2], None, None, FOUND) is None
        assert (await engine.query(ASKED[2], config=FOUND)).context == found.context
