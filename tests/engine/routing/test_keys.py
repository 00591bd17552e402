"""Where a key goes: to the place that a consent names, and nowhere else; real servers that note each call."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.privacy import Guard, audit, consent, open_guard
from aqe.engine.providers import CompletionRequest, Message, ProviderFailure
from aqe.engine.providers.openai_compatible import OpenAICompatible
from aqe.engine.providers.protocol import StreamEnd
from aqe.engine.settings import ProviderSettings, Settings

ASK = CompletionRequest((Message("user", "hello"),), timeout_s=60)
KEY = "k-very-secret"
ENVIRON = {"CLOUD_KEY": KEY, "OPENAI_API_KEY": KEY, "GITHUB_TOKEN": KEY}


class Listener(ThreadingHTTPServer):
    """Notes the path and the headers of every call; answers 404, or sends the caller on to `target`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.target = ""
        super().__init__(("127.0.0.1", 0), _Call)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Call(BaseHTTPRequestHandler):
    server: Listener

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.calls.append((self.path, str(self.headers)))
        self.send_response(307 if self.server.target else 404)
        if self.server.target:
            self.send_header("Location", self.server.target + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def listen() -> Iterator[Callable[[], Listener]]:
    """Start a listener."""
    running = []

    def start() -> Listener:
        listener = Listener()
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        running.append(listener)
        return listener

    yield start
    for listener in running:
        listener.shutdown()
        listener.server_close()


def _provider(listener: Listener, guard: Guard | None, key_env: str | None = "CLOUD_KEY") -> OpenAICompatible:
    """A provider behind a listener, which plays one that is elsewhere where there is a guard."""
    table = ProviderSettings(
        kind="openai-compatible", base_url=f"{listener.url}/v1", models=("m",), api_key_env=key_env
    )
    one = OpenAICompatible("cloud", table, guard=guard, environ=ENVIRON)
    one.local = guard is None
    return one


async def _streamed(one: OpenAICompatible) -> list[str | StreamEnd]:
    return [piece async for piece in one.stream(ASK, "m")]


def _ask_everything(one: OpenAICompatible) -> list[str]:
    """Ask for a completion, a stream, vectors and health; returns what each of them came to."""
    ways: list[Callable[[], Awaitable[Any]]] = [
        lambda: one.complete(ASK, "m"),
        lambda: _streamed(one),
        lambda: one.embed(["hello"], "m"),
    ]

    async def whole() -> list[str]:
        came_to = []
        for way in ways:
            try:
                await way()
            except (UserError, ProviderFailure) as error:
                came_to.append(error.code if isinstance(error, UserError) else error.kind)
        came_to.append("well" if (await one.health()).ok else "not well")
        await one.close()
        return came_to

    return anyio.run(whole)


@pytest.mark.parametrize("mode", ["balanced", "off"])
def test_no_call_shows_the_key_before_consent(store: Store, listen: Callable[[], Listener], mode: str) -> None:
    """Without consent no call of any kind reaches the server; with it each does, and carries the key."""
    guard = open_guard(store.path.parent, Settings.model_validate({"privacy": {"mode": mode}}), store)
    there = listen()
    assert _ask_everything(_provider(there, guard)) == ["no-consent"] * 3 + ["not well"]
    assert there.calls == []
    consent.grant(store, _provider(there, guard).recipient, mode=mode)
    _ask_everything(_provider(there, guard))
    assert [path for path, _ in there.calls] == [
        "/v1/chat/completions",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/models",
    ]
    assert all(KEY in headers for _, headers in there.calls)


@pytest.mark.parametrize("mode", ["balanced", "off"])
def test_a_consented_name_takes_no_key_elsewhere(store: Store, listen: Callable[[], Listener], mode: str) -> None:
    """After consent a table of the same name with another address, or another key variable, reaches nobody."""
    guard = open_guard(store.path.parent, Settings.model_validate({"privacy": {"mode": mode}}), store)
    there, evil = listen(), listen()
    consent.grant(store, _provider(there, guard).recipient, mode=mode)
    assert _ask_everything(_provider(evil, guard)) == ["no-consent"] * 3 + ["not well"]
    assert _ask_everything(_provider(there, guard, "GITHUB_TOKEN")) == ["no-consent"] * 3 + ["not well"]
    assert evil.calls == there.calls == []
    bent = _provider(evil, guard)
    with store.writing() as connection:
        connection.execute("UPDATE consents SET address = ?", (bent.recipient.address,))
    assert _ask_everything(bent) == ["no-consent"] * 3 + ["not well"]
    assert evil.calls == []


def test_no_call_follows_a_redirect(store: Store, listen: Callable[[], Listener]) -> None:
    """A consented server that sends the caller on gets no call, text or key there, whatever is asked."""
    guard = open_guard(store.path.parent, Settings(), store)
    there, other = listen(), listen()
    there.target = other.url
    consent.grant(store, _provider(there, guard).recipient, mode="balanced")
    assert "well" not in _ask_everything(_provider(there, guard))
    assert len(there.calls) == 4
    assert other.calls == []


def test_a_local_server_gets_no_key_but_its_own(
    listen: Callable[[], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server on this machine is shown no key of the environment, unless its own table names the variable."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    here = listen()
    _ask_everything(_provider(here, None, None))
    assert len(here.calls) == 4
    assert KEY not in str(here.calls)
    _ask_everything(_provider(here, None, "CLOUD_KEY"))
    assert KEY in str(here.calls)


def test_a_server_on_this_machine_needs_no_consent(store: Store, listen: Callable[[], Listener]) -> None:
    """A provider on loopback is asked without consent and leaves nothing in the log."""
    here = listen()
    table = _provider(here, None, None).settings
    guard = open_guard(store.path.parent, Settings(), store)
    one = OpenAICompatible("house", table, guard=guard, environ={})
    assert "no-consent" not in _ask_everything(one)
    assert len(here.calls) == 4
    assert audit.entries(store) == []
