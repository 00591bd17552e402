"""What errors that aqe does not raise itself say to the user whose mistake they tell of."""

from __future__ import annotations

import sys

from aqe.engine.errors import UserError
from aqe.engine.project import looping_link


def mistake_of(error: Exception) -> UserError | None:
    """An error of Python or of the kernels in a user's words: a link that leads back to itself (no-such-path), and an
    `AQE_SIMD` that names no path of this machine (bad-setting). None for what is no user's mistake."""
    if (of_link := looping_link(error)) is not None:
        return of_link
    kernels = sys.modules.get("aqe.simd")  # not there: then it is none of its errors
    if kernels is not None and isinstance(error, kernels.PathUnavailable) and str(error).startswith("AQE_SIMD"):
        seen, _, fix = str(error).partition(". ")
        return UserError(f"{seen}.", code="bad-setting", fix=fix)
    return None
