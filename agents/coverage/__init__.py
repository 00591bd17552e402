"""Coverage: what the project's tests do not reach, ranked by risk, and what they reach of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
