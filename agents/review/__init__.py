"""The reviewer: what a change brought that should be mended, each finding with its evidence."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
