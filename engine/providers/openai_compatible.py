"""A server that speaks OpenAI's interface: Ollama, vLLM, llama.cpp, LM Studio, OpenAI itself and many more.

The client is the `openai` SDK (extra `openai`), with its own retries off, no redirects (what is consented for one host
goes to that host) and, on this machine, no proxy of the environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import anyio

from aqe.engine.extras import missing_extra
from aqe.engine.providers.configured import Egress, is_loopback, recipient_of
from aqe.engine.providers.protocol import (
    Completion,
    CompletionRequest,
    Health,
    Message,
    Price,
    ProviderFailure,
    Usage,
    estimated_tokens,
)

if TYPE_CHECKING:
    from aqe.engine.settings import ProviderSettings

HEALTH_TIMEOUT_S = 5.0
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

    async def complete(self, request: CompletionRequest, model: str) -> Completion:
        """One answer; raises `ProviderFailure`, and `UserError` where the guard or a missing extra says no."""
        messages = await self._outgoing(request.messages, "complete")
        client = await self._open()
        start = time.perf_counter()
        with self._speaking(request.timeout_s):
            answer = await client.chat.completions.create(**self._arguments(request, messages, model))
        latency_ms = 1000 * (time.perf_counter() - start)
        choices = getattr(answer, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            raise ProviderFailure("answer", f"{self.name} answered without a message")
        text = choices[0].message.content or ""
        return Completion(
            text=text,
            model=model,
            provider=self.name,
            usage=_usage(answer, messages, text),
            finish_reason=choices[0].finish_reason or "",
            latency_ms=latency_ms,
        )

    async def stream(self, request: CompletionRequest, model: str) -> AsyncIterator[str]:
        """The pieces of one answer; each may take `request.timeout_s`. Raises as `complete`."""
        messages = await self._outgoing(request.messages, "complete")
        client = await self._open()
        with self._speaking(request.timeout_s):
            chunks = await client.chat.completions.create(**self._arguments(request, messages, model), stream=True)
        try:
            while True:
                with self._speaking(request.timeout_s):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                piece = chunk.choices[0].delta.content if getattr(chunk, "choices", None) else None
                if piece:
                    yield piece
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
        vectors = [list(one.embedding) for one in sorted(answer.data, key=lambda one: one.index)]
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
        self._sdk = await anyio.to_thread.run_sync(_sdk, f"The provider {self.name!r}")
        omit = self._sdk.Omit()
        self._client = self._client or self._sdk.AsyncOpenAI(
            api_key=key,
            base_url=self.settings.base_url,
            max_retries=0,
            timeout=self.settings.timeout_s,
            default_headers={"OpenAI-Organization": omit, "OpenAI-Project": omit},
            http_client=self._sdk.DefaultAsyncHttpxClient(trust_env=not self.local, follow_redirects=False),
        )
        return self._client

    def _arguments(self, request: CompletionRequest, messages: tuple[Message, ...], model: str) -> dict[str, Any]:
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
        told = [{"role": message.role, "content": message.content} for message in messages]
        given = {name: value for name, value in wanted.items() if value is not None}
        return {"model": model, "messages": told, "timeout": request.timeout_s, **given}

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
            raise _status_failure(self.name, exc) from exc
        except sdk.APIConnectionError as exc:
            why = exc.__cause__ or exc
            raise ProviderFailure("connection", f"{self.name} cannot be reached: {_line(why)}") from exc
        except (sdk.OpenAIError, ValueError, TypeError, AttributeError) as exc:
            raise ProviderFailure("answer", f"{self.name} answered what cannot be read: {_line(exc)}") from exc


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


def _status_failure(name: str, exc: Any) -> ProviderFailure:
    status = int(exc.status_code)
    said = f"{name} answered {status}: {_line(exc)}"
    if status == 429:
        return ProviderFailure("rate-limit", said, retry_after_s=retry_after_s(exc.response.headers, datetime.now(UTC)))
    if status in (401, 403):
        return ProviderFailure("auth", said)
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
    except ValueError:
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def _usage(answer: Any, messages: Sequence[Message], text: str) -> Usage:
    told = getattr(answer, "usage", None)
    if told is not None and told.prompt_tokens is not None and told.completion_tokens is not None:
        return Usage(int(told.prompt_tokens), int(told.completion_tokens))
    sent = sum(estimated_tokens(message.content) for message in messages)
    return Usage(sent, estimated_tokens(text), estimated=True)


def _line(exc: BaseException) -> str:
    return (" ".join(str(exc).split()) or type(exc).__name__)[:200]
