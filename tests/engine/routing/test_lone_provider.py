"""What a request does where one provider alone can answer, and that is away for a while."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest
from model_server import ModelServer

from aqe.engine.errors import AqeError
from aqe.engine.memory import Store
from aqe.engine.providers import CompletionRequest, Message, ProviderFailure, open_providers
from aqe.engine.providers.protocol import Loads
from aqe.engine.providers.scripted import Scripted
from aqe.engine.routing import Router, RouteRequest, journey
from aqe.engine.settings import Settings

HELLO = CompletionRequest((Message("user", "hello"),), timeout_s=30)
ASK = RouteRequest("hello", needs_model=True, strategy="quality")
DOWN = ProviderFailure("server", "out of order")


def settings(**tables: Any) -> Settings:
    return Settings.model_validate(tables)


def table(server: ModelServer) -> dict[str, Any]:
    return {"kind": "openai-compatible", "base_url": server.base_url, "models": ["m"]}


def run(router: Router, work: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        try:
            return await work()
        finally:
            await router.close()

    return anyio.run(whole)


async def load(router: Router) -> None:
    """Import what the providers need, which is no time of theirs."""
    for provider in router.providers.values():
        if isinstance(provider, Loads):
            await provider.load()


def error_of(router: Router, request: RouteRequest = ASK, completion: CompletionRequest = HELLO) -> AqeError:
    with pytest.raises(AqeError) as caught:
        run(router, lambda: router.run(request, completion))
    return caught.value


@pytest.mark.services
def test_a_short_blip_of_a_lone_provider_loses_no_request(store: Store) -> None:
    """With nobody to fall back to, a model is asked again after a second or two, when all rounds have failed."""
    only = Scripted([DOWN, DOWN, DOWN, "well again"], name="only")
    router = Router([only], store=store, settings=settings())
    began = time.monotonic()
    assert run(router, lambda: router.run(ASK, HELLO)).completion.text == "well again"
    assert time.monotonic() - began >= 1.0


@pytest.mark.services
def test_patience_with_a_lone_provider_counts_its_calls_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose failures take long themselves is not asked in rounds more, however short the pauses were."""
    monkeypatch.setattr(journey, "ALONE_MOST_S", 2.5)
    slow = Scripted([DOWN], name="only", delay_s=1.3)
    error_of(Router([slow], store=store, settings=settings(router={"rounds": 2})))
    assert len(slow.asked) == 2


@pytest.mark.services
@pytest.mark.parametrize(
    ("failure", "timeout_s", "rounds", "asked"),
    [(DOWN, 1.0, 2, 2), (DOWN, 30, 1, 1), (ProviderFailure("answer", "gibberish"), 30, 3, 3), (DOWN, 30, 3, 5)],
    ids=["no time", "once is wanted", "no blip", "to the end"],
)
def test_patience_with_a_lone_provider_has_its_bounds(
    store: Store, failure: ProviderFailure, timeout_s: float, rounds: int, asked: int
) -> None:
    """It ends after two rounds more and within 8 seconds, and is none where there is no time for it, where the settings
    want one call, and where the failure is no blip."""
    only = Scripted([failure], name="only")
    router = Router([only], store=store, settings=settings(router={"rounds": rounds}))
    began = time.monotonic()
    error = error_of(router, completion=replace(HELLO, timeout_s=timeout_s))
    assert (error.code, len(only.asked)) == ("provider-failed", asked)
    assert time.monotonic() - began < 10


@pytest.mark.services
def test_whoever_waits_for_a_lone_provider_is_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Before a pause of a second a warning says which server took no connection and when the next try is."""
    away = ModelServer()
    found = settings(providers={"away": table(away)})
    router = Router(open_providers(found), store=store, settings=found)
    anyio.run(load, router)
    began = time.time()
    error = error_of(router)
    lines = [record for record in caplog.records if record.name == "aqe.engine.routing.journey"]
    assert lines[0].created - began < 3.0
    told = lines[0].getMessage()
    assert told.startswith("No model has answered yet (away/m connection: away cannot be reached")
    assert "The next try is in " in told
    assert error.fix.startswith("See whether its server runs")


def test_a_server_here_that_was_not_there_is_found_at_once(store: Store) -> None:
    """A server of this machine that is started after many failures answers the next request within two seconds."""
    server = ModelServer()
    found = settings(providers={"here": table(server)}, breaker={"open_s": 60}, router={"rounds": 1})
    for _ in range(7):
        error_of(Router(open_providers(found), store=store, settings=found))
    with server:
        router = Router(open_providers(found), store=store, settings=found)
        anyio.run(load, router)
        began = time.monotonic()
        assert run(router, lambda: router.run(ASK, HELLO)).completion.text == "an answer"
    assert time.monotonic() - began < 3.0
