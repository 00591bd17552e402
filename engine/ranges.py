"""Numbers that a caller may choose, held against their ranges."""

from __future__ import annotations

import math

from aqe.engine.errors import UserError


def check_range(
    name: str, value: object, low: float, high: float, *, whole: bool = False, optional: bool = True
) -> None:
    """Raises `UserError` (bad-argument) unless `value` is a number (a `whole` one) from `low` to `high`, or None where
    it is `optional`.

    >>> check_range("temperature", 0.5, 0, 2)
    """
    if value is None and optional:
        return
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "whole number" if whole else "number"
        most = "" if math.isinf(high) else f" to {high:,.0f}" if whole else f" to {high:g}"
        raise UserError(f"{value!r:.40} is no {name}.", code="bad-argument", fix=f"Give a {what} from {low:g}{most}.")
