"""The care of a store's file: backups, snapshots, what differs, what is wrong with it, and its way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.engine.memory.care.backup import BackupReport, back_up
    from aqe.engine.memory.care.comparing import DiffReport, compare
    from aqe.engine.memory.care.place import Place, place_of
    from aqe.engine.memory.care.repairing import RepairReport, repair
    from aqe.engine.memory.care.restoring import RestoreReport, restore
    from aqe.engine.memory.care.snapshots import RollbackReport, Snapshot, list_snapshots, roll_back, take_snapshot
    from aqe.engine.memory.care.verifying import Finding, VerifiedStore, verify

_HOMES = {
    "BackupReport": "backup",
    "DiffReport": "comparing",
    "Finding": "verifying",
    "Place": "place",
    "RepairReport": "repairing",
    "RestoreReport": "restoring",
    "RollbackReport": "snapshots",
    "Snapshot": "snapshots",
    "VerifiedStore": "verifying",
    "back_up": "backup",
    "compare": "comparing",
    "list_snapshots": "snapshots",
    "place_of": "place",
    "repair": "repairing",
    "restore": "restoring",
    "roll_back": "snapshots",
    "take_snapshot": "snapshots",
    "verify": "verifying",
}

__all__ = [
    "BackupReport",
    "DiffReport",
    "Finding",
    "Place",
    "RepairReport",
    "RestoreReport",
    "RollbackReport",
    "Snapshot",
    "VerifiedStore",
    "back_up",
    "compare",
    "list_snapshots",
    "place_of",
    "repair",
    "restore",
    "roll_back",
    "take_snapshot",
    "verify",
]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
