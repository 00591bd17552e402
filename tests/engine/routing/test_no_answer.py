"""Answers that are none: empty ones, those of another shape, halves of a stream; and what they do to breakers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from model_server import ModelServer

from aqe.engine.errors import AqeError, OutOfTime, UserError
from aqe.engine.memory import Store
from aqe.engine.providers import CompletionRequest, Message, Price, ProviderFailure, Usage, open_providers
from aqe.engine.providers.scripted import Scripted
from aqe.engine.routing import Router, RouteRequest
from aqe.engine.settings import Settings

HELLO = CompletionRequest((Message("user", "hello"),), timeout_s=60)
ASK = RouteRequest("hello", needs_model=True, strategy="quality")
NAMED = {"type": "object", "required": ["name"]}
SHAPED = CompletionRequest(HELLO.messages, json_schema=NAMED, timeout_s=60)
DOWN = ProviderFailure("server", "out of order")


def settings(**tables: Any) -> Settings:
    return Settings.model_validate({"breaker": {"min_calls": 2}, **tables})


def run(router: Router, work: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        try:
            with anyio.fail_after(100):
                return await work()
        finally:
            await router.close()

    return anyio.run(whole)


def router_of(store: Store, *providers: Any, **tables: Any) -> Router:
    return Router(providers, store=store, settings=settings(**tables))


def error_of(router: Router, completion: CompletionRequest = HELLO) -> AqeError:
    with pytest.raises(AqeError) as caught:
        run(router, lambda: router.run(ASK, completion))
    return caught.value


def read(router: Router, completion: CompletionRequest = HELLO) -> tuple[str, Any]:
    stream = router.stream(ASK, completion)

    async def work() -> None:
        async for _ in stream:
            pass

    run(router, work)
    return stream.text, stream


@pytest.mark.parametrize("nothing", ["", " \n"])
def test_a_model_that_says_nothing_has_failed(store: Store, nothing: str) -> None:
    """Where a model says nothing the next one answers, whole or in pieces, and the reason tells of it."""
    first, second = Scripted([nothing], name="first", local=False), Scripted(["a word"], name="second")
    router = router_of(store, first, second)
    routed = run(router, lambda: router.run(ASK, HELLO))
    assert routed.completion.text == "a word"
    assert routed.decision.reason.endswith("; first/script failed (empty); second/script answered")
    text, stream = read(router)
    assert (text, stream.answered_by) == ("a word", ("second", "script"))
    assert stream.decision.reason.endswith("; first/script failed (empty); second/script answered")


def test_where_all_say_nothing_each_is_asked_once_more_and_then_told(store: Store) -> None:
    """A model that says nothing twice is not asked a third time; the error has a fix for that."""
    only = Scripted([""], name="only")
    error = error_of(router_of(store, only, router={"rounds": 5}))
    assert (error.code, len(only.asked)) == ("provider-failed", 2)
    assert "only/script empty: only said nothing" in error.message
    assert "allow more tokens" in error.fix


def test_a_second_answer_that_says_something_counts(store: Store) -> None:
    """The model that said nothing may answer when it is asked again, and the reason says so."""
    router = router_of(store, Scripted(["", "a word"], name="only"))
    reason = run(router, lambda: router.run(ASK, HELLO)).decision.reason
    assert reason.endswith("; only/script answered when it was asked again (empty before)")


def test_a_first_answer_has_the_plain_reason(store: Store) -> None:
    """Where the model that was decided for answers at once, the reason is the decision's."""
    router = router_of(store, Scripted(["x"], name="only"))
    routed = run(router, lambda: router.run(ASK, HELLO))
    assert routed.decision.reason == router.decide(ASK).reason


@pytest.mark.parametrize("limits", [{"stop": ("END",)}, {"max_tokens": 1}])
def test_silence_that_the_request_may_have_caused_opens_no_breaker(store: Store, limits: dict[str, Any]) -> None:
    """An empty answer counts against its model, unless the caller's stops or tokens may have cut it."""
    router = router_of(store, Scripted([""], name="only"))
    assert "empty" in error_of(router, CompletionRequest(HELLO.messages, **limits)).message
    assert router.decide(ASK).provider == "only"
    error_of(router)
    with pytest.raises(UserError, match="its breaker is open"):
        router.decide(ASK)


