"""A moment as users write it: RFC 3339, a date, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from aqe.engine.errors import UserError

_AGO = re.compile(r"(\d{1,9})\s*(s|min|m|h|d|w)(?:\s+ago)?")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = datetime(9999, 12, 30, tzinfo=UTC)


def moment_of(given: str | int | datetime, *, now: int | None = None) -> int:
    """UTC microseconds since 1970 of a moment: those themselves (as in `Memory.valid_from`), a datetime (UTC where it
    names no zone), or a text as `read_moment` takes it. Raises `UserError` (bad-moment).

    >>> moment_of(datetime(1970, 1, 1, 0, 1)), moment_of("1970-01-01"), moment_of(7)
    (60000000, 0, 7)
    """
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= (_LAST - _EPOCH) // _MICROSECOND:
        return given
    text = given.isoformat() if isinstance(given, datetime) else given
    if not isinstance(text, str):
        raise _no_moment(given, now)
    return read_moment(text, now=now)


def read_moment(text: str, *, now: int | None = None) -> int:
    """UTC microseconds since 1970 of `2026-03-01T12:00:00Z`, `2026-03-01` (its beginning in UTC), or with `now` of
    `3h ago` or `2d` (s, m or min, h, d, w). A time without an offset is UTC; one before 1970 is none. Raises
    `UserError` (bad-moment).

    >>> read_moment("1970-01-01T00:00:01.5Z")
    1500000
    >>> read_moment("2min ago", now=180_000_000)
    60000000
    """
    if isinstance(text, str):
        ago = _AGO.fullmatch(text.strip())
        if ago and now is not None:
            return max(0, now - int(ago[1]) * _SECONDS[ago[2]] * 1_000_000)
        try:
            found = datetime.fromisoformat(text.strip())
            at = found.replace(tzinfo=UTC) if found.tzinfo is None else found
            if _EPOCH <= at <= _LAST:
                return (at - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            pass
    raise _no_moment(text, now)


def _no_moment(given: object, now: int | None) -> UserError:
    ways = "2026-03-01, 2026-03-01T12:00:00Z" + ("" if now is None else ", 3h ago or 2d (s, m or min, h, d, w)")
    return UserError(f"{given!r:.80} is no moment.", code="bad-moment", fix=f"Write it as {ways}.")
