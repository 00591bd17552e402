"""How a budget is spent: search first, then rendering and verification, and a hard end whatever the code does."""

from __future__ import annotations

from dataclasses import dataclass

SEARCH_SHARE = 0.5
MIN_VERIFY_S = 4.0
NEEDED_S = 3.0
MIN_MODULE_S = 0.5
UNLIMITED_SEARCH_S = 900.0


@dataclass(frozen=True)
class Plan:
    """Seconds of wall time. `budget_s` is None in the counted form (`--evaluations`), which no clock cuts.

    `started_s` is the reading of a monotonic clock after the first import.
    """

    budget_s: float | None
    started_s: float

    def search_s(self, now_s: float, modules_left: int) -> float | None:
        """The share of the next module: what is left of the search time, evenly over the modules still to come."""
        if self.budget_s is None:
            return None
        left = self.budget_s * SEARCH_SHARE - (now_s - self.started_s)
        return max(MIN_MODULE_S, left / max(1, modules_left))

    def may_search(self, now_s: float) -> bool:
        """Whether another module can still be searched within the search time."""
        return self.budget_s is None or now_s - self.started_s < self.budget_s * SEARCH_SHARE

    def verify_s(self, now_s: float) -> float | None:
        """Time of one verification: what is left of the budget, and a fifth of it where less is left."""
        if self.budget_s is None:
            return None
        return max(self.budget_s / 5, min(MIN_VERIFY_S, self.budget_s), self.budget_s - (now_s - self.started_s))

    def hard_end_s(self) -> float | None:
        """When everything is killed (monotonic): 1.5 budgets and 10 seconds after the start; the command has 15."""
        return None if self.budget_s is None else self.started_s + 1.5 * self.budget_s + 10.0

    def may_verify_again(self, now_s: float, *, is_needed: bool) -> bool:
        """Whether one more verification may start: within the budget, or, if nothing stood yet, before the hard end."""
        end = self.hard_end_s()
        if end is None or self.budget_s is None:
            return True
        return now_s + NEEDED_S < end if is_needed else now_s < self.started_s + self.budget_s
