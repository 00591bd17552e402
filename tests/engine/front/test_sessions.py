"""Conversations that are kept."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.answer import QueryConfig
from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.providers.protocol import Message
from aqe.engine.providers.scripted import Scripted
from aqe.engine.sessions import SessionLimits, SessionTable
from aqe.engine.sessions.conversations import Conversations
from aqe.engine.sessions.followup import leans_on_what_was_said
from aqe.engine.sessions.summary import sentences, summarise

pytestmark = pytest.mark.anyio
DAY_US = 86_400_000_000
START_US = 1_700_000_000_000_000


class Clock:
    """A clock that a test sets forward."""

    now = START_US

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def refused(call: Any) -> str:
    """The code of the error that awaiting `call` raises."""
    with pytest.raises(UserError) as error:
        await call
    return error.value.code


async def test_session_is_kept_over_engines(opened: Any) -> None:
    """What was said is there when the engine is opened again, with its metadata, in order."""
    async with opened() as engine:
        await engine.index()
        await engine.sessions.create("talk", metadata={"ticket": 7})
        answer = await engine.sessions.chat("talk", "When is shipping free?")
    async with opened() as engine:
        session = await engine.sessions.get("talk")
        turns = await engine.sessions.history("talk")
    assert (session.state, session.turns, session.metadata) == ("open", 2, {"ticket": 7})
    assert [(turn.role, turn.text) for turn in turns] == [
        ("user", "When is shipping free?"),
        ("assistant", answer.text),
    ]
    assert turns[1].request_id == answer.request_id
    assert session.tokens == sum(turn.tokens for turn in turns)
    assert turns[0].tokens == 6  # 22 bytes / 4


async def test_query_makes_a_session_of_a_new_name(opened: Any) -> None:
    """A query may begin a session by naming it, and answer with its name; chat wants one that is there."""
    async with opened() as engine:
        answer = await engine.query("When is shipping free?", session="new")
        assert answer.session == "new"
        assert [session.name for session in await engine.sessions.list()] == ["new"]
        assert await refused(engine.sessions.chat("newer", "x")) == "unknown-session"
        with pytest.raises(UserError, match="no session 'newer'") as unknown:
            await engine.sessions.get("newer")
        assert unknown.value.fix.startswith("Did you mean 'new'?")
        assert await refused(engine.sessions.create("new")) == "session-exists"
        assert (await engine.sessions.create()).name.startswith("session-")


async def test_ended_session_is_read_and_resumed(opened: Any) -> None:
    """An ended session takes no question until it is resumed; it leaves the list but not the store."""
    async with opened() as engine:
        await engine.query("When is shipping free?", session="talk")
        assert (await engine.sessions.end("talk")).state == "ended"
        assert list(await engine.sessions.list()) == []
        assert [one.state for one in await engine.sessions.list(every=True)] == ["ended"]
        assert await refused(engine.query("x y", session="talk")) == "session-ended"
        assert await refused(engine.sessions.add_context("talk", "x")) == "session-ended"
        assert len(await engine.sessions.history("talk")) == 2
        assert (await engine.sessions.resume("talk")).state == "open"
        assert (await engine.query("x y", session="talk")).session == "talk"
        await engine.sessions.end("talk", remove=True)
        assert await refused(engine.sessions.history("talk")) == "unknown-session"


async def test_unused_session_expires_and_goes(opened: Any, clock: Clock) -> None:
    """A session ends by itself after its time, can be resumed for as long again, and then is gone."""
    async with opened(now=clock) as engine:
        await engine.sessions.create("talk")
        clock.now += 31 * DAY_US
        assert (await engine.sessions.get("talk")).state == "expired"
        assert await refused(engine.query("x", session="talk")) == "session-ended"
        assert (await engine.sessions.resume("talk")).state == "open"
        clock.now += 59 * DAY_US
    async with opened(now=clock) as engine:
        assert (await engine.sessions.get("talk")).state == "expired"
        clock.now += 2 * DAY_US
    async with opened(now=clock) as engine:
        assert await refused(engine.sessions.get("talk")) == "unknown-session"


@pytest.mark.parametrize("name", ["", " a", "a/b", "a\nb", "x" * 101, "\ud800", 7])
async def test_odd_names_are_refused(opened: Any, name: Any) -> None:
    """A name that cannot be shown, typed or stored is an error that says what a name is."""
    async with opened() as engine:
        assert await refused(engine.sessions.create(name)) == "bad-session"
        assert await refused(engine.sessions.resume(name)) == "bad-session"


async def test_metadata_is_joined(opened: Any) -> None:
    """Metadata is joined key by key, and a key that is None goes."""
    async with opened() as engine:
        await engine.sessions.create("talk", metadata={"a": 1, "b": 2})
        assert (await engine.sessions.set_metadata("talk", {"b": None, "c": [3]})).metadata == {"a": 1, "c": [3]}
        assert await refused(engine.sessions.set_metadata("talk", {"d": {1}})) == "bad-metadata"


async def test_full_session_takes_no_more(store: Store, embedder: Any) -> None:
    """A session that would pass its size refuses the turn and stays as it was."""
    conversations = Conversations(store, embedder, limits=SessionLimits(size_kb=1))
    conversations.table.create("talk")
    conversations.add("talk", "context", "x" * 1000)
    with pytest.raises(UserError) as full:
        conversations.add("talk", "context", "x" * 25)
    assert full.value.code == "session-full"
    assert conversations.table.get("talk").bytes == 1000


async def test_given_context_answers(opened: Any) -> None:
    """A text that the session was given answers in that session alone, and is no turn of the talk."""
    async with opened() as engine:
        await engine.sessions.create("talk")
        await engine.sessions.add_context("talk", "The launch window opens on the ninth of May.")
        answer = await engine.query("When does the launch window open?", session="talk")
        assert "ninth of May" in answer.text
        assert answer.context == ()
        assert "ninth" not in (await engine.query("When does the launch window open?")).text
        roles = [message.role for message in await engine.sessions.messages("talk")]
        assert roles == ["system", "user", "assistant"]


class TestFollowUp:
    """Questions after the first one."""

    async def test_follow_up_uses_what_the_session_found(self, opened: Any) -> None:
        """A second question about the same things is served from the session, with the answer that the store gives."""
        async with opened() as engine:
            await engine.index()
            first = await engine.query("When is shipping free?", session="talk")
            second = await engine.query("Is shipping free above 50 euros?", session="talk")
            alone = await engine.query("Is shipping free above 50 euros?")
            stats = await engine.stats()
        assert (first.reused, second.reused, alone.reused) == (False, True, False)
        assert second.citations[0] == alone.citations[0]
        assert (stats.reused, stats.cache.retrieval_hits, stats.cache.retrievals) == (1, 1, 3)

    async def test_new_topic_goes_to_the_store(self, opened: Any, project: Path) -> None:
        """A question whose telling word the session's passages lack is looked up anew."""
        for number in range(120):
            (project / f"module_{number}.py").write_text(
                f'def step_{number}():\n    """Stage {number} of shipping parcels free."""\n    return {number}\n'
            )
        (project / "docs" / "payroll.md").write_text("# Payroll\n\nSalaries are paid on the third Thursday.\n")
        async with opened() as engine:
            await engine.index()
            await engine.query("When is shipping free?", session="talk", config=QueryConfig(k=3))
            answer = await engine.query("When are salaries paid?", session="talk", config=QueryConfig(k=3))
        assert not answer.reused
        assert "third Thursday" in answer.text

    async def test_changed_memory_is_looked_up_anew(self, opened: Any) -> None:
        """After a memory was added, changed or forgotten the session's passages are not trusted."""
        async with opened() as engine:
            await engine.index()
            question = "Is shipping free above 50 euros?"
            await engine.query(question, session="talk")
            assert (await engine.query(question, session="talk")).reused
            kept = await engine.remember("Shipping is free above 20 euros since May.")
            assert not (await engine.query(question, session="talk")).reused
            assert (await engine.query(question, session="talk")).reused
            await engine.forget(kept.id)
            answer = await engine.query(question, session="talk")
        assert not answer.reused
        assert "20 euros" not in answer.text

    async def test_changed_file_is_what_a_follow_up_says(self, opened: Any, project: Path) -> None:
        """Once a changed file is indexed a follow-up is not answered with what it said before."""
        page = project / "docs" / "parcels.md"
        page.write_text("# Parcels\n\nA parcel weighs 31 kilograms at most.\n")
        question = "What does a parcel weigh at most?"
        async with opened() as engine:
            await engine.index()
            await engine.query(question, session="talk")
            served = await engine.query(question, session="talk")
            page.write_text("# Parcels\n\nA parcel weighs 25 kilograms at most.\n")
            await engine.index()
            after = await engine.query(question, session="talk")
        assert (served.reused, after.reused) == (True, False)
        assert "31 kilograms" in served.text
        assert "25 kilograms" in after.text
        assert "31 kilograms" not in after.text

    async def test_talk_goes_on_alike_in_another_process_of_aqe(self, opened: Any) -> None:
        """What a session has at hand is this engine's: an engine that opens the project anew gives the same answer."""
        async with opened() as engine:
            await engine.index()
            await engine.query("When is shipping free?", session="talk")
            here = await engine.query("Is shipping free above 50 euros?", session="talk")
        async with opened() as engine:
            anew = await engine.query("Is shipping free above 50 euros?", session="talk")
        assert (here.reused, anew.reused) == (True, False)
        assert (here.text, here.citations[0]) == (anew.text, anew.citations[0])

    async def test_question_that_leans_on_the_last_is_read_with_it(self, opened: Any) -> None:
        """A follow-up of pronouns finds what its session speaks of; alone it finds nothing."""
        async with opened() as engine:
            await engine.index()
            await engine.query("When does an express parcel arrive?", session="talk")
            assert "before noon" in (await engine.query("And when does it?", session="talk")).text
            assert not (await engine.query("And when does it?")).answered

    async def test_later_follow_up_leans_on_the_topic(self, opened: Any) -> None:
        """A follow-up after another one is read with the last question that says itself what it is about."""
        async with opened() as engine:
            await engine.index()
            for question in ("When does an express parcel arrive?", "Is it insured?", "Why not?"):
                await engine.query(question, session="talk")
            assert "before noon" in (await engine.query("And when does it?", session="talk")).text

    @pytest.mark.parametrize(
        ("question", "leans"),
        [
            ("What about refunds?", True),
            ("Does it raise?", True),
            ("Why?", True),
            ("How does the cart store its items and where are the totals of them rounded?", False),
            ("Where are refunds computed?", False),
        ],
    )
    async def test_leaning_questions_are_short_and_refer(self, question: str, leans: bool) -> None:
        """Pronouns and openings in the middle tell a question that leans; a long one says itself what it is about."""
        assert leans_on_what_was_said(question) is leans


