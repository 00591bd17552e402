"""What the packages that inspired aqe publish, with ours measured beside it on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.server.benchmark.measures import measure
    from aqe.server.benchmark.published import Claim, Source, read_claims
    from aqe.server.benchmark.report import BenchmarkReport, compare, render

_HOMES = {
    "BenchmarkReport": "report",
    "Claim": "published",
    "Source": "published",
    "compare": "report",
    "measure": "measures",
    "read_claims": "published",
    "render": "report",
}

__all__ = ["BenchmarkReport", "Claim", "Source", "compare", "measure", "read_claims", "render"]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
