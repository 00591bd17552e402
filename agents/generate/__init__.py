"""The test generator: reads a subject, searches for telling calls in the sandbox, writes verified pytest files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.agents.generate.gaps import GapsRequest, close_gaps
    from aqe.agents.generate.report import GenerateReport, GenerateRequest, SuspectedBug, Unreached, WorkedGap
    from aqe.agents.generate.run import generate

__all__ = [
    "GapsRequest",
    "GenerateReport",
    "GenerateRequest",
    "SuspectedBug",
    "Unreached",
    "WorkedGap",
    "close_gaps",
    "generate",
]

_HOMES = {
    "GapsRequest": "gaps",
    "GenerateReport": "report",
    "GenerateRequest": "report",
    "SuspectedBug": "report",
    "Unreached": "report",
    "WorkedGap": "report",
    "close_gaps": "gaps",
    "generate": "run",
}

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
