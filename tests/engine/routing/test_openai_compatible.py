"""The OpenAI-compatible provider against a real server on loopback that answers, fails, hangs and comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from model_server import ModelServer

from aqe.engine.errors import UserError
from aqe.engine.providers import CompletionRequest, Message, ProviderFailure, open_providers, openai_compatible
from aqe.engine.providers.configured import Recipient
from aqe.engine.providers.openai_compatible import OpenAICompatible
from aqe.engine.providers.protocol import StreamEnd, Usage
from aqe.engine.settings import ProviderSettings, Settings

CHAT = '{"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": %s}'
SAYS = '[{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": %s}}]'
ASK = CompletionRequest((Message("system", "be brief"), Message("user", "hello")), timeout_s=20)


class Guard:
    """A guard that stars out a word and remembers what it was shown."""

    def __init__(self, mode: Literal["strict", "balanced", "off"] = "balanced") -> None:
        self.mode = mode
        self.shown: list[tuple[str, str]] = []

    def may_leave(self, provider_is_local: bool) -> bool:
        return provider_is_local or self.mode != "strict"

    def may_reach(self, to: Recipient) -> bool:
        return self.mode != "strict"

    def outgoing(self, messages: tuple[Message, ...], *, to: Recipient, purpose: str) -> tuple[Message, ...]:
        self.shown.append((to.name, purpose))
        return tuple(Message(one.role, one.content.replace("hello", "*****")) for one in messages)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """A server of one model."""
    with ModelServer(answer="to be or not") as running:
        yield running


def provider(server: ModelServer, **more: Any) -> OpenAICompatible:
    settings = ProviderSettings(kind="openai-compatible", base_url=server.base_url, models=("m",), **more)
    return OpenAICompatible("house", settings, environ={"KEY": "k-123"})


def ask(one: OpenAICompatible, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run one piece of work with the provider and close it."""

    async def whole() -> Any:
        try:
            return await work()
        finally:
            await one.close()

    return anyio.run(whole)


async def read(one: OpenAICompatible) -> list[str | StreamEnd]:
    return [piece async for piece in one.stream(ASK, "m")]


def pieces(one: OpenAICompatible) -> list[str | StreamEnd]:
    found: list[str | StreamEnd] = ask(one, lambda: read(one))
    return found


async def kind_of(call: Awaitable[Any]) -> str:
    """How a call fails."""
    with pytest.raises(ProviderFailure) as caught:
        await call
    return caught.value.kind


def failure(one: OpenAICompatible, request: CompletionRequest = ASK) -> ProviderFailure:
    with pytest.raises(ProviderFailure) as caught:
        ask(one, lambda: one.complete(request, "m"))
    return caught.value


def test_an_answer_has_text_usage_and_who_gave_it(server: ModelServer) -> None:
    """A completion carries the text, the tokens that the server counted, model, provider and finish reason."""
    one = provider(server)
    answer = ask(one, lambda: one.complete(ASK, "m"))
    assert (answer.text, answer.model, answer.provider, answer.finish_reason) == ("to be or not", "m", "house", "stop")
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.estimated) == (7, 3, False)
    assert answer.latency_ms > 0


def test_what_was_asked_for_reaches_the_server(server: ModelServer) -> None:
    """Every field of a request is sent, and those left open are not."""
    one = provider(server)
    request = CompletionRequest(
        (Message("user", "x"),),
        temperature=0.0,
        top_p=0.5,
        max_tokens=9,
        stop=("END",),
        seed=4,
        json_schema={"type": "object"},
    )
    ask(one, lambda: one.complete(request, "m"))
    sent = server.requests[0]
    assert sent["messages"] == [{"role": "user", "content": "x"}]
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"], sent["stop"], sent["seed"]) == (
        0,
        0.5,
        9,
        ["END"],
        4,
    )
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    two = provider(server)
    ask(two, lambda: two.complete(ASK, "m"))
    assert set(server.requests[1]) == {"model", "messages"}


