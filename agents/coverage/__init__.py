"""Coverage: what the project's tests do not reach, ranked by risk, and what they reach of a change."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.agents.coverage.report import CoverageReport, CoverageRequest, DiffCoverage, FileDiff, Gap
    from aqe.agents.coverage.run import coverage

__all__ = ["CoverageReport", "CoverageRequest", "DiffCoverage", "FileDiff", "Gap", "coverage"]

_HOMES = {
    "CoverageReport": "report",
    "CoverageRequest": "report",
    "DiffCoverage": "report",
    "FileDiff": "report",
    "Gap": "report",
    "coverage": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
