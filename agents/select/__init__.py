"""The selector: which tests a change needs, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.agents.select.report import SelectedTest, SelectReport, SelectRequest
    from aqe.agents.select.run import select

__all__ = ["SelectReport", "SelectRequest", "SelectedTest", "select"]

_HOMES = {"SelectReport": "report", "SelectRequest": "report", "SelectedTest": "report", "select": "run"}

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