def test_a_stream_gives_the_pieces_as_they_come(server: ModelServer) -> None:
    """The pieces of a stream arrive one by one and make the answer; last comes how it ended and what was counted."""
    one = provider(server)
    server.finish_reason, server.usage = "length", {"prompt_tokens": 4, "completion_tokens": 2}
    assert pieces(one) == ["to", " be", " or", " not", StreamEnd("length", Usage(4, 2))]


BEYOND = {"prompt_tokens": 10**30, "completion_tokens": 2}


def test_tokens_that_cannot_be_are_estimated(server: ModelServer) -> None:
    """Where a server counts no tokens, or what no count can be, they are estimated and said to be."""
    one = provider(server)

    async def each() -> None:
        for server.usage in ({}, {"prompt_tokens": -4, "completion_tokens": 2}, {"prompt_tokens": "4"}, 7, BEYOND):
            answer = await one.complete(ASK, "m")
            assert (answer.text, answer.usage) == ("to be or not", Usage(4, 3, estimated=True))
            assert [piece async for piece in one.stream(ASK, "m")][-1] == StreamEnd("stop", None)

    ask(one, each)


def test_characters_that_are_none_are_marked(server: ModelServer) -> None:
    """Half characters and NUL in an answer become the mark for what could not be read; what are pairs is joined."""
    said = json.dumps("a\ud800 b\0 \ud83d\ude00")
    one, server.mode = provider(server), "raw"

    async def both() -> None:
        server.body = CHAT % (SAYS % said)
        assert (await one.complete(ASK, "m")).text == "a\ufffd b\ufffd \U0001f600"
        chunk = CHAT % (SAYS % said).replace("message", "delta")
        server.body, server.content_type = f"data: {chunk}\n\n", "text/event-stream"
        assert await read(one) == ["a\ufffd b\ufffd \U0001f600", StreamEnd("stop", None)]

    ask(one, both)


def test_what_a_server_says_does_not_speak_to_the_terminal(server: ModelServer) -> None:
    """Control characters of a server's error and of its reason to finish are shown as escapes, the reason cut short."""
    server.mode, server.said = "key", "go\x1b[2J\x07\r\naway"
    assert failure(provider(server)).message.endswith(r"go\x1b[2J\x07 away")
    server.mode, server.finish_reason = "ok", "stop\x1b[2J" + 100 * "p"
    ended = pieces(provider(server))[-1]
    assert isinstance(ended, StreamEnd)
    one = provider(server)
    whole = ask(one, lambda: one.complete(ASK, "m")).finish_reason
    assert whole == ended.finish_reason == r"stop\x1b[2J" + 29 * "p"


def test_half_a_stream_is_no_answer(server: ModelServer) -> None:
    """A stream that ends in good order before its model was done is a failure of the connection."""
    server.mode = "cut"
    one = provider(server)
    with pytest.raises(ProviderFailure, match="in the middle") as caught:
        pieces(one)
    assert caught.value.kind == "connection"


BODIES = ("", "{", "null", "7", "[]", '"text"', "{}", *(CHAT % one for one in ("7", "[]", '["x"]', SAYS % '["x"]')))


def test_what_is_no_answer_fails_as_one(server: ModelServer) -> None:
    """A body that is no JSON, or JSON of another shape, is an answer that cannot be read, asked for whole or in
    pieces."""
    server.mode = "raw"
    one = provider(server)

    async def each() -> None:
        for server.body in BODIES:
            for server.content_type in ("application/json", "text/plain"):
                assert await kind_of(one.complete(ASK, "m")) == "answer", server.body
                assert await kind_of(read(one)) == "answer", server.body
        server.body, server.content_type = "[" * 200_000, "application/json"
        assert await kind_of(one.complete(ASK, "m")) == "answer"

    ask(one, each)


def test_a_stream_of_something_else_fails_as_that(server: ModelServer) -> None:
    """Events that are no pieces of an answer end a stream as what they are."""
    server.mode, server.content_type = "raw", "text/event-stream"
    one = provider(server)

    async def each() -> None:
        for lines, kind in {
            "data: {": "answer",
            "data: null": "answer",
            "data: " + "[" * 200_000: "answer",
            'data: {"error": {"message": "out of memory"}}': "server",
            "data: " + CHAT % '[{"index": 0, "delta": null}]': "connection",
            "data: " + CHAT % '[{"index": 0, "delta": {"content": 7}}]': "answer",
            ": nothing": "answer",
        }.items():
            server.body = f"{lines}\n\n"
            assert await kind_of(read(one)) == kind, lines

    ask(one, each)


