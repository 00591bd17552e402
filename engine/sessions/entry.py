"""What a session is made of, checked at the door."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from aqe.engine.errors import UserError

TurnRole = Literal["system", "user", "assistant", "context"]
ROLES: tuple[TurnRole, ...] = ("system", "user", "assistant", "context")
"""`context` is a text that the caller gave the session to answer from; models see it as a system message."""

NAME_BYTES = 100
_NAME = re.compile(r"[^\s/\\\x00-\x1f\x7f\ud800-\udfff][^/\\\x00-\x1f\x7f\ud800-\udfff]*")

State = Literal["open", "ended", "expired"]


@dataclass(frozen=True)
class Turn:
    """One turn. `position` counts from 0 in its session; `tokens` as the engine counts them; `created_at` in UTC
    microseconds; `request_id` names the answer that an assistant's turn is."""

    position: int
    role: TurnRole
    text: str
    tokens: int
    created_at: int
    request_id: str | None = None


@dataclass(frozen=True)
class Session:
    """A conversation. Times are UTC microseconds; `bytes` are those of its turns; `summarised` of its turns stand in
    `summary` (made by `summary_method`), and are kept all the same."""

    id: str
    name: str
    state: State
    turns: int
    tokens: int
    bytes: int
    token_budget: int
    created_at: int
    used_at: int
    expires_at: int | None
    metadata: dict[str, Any] = field(default_factory=dict)
    summary: str = ""
    summarised: int = 0
    summary_method: str = ""
    worktree: str = ""
    commit: str = ""


@dataclass(frozen=True)
class SessionHit:
    """A turn that a search over the sessions found; `score` is at most 1."""

    session: str
    turn: Turn
    score: float


def check_name(name: str) -> str:
    """`name` if it can name a session; raises `UserError` (bad-session)."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name.encode("utf-8")) > NAME_BYTES:
        raise UserError(
            f"{name!r:.140} is no name for a session.",
            code="bad-session",
            fix=f"Give 1 to {NAME_BYTES} bytes without slashes and control characters, not beginning with a space.",
        )
    return name


def check_role(role: str) -> TurnRole:
    """`role` if a turn can have it; raises `UserError` (bad-session)."""
    found = next((known for known in ROLES if known == role), None)
    if found is None:
        raise UserError(f"{role!r:.140} is no role of a turn.", code="bad-session", fix=f"Give {', '.join(ROLES)}.")
    return found
