"""The memory of a project: what is remembered, found again, and where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.engine.memory.contents import StoreStats
    from aqe.engine.memory.entry import Hit, Kept, Memory, NewMemory, Provenance, SearchAnswer, rfc3339
    from aqe.engine.memory.opening import open_store
    from aqe.engine.memory.store import Store

_HOMES = {
    "Hit": "entry",
    "Kept": "entry",
    "Memory": "entry",
    "NewMemory": "entry",
    "Provenance": "entry",
    "SearchAnswer": "entry",
    "Store": "store",
    "StoreStats": "contents",
    "open_store": "opening",
    "rfc3339": "entry",
}

__all__ = [
    "Hit",
    "Kept",
    "Memory",
    "NewMemory",
    "Provenance",
    "SearchAnswer",
    "Store",
    "StoreStats",
    "open_store",
    "rfc3339",
]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
