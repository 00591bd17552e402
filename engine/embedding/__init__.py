"""Texts as vectors: the built-in static table, and other embedders behind the same protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.engine.embedding.embedder import Embedder, open_embedder, similarity
    from aqe.engine.embedding.static import StaticEmbedder
    from aqe.engine.embedding.table import Table, read_table, write_table

_HOMES = {
    "Embedder": "embedder",
    "StaticEmbedder": "static",
    "Table": "table",
    "open_embedder": "embedder",
    "read_table": "table",
    "similarity": "embedder",
    "write_table": "table",
}

__all__ = [
    "Embedder",
    "StaticEmbedder",
    "Table",
    "open_embedder",
    "read_table",
    "similarity",
    "write_table",
]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
