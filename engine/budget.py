"""The wall time a command may take: `20`, `20s` or `2m`."""

from __future__ import annotations

import math
import re

from aqe.engine.errors import UserError

_FORM = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(s|m|h)?\s*", re.ASCII | re.IGNORECASE)
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_S = 7 * 86_400.0
"""What systems wait for at a time, and more than any work of aqe takes."""


def parse_budget(text: str | float) -> float:
    """Seconds meant by `text`; raises `UserError` (bad-budget) for anything but a positive time, at most a week.

    >>> parse_budget("20"), parse_budget("20s"), parse_budget("2m"), parse_budget(0.5)
    (20.0, 20.0, 120.0, 0.5)
    """
    seconds = _seconds(text)
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        raise UserError(
            f"The budget {text!r:.60} is not a time.",
            code="bad-budget",
            fix="Give seconds or minutes above zero, like 20, 20s or 2m.",
        )
    if seconds > LONGEST_S:
        raise UserError(
            f"The budget {text!r:.60} is longer than a week.", code="bad-budget", fix="Give at most 168h, or none."
        )
    return seconds


def _seconds(text: str | float) -> float | None:
    if isinstance(text, bool):
        return None
    if isinstance(text, int):
        return float(min(text, 10**9))  # a whole number may be more than a float holds
    if isinstance(text, float):
        return text
    match = _FORM.fullmatch(text)
    return float(match[1]) * _SECONDS[(match[2] or "").lower()] if match else None


def format_budget(seconds: float) -> str:
    """The shortest form that `parse_budget` reads back.

    >>> format_budget(20.0), format_budget(120.0), format_budget(0.5)
    ('20s', '2m', '0.5s')
    """
    if seconds >= 60 and seconds % 60 == 0:
        return f"{int(seconds // 60)}m"
    return f"{seconds:g}s"
