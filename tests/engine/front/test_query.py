"""Questions put to an open engine over a real project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from aqe.engine.answer import Answer, QueryConfig, Verdict
from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.providers import CompletionRequest, ProviderFailure
from aqe.engine.providers.scripted import Scripted
from aqe.engine.requests import Interaction, RequestTable

pytestmark = pytest.mark.anyio


def kept(project: Path) -> list[Interaction]:
    """The requests in the project's store, newest first."""
    with Store.open(project / ".aqe" / "aqe.db") as store:
        return RequestTable(store).list()


def shown(request: CompletionRequest) -> str:
    """All that a model was told."""
    return "\n".join(message.content for message in request.messages)


async def test_question_is_answered_with_file_and_line(opened: Any) -> None:
    """An indexed project answers with a quote, where it stands, and what it rests on; nothing was asked of a model."""
    async with opened() as engine:
        await engine.index()
        answer = await engine.query("When is shipping free?")
    assert answer.answered
    assert "above 50 euros" in answer.text
    assert (answer.citations[0].file, answer.citations[0].line) == ("docs/shipping.md", 7)
    assert (answer.provider, answer.tier, answer.cost_usd) == ("extractive", "extractive", 0.0)
    assert 0.5 <= (answer.confidence or 0) <= 1
    assert answer.context[0][1] == answer.citations[0].id
    assert answer.context_tokens > 0
    assert answer.route_reason
    assert answer.timings.total >= answer.timings.retrieve > 0


async def test_question_without_evidence_is_not_answered(opened: Any) -> None:
    """Where nothing in the project speaks of it, the answer is that nothing is known, without a citation."""
    async with opened() as engine:
        await engine.index()
        answer = await engine.query("Which hormone regulates sleep in zebras?")
    assert not answer.answered
    assert answer.text.startswith("I do not know.")
    assert answer.citations == ()


async def test_empty_project_says_that_it_does_not_know(opened: Any) -> None:
    """A project of which nothing is known yet answers too."""
    async with opened() as engine:
        answer = await engine.query("When is shipping free?")
    assert (answer.answered, answer.context, answer.confidence) == (False, (), 0.0)


async def test_what_is_remembered_answers(opened: Any) -> None:
    """A memory answers as the index does, until it is forgotten."""
    async with opened() as engine:
        memory = await engine.remember("The release manager is Ada Lovelace.", metadata={"n": 1})
        answer = await engine.query("Who is the release manager?")
        assert "Ada Lovelace" in answer.text
        assert answer.context[0] == ("default", memory.id)
        assert [hit.memory.id for hit in (await engine.search("release manager")).hits] == [memory.id]
        await engine.forget(memory.id)
        assert not (await engine.query("Who is the release manager?")).answered


async def test_answer_is_kept_under_its_request_id(opened: Any, project: Path) -> None:
    """Each answer has a row with its prompt, text, provider and memories, by which feedback finds it."""
    async with opened() as engine:
        await engine.index()
        answer = await engine.query("When is shipping free?", task="question")
        said = await engine.feedback(answer.request_id, rating=5)
    (row,) = kept(project)
    assert (row.id, row.kind, row.prompt, row.answer) == (
        answer.request_id,
        "query",
        "When is shipping free?",
        answer.text,
    )
    assert (row.task, row.provider, row.context) == ("question", "extractive", answer.context)
    assert said.marked == len(answer.context)


async def test_feedback_on_an_unknown_request_is_an_error(opened: Any) -> None:
    """A request id that no answer has is refused."""
    async with opened() as engine:
        with pytest.raises(UserError, match="no request") as refused:
            await engine.feedback("nothing", rating=5)
    assert refused.value.code == "unknown-request"


async def test_secrets_are_taken_out_of_what_is_kept(opened: Any, project: Path) -> None:
    """With memory.redact the rows of requests and the turns of sessions hold no secret; the answer itself may."""
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    with (project / "pyproject.toml").open("a") as file:
        file.write("[tool.aqe.memory]\nredact = true\n")
    async with opened() as engine:
        await engine.query(f"What is {secret} for?", session="talk")
        turns = await engine.sessions.history("talk")
    assert all(secret not in text for text in (kept(project)[0].prompt, *(turn.text for turn in turns)))
    assert kept(project)[0].prompt.startswith("What is ")


def test_oldest_requests_go_beyond_the_limit(store: Store) -> None:
    """The table keeps as many answers as it may, the newest."""
    table = RequestTable(store, kept=3)
    for number in range(5):
        with store.writing() as connection:
            table.insert(connection, [Interaction(f"r{number}", "query", "p", "a")])
    assert [row.id for row in table.list()] == ["r4", "r3", "r2"]
    with pytest.raises(UserError, match="r0"):
        table.get("r0")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad-text"),
        ("a\0b", "bad-text"),
        ("\ud800", "bad-text"),
        ("x" * 1_000_001, "text-too-long"),
        (7, "bad-text"),
    ],
)
async def test_prompt_that_is_no_text_is_refused(opened: Any, project: Path, text: Any, code: str) -> None:
    """A bad prompt is one sentence with a code, and nothing is stored of it."""
    async with opened() as engine:
        for ask in (engine.query, engine.complete):
            with pytest.raises(UserError) as refused:
                await ask(text)
            assert refused.value.code == code
    assert kept(project) == []