def test_a_huge_answer_is_cut(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends more than an answer can be is cut there, whole, in pieces or packed, and nothing piles up."""
    monkeypatch.setattr(openai_compatible, "MOST_BYTES", 3 * 2**20)
    server.mode = "huge"
    one, two = provider(server), provider(server)
    failed = failure(one)
    assert (failed.kind, failed.message) == ("answer", "house sent more than 3 MB")
    with pytest.raises(ProviderFailure, match="more than 3 MB"):
        pieces(two)
    server.mode = "packed"
    three = provider(server)
    assert failure(three).message == "house sent more than 3 MB"
    assert {headers["accept-encoding"] for headers in server.headers} == {"identity"}


def test_vectors_come_in_the_order_of_the_texts(server: ModelServer) -> None:
    """Vectors are put in the order of the texts, whatever the order in which the server gives them."""
    one = provider(server)
    assert ask(one, lambda: one.embed(["a", "bbb"], "m")) == [[1.0, 1.0], [3.0, 1.0]]


def test_health_lists_the_models_of_a_server_that_answers(server: ModelServer) -> None:
    """Health is good with the server's models, and bad with the reason when it is gone."""
    server.models = ("z", "a")
    one = provider(server)
    health = ask(one, one.health)
    assert (health.ok, health.models) == (True, ("a", "z"))
    server.die()
    health = ask(one, one.health)
    assert not health.ok
    assert health.message.startswith(f"house cannot be reached at {server.base_url.removesuffix('/v1')}: ")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("error", "server"), ("limit", "rate-limit"), ("key", "auth"), ("refuse", "request"), ("html", "answer")],
)
def test_a_failure_has_its_kind_and_is_not_retried(server: ModelServer, mode: str, kind: str) -> None:
    """Each way of failing has its kind, and the server was asked once."""
    server.mode = mode
    assert failure(provider(server)).kind == kind
    assert len(server.requests) == 1


def test_a_hanging_server_is_cut_at_the_timeout(server: ModelServer) -> None:
    """A call that gets no answer ends as a timeout at its time."""
    server.mode = "hang"
    failed = failure(provider(server), CompletionRequest(ASK.messages, timeout_s=0.5))
    assert failed.kind == "timeout"
    assert "0.5 s" in failed.message


def test_a_dead_server_cannot_be_reached(server: ModelServer) -> None:
    """A port that nobody listens on is a connection failure."""
    server.die()
    assert failure(provider(server)).kind == "connection"


def test_a_redirect_is_not_followed(server: ModelServer) -> None:
    """A server that points elsewhere does not make the request go there."""
    with ModelServer() as other:
        server.mode, server.target = "redirect", f"{other.base_url}/chat/completions"
        one, two = provider(server), provider(server)
        assert failure(one).kind == "request"
        with pytest.raises(ProviderFailure, match="points elsewhere, where nothing is sent"):
            pieces(two)
        assert other.requests == []


def test_a_key_that_a_server_repeats_is_not_told(server: ModelServer) -> None:
    """A server's error that holds the key is told without it."""
    server.mode, server.said = "key", f"k-123 is no key {'x' * 300} k-123"
    failed = failure(provider(server, api_key_env="KEY"))
    assert "k-123" not in failed.message
    assert "[key] is no key" in failed.message
    assert len(failed.message) < 300


def test_a_whole_answer_counts_though_its_connection_breaks_after_it(server: ModelServer) -> None:
    """What breaks or hangs behind the reason to finish takes nothing from the answer."""
    server.mode = "late-break"
    assert pieces(provider(server)) == ["to", " be", " or", " not", StreamEnd("stop", None)]


