"""Several agents side by side with one report: what a change needs, and the state of a whole project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.agents.fleet.analysis import analyze
    from aqe.agents.fleet.change import run
    from aqe.agents.fleet.report import AnalyzeReport, AnalyzeRequest, Part, RunReport, RunRequest

__all__ = ["AnalyzeReport", "AnalyzeRequest", "Part", "RunReport", "RunRequest", "analyze", "run"]

_HOMES = {
    "AnalyzeReport": "report",
    "AnalyzeRequest": "report",
    "Part": "report",
    "RunReport": "report",
    "RunRequest": "report",
    "analyze": "analysis",
    "run": "change",
}

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
