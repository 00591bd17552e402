"""What changed between two states of a project: by git, or between two folders."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.agents.changes.changeset import Changes, FileChange
    from aqe.agents.changes.definition import Definition, definition_at, definitions
    from aqe.agents.changes.reading import read_changes, write_base

__all__ = ["Changes", "Definition", "FileChange", "definition_at", "definitions", "read_changes", "write_base"]

_HOMES = {
    "Changes": "changeset",
    "Definition": "definition",
    "FileChange": "changeset",
    "definition_at": "definition",
    "definitions": "definition",
    "read_changes": "reading",
    "write_base": "reading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
