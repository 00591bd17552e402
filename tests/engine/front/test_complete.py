"""Plain generation: options, samples with a majority, and streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from aqe.engine.answer import Answer, QueryConfig, Verdict
from aqe.engine.errors import UserError
from aqe.engine.majority import cluster_majority, exact_majority, executed_majority
from aqe.engine.memory import Store
from aqe.engine.providers import CompletionRequest, Message, ProviderFailure, StreamEnd, Usage
from aqe.engine.providers.scripted import Scripted
from aqe.engine.requests import RequestTable

pytestmark = pytest.mark.anyio


def executed(answer: Answer) -> Verdict:
    """Run the answer as an expression; what it gives is the output."""
    try:
        return Verdict(True, output=repr(eval(answer.text, {"__builtins__": {}})))
    except Exception as error:
        return Verdict(False, repr(error))


async def test_completion_without_a_model_names_the_commands_that_add_one(opened: Any) -> None:
    """Nothing is made up where no model is there: the error says how to add one."""
    async with opened() as engine:
        with pytest.raises(UserError) as refused:
            await engine.complete("Write a haiku.")
    assert refused.value.code == "no-model"
    assert "pip install 'aqe[openai]'" in refused.value.fix
    assert "AQE_PROVIDERS" in refused.value.fix


async def test_every_option_reaches_the_model(opened: Any) -> None:
    """Temperature, top_p, tokens, stops, seed and schema are in the request; nothing is retrieved for it."""
    model, schema = Scripted(["{}"]), {"type": "object"}
    async with opened(providers=(model,)) as engine:
        await engine.remember("A haiku has three lines.")
        await engine.complete(
            "Write a haiku.", temperature=0.1, top_p=0.9, max_tokens=7, stop=["\n"], seed=3, json_schema=schema
        )
    request, _ = model.asked[0]
    assert request.messages == (Message("user", "Write a haiku."),)
    assert (request.temperature, request.top_p, request.max_tokens) == (0.1, 0.9, 7)
    assert (request.stop, request.seed, request.json_schema) == (("\n",), 3, schema)


async def test_one_text_to_stop_before_is_one(opened: Any) -> None:
    """A stop given as a text is that text, whole and in pieces, and not its letters."""
    model = Scripted(["x"])
    async with opened(providers=(model,)) as engine:
        await engine.complete("Write.", stop="END")
        async with engine.stream("Write.", retrieve=False, stop="END") as stream:
            assert [piece async for piece in stream] == ["x"]
    assert [request.stop for request, _ in model.asked] == [("END",), ("END",)]


NO_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"stop": 5},
    {"stop": [5]},
    {"stop": ""},
    {"stop": None},
    {"stop": b"END"},
    {"json_schema": 5},
    {"json_schema": {"type": "nope"}},
    {"validate": 5},
    {"seed": "x"},
    {"task": 5},
    {"timeout_s": "soon"},
)


async def test_a_callers_mistake_is_told_before_anything_is_asked(opened: Any) -> None:
    """An argument that no model takes is the caller's mistake: no model is asked, none is blamed, no breaker opens."""
    model = Scripted(["x"])
    async with opened(providers=(model,)) as engine:
        for given in NO_ARGUMENTS:
            with pytest.raises(UserError) as refused:
                await engine.complete("Well?", **given)
            assert refused.value.code == "bad-argument", given
        assert model.asked == []
        assert (await engine.complete("Well?")).text == "x"


async def test_a_verdict_of_other_kinds_is_taken_as_what_it_means(opened: Any) -> None:
    """A verdict whose parts are a number or a NumPy truth counts as true or false, and is filed."""
    told: Any = [numpy.True_, 0, numpy.int64(1)]
    async with opened(providers=(Scripted(["x"]),)) as engine:
        for passed in told:
            answer = await engine.complete("Well?", validate=lambda _, said=passed: Verdict(said, detail=5))
            assert answer.verdict == Verdict(bool(passed), "5")
        assert (await engine.stats()).signals == {"positive": 2, "negative": 1}


async def test_a_check_that_is_none_is_refused_everywhere(opened: Any) -> None:
    """What cannot be called checks no answer, of a question or of many; a config that is none is told as such."""
    wrong: Any = 5
    async with opened() as engine:
        for call in (engine.query("Well?", validate=wrong), engine.query_batch(["Well?"], validate=wrong)):
            with pytest.raises(UserError, match="validate is int"):
                await call
        for retrieve in (True, False):
            with pytest.raises(UserError, match="config is int"):
                await anext(engine.stream("Well?", retrieve=retrieve, config=wrong))