class TestValidate:
    """The caller's own check of an answer."""

    @pytest.mark.parametrize(("says", "success"), [(True, 1.0), (False, 0.0), (Verdict(False, "2 of 3 fail"), 0.0)])
    async def test_verdict_is_filed_as_feedback(self, opened: Any, project: Path, says: Any, success: float) -> None:
        """What the check says stands in the answer, in its row and as feedback."""
        async with opened() as engine:
            await engine.index()
            answer = await engine.query("When is shipping free?", validate=lambda answer: says)
            stats = await engine.stats()
        assert answer.verdict is not None
        assert answer.verdict.passed == bool(success)
        assert kept(project)[0].verdict is bool(success)
        assert stats.signals == {"positive" if success else "negative": 1}

    async def test_failed_assertion_is_a_no_that_says_why(self, opened: Any) -> None:
        """A check may assert; an async one is awaited."""

        async def check(answer: Answer) -> bool:
            if "gravity" not in answer.text:
                raise AssertionError("no word of gravity")
            return True

        async with opened() as engine:
            answer = await engine.query("When is shipping free?", validate=check)
        assert answer.verdict == Verdict(False, "no word of gravity")

    @pytest.mark.parametrize(
        "said", [None, "no", (False, "too short"), {"passed": False}, b"no", 0.2, Verdict(cast("bool", "no"))], ids=repr
    )
    async def test_a_check_that_says_nothing_is_refused(self, opened: Any, project: Path, said: Any) -> None:
        """A check without `return`, or one that gives words, is neither a yes nor a no, and is filed as neither."""
        async with opened() as engine:
            with pytest.raises(UserError, match="neither yes nor no") as refused:
                await engine.query("When is shipping free?", validate=lambda answer: said)
            stats = await engine.stats()
        assert (refused.value.code, stats.signals, kept(project)) == ("bad-argument", {}, [])

    async def test_fault_of_the_check_goes_through(self, opened: Any, project: Path) -> None:
        """An exception that is no assertion is the caller's own, and nothing is stored."""
        async with opened() as engine:
            with pytest.raises(ZeroDivisionError):
                await engine.query("When is shipping free?", validate=lambda answer: bool(1 / 0))
        assert kept(project) == []


class TestModel:
    """Queries that a model answers."""

    async def test_model_is_shown_the_passages_and_cited(self, opened: Any, project: Path) -> None:
        """A model is given numbered passages; a mark in its answer becomes a citation with file and line."""
        model = Scripted(["It costs nothing above 50 euros [1]. Ask the moon [99]."])
        async with opened(providers=(model,)) as engine:
            await engine.index()
            answer = await engine.query(
                "When is shipping free?",
                config=QueryConfig(force="local", strategy="quality", temperature=0.5, max_tokens=99),
            )
        request, _ = model.asked[0]
        assert "[1] docs/shipping.md" in shown(request)
        assert request.messages[-1].content == "When is shipping free?"
        assert (request.temperature, request.max_tokens) == (0.5, 99)
        assert (answer.provider, answer.model, answer.tier) == ("scripted", "script", "local")
        assert [(one.file, "50 euros" in one.quote) for one in answer.citations] == [("docs/shipping.md", True)]
        assert 0 < (answer.confidence or 0) <= 1
        assert kept(project)[0].provider == "scripted"

    async def test_supported_answer_is_trusted_more_than_one_made_up(self, opened: Any) -> None:
        """Confidence in a model's answer is how well the passages support its sentences."""
        model = Scripted(["Shipping costs nothing above 50 euros.", "Zebras sleep upright because melatonin wanes."])
        async with opened(providers=(model,)) as engine:
            await engine.index()
            config = QueryConfig(force="local", strategy="quality")
            first = await engine.query("When is shipping free?", config=config)
            second = await engine.query("When is shipping free?", config=config)
        assert (first.confidence or 0) > (second.confidence or 0) + 0.2

    async def test_passages_answer_when_every_model_fails(self, opened: Any) -> None:
        """A failing model leaves the question to the passages, and the answer says so."""
        model = Scripted([ProviderFailure("server", "it is on fire")])
        async with opened(providers=(model,)) as engine:
            await engine.index()
            answer = await engine.query("When is shipping free?", config=QueryConfig(force="local", strategy="quality"))
        assert (answer.tier, answer.answered) == ("extractive", True)
        assert "on fire" in answer.route_reason

    async def test_file_that_never_leaves_is_not_shown_elsewhere(self, opened: Any, project: Path) -> None:
        """Where a model elsewhere may be asked, the passages of files under privacy.never_send are left out."""
        with (project / "pyproject.toml").open("a") as file:
            file.write('[tool.aqe.privacy]\nnever_send = ["docs/*"]\n')
        far, near = Scripted(["x"], name="far", local=False), Scripted(["x"], name="near")
        for model, force in ((far, "cloud"), (near, "local")):
            async with opened(providers=(model,)) as engine:
                await engine.index()
                await engine.query("When is shipping free?", config=QueryConfig(force=force, strategy="quality"))
        assert "50 euros" not in shown(far.asked[0][0])
        assert "50 euros" in shown(near.asked[0][0])

    async def test_cancelled_query_stores_nothing(self, opened: Any, project: Path) -> None:
        """A cancelled scope ends the wait for a model; no answer is kept."""
        model = Scripted(["late"], delay_s=600)
        async with opened(providers=(model,)) as engine:
            with anyio.move_on_after(600) as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(cancel_when_asked, model, scope)
                    await engine.query("When is shipping free?", config=QueryConfig(force="local", strategy="quality"))
            assert scope.cancelled_caught
        assert kept(project) == []


async def cancel_when_asked(model: Scripted, scope: anyio.CancelScope) -> None:
    """Cancel as soon as the model was asked."""
    while not model.asked:
        await anyio.sleep(0.01)
    scope.cancel()
