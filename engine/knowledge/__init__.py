"""Starter knowledge about testing: what aqe ships, versioned, and what a project added or removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
