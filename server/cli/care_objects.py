"""The JSON objects of `aqe memory` commands that care for the store and have no report of their own."""

from __future__ import annotations

from dataclasses import dataclass

from aqe.engine.memory.care.migrating import MigrationReport
from aqe.engine.memory.care.snapshots import Snapshot


@dataclass(frozen=True)
class SnapshotTaken:
    """What `aqe memory snapshot --json` prints; `dropped` are the names of older ones that went for it."""

    snapshot: Snapshot
    dropped: list[str]


@dataclass(frozen=True)
class SnapshotsListed:
    """What `aqe memory snapshots --json` prints, newest first."""

    snapshots: list[Snapshot]


@dataclass(frozen=True)
class Migrated(MigrationReport):
    """What `aqe memory migrate --json` prints: `waiting` memories had no vector of `embedder`, `embedded` got one."""

    waiting: int
    embedded: int
    embedder: str
