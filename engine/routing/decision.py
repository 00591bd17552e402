"""What the router is asked and what it answers, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aqe.engine.providers.protocol import Completion

Tier = Literal["extractive", "local", "cloud"]
EXTRACTIVE = "extractive"
"""Name of the provider and of the model that answers a query with found passages alone."""


@dataclass(frozen=True)
class RouteRequest:
    """What the router knows of a request; None leaves a choice to the settings and the rule table.

    `privacy` is a class of the rule table (public, internal, secret); `max_cost_usd` and `max_latency_ms` are for the
    whole answer; `needs_model` is a plain completion, which no found passage can answer.
    """

    prompt: str
    task: str | None = None
    privacy: str | None = None
    max_cost_usd: float | None = None
    max_latency_ms: float | None = None
    strategy: str | None = None
    force: Literal["local", "cloud"] | None = None
    needs_model: bool = False


@dataclass(frozen=True)
class Candidate:
    """One model that was looked at: whether it was kept, why or why not, and what it was judged by.

    `score` is its worth under the strategy (higher is better; None where it was left out), `cost_usd` what the request
    is taken to cost (None: nobody says its price), `quality` from 0 to 1.
    """

    provider: str
    model: str
    tier: Tier
    kept: bool
    why: str
    score: float | None
    quality: float
    cost_usd: float | None
    latency_ms: float


@dataclass(frozen=True)
class Decision:
    """Where a request goes, and why. `score` is the need for a strong model, 0 to 1, after the rules.

    `candidates` holds every model: the kept ones first, in the order in which they are asked, then those left out.
    `rules` names what applied. `strategy` and `privacy` are those in force.
    """

    provider: str
    model: str
    tier: Tier
    score: float
    reason: str
    candidates: tuple[Candidate, ...]
    strategy: str = ""
    privacy: str = ""
    rules: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The candidates that may be asked, the best first."""
        return tuple(candidate for candidate in self.candidates if candidate.kept)


@dataclass(frozen=True)
class Attempt:
    """One call to a model: "ok", or the kind of failure ("busy": no free place within the time), and what was said."""

    provider: str
    model: str
    outcome: str
    message: str
    latency_ms: float
    round: int


@dataclass(frozen=True)
class Routed:
    """An answer with the decision that led to it and every call that was made for it, the last one good.

    `cost_usd` is what the answer cost by its usage, None where its price is not known. Both hold the answers too that
    were thrown away before it, since they said nothing or missed the shape that was asked for.
    """

    completion: Completion
    decision: Decision
    attempts: tuple[Attempt, ...] = field(default=())
    cost_usd: float | None = None
