"""The flaky hunter: runs the suite under varied conditions, says which tests flip, why, and how to see it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
