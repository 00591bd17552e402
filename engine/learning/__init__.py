"""Learning from feedback: what users and checks say of answers, and what it does to retrieval."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.learning.feedback import Feedback, FeedbackKept, Signal, feedback_figures, file_feedback
    from aqe.engine.learning.prior import Mark, success_prior

_HOMES = {
    "Feedback": "feedback",
    "FeedbackKept": "feedback",
    "Mark": "prior",
    "Signal": "feedback",
    "feedback_figures": "feedback",
    "file_feedback": "feedback",
    "success_prior": "prior",
}

__all__ = ["Feedback", "FeedbackKept", "Mark", "Signal", "feedback_figures", "file_feedback", "success_prior"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