def test_an_answer_of_another_shape_is_none(store: Store) -> None:
    """Of an answer that misses its schema the next model is asked; what it cost counts, and no breaker opens."""
    price = Price(1.0, 1.0, "settings")
    poor = Scripted(["Sure! Ann."], name="poor", local=False, known_price=price)
    good = Scripted(['```json\n{"name": "Ann"}\n```'], name="good", known_price=price)
    router = router_of(store, poor, good)
    routed = run(router, lambda: router.run(ASK, SHAPED))
    assert routed.completion.text == '{"name": "Ann"}'
    assert routed.completion.usage == Usage(4, 10)
    assert routed.cost_usd == pytest.approx(14e-6)
    assert [(one.provider, one.outcome) for one in routed.attempts] == [("poor", "misfit"), ("good", "ok")]
    assert "poor" in [one.provider for one in router.decide(ASK).kept]


def test_a_shape_that_nobody_gives_is_told_after_a_second_try(store: Store) -> None:
    """Each model is asked for the shape twice; then the error says what is missed, and the models stay in use."""
    only = Scripted(['{"named": "Ann"}'], name="only")
    router = router_of(store, only, router={"rounds": 5})
    error = error_of(router, SHAPED)
    assert (error.code, len(only.asked)) == ("provider-failed", 2)
    assert 'at its top it does not hold "required": ["name"]' in error.message
    assert "simpler shape" in error.fix
    assert router.decide(ASK).provider == "only"


def table(server: ModelServer, **more: Any) -> dict[str, Any]:
    return {"kind": "openai-compatible", "base_url": server.base_url, "models": ["m"], **more}


def test_half_a_stream_is_an_error_that_says_how_much_came(store: Store) -> None:
    """A server that closes in the middle of its answer makes an error, and nobody takes the half for the whole."""
    with ModelServer(answer="one two three", mode="cut") as server:
        router = Router(open_providers(known := settings(providers={"a": table(server)})), store=store, settings=known)
        with pytest.raises(UserError) as caught:
            read(router)
    assert caught.value.code == "provider-failed"
    assert "broke off after 3 characters" in caught.value.message
    assert router.circuits.all()["a", "m"].failed_in_row == 1


def test_a_stream_cut_before_its_first_word_comes_from_the_next(store: Store) -> None:
    """Where nothing was said yet when the server closed, another model answers."""
    with ModelServer(answer=" never", mode="cut") as server, ModelServer(answer="a b") as other:
        tables = {"a": table(server, priority=1), "b": table(other)}
        router = Router(open_providers(known := settings(providers=tables)), store=store, settings=known)
        text, stream = read(router)
    assert text == "a b"
    assert "a/m failed (connection); b/m answered" in stream.decision.reason


def test_a_provider_that_breaks_in_the_middle_is_an_error_in_words(store: Store) -> None:
    """A fault of a provider's own code in the middle of a stream is no traceback of the caller's."""

    class Faulty(Scripted):
        async def stream(self, request: CompletionRequest, model: str) -> Any:
            yield "half"
            raise KeyError("oops")

    with pytest.raises(UserError, match=r"broke off after 4 characters.*KeyError"):
        read(router_of(store, Faulty(["x"], name="only")))


def test_a_caller_in_haste_opens_no_breaker(store: Store) -> None:
    """A model that had less time than its calls take has not failed, however often."""
    slow = Scripted(["x"], name="slow", delay_s=30)
    router = router_of(store, slow)
    for _ in range(4):
        assert isinstance(error_of(router, CompletionRequest(HELLO.messages, timeout_s=0.05)), OutOfTime)
    assert router.decide(ASK).provider == "slow"


def test_a_breaker_is_waited_for_only_where_time_for_a_call_is_left(tmp_path: Path) -> None:
    """With no time for a call behind an open breaker the error comes at once and names the seconds."""
    with Store.open(tmp_path / "real.db") as store:
        only = Scripted([DOWN], name="only")
        router = router_of(store, only, breaker={"min_calls": 2, "open_s": 59}, router={"rounds": 2})
        assert re.search(r"may be asked again in \d\d s", error_of(router).fix)
        error = error_of(router)
    assert (error.code, len(only.asked)) == ("no-route", 2)
    assert "its breaker is open" in error.message
    assert re.search(r"may be asked again in \d\d s", error.fix)
