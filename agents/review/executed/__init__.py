"""Executed review: both versions of what changed run on the same inputs, and what they do differently is shown."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