async def test_messages_of_a_conversation_are_passed_on(opened: Any, project: Path) -> None:
    """OpenAI-style messages reach the model in order, and the row keeps who said what."""
    model = Scripted(["Six."])
    async with opened(providers=(model,)) as engine:
        talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two times three?"}]
        answer = await engine.complete(talk)
    assert [message.role for message in model.asked[0][0].messages] == ["system", "user"]
    with Store.open(project / ".aqe" / "aqe.db") as store:
        row = RequestTable(store).get(answer.request_id)
    assert (row.kind, row.prompt) == ("complete", "system: Be brief.\nuser: Two times three?")


@pytest.mark.parametrize(
    "prompt", [[], [{"role": "user"}], [{"role": "robot", "content": "x"}], [{"role": "system", "content": "x"}], ["x"]]
)
async def test_messages_that_are_none_are_refused(opened: Any, prompt: Any) -> None:
    """A conversation without a user, a role or a text is refused before anything is asked."""
    model = Scripted(["x"])
    async with opened(providers=(model,)) as engine:
        with pytest.raises(UserError):
            await engine.complete(prompt)
    assert model.asked == []


async def test_samples_that_pass_vote_by_what_they_give(opened: Any) -> None:
    """Of five samples of code the output that most of those that run agree on wins, whatever its spelling."""
    model = Scripted(["1/0", "3+3", "2*3", "7", "1/0"])
    async with opened(providers=(model,)) as engine:
        answer = await engine.complete("Six as an expression.", n=5, seed=10, validate=executed)
        stats = await engine.stats()
    assert answer.text in ("3+3", "2*3")
    assert answer.confidence == pytest.approx(0.4)
    assert answer.verdict == Verdict(True, output="6")
    assert len(answer.samples) == 5
    assert sum(one.verdict is not None and not one.verdict.passed for one in answer.samples) == 2
    assert sorted(request.seed for request, _ in model.asked) == [10, 11, 12, 13, 14]
    assert answer.usage.output_tokens == 5
    assert stats.signals == {"positive": 1}


async def test_failing_samples_are_left_out(opened: Any) -> None:
    """A sample whose model fails does not vote; where all fail the failure is raised."""
    broken = ProviderFailure("request", "no")
    async with opened(providers=(Scripted([broken, "yes", "yes"]),)) as engine:
        answer = await engine.complete("Well?", n=3)
        assert (answer.text, len(answer.samples)) == ("yes", 2)
    async with opened(providers=(Scripted([broken]),)) as engine:
        with pytest.raises(UserError) as refused:
            await engine.complete("Well?", n=3)
    assert refused.value.code == "provider-failed"


@pytest.mark.parametrize("n", [0, 33, 1.5, True])
async def test_number_of_samples_has_bounds(opened: Any, n: Any) -> None:
    """A number of samples that is none is refused."""
    async with opened(providers=(Scripted(["x"]),)) as engine:
        with pytest.raises(UserError) as refused:
            await engine.complete("Well?", n=n)
    assert refused.value.code == "bad-limit"


def test_largest_cluster_of_free_texts_wins(embedder: Any) -> None:
    """Free texts vote by likeness, and the one in the middle of the largest cluster is chosen."""
    texts = [
        "Bananas are yellow fruit.",
        "The parser reads the header first.",
        "First the parser reads the header.",
        "The header the parser reads first!",
    ]
    best, samples, share = cluster_majority(texts, embedder.embed(texts))
    assert best in (1, 2, 3)
    assert samples[0].group != samples[1].group == samples[2].group == samples[3].group
    assert share == 0.75


def test_json_votes_by_its_value() -> None:
    """Equal JSON values are one answer whatever their order and spacing; at a tie the first wins."""
    best, _, share = exact_majority(['{"a":2}', '{"a": 1, "b": 2}', '```json\n{"b":2,"a":1}\n```'])
    assert (best, share) == (1, pytest.approx(2 / 3))
    assert exact_majority(["1", "2"])[0] == 0


