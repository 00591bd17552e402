"""The memory of a project: what is remembered, found again, and where it came from."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
