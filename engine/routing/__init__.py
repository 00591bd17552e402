"""Which model a request goes to, and what happens when it fails: the public names, each loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.routing.decision import Attempt, Candidate, Decision, Routed, RouteRequest
    from aqe.engine.routing.log import Route, read_routes
    from aqe.engine.routing.router import RoutedStream, Router
    from aqe.engine.routing.rules import RuleTable, rules_text, shipped_rules
    from aqe.engine.routing.scorer import Need, explain_need, need_of
    from aqe.engine.routing.switches import live_settings

_HOMES = {
    "Attempt": "decision",
    "Candidate": "decision",
    "Decision": "decision",
    "Need": "scorer",
    "Route": "log",
    "RouteRequest": "decision",
    "Routed": "decision",
    "RoutedStream": "router",
    "Router": "router",
    "RuleTable": "rules",
    "explain_need": "scorer",
    "live_settings": "switches",
    "need_of": "scorer",
    "read_routes": "log",
    "rules_text": "rules",
    "shipped_rules": "rules",
}

__all__ = [
    "Attempt",
    "Candidate",
    "Decision",
    "Need",
    "Route",
    "RouteRequest",
    "Routed",
    "RoutedStream",
    "Router",
    "RuleTable",
    "explain_need",
    "live_settings",
    "need_of",
    "read_routes",
    "rules_text",
    "shipped_rules",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
