"""The JSON objects of `aqe route`: the models behind their schemas in docs/schemas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class MovedBy:
    """A feature or word of a prompt and its share of the score's log-odds."""

    what: str
    moved: float


@dataclass(frozen=True)
class CandidateShown:
    """A model that was looked at: kept or left out and why; `score` is its worth under the strategy."""

    provider: str
    model: str
    tier: Literal["extractive", "local", "cloud"]
    kept: bool
    why: str
    score: float | None
    quality: float
    cost_usd: float | None
    latency_ms: float


@dataclass(frozen=True)
class RouteShown:
    """What `aqe route PROMPT --json` prints; `score` is the need for a strong model, `scored` that before the rules."""

    score: float
    scored: float
    because: list[MovedBy]
    provider: str
    model: str
    tier: Literal["extractive", "local", "cloud"]
    reason: str
    strategy: str
    privacy: str
    rules: list[str]
    candidates: list[CandidateShown]


@dataclass(frozen=True)
class CallShown:
    """One call for a request: "ok" or how it failed, in which round."""

    provider: str
    model: str
    outcome: str
    message: str
    latency_ms: float
    round: int


@dataclass(frozen=True)
class RouteTaken:
    """A route that a request took; `outcome` is "ok" or an error's code."""

    at: str
    request_id: str
    provider: str
    model: str
    tier: Literal["extractive", "local", "cloud"]
    need: float
    task: str
    outcome: str
    decision: dict[str, Any]
    attempts: list[CallShown]


@dataclass(frozen=True)
class RouteLog:
    """What `aqe route --explain --json` prints without a prompt."""

    routes: list[RouteTaken]


@dataclass(frozen=True)
class RouteRules:
    """What `aqe route --rules --json` prints: the rule table."""

    strategy: str
    privacy_class: str
    output_tokens: int
    privacy: dict[str, bool]
    tiers: dict[str, dict[str, float]]
    strategies: dict[str, dict[str, float]]
    scale_usd: float
    scale_ms: float
    rules: list[dict[str, Any]]
