"""A server that speaks OpenAI's interface: Ollama, vLLM, llama.cpp, LM Studio, OpenAI itself and many more.

The client is the `openai` SDK (extra `openai`), with its own retries off, no redirects (what is consented for one host
goes to that host), no answer without a bound and, on this machine, no proxy of the environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import anyio

from aqe.engine.errors import UserError
from aqe.engine.extras import missing_extra
from aqe.engine.providers.configured import Egress, is_loopback, origin_of, recipient_of
from aqe.engine.providers.protocol import (
    Completion,
    CompletionRequest,
    Health,
    Message,
    Price,
    ProviderFailure,
    StreamEnd,
    Usage,
    estimated_tokens,
)
from aqe.engine.terminal import one_line

if TYPE_CHECKING:
    from aqe.engine.settings import ProviderSettings

HEALTH_TIMEOUT_S = 5.0
MOST_BYTES = 64 * 2**20
"""The longest body of one answer; a server that sends more is cut."""
MOST_PACKED = 1000
"""How many times longer a body may be than what is sent of it, where the server compresses it unasked."""
MOST_SAID = 200
"""Characters of an error's text that are told."""
MOST_REASON = 40
"""Characters of the reason why an answer ended; the known ones have fewer."""
NOT_REACHED = frozenset(("ConnectError", "ConnectTimeout", "ProxyError"))
"""The errors of the SDK's HTTP client before a request is out."""
MOST_TOKENS = 10**9
"""More than that nobody counted."""
AFTERWARDS_S = 2.0
"""How long a stream that has named its reason to finish is listened to for what was counted."""
OPENAI_HOST = "https://api.openai.com"


