"""What changed between two states of a project: by git, or between two folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
