"""Memories out of a store and into one: JSON lines, Markdown, safetensors, and the files of other systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.engine.memory.transfer.detecting import Contents, read_file
    from aqe.engine.memory.transfer.exporting import Exported, export_memories
    from aqe.engine.memory.transfer.importing import Imported, import_memories
    from aqe.engine.memory.transfer.reading import Wanted
    from aqe.engine.memory.transfer.state import StateExported, StateImported, export_state, import_state

_HOMES = {
    "Contents": "detecting",
    "Exported": "exporting",
    "Imported": "importing",
    "StateExported": "state",
    "StateImported": "state",
    "Wanted": "reading",
    "export_memories": "exporting",
    "export_state": "state",
    "import_memories": "importing",
    "import_state": "state",
    "read_file": "detecting",
}

__all__ = [
    "Contents",
    "Exported",
    "Imported",
    "StateExported",
    "StateImported",
    "Wanted",
    "export_memories",
    "export_state",
    "import_memories",
    "import_state",
    "read_file",
]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
