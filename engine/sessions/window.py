"""What a model sees of a session: its summary, the texts it was given, and its last turns, within a token budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aqe.engine.providers.protocol import Message
from aqe.engine.sessions.entry import Session, Turn

SUMMARY_SHARE = 0.25
KEEP_SHARE = 0.5
"""When the turns pass the budget, the oldest are summarised until the rest fills this share of it."""


@dataclass(frozen=True)
class Overflow:
    """Turns to summarise: the first `until` turns of the session, with the texts that are not in its summary yet."""

    until: int
    turns: tuple[Turn, ...]
    token_budget: int


def messages(session: Session, turns: Sequence[Turn]) -> tuple[Message, ...]:
    """The session as OpenAI-style messages: the summary of what is left out, then the turns after it.

    `turns` are those from position `session.summarised` on, oldest first. Given texts come as system messages. The
    oldest turns are left out when all pass the budget; the last one never is.
    """
    left = session.token_budget
    found: list[Message] = []
    for turn in reversed(turns):
        left -= turn.tokens
        if left < 0 and found:
            break
        found.append(as_message(turn))
    if session.summary:
        about = f"Summary of the {session.summarised} turns before (made by {session.summary_method}):"
        found.append(Message("system", f"{about}\n{session.summary}"))
    return tuple(reversed(found))


def as_message(turn: Turn) -> Message:
    """A turn as an OpenAI-style message.

    >>> as_message(Turn(0, "context", "Totals round half up.", 6, 0))
    Message(role='system', content='Context given by the user:\\nTotals round half up.')
    """
    if turn.role == "context":
        return Message("system", f"Context given by the user:\n{turn.text}")
    return Message(turn.role, turn.text)


def overflow(session: Session, turns: Sequence[Turn]) -> Overflow | None:
    """What must be summarised so that the session fits its budget again; None while it fits.

    `turns` are those from position `session.summarised` on, oldest first.
    """
    total = sum(turn.tokens for turn in turns)
    if total <= session.token_budget or len(turns) < 2:
        return None
    cut = 0
    while cut < len(turns) - 1 and total > session.token_budget * KEEP_SHARE:
        total -= turns[cut].tokens
        cut += 1
    until = turns[cut - 1].position + 1
    return Overflow(until, tuple(turns[:cut]), max(16, int(session.token_budget * SUMMARY_SHARE)))
