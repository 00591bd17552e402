"""Conversations that are kept: their turns, their budget of tokens, and what a follow-up can use again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
