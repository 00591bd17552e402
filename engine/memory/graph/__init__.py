"""The graph of the memory: typed edges between memories, where they come from, and what they add to a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.engine.memory.graph.edges import (
        Edge,
        GraphFigures,
        Neighbour,
        add_edges,
        neighbours,
        read_figures,
        remove_edges,
    )

_HOMES = {
    "Edge": "edges",
    "GraphFigures": "edges",
    "Neighbour": "edges",
    "add_edges": "edges",
    "neighbours": "edges",
    "read_figures": "edges",
    "remove_edges": "edges",
}

__all__ = ["Edge", "GraphFigures", "Neighbour", "add_edges", "neighbours", "read_figures", "remove_edges"]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
