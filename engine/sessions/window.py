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

LASTING_SHARE = 0.5
"""The share of the budget in which given texts are kept word for word, however long the talk grows."""


@dataclass(frozen=True)
class Overflow:
    """Turns to summarise: the first `until` turns of the session, with the texts that are not in its summary yet; texts
    that last are not among them."""

    until: int
    turns: tuple[Turn, ...]
    token_budget: int


def lasting(session: Session, given: Sequence[Turn], *, count_tokens: Callable[[str], int]) -> tuple[Turn, ...]:
    """The given texts that no summary stands for: the first ones that fit into their share of the budget together.

    `given` are all the texts that the session was given, oldest first. A text that lasts does so whatever comes later.
    """
    left = session.token_budget * LASTING_SHARE
    kept: list[Turn] = []
    for turn in given:
        if (weight := _weight(turn, count_tokens)) <= left:
            kept.append(turn)
            left -= weight
    return tuple(kept)


def messages(
    session: Session, turns: Sequence[Turn], given: Sequence[Turn] = (), *, count_tokens: Callable[[str], int]
) -> tuple[Message, ...]:
    """The session as OpenAI-style messages: the given texts that last, the summary of what is left out, then the turns
    after it.

    `turns` are those from position `session.summarised` on, `given` all given texts, both oldest first. Given texts
    come as system messages. The last turn is always there; beside it come the texts that last, then the summary, then
    the turns before, as far as they fit.
    """
    left = session.token_budget - sum(_weight(turn, count_tokens) for turn in turns[-1:])
    shown = {turn.position for turn in turns[-1:]}
    for turn in lasting(session, given, count_tokens=count_tokens):
        if turn.position not in shown and (weight := _weight(turn, count_tokens)) <= left:
            shown.add(turn.position)
            left -= weight
    summary = _summary(session, left, count_tokens)
    left -= sum(count_tokens(message.content) for message in summary)
    for turn in reversed(turns):
        if turn.position in shown:
            continue
        left -= _weight(turn, count_tokens)
        if left < 0:
            break
        shown.add(turn.position)
    before = [turn for turn in given if turn.position < session.summarised]
    early, late = ([as_message(turn) for turn in part if turn.position in shown] for part in (before, turns))
    return (*early, *summary, *late)


def as_message(turn: Turn) -> Message:
    """A turn as an OpenAI-style message.

    >>> as_message(Turn(0, "context", "Totals round half up.", 6, 0))
    Message(role='system', content='Context given by the user:\\nTotals round half up.')
    """
    if turn.role == "context":
        return Message("system", f"{GIVEN}{turn.text}")
    return Message(turn.role, turn.text)


def overflow(
    session: Session, turns: Sequence[Turn], given: Sequence[Turn] = (), *, count_tokens: Callable[[str], int]
) -> Overflow | None:
    """What must be summarised so that the session fits its budget again; None while it fits.

    `turns` are those from position `session.summarised` on, `given` all given texts, both oldest first.
    """
    kept = lasting(session, given, count_tokens=count_tokens)
    lasts = {turn.position for turn in kept}
    room = session.token_budget - sum(_weight(turn, count_tokens) for turn in kept)
    weights = [0 if turn.position in lasts else _weight(turn, count_tokens) for turn in turns]
    summary = _summary(session, session.token_budget, count_tokens)
    total = sum(weights)
    if total + sum(count_tokens(message.content) for message in summary) <= room:
        return None
    cut = 0
    while cut < len(turns) - 1 and total > room * KEEP_SHARE:
        total -= weights[cut]
        cut += 1
    summarised = tuple(turn for turn in turns[:cut] if turn.position not in lasts)
    if not summarised:
        return None
    return Overflow(turns[cut - 1].position + 1, summarised, max(16, int(room * SUMMARY_SHARE)))


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
