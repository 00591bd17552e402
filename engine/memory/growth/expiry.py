"""Memories with an end: how long one is to be kept, which are over, and their end in the file.

A memory that is over is found by nothing from that moment on; its row is ended when somebody writes next, or by the
upkeep in the background.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.growth.log import note
from aqe.engine.memory.rows import end_row

if TYPE_CHECKING:
    from aqe.engine.memory.entry import Memory

LONGEST_S = 100 * 366 * 86_400.0
NEVER = "never"
FOR_GOOD = float("inf")
"""The seconds of what is to be kept without an end."""
IN_PASSING = 100
"""Memories that are over and are ended by whoever writes next."""

ALIVE = "(expires_at IS NULL OR expires_at > ?)"
"""The condition on current rows of `memories` that they are not over; its parameter is the time."""

Wanted = tuple[str | None, str, Sequence[object]]
_FIRST = "SELECT min(expires_at) FROM memories WHERE valid_to IS NULL AND expires_at IS NOT NULL"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TTL = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", re.IGNORECASE)


def parse_ttl(ttl: Any) -> float:
    """How long a memory is to be kept, in seconds: a number of them, or a text with its unit like `30d`, `12h`, `45m`,
    `90s`, `2w`.

    Raises `UserError` (bad-ttl).

    >>> parse_ttl("30d") / 86400
    30.0
    """
    if isinstance(ttl, str) and (found := _TTL.fullmatch(ttl)):
        seconds = float(found[1]) * _UNITS[found[2].lower()]
    elif isinstance(ttl, (int, float)) and not isinstance(ttl, bool):
        seconds = float(ttl)
    else:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_S:
        raise UserError(
            f"{ttl!r:.60} is no time to keep a memory for.",
            code="bad-ttl",
            fix="Give a number above zero with its unit s, m, h, d or w, like 30d (at most 100 years), or never.",
        )
    return seconds


def read_ttl(ttl: Any) -> float:
    """As `parse_ttl`, and `FOR_GOOD` for `never`. Raises `UserError` (bad-ttl).

    >>> read_ttl("never")
    inf
    """
    return FOR_GOOD if isinstance(ttl, str) and ttl.strip().lower() == NEVER else parse_ttl(ttl)


def first_end(connection: apsw.Connection) -> int | None:
    """When the first of the current rows is over; None where none has an end."""
    found = connection.execute(_FIRST).get
    return None if found is None else int(found)


def alive(connection: apsw.Connection, wanted: Wanted, now: Callable[[], int]) -> Wanted:
    """What is wanted (namespace, condition on `memories`, its parameters), without the rows that are over. Where none
    is, as nearly always, the condition stays as it was: a search then needs no list of rows."""
    first = connection.execute(_FIRST).get
    if first is None or first > (at := now()):
        return wanted
    namespace, condition, parameters = wanted
    return namespace, f"{condition} AND {ALIVE}" if condition else ALIVE, [*parameters, at]


def is_over(memory: Memory, now: Callable[[], int]) -> bool:
    """Whether a memory's end is past."""
    return memory.expires_at is not None and memory.expires_at <= now()


def end_expired(connection: apsw.Connection, now: int, *, most: int = IN_PASSING) -> int:
    """End up to `most` rows that are over, in the caller's transaction; returns how many were."""
    found: list[Any] = connection.execute(
        "SELECT namespace, id, expires_at FROM memories WHERE valid_to IS NULL AND expires_at IS NOT NULL"
        " AND expires_at <= ? ORDER BY expires_at LIMIT ?",
        (now, most),
    ).fetchall()
    for namespace, id, at in found:
        end_row(connection, namespace, id, int(at), note="expired")
        note(connection, now, "expired", namespace, id, {"expires_at": int(at)})
    return len(found)


def in_batches(work: Callable[[int], int], *, size: int = 1000) -> int:
    """Call `work(size)`, which does at most so many, until it does fewer; returns the sum."""
    done = last = work(size)
    while last >= size:
        last = work(size)
        done += last
    return done
