"""How a budget is spent: search first, then rendering and verification, and a hard end whatever the code does."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

SEARCH_SHARE = 0.45
MIN_VERIFY_S = 4.0
NEEDED_S = 3.0
ROUND_S = 1.5  # a verification without any test: boxes, imports
CASE_S = 0.04  # what one more case adds to it
LEAST_CASES = 24
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

    def verify_s(self, now_s: float, load: float = 1.0) -> float | None:
        """Time of one verification: what is left of the budget, and a fifth of it where less is left.

        On a busy machine it may go beyond the budget, so that mutants are measured there too.
        """
        if self.budget_s is None:
            return None
        left = max(self.budget_s / 5, min(MIN_VERIFY_S, self.budget_s), self.budget_s - (now_s - self.started_s))
        end = self.started_s + 1.5 * self.budget_s + 4.0 - now_s
        return max(left, min(left * min(2.0, math.sqrt(load)), end))

    def hard_end_s(self) -> float | None:
        """When everything is killed (monotonic): 1.5 budgets and 10 seconds after the start; the command has 15."""
        return None if self.budget_s is None else self.started_s + 1.5 * self.budget_s + 10.0

    def most_cases(self, now_s: float, load: float = 1.0) -> int | None:
        """How many cases one verification can take with time left for mutants; None where no clock cuts.

        `load` is the number of processes that want one of this machine's processors.
        """
        seconds = self.verify_s(now_s)
        return (
            None
            if seconds is None
            else max(LEAST_CASES, int((0.7 * seconds / math.sqrt(max(1.0, load)) - ROUND_S) / CASE_S))
        )

    def may_verify_again(self, now_s: float, took_s: float, *, is_needed: bool) -> bool:
        """Whether one more verification, which takes about `took_s`, may start.

        More evidence has to fit in the budget; a file that has not stood whole yet is worth time up to the hard end.
        """
        end = self.hard_end_s()
        if end is None or self.budget_s is None:
            return True
        return now_s + max(NEEDED_S, took_s) < (end if is_needed else self.started_s + self.budget_s)


def machine_load() -> float:
    """Processes that want a processor, for each processor; 1.0 where the system does not tell."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (AttributeError, OSError):
        return 1.0
