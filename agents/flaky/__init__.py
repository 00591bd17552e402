"""The flaky hunter: runs the suite under varied conditions, says which tests flip, why, and how to see it again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.agents.flaky.hunting import hunt
    from aqe.agents.flaky.quarantine import Quarantined, add_quarantined, read_quarantine, release_quarantined
    from aqe.agents.flaky.report import FlakyReport, FlakyRequest, TestVerdict

__all__ = [
    "FlakyReport",
    "FlakyRequest",
    "Quarantined",
    "TestVerdict",
    "add_quarantined",
    "hunt",
    "read_quarantine",
    "release_quarantined",
]

_HOMES = {
    "FlakyReport": "report",
    "FlakyRequest": "report",
    "Quarantined": "quarantine",
    "TestVerdict": "report",
    "add_quarantined": "quarantine",
    "hunt": "hunting",
    "read_quarantine": "quarantine",
    "release_quarantined": "quarantine",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