class OpenAICompatible:
    """One configured server; its client is made at the first call and belongs to the event loop of that call."""

    kind = "openai-compatible"

    def __init__(
        self,
        name: str,
        settings: ProviderSettings,
        *,
        guard: Egress | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.models = settings.models
        self.local = is_loopback(settings.base_url)
        self.settings = settings
        self.recipient = recipient_of(name, settings)
        self._guard = guard
        self._environ = os.environ if environ is None else environ
        self._client: Any = None
        self._sdk: Any = None

    async def load(self) -> None:
        """Import the SDK and make the client, in a thread: seconds on a slow machine, of which no model is at fault."""
        if self._client is None:
            with suppress(ProviderFailure, UserError):
                await self._open()

    async def complete(self, request: CompletionRequest, model: str) -> Completion:
        """One answer; raises `ProviderFailure`, and `UserError` where the guard or a missing extra says no."""
        request = await self._allowed(request)
        client = await self._open()
        start = time.perf_counter()
        with self._speaking(request.timeout_s):
            answer = await client.chat.completions.create(**self._arguments(request, model))
        latency_ms = 1000 * (time.perf_counter() - start)
        choice = _first(getattr(answer, "choices", None))
        message = getattr(choice, "message", None)
        if message is None:
            raise ProviderFailure("answer", f"{self.name} answered without a message")
        text = _text(self.name, getattr(message, "content", None))
        return Completion(
            text=text,
            model=model,
            provider=self.name,
            usage=_usage(answer) or _estimated(request.messages, text),
            finish_reason=_reason(choice),
            latency_ms=latency_ms,
        )

    async def stream(self, request: CompletionRequest, model: str) -> AsyncIterator[str | StreamEnd]:
        """The pieces of one answer, and how it ended; each may take `request.timeout_s`. Raises as `complete`, and
        where the server closes before it named a reason to finish."""
        request = await self._allowed(request)
        client = await self._open()
        with self._speaking(request.timeout_s):
            chunks = await client.chat.completions.create(**self._arguments(request, model), stream=True)
        finished, usage, seen = "", None, False
        try:
            while True:
                try:
                    with self._speaking(min(request.timeout_s, AFTERWARDS_S) if finished else request.timeout_s):
                        chunk = await anext(chunks, None)
                except ProviderFailure as failure:
                    if finished and failure.kind in ("timeout", "connection"):
                        break  # it was whole already
                    raise
                if chunk is None:
                    break
                choice = _first(getattr(chunk, "choices", None))
                piece = _text(self.name, getattr(getattr(choice, "delta", None), "content", None))
                finished = _reason(choice) or finished
                usage, seen = _usage(chunk) or usage, True
                if piece:
                    yield piece
            if not seen:
                kind = chunks.response.headers.get("content-type", "")[:40] or "nothing"
                raise ProviderFailure("answer", f"{self.name} answered a request for a stream without one ({kind})")
            if not finished:
                raise ProviderFailure("connection", f"{self.name} ended its answer in the middle")
            yield StreamEnd(finished, usage)
        finally:
            with anyio.CancelScope(shield=True):
                await chunks.close()

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """The server's vectors, one for each text. Raises as `complete`."""
        sent = await self._outgoing(tuple(Message("user", text) for text in texts), "embed")
        client = await self._open()
        with self._speaking(self.settings.timeout_s):
            answer = await client.embeddings.create(
                model=model, input=[message.content for message in sent], encoding_format="float"
            )
            vectors = [list(map(float, one.embedding)) for one in sorted(answer.data, key=lambda one: one.index)]
        if len(vectors) != len(texts):
            raise ProviderFailure("answer", f"{self.name} gave {len(vectors)} vectors for {len(texts)} texts")
        return vectors

    async def health(self) -> Health:
        """Asks for the list of models, within 5 seconds; sends nothing of the project, its key only with consent."""
        start = time.perf_counter()
        if not await self._may_reach():
            return Health(False, 0.0, message=f"{self.name} is elsewhere, and may not be asked without your consent")
        try:
            client = await self._open()
            with self._speaking(HEALTH_TIMEOUT_S):
                models = [one.id async for one in client.models.list()]
        except ProviderFailure as failure:
            return Health(False, 1000 * (time.perf_counter() - start), message=failure.message)
        return Health(True, 1000 * (time.perf_counter() - start), models=tuple(sorted(models)))

    def price(self, model: str) -> Price | None:
        """What the settings say, else nothing on this machine, else what genai-prices knows of this address."""
        if self.settings.input_usd is not None and self.settings.output_usd is not None:
            return Price(self.settings.input_usd, self.settings.output_usd, "settings")
        if self.local:
            return Price(0.0, 0.0, "this machine")
        return listed_price(model, self.settings.base_url)

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _allowed(self, request: CompletionRequest) -> CompletionRequest:
        """The request as it may be sent: its messages, and the texts of its schema and of where to stop."""
        if self._guard is None or self.local:
            return request
        from aqe.engine.privacy.structure import texts_of, with_texts

        asked = len(request.messages)
        more = tuple(dict.fromkeys((*request.stop, *texts_of(request.json_schema))))
        sent = await self._outgoing((*request.messages, *(Message("user", text) for text in more)), request.purpose)
        instead = {text: message.content for text, message in zip(more, sent[asked:], strict=True)}
        stop, schema = with_texts(request.stop, instead), with_texts(request.json_schema, instead)
        return replace(request, messages=sent[:asked], stop=tuple(stop), json_schema=schema)

    async def _outgoing(self, messages: tuple[Message, ...], purpose: str) -> tuple[Message, ...]:
        if self._guard is None or self.local:
            return messages
        guard, to = self._guard, self.recipient
        return await anyio.to_thread.run_sync(lambda: guard.outgoing(messages, to=to, purpose=purpose))

    async def _may_reach(self) -> bool:
        if self._guard is None or self.local:
            return True
        return await anyio.to_thread.run_sync(self._guard.may_reach, self.recipient)

    async def _open(self) -> Any:
        if self._client is not None:
            return self._client
        if self._guard is not None and not self._guard.may_leave(self.local):
            raise ProviderFailure("auth", f"{self.name} is elsewhere, and the privacy mode lets nothing leave")
        variable = self.settings.api_key_env
        key = "none" if variable is None else self._environ.get(variable, "")
        if not key:
            raise ProviderFailure("auth", f"the variable {variable} with the key of {self.name} is not set")
        made = await anyio.to_thread.run_sync(self._made, key)
        kept = self._client
        if kept is None:
            self._client = made
            return made
        await made.close()  # another first call was quicker
        return kept

    def _made(self, key: str) -> Any:
        """The SDK's client, with what it would load at its first call. Raises `UserError` (missing-extra)."""
        self._sdk = _sdk(f"The provider {self.name!r}")
        omit = self._sdk.Omit()
        client = self._sdk.AsyncOpenAI(
            api_key=key,
            base_url=self.settings.base_url,
            max_retries=0,
            timeout=self.settings.timeout_s,
            default_headers={"OpenAI-Organization": omit, "OpenAI-Project": omit, "Accept-Encoding": "identity"},
            http_client=self._sdk.DefaultAsyncHttpxClient(
                trust_env=not self.local, follow_redirects=False, event_hooks={"response": [_bound]}
            ),
        )
        _ = client.chat.completions
        return client

    def _arguments(self, request: CompletionRequest, model: str) -> dict[str, Any]:
        most = "max_completion_tokens" if self.settings.base_url.startswith(OPENAI_HOST) else "max_tokens"
        wanted: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            most: request.max_tokens,
            "stop": list(request.stop) or None,
            "seed": request.seed,
        }
        if request.json_schema is not None:
            shape = {"name": "answer", "schema": dict(request.json_schema)}
            wanted["response_format"] = {"type": "json_schema", "json_schema": shape}
        told = [{"role": message.role, "content": message.content} for message in request.messages]
        given = {name: value for name, value in wanted.items() if value is not None}
        return {"model": model, "messages": told, "timeout": request.timeout_s, **given}

    def _line(self, exc: BaseException) -> str:
        """What an error says, on one line and without the key, which a server may repeat."""
        said = _line(exc)
        key = None if self.settings.api_key_env is None else self._environ.get(self.settings.api_key_env)
        return said.replace(key, "[key]")[:MOST_SAID] if key else said[:MOST_SAID]

    @contextmanager
    def _speaking(self, timeout_s: float) -> Iterator[None]:
        """Cut what is inside at its time, and turn the SDK's errors into `ProviderFailure`."""
        sdk = self._sdk
        try:
            with anyio.fail_after(timeout_s):
                yield
        except (TimeoutError, sdk.APITimeoutError):
            raise ProviderFailure("timeout", f"{self.name} gave no answer within {timeout_s:g} s") from None
        except sdk.APIStatusError as exc:
            raise _status_failure(self.name, exc, self._line(exc)) from exc
        except _TooLong:
            raise ProviderFailure("answer", f"{self.name} sent more than {MOST_BYTES >> 20} MB") from None
        except sdk.APIConnectionError as exc:
            why = exc.__cause__ or exc
            if isinstance(why, _TooLong):
                raise ProviderFailure("answer", f"{self.name} sent more than {MOST_BYTES >> 20} MB") from None
            how = "cannot be reached" if type(why).__name__ in NOT_REACHED else "broke off"
            what = f"{self.name} {how} at {origin_of(self.settings.base_url)}: {self._line(why)}"
            raise ProviderFailure("connection", what) from exc
        except (sdk.OpenAIError, ValueError, TypeError, AttributeError, RecursionError) as exc:
            if type(exc) is sdk.APIError:  # said in the middle of a stream
                raise ProviderFailure("server", f"{self.name} failed while it answered: {self._line(exc)}") from exc
            raise ProviderFailure("answer", f"{self.name} answered what cannot be read: {self._line(exc)}") from exc


