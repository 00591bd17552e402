"""Learning from feedback: what users and checks say of answers, and what it does to retrieval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
