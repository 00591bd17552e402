"""How the tests went lately, as the store has it from every recorded run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aqe.engine.memory.store import Store

_LOOKED_AT = 100_000
_FAILING = frozenset({"failed", "error", "crashed"})
_FORGETTING = 0.5


@dataclass(frozen=True)
class Past:
    """By test: the last outcomes, newest first, and the last duration in seconds."""

    outcomes: Mapping[str, tuple[str, ...]]
    duration_s: Mapping[str, float]

    def failing(self, nodeid: str, mapped: str = "") -> float:
        """How recently the test failed: 1 in its last run, half of that for each run before, 0 where it never did."""
        outcomes = self.outcomes.get(nodeid) or (mapped,)
        age = next((age for age, outcome in enumerate(outcomes) if outcome in _FAILING), None)
        return 0.0 if age is None else _FORGETTING**age


def read_past(store: Store) -> Past:
    """The last outcomes of all tests."""
    outcomes: dict[str, list[str]] = {}
    durations: dict[str, float] = {}
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT nodeid, outcome, duration_s FROM test_runs ORDER BY row DESC LIMIT ?", (_LOOKED_AT,)
        )
        for nodeid, outcome, duration_s in rows:
            outcomes.setdefault(nodeid, []).append(outcome)
            if duration_s is not None:
                durations.setdefault(nodeid, duration_s)
    return Past({nodeid: tuple(found) for nodeid, found in outcomes.items()}, durations)
