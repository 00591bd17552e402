"""Which runs are made: order, hash seed and zone of each, varied together so that one run tries all three."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

OrderKind = Literal["as it stands", "reversed", "tests", "classes", "modules", "given"]

# POSIX strings need no table of zones. West and east of Greenwich, beyond a day apart, and with odd minutes.
ZONES = ("JST-9", "EST5EDT", "<+14>-14", "<-11>11", "<+0545>-5:45", "PST8PDT", "AEST-10AEDT")
SHUFFLES: tuple[OrderKind, ...] = ("tests", "classes", "modules", "classes", "tests")


@dataclass(frozen=True)
class RunPlan:
    """One whole-suite run. `zone` is a POSIX TZ string, None for the user's own; `twice` runs each test twice."""

    order: OrderKind
    order_seed: int
    hash_seed: int
    zone: str | None
    twice: bool = False

    @property
    def words(self) -> str:
        """The run in words."""
        zone = self.zone or "the machine's zone"
        return f"{self.order}{', each test twice' if self.twice else ''}, hash seed {self.hash_seed}, {zone}"


BASE = RunPlan("as it stands", 0, 0, None)


def plan_runs(count: int, seed: int) -> list[RunPlan]:
    """The plans of `count` runs: as it stands first, reversed next, then shuffled ones and one with each test twice.

    Forwards and backwards together put each test before and after each other one. The run with each test twice is the
    third, in the order that stands, so that what fails in it fails for being repeated.
    """
    chance = random.Random(f"flaky {seed}")
    seeds = chance.sample(range(1, 1000), max(count, 1))
    zones = [zone for _ in range(-(-count // len(ZONES))) for zone in chance.sample(ZONES, len(ZONES))]
    plans = [BASE]
    for number in range(1, count):
        if number == 1:
            plans.append(RunPlan("reversed", 0, seeds[number], zones[number]))
        elif number == 2 and count > 3:
            plans.append(RunPlan("as it stands", 0, seeds[number], None, twice=True))
        else:
            zone = None if number % 4 == 0 else zones[number]
            plans.append(RunPlan(SHUFFLES[number % len(SHUFFLES)], chance.randrange(1 << 30), seeds[number], zone))
    return plans[:count]
