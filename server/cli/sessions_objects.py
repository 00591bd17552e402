"""That a question begins a session, as the JSON of every form and for people; the objects of an exported one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class MessageWhole:
    """One turn of an exported session; `request_id` names the answer that it is."""

    role: Literal["system", "user", "assistant", "context"]
    content: str
    created_at: str
    request_id: str | None


@dataclass(frozen=True)
class SummaryWhole:
    """What stands for the first `turns` turns where a model is shown the session (0: there is none)."""

    text: str
    turns: int
    method: str


@dataclass(frozen=True)
class SessionWhole:
    """What `aqe sessions export --json` prints: the session itself, as `import` reads it; times in RFC 3339."""

    format: Literal["aqe.session/1"]
    name: str
    created_at: str
    token_budget: int
    metadata: dict[str, Any]
    summary: SummaryWhole
    messages: list[MessageWhole]


@dataclass(frozen=True)
class SessionWritten:
    """What it prints with --out: the file, and how many turns and bytes are in it."""

    file: str
    name: str
    turns: int
    bytes: int


def begun_object(project: Path, name: str | None) -> dict[str, Any]:
    """What is to be added to an answer where no session had this name before it. Raises `UserError` (bad-session)."""
    from aqe.engine.memory.opening import open_to_read
    from aqe.engine.sessions.names import new_name

    if name is None:
        return {}
    with open_to_read(project) as store:
        found = new_name(store, name)
    return {} if found is None else {"begun": found.shown}


def tell_begun(begun: Mapping[str, Any]) -> None:
    """Say on stderr what `begun_object` found."""
    if begun:
        print(begun["begun"]["told"], file=sys.stderr)
