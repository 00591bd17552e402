"""Starter knowledge about testing: what aqe ships, versioned, and what a project added or removed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.engine.knowledge.shelf import Shelved, add_entry, list_entries, refresh, remove_entries, restore_entries
    from aqe.engine.knowledge.starter import NAMESPACES, Entry, starter_entries

_HOMES = {
    "Entry": "starter",
    "NAMESPACES": "starter",
    "Shelved": "shelf",
    "add_entry": "shelf",
    "list_entries": "shelf",
    "refresh": "shelf",
    "remove_entries": "shelf",
    "restore_entries": "shelf",
    "starter_entries": "starter",
}

__all__ = [
    "NAMESPACES",
    "Entry",
    "Shelved",
    "add_entry",
    "list_entries",
    "refresh",
    "remove_entries",
    "restore_entries",
    "starter_entries",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