class TestBudget:
    """Long conversations."""

    async def test_oldest_turns_are_summarised_and_kept(self, store: Store, embedder: Any) -> None:
        """Beyond the budget the oldest turns become their most central sentences, marked as a summary; the history
        keeps every turn as it was."""
        talk = [
            "Shipping is late. Late shipping makes customers call. The kettle is blue.",
            "Customers call about late shipping every day. Lunch was fine.",
            "The shipping service answers calls about late parcels.",
            "Which calls?",
        ]
        conversations = Conversations(store, embedder)
        conversations.table.create("talk", token_budget=64)
        for text in [*talk, "x " * 50]:
            session = conversations.add("talk", "user", text)
        messages = conversations.messages("talk")
        history = conversations.table.turns("talk")
        assert [turn.text for turn in history] == [*talk, "x " * 50]
        assert session.summarised >= 3
        assert session.summary_method == "lexrank"
        said = {sentence for text in talk for sentence in sentences(text)}
        assert set(session.summary.splitlines()) <= said
        assert "kettle" not in session.summary
        assert messages[0].role == "system"
        assert messages[0].content.startswith(f"Summary of the {session.summarised} turns before (made by lexrank)")
        assert messages[-1].content == "x " * 50

    async def test_given_text_outlives_the_talk(self, store: Store, embedder: Any) -> None:
        """A text that the session was given is shown whole however long the talk grows, and the budget holds."""
        given = "The launch window opens on the ninth of May. No parcel leaves before."
        conversations = Conversations(store, embedder)
        conversations.table.create("talk", token_budget=200)
        conversations.add("talk", "user", "Hello.")
        conversations.add("talk", "context", given)
        for number in range(60):
            session = conversations.add("talk", ("user", "assistant")[number % 2], f"Turn {number} says little. Yes.")
            shown = conversations.messages("talk")
            assert sum(one.content.count(given) for one in shown) == 1
            assert sum(-(-len(one.content) // 4) for one in shown) <= 200
        assert session.summarised > 40
        assert shown[0] == Message("system", f"Context given by the user:\n{given}")
        assert [one.role for one in shown].count("system") == 2
        assert shown[1].content.startswith(f"Summary of the {session.summarised} turns before")
        assert given.split(".")[0] not in shown[1].content

    async def test_given_text_beyond_its_share_stays_in_the_summary(self, store: Store, embedder: Any) -> None:
        """Of a given text that is too long to be shown whole a sentence stays in the summary, whatever is said."""
        given = " ".join(f"Zebras graze in field {number} at dawn." for number in range(12))
        conversations = Conversations(store, embedder)
        conversations.table.create("talk", token_budget=128)
        conversations.add("talk", "context", "Refunds round half up.")
        conversations.add("talk", "context", given)
        for number in range(60):
            session = conversations.add("talk", "user", f"Shipping of parcel {number} is late, late shipping.")
        assert session.summarised > 40
        assert any(sentence in session.summary for sentence in sentences(given))
        assert "Shipping of parcel" in session.summary
        assert conversations.messages("talk")[0].content.endswith("Refunds round half up.")

    async def test_given_text_is_in_the_summary_of_very_much(self, embedder: Any) -> None:
        """A given text keeps its sentence where more is summarised than can be looked at."""
        much = "\n".join(f"Line {number} of the log." for number in range(500))
        given = ["Totals round up.", "Tea is late."]
        kept = summarise(
            [*given, much], token_budget=60, embed=embedder.embed, count_tokens=lambda text: len(text) // 4, given=given
        )
        assert kept[:2] == ("Totals round up.", "Tea is late.")
        assert len(kept) > 2

    async def test_long_last_turn_comes_before_given_texts(self, store: Store, embedder: Any) -> None:
        """Where the last turn leaves no room for a given text, that is left out of this one view, and comes back."""
        conversations = Conversations(store, embedder)
        conversations.table.create("talk", token_budget=64)
        conversations.add("talk", "context", "Refunds round half up.")
        conversations.add("talk", "user", "y " * 120)
        assert [one.content for one in conversations.messages("talk")] == ["y " * 120]
        conversations.add("talk", "user", "How?")
        assert conversations.messages("talk")[0].content.endswith("Refunds round half up.")

    async def test_model_is_shown_the_session_within_its_budget(self, opened: Any) -> None:
        """A model sees the turns before the question, in OpenAI's roles, never more than the budget of them."""
        model = Scripted(["yes " * 30])
        async with opened(providers=(model,)) as engine:
            await engine.sessions.create("talk", token_budget=64)
            for number in range(9):
                await engine.query(
                    f"Write test {number}", session="talk", config=QueryConfig(force="local", strategy="quality")
                )
                shown = await engine.sessions.messages("talk")
                assert sum(-(-len(one.content) // 4) for one in shown) <= 64
        roles = [message.role for message in model.asked[1][0].messages]
        assert roles[-3:] == ["user", "assistant", "user"]
        assert any("Summary of" in one.content for request, _ in model.asked for one in request.messages)
        for request, _ in model.asked:
            talk = [one for one in request.messages[:-1] if not one.content.startswith("Answer the question")]
            assert sum(-(-len(one.content) // 4) for one in talk) <= 64

    async def test_summary_gives_way_to_a_long_last_turn(self, store: Store, embedder: Any) -> None:
        """The last turn is shown whole; where it leaves no room for the summary, that is left out, and no more."""
        conversations = Conversations(store, embedder)
        conversations.table.create("talk", token_budget=64)
        for text in ("Shipping is late. " * 9, "Late shipping makes customers call.", "y " * 120):
            conversations.add("talk", "user", text)
        assert [one.content for one in conversations.messages("talk")] == ["y " * 120]
        conversations.add("talk", "user", "Lunch was fine.")
        shown = conversations.messages("talk")
        assert shown[0].content.startswith("Summary of the 3 turns before")
        assert shown[-1].content == "Lunch was fine."

    async def test_tokens_are_counted_as_the_caller_counts(self, opened: Any) -> None:
        """A tokenizer of the caller's weighs the turns."""
        async with opened(count_tokens=lambda text: len(text.split())) as engine:
            await engine.sessions.create("talk")
            assert (await engine.sessions.add_context("talk", "three plain words")).tokens == 3

    @pytest.mark.parametrize("budget", [0, 63, 1.5, True])
    async def test_budget_has_bounds(self, opened: Any, budget: Any) -> None:
        """A token budget that is none is refused."""
        async with opened() as engine:
            assert await refused(engine.sessions.create("talk", token_budget=budget)) == "bad-session"

    async def test_summary_of_nothing_is_nothing(self, embedder: Any) -> None:
        """Texts without a sentence have no summary; where none fits the shortest is cut."""
        assert summarise(["  \n"], token_budget=50, embed=embedder.embed, count_tokens=len) == ()
        cut = summarise(["A very long sentence indeed."], token_budget=10, embed=embedder.embed, count_tokens=len)
        assert cut == ("A very lon...",)


async def test_search_finds_turns_by_words_and_meaning(opened: Any) -> None:
    """A search over all sessions, ended ones too, gives the turn that speaks of it first, with its session."""
    async with opened() as engine:
        for name, text in (("a", "The parser splits headers."), ("b", "Bananas are yellow."), ("c", "Tea or coffee?")):
            await engine.sessions.create(name)
            await engine.sessions.add_context(name, text)
        await engine.sessions.end("a")
        hits = await engine.sessions.search("splitting of headers", k=2)
        assert (hits[0].session, hits[0].turn.text) == ("a", "The parser splits headers.")
        assert len(hits) <= 2
        assert await engine.sessions.search("splitting of headers", k=2) == hits
        assert await refused(engine.sessions.search(" ")) == "bad-query"
        assert await refused(engine.sessions.search("x", k=0)) == "bad-limit"


class TestTransfer:
    """Sessions that travel."""

    async def test_export_and_import_give_the_same_session(self, opened: Any, tmp_path: Path) -> None:
        """What is exported, as JSON text too, is the same session elsewhere, turn by turn, under another name too."""
        async with opened() as engine:
            await engine.sessions.create("talk", metadata={"n": 1}, token_budget=99)
            await engine.sessions.add_context("talk", "Totals round half up.")
            await engine.query("How do totals round?", session="talk")
            document = await engine.sessions.export("talk")
            before = await engine.sessions.history("talk")
            made = await engine.sessions.import_session(json.dumps(document), name="copy")
            assert list(await engine.sessions.history("copy")) == list(before)
            assert (made.metadata, made.token_budget, made.turns) == ({"n": 1}, 99, 3)
            assert (await engine.sessions.export("copy"))["messages"] == document["messages"]
            assert await refused(engine.sessions.import_session(document)) == "session-exists"

    async def test_imported_session_shows_a_model_the_same(self, opened: Any, store: Store, embedder: Any) -> None:
        """A long session that was summarised many times is, imported elsewhere, what a model was shown before: summary,
        given texts and turns; and it goes on from there."""
        conversations = Conversations(store, embedder)
        conversations.table.create("talk", metadata={"n": [1, {"x": None}]}, token_budget=150)
        conversations.add("talk", "context", "The launch window opens on the ninth of May.")
        for number in range(40):
            conversations.add(
                "talk", ("user", "assistant")[number % 2], f"Turn {number}. It is of parcel {number % 7}."
            )
        before = conversations.table.get("talk")
        async with opened() as engine:
            made = await engine.sessions.import_session(json.dumps(conversations.export("talk")))
            assert await engine.sessions.messages("talk") == conversations.messages("talk")
            assert await engine.sessions.export("talk") == conversations.export("talk")
            for text in ("And then?", "Parcel 3 came."):
                conversations.add("talk", "context", text)
                await engine.sessions.add_context("talk", text)
            assert await engine.sessions.messages("talk") == conversations.messages("talk")
        same = ("turns", "tokens", "bytes", "token_budget", "created_at", "metadata", "summary", "summarised")
        assert [getattr(made, name) for name in same] == [getattr(before, name) for name in same]
        assert (made.summary_method, made.state) == ("lexrank", "open")
        assert made.summarised > 20

    async def test_bare_openai_messages_are_imported(self, opened: Any) -> None:
        """A list of messages as OpenAI writes them is a session, parts and all."""
        parts = [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there."}]
        document = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "Hi."}]}
        async with opened() as engine:
            made = await engine.sessions.import_session(document, name="talk")
            assert [turn.text for turn in await engine.sessions.history("talk")] == ["Hello there.", "Hi."]
        assert made.turns == 2

    @pytest.mark.parametrize(
        "document",
        [
            "{",
            "[]",
            {},
            {"messages": "x"},
            {"format": "aqe.session/2", "messages": []},
            {"name": 7, "messages": []},
            {"messages": [{"role": "user", "content": "x"}, {"role": "robot", "content": "x"}]},
            {"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": ""}]},
            {"messages": [{"role": "user", "content": "x"}, {"role": "user"}]},
            {"messages": [{"role": "user", "content": "x", "created_at": "yesterday"}]},
            {"messages": [{"role": "user", "content": "x"}], "token_budget": 1},
            {"messages": ["x"]},
            *(
                {"messages": [{"role": "user", "content": "x"}], "summary": summary}
                for summary in (
                    "x",
                    {"text": "x", "turns": 2, "method": "lexrank"},
                    {"text": "x", "turns": True, "method": "lexrank"},
                    {"text": "x", "turns": -1, "method": "lexrank"},
                    {"text": "\x00", "turns": 1, "method": "lexrank"},
                    {"text": 7, "turns": 1, "method": "lexrank"},
                    {"text": "x", "turns": 1, "method": "a\nb"},
                    {"text": "x", "turns": 1},
                )
            ),
        ],
    )
    async def test_nothing_is_half_imported(self, opened: Any, document: Any) -> None:
        """A document that is wrong anywhere is refused by a sentence, and no session is made of it."""
        async with opened() as engine:
            assert await refused(engine.sessions.import_session(document)) == "bad-session"
            assert list(await engine.sessions.list(every=True)) == []


def test_two_processes_append_in_order(store: Store, embedder: Any, tmp_path: Path) -> None:
    """Two connections to one file append to one session without losing or overwriting a turn."""
    ticks = itertools.count(START_US)
    with Store.open(store.path, now=lambda: next(ticks)) as other:
        SessionTable(store).create("talk")
        one, two = Conversations(store, embedder), Conversations(other, embedder)
        for number in range(5):
            one.add("talk", "user", f"one {number}")
            two.add("talk", "assistant", f"two {number}")
        turns = one.table.turns("talk")
    assert [turn.position for turn in turns] == list(range(10))
    assert [turn.text for turn in turns] == [f"{who} {number}" for number in range(5) for who in ("one", "two")]