@cache
def listed_price(model: str, base_url: str) -> Price | None:
    """The price in genai-prices' table for a model of the provider at this address, None where it stands nowhere."""
    try:
        import genai_prices
    except ModuleNotFoundError:
        return None
    small = genai_prices.Usage(input_tokens=1_000, output_tokens=1_000)  # no tier for long contexts
    try:
        found = genai_prices.calc_price(small, model_ref=model, provider_api_url=base_url)
    except LookupError:
        return None
    if found.input_price is None or found.output_price is None:
        return None
    return Price(float(found.input_price) * 1000, float(found.output_price) * 1000, "genai-prices")


def _sdk(who: str) -> Any:
    try:
        import openai
    except ModuleNotFoundError as exc:
        raise missing_extra(who, extra="openai") from exc
    return openai


def _status_failure(name: str, exc: Any, line: str) -> ProviderFailure:
    status = int(exc.status_code)
    said = f"{name} answered {status}: {line}"
    if status == 429:
        return ProviderFailure("rate-limit", said, retry_after_s=retry_after_s(exc.response.headers, datetime.now(UTC)))
    if status in (401, 403):
        return ProviderFailure("auth", said)
    if 300 <= status < 400:
        return ProviderFailure("request", f"{name} answered {status} and points elsewhere, where nothing is sent")
    if status >= 500 or status == 408:
        asked = retry_after_s(exc.response.headers, datetime.now(UTC)) if status == 503 else None
        return ProviderFailure("server", said, retry_after_s=asked)
    return ProviderFailure("request", said)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110: a number or a date), None without a readable one.

    >>> retry_after_s({"retry-after": "2"}, datetime.now(UTC))
    2.0
    >>> retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:10 GMT"}, datetime(2015, 10, 21, 7, 28, tzinfo=UTC))
    10.0
    """
    text = headers.get("retry-after", "").strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


class _TooLong(Exception):
    """A body went over `MOST_BYTES`."""


async def _bound(response: Any) -> None:
    """Cut the body of a response at `MOST_BYTES`, before any of it is read."""
    packed = response.headers.get("content-encoding", "identity") != "identity"  # which nobody asked for
    response.stream = _bounded(response.stream, MOST_BYTES // MOST_PACKED if packed else MOST_BYTES)


def _bounded(stream: Any, most: int) -> Any:
    """The body in pieces, at most so many bytes of it; made by the class that the client's own stream is of."""
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = most
            async for piece in stream:
                left -= len(piece)
                if left < 0:
                    raise _TooLong
                yield piece

        async def aclose(self) -> None:
            await stream.aclose()

    return Bounded()


