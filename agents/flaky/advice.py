"""What to do about a flaky test, from the starter knowledge, with the source that it names."""

from __future__ import annotations

from aqe.agents.flaky.report import Category
from aqe.engine.knowledge import Entry, starter_entries

_ENTRIES: dict[Category, str] = {
    "order": "victim-and-polluter",
    "async_wait": "async-wait",
    "concurrency": "race-condition",
    "random": "randomness",
    "unordered": "hash-seed",
    "float": "float-comparison",
    "time": "time-zone",
    "network": "network-flakiness",
    "resource": "resource-leak",
    "nio": "global-state",
    "timeout": "timeout-flakiness",
}
_WITHOUT_CAUSE = "rerun-count"


def advice_for(category: Category | None) -> Entry:
    """The entry of the starter knowledge that tells how to mend a test of this category."""
    wanted = _ENTRIES[category] if category is not None else _WITHOUT_CAUSE
    return next(entry for entry in starter_entries() if entry.id == wanted and entry.namespace == "knowledge/flaky")
