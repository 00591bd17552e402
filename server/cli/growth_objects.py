"""The JSON objects of `aqe memory pin`, `unpin`, `merge` and `prune`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aqe.engine.memory import rfc3339
from aqe.engine.memory.growth.merging import Merge

if TYPE_CHECKING:
    from aqe.engine.memory.growth.log import Growth
    from aqe.engine.memory.growth.pruning import Pruned, PrunePlan


@dataclass(frozen=True)
class PinShown:
    """Whether a memory is pinned now, and whether that is new."""

    id: str
    namespace: str
    pinned: bool
    changed: bool


@dataclass(frozen=True)
class MergesShown:
    """The near-duplicates that were found, and how many were merged (none in a dry run)."""

    dry_run: bool
    merged: int
    found: list[Merge]


@dataclass(frozen=True)
class Revived:
    """A memory that was brought back, and its new revision."""

    id: str
    namespace: str
    revision: int


@dataclass(frozen=True)
class PrunableShown:
    """A memory that goes, and why: its worth, how often and when it was recalled, what feedback says (-1 to 1)."""

    id: str
    namespace: str
    text: str
    bytes: int
    worth: float
    recalls: int
    recalled_at: str | None
    quality: float | None


@dataclass(frozen=True)
class PruneShown:
    """What is remembered, the budget (0: none), what goes, and what was done (nothing in a dry run)."""

    dry_run: bool
    memories: int
    bytes: int
    max_memories: int
    max_bytes: int
    goes: list[PrunableShown]
    expired: int
    pruned: int
    erased: int


@dataclass(frozen=True)
class GrowthEntry:
    """One thing that growth did to a memory: when, what (expired, merged, pruned, revived), and the facts."""

    at: str
    what: str
    id: str
    namespace: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class GrowthLog:
    """The last things that growth did, newest first."""

    entries: list[GrowthEntry]


def prune_shown(plan: PrunePlan, done: Pruned | None) -> PruneShown:
    """The object of a plan, and of what was done of it (None: a dry run)."""
    goes = [
        PrunableShown(
            one.id,
            one.namespace,
            one.text,
            one.bytes,
            float(f"{one.worth:.5g}"),
            one.recalls,
            None if one.last_at is None else rfc3339(one.last_at),
            None if one.quality is None else float(f"{one.quality:.5g}"),
        )
        for one in plan.goes
    ]
    counts = (0, 0, 0) if done is None else (done.expired, done.pruned, done.erased)
    return PruneShown(done is None, plan.memories, plan.bytes, plan.max_memories, plan.max_bytes, goes, *counts)


def log_shown(entries: list[Growth]) -> GrowthLog:
    """The object of the log's entries."""
    return GrowthLog([GrowthEntry(rfc3339(one.at), one.what, one.id, one.namespace, one.facts) for one in entries])
