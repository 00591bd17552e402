"""What a hunt says beside its verdicts: what it had too few runs to try, and what only a repetition would show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aqe.agents.flaky.runs import RunSeen

LISTED = 10


def not_tried(runs: Sequence[RunSeen], *, asked: bool) -> list[str]:
    """What so few runs left out; `asked`: experiments with the one test that was asked for made up for it."""
    if not runs or asked:
        return []
    made = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    found = []
    if len(runs) < 2:
        found.append(f"{made}: too few for another order, hash seed or time zone (from 2 runs on)")
    elif len(runs) < 3:
        found.append(f"{made}: too few for a shuffled order (from 3 runs on)")
    if not any(run.plan.twice for run in runs):
        found.append(f"{made}: too few to repeat each test in one process (from 4 runs on)")
    return found + _once(runs)


def _once(runs: Sequence[RunSeen]) -> list[str]:
    once = {name for run in runs for name in run.once}
    if not once:
        return []
    some = "1 test was" if len(once) == 1 else f"{len(once)} tests were"
    return [f"{some} not repeated in one process: an item of another plugin is made for one run"]


def own_parameters(runs: Sequence[RunSeen]) -> list[str]:
    """One line for each function that changes its own parameters, most cases first."""
    cases = Counter(name.partition("[")[0] for name in {name for run in runs for name in run.parameters})
    lines = [
        f"{name} changes its own parameters ({count} case{'' if count == 1 else 's'}): repeated in one process, which "
        "no usual run does, it fails; it is not called flaky for that"
        for name, count in cases.most_common()
    ]
    more = len(lines) - LISTED
    return lines if more <= 0 else [*lines[:LISTED], f"{more} more functions change their own parameters"]
