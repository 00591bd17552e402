"""Conversations that are kept: their turns, their budget of tokens, and what a follow-up can use again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.sessions.entry import Session, SessionHit, Turn
    from aqe.engine.sessions.table import SessionLimits, SessionTable

_HOMES = {
    "Session": "entry",
    "SessionHit": "entry",
    "SessionLimits": "table",
    "SessionTable": "table",
    "Turn": "entry",
}

__all__ = [
    "Session",
    "SessionHit",
    "SessionLimits",
    "SessionTable",
    "Turn",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
