"""What is said of a server that is not there or wants to be left alone, and the one client that is kept for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from model_server import ModelServer

from aqe.engine.providers import CompletionRequest, Message, ProviderFailure
from aqe.engine.providers.openai_compatible import OpenAICompatible, retry_after_s
from aqe.engine.settings import ProviderSettings

ASK = CompletionRequest((Message("user", "hello"),), timeout_s=20)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A server of one model."""
    with ModelServer(answer="to be or not") as running:
        yield running


def failure(one: OpenAICompatible) -> ProviderFailure:
    """How one call fails."""

    async def whole() -> None:
        try:
            await one.complete(ASK, "m")
        finally:
            await one.close()

    with pytest.raises(ProviderFailure) as caught:
        anyio.run(whole)
    return caught.value


def test_the_address_that_cannot_be_reached_is_told_without_what_may_be_secret(server: ModelServer) -> None:
    """The failure names scheme, host and port; a key in the path or the query of `base_url` stands in no message."""
    server.die()
    secret = f"{server.base_url}/t0k-4711?api-version=1&key=Xk39dkfwq"
    one = OpenAICompatible("house", ProviderSettings(kind="openai-compatible", base_url=secret, models=("m",)))
    failed = failure(one)
    assert failed.kind == "connection"
    assert failed.message.startswith(f"house cannot be reached at {server.base_url.removesuffix('/v1')}: ")
    assert "t0k" not in failed.message
    assert "Xk39" not in failed.message


def test_first_calls_at_once_leave_one_client_open(server: ModelServer) -> None:
    """Of the clients that first calls at the same time make, one is kept and the others are closed at once."""
    made: list[Any] = []

    class Watched(OpenAICompatible):
        def _made(self, key: str) -> Any:
            made.append(super()._made(key))
            return made[-1]

    settings = ProviderSettings(kind="openai-compatible", base_url=server.base_url, models=("m",))
    one = Watched("house", settings)

    async def first_calls() -> list[str]:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(one.load)
        open_ones = [client for client in made if not client.is_closed()]
        assert len(open_ones) == 1
        answer = await one.complete(ASK, "m")
        assert not open_ones[0].is_closed()
        return [answer.text]

    async def whole() -> list[str]:
        try:
            return await first_calls()
        finally:
            await one.close()

    assert anyio.run(whole) == ["to be or not"]
    assert len(made) == 3
    assert all(client.is_closed() for client in made)


def test_retry_after_is_handed_on(server: ModelServer) -> None:
    """The seconds of a Retry-After header stand in the failure."""
    server.mode, server.retry_after = "limit", "7"
    settings = ProviderSettings(kind="openai-compatible", base_url=server.base_url, models=("m",))
    assert failure(OpenAICompatible("house", settings)).retry_after_s == 7.0


@pytest.mark.parametrize("text", ["", "soon", "-3", "1e9999x", "1 jan 99999999999999999999 1:1:1"])
def test_unreadable_retry_after_is_none(text: str) -> None:
    """A header that is neither a number nor a date asks for nothing."""
    assert retry_after_s({"retry-after": text}, datetime.now(UTC)) is None