def test_only_the_configured_key_is_sent(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is that of the named variable; keys and organisation that the SDK would take from elsewhere stay home."""
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "stray-secret")
    one, keyed = provider(server), provider(server, api_key_env="KEY")
    ask(one, lambda: one.complete(ASK, "m"))
    ask(keyed, lambda: keyed.complete(ASK, "m"))
    assert "stray-secret" not in str(server.headers)
    assert server.headers[1]["authorization"] == "Bearer k-123"


def test_a_proxy_of_the_environment_does_not_see_local_calls(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call to this machine does not go through the proxy that the environment names."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    one = provider(server)
    assert ask(one, lambda: one.complete(ASK, "m")).text == "to be or not"


def test_a_missing_key_is_said_before_anything_is_sent(server: ModelServer) -> None:
    """A variable that is not set is an auth failure that names it."""
    failed = failure(provider(server, api_key_env="NOWHERE"))
    assert (failed.kind, server.requests) == ("auth", [])
    assert "NOWHERE" in failed.message


def test_local_is_loopback_alone() -> None:
    """A provider is local exactly when its address is this machine's loopback."""
    tables = {
        name: {"kind": "openai-compatible", "base_url": url, "models": ["m"]}
        for name, url in {"a": "http://127.0.0.1:1/v1", "b": "https://api.openai.com/v1", "c": "http://[::1]/"}.items()
    }
    opened = open_providers(Settings.model_validate({"providers": tables}))
    assert [(one.name, one.local) for one in opened] == [("a", True), ("b", False), ("c", True)]


@pytest.mark.parametrize("url", ["ftp://x/v1", "http://127.0.0.1@example.org/v1", "http://", "127.0.0.1:80"])
def test_an_address_that_could_mean_another_host_is_refused(url: str) -> None:
    """An address without http, without a host, or with a user before the host is no setting."""
    with pytest.raises(ValueError, match="base_url"):
        ProviderSettings(kind="openai-compatible", base_url=url, models=("m",))


def test_prices_come_from_settings_then_from_the_table(server: ModelServer) -> None:
    """The settings' price holds; a local model is free; a known cloud model has its listed price; others have none."""
    own = provider(server, input_usd=1.0, output_usd=2.0).price("m")
    assert own is not None
    assert (own.input_usd, own.output_usd, own.source) == (1.0, 2.0, "settings")
    here = provider(server).price("m")
    assert here is not None
    assert (here.input_usd, here.source) == (0.0, "this machine")
    cloud = OpenAICompatible(
        "c", ProviderSettings(kind="openai-compatible", base_url="https://api.openai.com/v1", models=("gpt-4o-mini",))
    )
    listed = cloud.price("gpt-4o-mini")
    assert listed is not None
    assert 0 < listed.input_usd < listed.output_usd < 10
    assert cloud.price("no-such-model-of-anybody") is None


def elsewhere(guard: Guard) -> OpenAICompatible:
    """A provider that is not on this machine; nothing listens at its address, which no network knows."""
    table = ProviderSettings(kind="openai-compatible", base_url="http://192.0.2.1:9/v1", models=("m",))
    return OpenAICompatible("far", table, guard=guard)


def test_strict_mode_constructs_no_client_for_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """In strict mode neither a completion nor a health check makes a client for a server elsewhere."""
    import openai

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr(openai, "AsyncOpenAI", refuse)
    one = elsewhere(Guard("strict"))
    assert failure(one).kind == "auth"
    assert not ask(one, one.health).ok


def test_the_guard_sees_what_leaves_and_only_that(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes elsewhere is what the guard gave back; a call to this machine does not pass it."""
    guard = Guard()
    settings = ProviderSettings(kind="openai-compatible", base_url=server.base_url, models=("m",))
    here, far = OpenAICompatible("here", settings, guard=guard), OpenAICompatible("far", settings, guard=guard)
    far.local = False  # the one server that a test can reach plays one that is elsewhere
    ask(here, lambda: here.complete(ASK, "m"))
    assert guard.shown == []
    ask(far, lambda: far.complete(ASK, "m"))
    ask(far, lambda: far.embed(["hello"], "m"))
    assert [one["messages"][1]["content"] for one in server.requests] == ["hello", "*****"]
    assert guard.shown == [("far", "complete"), ("far", "embed")]


def test_the_guard_sees_schema_and_stop_texts(server: ModelServer) -> None:
    """What the guard takes out of a message it takes out of the schema, its names and the texts to stop at too."""
    settings = ProviderSettings(kind="openai-compatible", base_url=server.base_url, models=("m",))
    far = OpenAICompatible("far", settings, guard=Guard())
    far.local = False
    schema = {"properties": {"hello": {"enum": ["hello", "bye"]}}, "required": ["hello"], "maxItems": 3}
    request = CompletionRequest((Message("user", "hello"),), stop=("hello", "END"), json_schema=schema)
    ask(far, lambda: far.complete(request, "m"))
    sent = server.requests[0]
    assert sent["messages"] == [{"role": "user", "content": "*****"}]
    assert sent["stop"] == ["*****", "END"]
    assert sent["response_format"]["json_schema"]["schema"] == {
        "properties": {"*****": {"enum": ["*****", "bye"]}},
        "required": ["*****"],
        "maxItems": 3,
    }


def test_without_the_extra_the_line_that_installs_it_is_named(server: ModelServer) -> None:
    """Where the SDK is not installed, the first call is an error with the exact pip line."""
    script = (
        "import sys; sys.modules['openai'] = None\n"
        "import anyio\n"
        "from aqe.engine.providers import CompletionRequest, Message\n"
        "from aqe.engine.providers.openai_compatible import OpenAICompatible\n"
        "from aqe.engine.settings import ProviderSettings\n"
        f"table = ProviderSettings(kind='openai-compatible', base_url={server.base_url!r}, models=('m',))\n"
        "one = OpenAICompatible('house', table)\n"
        "try:\n"
        "    anyio.run(one.complete, CompletionRequest((Message('user', 'x'),)), 'm')\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert "pip install 'aqe[openai]' [missing-extra]" in done.stdout, done.stderr


def test_importing_the_provider_loads_no_sdk() -> None:
    """Opening providers costs no import of the SDK."""
    script = "import sys, aqe.engine.providers.openai_compatible; print('openai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout == "False\n"


@pytest.mark.services
def test_loading_the_sdk_is_no_time_of_the_model(server: ModelServer, tmp_path: Path) -> None:
    """Where the import of the SDK takes longer than a call may, the first call is answered all the same."""
    script = (
        "import sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'openai':\n"
        "            time.sleep(2.5)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "import anyio\n"
        "from pathlib import Path\n"
        "from aqe.engine.memory import open_store\n"
        "from aqe.engine.providers import CompletionRequest, Message, open_providers\n"
        "from aqe.engine.routing import Router, RouteRequest\n"
        "from aqe.engine.settings import Settings\n"
        f"house = dict(kind='openai-compatible', base_url={server.base_url!r}, models=['m'], timeout_s=2)\n"
        "known = Settings.model_validate({'providers': {'house': house}})\n"
        f"with open_store(Path({str(tmp_path)!r})) as store:\n"
        "    router = Router(open_providers(known), store=store, settings=known)\n"
        "    asked = CompletionRequest((Message('user', 'x'),), timeout_s=2)\n"
        "    routed = anyio.run(router.run, RouteRequest('x', needs_model=True), asked)\n"
        "    print([one.outcome for one in routed.attempts], routed.completion.text)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert done.stdout == "['ok'] to be or not\n", done.stderr


def test_a_user_cannot_select_the_scripted_provider() -> None:
    """No setting makes the provider of the tests."""
    with pytest.raises(ValueError, match="scripted"):
        ProviderSettings.model_validate({"kind": "scripted", "base_url": "http://127.0.0.1/", "models": ["m"]})


def test_an_error_of_the_guard_reaches_the_caller(server: ModelServer) -> None:
    """What the guard refuses is not sent, and its error is not turned into a failure of the provider."""

    class Refusing(Guard):
        def outgoing(self, messages: tuple[Message, ...], *, to: Recipient, purpose: str) -> tuple[Message, ...]:
            raise UserError("No consent.", code="bad-argument")

    one = elsewhere(Refusing())
    with pytest.raises(UserError, match="No consent"):
        ask(one, lambda: one.complete(ASK, "m"))