def _first(choices: Any) -> Any:
    return choices[0] if isinstance(choices, list) and choices else None


def _text(name: str, content: Any) -> str:
    """The text of a message, without half characters and NUL, which no store takes; nothing where there is none, as in
    a call of a tool."""
    if content is None or content == "":
        return ""
    if isinstance(content, str):
        whole = content if content.isascii() else content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "\ufffd")
    raise ProviderFailure("answer", f"{name} answered with {type(content).__name__} in place of a text")


def _reason(choice: Any) -> str:
    """Why an answer ended, "" where that is not told; a server may say anything."""
    return one_line(str(getattr(choice, "finish_reason", None) or ""))[:MOST_REASON]


def _usage(answer: Any) -> Usage | None:
    """The tokens as the server counted them, None where it did not, or counted what cannot be."""
    told = getattr(answer, "usage", None)
    sent, said = getattr(told, "prompt_tokens", None), getattr(told, "completion_tokens", None)
    if not (isinstance(sent, int) and isinstance(said, int)) or min(sent, said) < 0 or max(sent, said) > MOST_TOKENS:
        return None
    return Usage(sent, said)


def _estimated(messages: Sequence[Message], text: str) -> Usage:
    sent = sum(estimated_tokens(message.content) for message in messages)
    return Usage(sent, estimated_tokens(text), estimated=True)


def _line(exc: BaseException) -> str:
    return one_line(" ".join(str(exc).split())) or type(exc).__name__
