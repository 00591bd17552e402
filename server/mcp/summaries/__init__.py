"""Words and figures for an assistant, from the JSON report of a finished job: one module for each kind of report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.server.mcp.summaries.telling import agent_of, figures_of, hints_of, list_of, sources_of, summary_of

__all__ = ["agent_of", "figures_of", "hints_of", "list_of", "sources_of", "summary_of"]

_HOMES = {
    "agent_of": "telling",
    "figures_of": "telling",
    "hints_of": "telling",
    "list_of": "telling",
    "sources_of": "telling",
    "summary_of": "telling",
}

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
