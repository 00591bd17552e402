"""What a model sees of a session: its summary, the texts it was given, and its last turns, within a token budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aqe.engine.providers.protocol import Message
from aqe.engine.sessions.entry import Session, Turn

SUMMARY_SHARE = 0.25
KEEP_SHARE = 0.5
"""When summary and turns pass the budget, the oldest turns are summarised until the rest fills this share of it."""

GIVEN = "Context given by the user:\n"
"""What stands before a given text."""


@dataclass(frozen=True)
class Overflow:
    """Turns to summarise: the first `until` turns of the session, with the texts that are not in its summary yet."""

    until: int
    turns: tuple[Turn, ...]
    token_budget: int


def messages(session: Session, turns: Sequence[Turn], *, count_tokens: Callable[[str], int]) -> tuple[Message, ...]:
    """The session as OpenAI-style messages: the summary of what is left out, then the turns after it.

    `turns` are those from position `session.summarised` on, oldest first. Given texts come as system messages. The
    last turn is always there; of the summary comes what fits beside it, of the turns before it those that still fit.
    """
    left = session.token_budget
    summary = _summary(session, left - sum(_weight(turn, count_tokens) for turn in turns[-1:]), count_tokens)
    left -= sum(count_tokens(message.content) for message in summary)
    found: list[Message] = []
    for turn in reversed(turns):
        left -= _weight(turn, count_tokens)
        if left < 0 and found:
            break
        found.append(as_message(turn))
    return (*summary, *reversed(found))


def as_message(turn: Turn) -> Message:
    """A turn as an OpenAI-style message.

    >>> as_message(Turn(0, "context", "Totals round half up.", 6, 0))
    Message(role='system', content='Context given by the user:\\nTotals round half up.')
    """
    if turn.role == "context":
        return Message("system", f"{GIVEN}{turn.text}")
    return Message(turn.role, turn.text)


def overflow(session: Session, turns: Sequence[Turn], *, count_tokens: Callable[[str], int]) -> Overflow | None:
    """What must be summarised so that the session fits its budget again; None while it fits.

    `turns` are those from position `session.summarised` on, oldest first.
    """
    summary = _summary(session, session.token_budget, count_tokens)
    total = sum(_weight(turn, count_tokens) for turn in turns)
    if total + sum(count_tokens(message.content) for message in summary) <= session.token_budget:
        return None
    cut = 0
    while cut < len(turns) - 1 and total > session.token_budget * KEEP_SHARE:
        total -= _weight(turns[cut], count_tokens)
        cut += 1
    if cut == 0:
        return None
    until = turns[cut - 1].position + 1
    return Overflow(until, tuple(turns[:cut]), max(16, int(session.token_budget * SUMMARY_SHARE)))


def _summary(session: Session, room: int, count_tokens: Callable[[str], int]) -> tuple[Message, ...]:
    """The summary as a message, as many of its last sentences as there is room for; none where not one fits."""
    lines = session.summary.splitlines()
    about = f"Summary of the {session.summarised} turns before (made by {session.summary_method}):"
    for first in range(len(lines)):
        content = "\n".join((about, *lines[first:]))
        if count_tokens(content) <= room:
            return (Message("system", content),)
    return ()


def _weight(turn: Turn, count_tokens: Callable[[str], int]) -> int:
    """Tokens of a turn as it is shown."""
    return count_tokens(as_message(turn).content) if turn.role == "context" else turn.tokens
