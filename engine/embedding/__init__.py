"""Texts as vectors: the built-in static table, and other embedders behind the same protocol."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