def test_nothing_wins_where_no_sample_passes() -> None:
    """With no sample that passes the first one stands, and nothing agrees."""
    best, samples, share = executed_majority(["a", "b"], [Verdict(False), Verdict(False)])
    assert (best, share) == (0, 0.0)
    assert [one.group for one in samples] == [0, 1]


class TestStream:
    """Answers piece by piece."""

    async def test_completion_comes_as_the_model_makes_it(self, opened: Any, project: Path) -> None:
        """Each piece of the model is one of the stream; the whole answer stands at its end and is kept."""
        async with opened(providers=(Scripted(["one two three"]),)) as engine:
            stream = engine.stream("Count.", retrieve=False)
            pieces = []
            async for piece in stream:
                assert stream.answer is None
                pieces.append(piece)
        assert pieces == ["one", " two", " three"]
        assert stream.answer is not None
        assert (stream.answer.text, stream.answer.provider) == ("one two three", "scripted")
        with Store.open(project / ".aqe" / "aqe.db") as store:
            assert RequestTable(store).get(stream.answer.request_id).answer == "one two three"

    async def test_query_streams_the_model_or_the_quotes(self, opened: Any) -> None:
        """A query streams what its model says with its citations, or its quotes one by one."""
        async with opened(providers=(Scripted(["Free above 50 euros [1]."]),)) as engine:
            await engine.index()
            stream = engine.stream("When is shipping free?", config=QueryConfig(force="local", strategy="quality"))
            assert len([piece async for piece in stream]) == 5
            assert stream.answer is not None
            assert stream.answer.citations[0].file == "docs/shipping.md"
        async with opened() as engine:
            stream = engine.stream("When is shipping free?")
            pieces = [piece async for piece in stream]
            assert stream.answer is not None
            assert "".join(pieces) == stream.answer.text
            assert "50 euros" in pieces[0]

    async def test_query_whose_model_fails_streams_the_quotes(self, opened: Any) -> None:
        """A model that fails before its first piece leaves the question to the passages."""
        async with opened(providers=(Scripted([ProviderFailure("server", "down")]),)) as engine:
            await engine.index()
            stream = engine.stream("When is shipping free?", config=QueryConfig(force="local", strategy="quality"))
            assert "50 euros" in "".join([piece async for piece in stream])
        assert stream.answer is not None
        assert "down" in stream.answer.route_reason

    async def test_end_of_a_stream_is_the_servers(self, opened: Any) -> None:
        """Where the provider says why it ended and what it counted, the answer has it; else tokens are estimated."""

        class Telling(Scripted):
            async def stream(self, request: CompletionRequest, model: str) -> Any:
                yield "one two"
                yield StreamEnd("length", Usage(40, 2))

        async with opened(providers=(Telling(["x"]),)) as engine:
            stream = engine.stream("Count.", retrieve=False)
            assert [piece async for piece in stream] == ["one two"]
        assert (stream.answer.finish_reason, stream.answer.usage) == ("length", Usage(40, 2))

    async def test_stream_that_is_closed_early_keeps_nothing(self, opened: Any, project: Path) -> None:
        """A stream left after its first piece has no answer and no row."""
        async with opened(providers=(Scripted(["one two three"]),)) as engine:
            async with engine.stream("Count.", retrieve=False) as stream:
                assert await anext(stream) == "one"
            assert stream.answer is None
            assert [piece async for piece in stream] == []
        with Store.open(project / ".aqe" / "aqe.db") as store:
            assert RequestTable(store).list() == []

    async def test_last_message_of_the_user_is_the_question(self, opened: Any) -> None:
        """Of a conversation the last message of the user is looked up, read together with the one before."""
        async with opened() as engine:
            await engine.index()
            talk = [
                {"role": "user", "content": "When is shipping free?"},
                {"role": "assistant", "content": "Ask me."},
                {"role": "user", "content": "And is it?"},
            ]
            stream = engine.stream(talk)
            assert "50 euros" in "".join([piece async for piece in stream])


async def test_schema_is_asked_for_as_it_is(opened: Any) -> None:
    """A JSON schema makes the samples vote by value."""
    model = Scripted(['{"a": 1}', '{"a":1}', '{"a": 2}'])
    async with opened(providers=(model,)) as engine:
        answer = await engine.complete("An object.", n=3, json_schema={"type": "object"})
    assert json.loads(answer.text) == {"a": 1}
    assert answer.confidence == pytest.approx(2 / 3)
