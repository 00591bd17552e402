"""Which model a request goes to, and what happens when it fails: the public names, each loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
