"""What every provider of text does, whatever stands behind it, and how it says that it could not.

A provider is a value with a name and a few models; it holds no policy. Which one is asked, how often and in which
order is decided by `aqe.engine.routing`; so a provider never retries by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from aqe.engine.errors import UserError
from aqe.engine.providers.shapes import check_shape
from aqe.engine.ranges import check_range

Role = Literal["system", "user", "assistant"]
Purpose = Literal["query", "complete", "embed"]
"""What text is sent for: a question over the project with the passages found for it, a prompt alone, vectors."""


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class CompletionRequest:
    """What is asked of a model; None leaves a choice to the provider.

    `json_schema` asks for an answer of that shape, and an answer of another one is none. `timeout_s` is the time that
    the whole answer may take, with every retry and every other provider that is tried. `purpose` is what the privacy
    guard asks consent for. Raises `UserError` (bad-argument) for what no model takes.
    """

    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: Mapping[str, Any] | None = None
    timeout_s: float = 60.0
    purpose: Purpose = "complete"

    def __post_init__(self) -> None:
        check_sampling(self.temperature, self.max_tokens, self.timeout_s)
        check_range("top_p", self.top_p, 0, 1)
        check_range("seed", self.seed, -(2**63), 2**63 - 1, whole=True)
        as_stops(self.stop)
        if self.json_schema is not None:
            check_shape(self.json_schema)


def as_stops(stop: str | Sequence[str]) -> tuple[str, ...]:
    """The texts before which an answer stops; one text is one of them. Raises `UserError` (bad-argument).

    >>> as_stops("END"), as_stops(["a", "b"])
    (('END',), ('a', 'b'))
    """
    stops = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, (list, tuple)) else (None,)
    if not all(isinstance(one, str) and one for one in stops):
        raise UserError(
            f"{stop!r:.40} is no text to stop before.", code="bad-argument", fix="Give a text, or a list of texts."
        )
    return tuple(one for one in stops if one is not None)


def check_sampling(temperature: object, max_tokens: object, timeout_s: object) -> None:
    """Raises `UserError` (bad-argument) for what no model takes; None leaves the first two to the provider."""
    check_range("temperature", temperature, 0, 2)
    check_range("max_tokens", max_tokens, 1, 10_000_000, whole=True)
    check_range("time to wait, in seconds", timeout_s, 0.001, 86_400, optional=False)


@dataclass(frozen=True)
class Usage:
    """Tokens of one call as the provider counted them; `estimated` where it did not and they are bytes / 4."""

    input_tokens: int
    output_tokens: int
    estimated: bool = False


@dataclass(frozen=True)
class Completion:
    """A whole answer; `finish_reason` in the provider's words ("stop", "length", ...)."""

    text: str
    model: str
    provider: str
    usage: Usage
    finish_reason: str
    latency_ms: float


@dataclass(frozen=True)
class Health:
    """Whether a provider answers now; `models` are those it offers, `message` says what is wrong."""

    ok: bool
    latency_ms: float
    models: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens in and out; `source` says who names it."""

    input_usd: float
    output_usd: float
    source: str

    def of(self, usage: Usage) -> float:
        """The cost of one call in US dollars.

        >>> Price(2.0, 8.0, "example").of(Usage(1_000, 500))
        0.006
        """
        return (usage.input_tokens * self.input_usd + usage.output_tokens * self.output_usd) / 1_000_000


@dataclass(frozen=True)
class StreamEnd:
    """How a stream of pieces ended: the finish reason in the provider's words, and the tokens where it counted them."""

    finish_reason: str = "stop"
    usage: Usage | None = None


FailureKind = Literal["timeout", "connection", "server", "rate-limit", "auth", "request", "answer", "empty", "misfit"]
"""Timeout: no answer in time. Connection: no answer, or half of one. Server: it failed (5xx). Rate limit: 429. Auth:
401, 403. Request: it refused this very request (other 4xx). Answer: what came back could not be read. Empty: the answer
says nothing. Misfit: it does not have the shape that was asked for."""


class ProviderFailure(Exception):
    """One call failed; the router decides what follows. `retry_after_s` is what the server asked for, if it did."""

    def __init__(self, kind: FailureKind, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s


class Provider(Protocol):
    """What the router asks of a provider."""

    @property
    def name(self) -> str:
        """What the settings call it; it stands in answers, routes and the audit log."""
        ...

    @property
    def kind(self) -> str:
        """What it is made by: "openai-compatible", "scripted"..."""
        ...

    @property
    def local(self) -> bool:
        """Whether nothing that it is given leaves this machine."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it may be asked for."""
        ...

    async def complete(self, request: CompletionRequest, model: str) -> Completion:
        """One whole answer. Raises `ProviderFailure`, or `UserError` where the privacy guard refuses."""
        ...

    def stream(self, request: CompletionRequest, model: str) -> AsyncIterator[str | StreamEnd]:
        """The answer piece by piece, as the model makes it, and where more is known than that it is whole, last of all
        how it ended. Raises as `complete`, also where the answer breaks off."""
        ...

    async def embed(self, texts: Sequence[str], model: str) -> list[list[float]]:
        """One vector for each text. Raises as `complete`."""
        ...

    async def health(self) -> Health:
        """Whether it answers now; never raises `ProviderFailure`."""
        ...

    def price(self, model: str) -> Price | None:
        """What a model costs; None where nobody says."""
        ...

    async def close(self) -> None:
        """Let go of connections; closing twice is nothing."""
        ...


@runtime_checkable
class Loads(Protocol):
    """A provider that has something to load before its first call, such as a library."""

    async def load(self) -> None:
        """Load it, which is no time of a model; raises nothing, since the call says what stands in its way."""
        ...


def estimated_tokens(text: str) -> int:
    """Tokens of a text without a tokenizer: UTF-8 bytes / 4, at least 1 for a text that is not empty.

    >>> estimated_tokens("seventeen bytes..")
    5
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // 4)


def weigh(texts: Sequence[str], count_tokens: Callable[[str], int] = estimated_tokens) -> int:
    """The tokens of some texts together, each counted by itself.

    >>> weigh(["seventeen bytes..", "Grüße"])
    7
    """
    if count_tokens is not estimated_tokens:
        return sum(map(count_tokens, texts))
    return sum([len(text) + 3 >> 2 if text.isascii() else estimated_tokens(text) for text in texts])
