"""The reviewer: what a change brought that should be mended, each finding with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.agents.review.finding import Finding, Severity
    from aqe.agents.review.report import NotCompared, ReviewFigures, ReviewReport
    from aqe.agents.review.request import ReviewRequest
    from aqe.agents.review.run import review

__all__ = ["Finding", "NotCompared", "ReviewFigures", "ReviewReport", "ReviewRequest", "Severity", "review"]

_HOMES = {
    "Finding": "finding",
    "NotCompared": "report",
    "ReviewFigures": "report",
    "ReviewReport": "report",
    "ReviewRequest": "request",
    "Severity": "finding",
    "review": "run",
}

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
