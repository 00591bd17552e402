"""What a question reads of its session, and what it leaves there."""

from __future__ import annotations

from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.sessions.conversations import Conversations

pytestmark = pytest.mark.anyio


def test_a_turn_gives_the_session_as_it_is_kept(store: Store, embedder: Any) -> None:
    """The session that adding turns gives is the one that is read afterwards."""
    conversations = Conversations(store, embedder)
    table = conversations.table
    table.create("talk", metadata={"ticket": 7})
    for role, text in (("context", "Refunds take a week."), ("user", "How long do refunds take?")):
        assert conversations.add("talk", role, text) == table.get("talk")


def test_opening_a_session_tells_what_a_follow_up_needs(store: Store, embedder: Any) -> None:
    """An opened session comes with all texts that it was given and its last turns, in order; a new one with none."""
    conversations = Conversations(store, embedder)
    assert conversations.table.opened("talk", last=3)[1] == []
    said = [("context", "Given first."), *[("user", f"Question {at}?") for at in range(6)], ("context", "Given last.")]
    for role, text in said:
        conversations.add("talk", role, text)
    session, turns = conversations.table.opened("talk", last=3)
    assert session == conversations.table.get("talk")
    assert [turn.text for turn in turns] == ["Given first.", "Question 4?", "Question 5?", "Given last."]
    assert [turn.text for turn in conversations.table.opened("talk")[1]] == ["Given first.", "Given last."]


async def test_what_another_process_said_counts_in_the_next_follow_up(opened: Any) -> None:
    """A follow-up leans on a turn, and is answered from a text, that another process put into the session meanwhile;
    once that ends the session it takes no more, and nothing of what was refused is kept."""
    async with opened() as one, opened() as other:
        await one.sessions.create("talk")
        await one.query("When does shipping cost nothing?", session="talk")
        await other.sessions.add_context("talk", "The launch window opens on the ninth of May.")
        await other.query("When does the launch window open?", session="talk")
        answer = await one.query("And when does it open?", session="talk")
        assert "ninth of May" in answer.text
        assert (await one.sessions.get("talk")).turns == 7
        await other.sessions.end("talk")
        with pytest.raises(UserError) as ended:
            await one.query("And when does it open?", session="talk")
        assert ended.value.code == "session-ended"
        assert len(await one.sessions.history("talk")) == 7
