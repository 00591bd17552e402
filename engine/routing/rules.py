"""The rule table: what the router weighs, as data that can be printed and read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from aqe.engine.errors import UserError


@dataclass(frozen=True)
class Weights:
    """What a strategy gives for quality, and takes for cost and latency; `local` is a bonus for this machine."""

    quality: float
    cost: float
    latency: float
    local: float


@dataclass(frozen=True)
class Assumed:
    """What is taken for granted of a tier's models: quality from 0 to 1, latency, and a bound on being right."""

    quality: float
    latency_ms: float
    at_most: float = 1.0


@dataclass(frozen=True)
class Rule:
    """A rule on tasks: keeps one tier, or holds the need within bounds."""

    name: str
    tasks: tuple[str, ...]
    why: str
    tier: Literal["local", "cloud"] | None = None
    need_at_least: float = 0.0
    need_at_most: float = 1.0


@dataclass(frozen=True)
class RuleTable:
    """The whole table; `privacy` says of each class whether a cloud model may see it."""

    strategy: str
    privacy_class: str
    output_tokens: int
    privacy: Mapping[str, bool]
    tiers: Mapping[str, Assumed]
    strategies: Mapping[str, Weights]
    scale_usd: float
    scale_ms: float
    rules: tuple[Rule, ...]

    def for_task(self, task: str | None) -> tuple[Rule, ...]:
        """The rules that apply to a task."""
        return tuple(rule for rule in self.rules if task in rule.tasks)


def rules_text() -> str:
    """The table that comes with aqe, as it was written."""
    return (files("aqe.engine.routing") / "data" / "rules.toml").read_text(encoding="utf-8")


@cache
def shipped_rules() -> RuleTable:
    """The table that comes with aqe."""
    return read_rules(tomllib.loads(rules_text()))


def read_rules(found: Mapping[str, Any]) -> RuleTable:
    """A table from the object of its TOML. Raises `UserError` (bad-setting) with the place of what is wrong."""
    try:
        table = RuleTable(
            strategy=found["defaults"]["strategy"],
            privacy_class=found["defaults"]["privacy"],
            output_tokens=int(found["defaults"]["output_tokens"]),
            privacy={name: bool(one["cloud"]) for name, one in found["privacy"].items()},
            tiers={name: Assumed(**one) for name, one in found["tiers"].items()},
            strategies={name: Weights(**one) for name, one in found["strategies"].items()},
            scale_usd=float(found["scales"]["cost_usd"]),
            scale_ms=float(found["scales"]["latency_ms"]),
            rules=tuple(Rule(**{**one, "tasks": tuple(one["tasks"])}) for one in found.get("rules", ())),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise UserError(
            f"The rule table cannot be read: {exc}.", code="bad-setting", fix="`aqe route --rules` prints a whole one."
        ) from exc
    if table.strategy not in table.strategies or table.privacy_class not in table.privacy:
        raise UserError(
            "The rule table's defaults name a strategy or a privacy class that it does not have.",
            code="bad-setting",
            fix="`aqe route --rules` prints a whole one.",
        )
    return table
