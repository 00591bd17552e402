"""Executed review: both versions of what changed run on the same inputs, and what they do differently is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.agents.review.executed.comparing import compare_versions
    from aqe.agents.review.executed.comparison import Comparison, Difference, Skipped

__all__ = ["Comparison", "Difference", "Skipped", "compare_versions"]

_HOMES = {
    "Comparison": "comparison",
    "Difference": "comparison",
    "Skipped": "comparison",
    "compare_versions": "comparing",
}

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
