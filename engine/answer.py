"""What the engine answers, and what its caller may ask for."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from aqe.engine.errors import AqeError, UserError
from aqe.engine.providers.extractive import Citation
from aqe.engine.providers.protocol import Usage, check_sampling
from aqe.engine.ranges import check_range
from aqe.engine.routing.decision import Tier


@dataclass(frozen=True)
class QueryConfig:
    """How a query is answered; None leaves a choice to the settings.

    `k` passages of each place (the index, what was remembered) are looked at; `namespace` narrows it to one namespace,
    or with a slash at its end, as in `index/`, to all below it. `strategy`, `privacy`, `force`, `max_cost_usd` and
    `max_latency_ms` go to the router, which may leave an easy question to the passages whatever `force` says.
    `temperature`, `max_tokens` and `timeout_s` go to a model. With `answer=False` nothing is answered: passages are
    found and the route is decided, which takes a fraction of a millisecond; no model is asked.
    """

    k: int = 16
    namespace: str | None = None
    strategy: str | None = None
    privacy: str | None = None
    force: Literal["local", "cloud"] | None = None
    max_cost_usd: float | None = None
    max_latency_ms: float | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    timeout_s: float = 60.0
    answer: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not 1 <= self.k <= 100:
            raise UserError(f"{self.k!r:.40} is no number of passages.", code="bad-limit", fix="Give 1 to 100.")
        if self.force not in (None, "local", "cloud"):
            raise UserError(f"{self.force!r:.40} is no place.", code="bad-argument", fix="Force local or cloud.")
        if not isinstance(self.answer, bool):
            raise UserError(f"answer={self.answer!r:.40} says neither.", code="bad-argument", fix="Give True or False.")
        check_range("max_cost_usd", self.max_cost_usd, 0, math.inf)
        check_range("max_latency_ms", self.max_latency_ms, 0, math.inf)
        check_sampling(self.temperature, self.max_tokens, self.timeout_s)


@dataclass(frozen=True)
class Verdict:
    """What a caller's check says of an answer. `output` is what the answer gave when it was executed: among several
    samples those with equal outputs count as one answer."""

    passed: bool
    detail: str = ""
    output: str | None = None


@dataclass(frozen=True)
class Timings:
    """Where the time of an answer went, in milliseconds; `total` also holds checks and what is stored."""

    embed: float
    retrieve: float
    route: float
    answer: float
    total: float


@dataclass(frozen=True)
class Sample:
    """One of several answers of a model. Those in one `group` say the same; `verdict` is the caller's check of it."""

    text: str
    group: int
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Answer:
    """An answer with what it rests on.

    `tier` is extractive (sentences of the sources themselves), local or cloud. `answered` is False where the evidence
    is too thin; then `text` says so. `confidence`, from 0 to 1, is the extractive answer's evidence, for a model's
    answer to a query how well the passages support its sentences, for several samples the share that agrees; None
    where nothing can be said. `context` holds the ids of the memories that were given as (namespace, id),
    `context_tokens` what they and the session weigh. `reused` says whether the passages came from the session.
    `verdict` is the caller's check. `cost_usd` is None where nobody says the model's price. Of a query with
    `answer=False` the text is empty, `answered` False, `context` what was found, best first, and tier, provider and
    model are where it would go.
    """

    text: str
    answered: bool
    confidence: float | None
    provider: str
    model: str
    tier: Tier
    route_reason: str
    request_id: str
    session: str | None
    context: tuple[tuple[str, str], ...]
    context_tokens: int
    citations: tuple[Citation, ...]
    usage: Usage
    cost_usd: float | None
    latency_ms: float
    timings: Timings
    finish_reason: str = "stop"
    reused: bool = False
    verdict: Verdict | None = None
    samples: tuple[Sample, ...] = field(default=())


@dataclass(frozen=True)
class BatchItem:
    """One answer of a batch, or why there is none."""

    prompt: str
    answer: Answer | None
    error: AqeError | None


Validate = Callable[[Answer], bool | Verdict | Awaitable[bool | Verdict]]
"""A caller's check of an answer: true, false or a `Verdict`. An AssertionError is a no that says why; any other
exception of it is the caller's own and goes through. Anything else is refused, as None, which a check without `return`
gives, a text or a tuple, of which Python would take any for a yes that is not empty."""
