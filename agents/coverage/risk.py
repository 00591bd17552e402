"""The risk of a gap: a weighted sum of what makes an untested function dangerous, by percentile of the project.

    risk = 100 * (0.5 + 0.5 * missing) * sum(weight * factor)

`missing` is the share of the function's lines and branches that no test runs. The factors are in 0..1: for
complexity, callers, recent commits and the number of missing lines the share of the project's functions with a smaller
value, for a public name and for error handling that never runs 0 or 1. Each of them can only raise the risk. Without
git the weight of the commits goes to the others in proportion.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aqe.agents.coverage.report import Level

WEIGHTS: Mapping[str, float] = {
    "complexity": 0.30,
    "callers": 0.20,
    "commits": 0.20,
    "public": 0.10,
    "errors": 0.10,
    "size": 0.10,
}
HIGH_SHARE, MEDIUM_SHARE = 0.10, 0.50
NOTABLE = 0.75


@dataclass(frozen=True)
class Facts:
    """What is known of one function. `missing_share` is in 0..1; `commits` is None where there is no git."""

    complexity: int
    callers: int
    commits: int | None
    missing_lines: int
    missing_share: float
    is_public: bool
    misses_errors: bool


class Population:
    """The values of one fact over all functions of the project."""

    def __init__(self, values: Iterable[float]) -> None:
        self._values = sorted(values)

    def share_below(self, value: float) -> float:
        """The share of the project's functions with a smaller value.

        >>> Population([1, 1, 2, 5]).share_below(2)
        0.5
        """
        return bisect_left(self._values, value) / len(self._values) if self._values else 0.0


@dataclass(frozen=True)
class Project:
    """The populations that the thresholds come from."""

    complexity: Population
    callers: Population
    commits: Population
    size: Population


def factors(facts: Facts, project: Project) -> dict[str, float]:
    """Each factor of the risk in 0..1; without git there is none for commits."""
    found = {
        "complexity": project.complexity.share_below(facts.complexity),
        "callers": project.callers.share_below(facts.callers),
        "public": float(facts.is_public),
        "errors": float(facts.misses_errors),
        "size": project.size.share_below(facts.missing_lines),
    }
    if facts.commits is not None:
        found["commits"] = project.commits.share_below(facts.commits)
    return found


def risk(facts: Facts, project: Project) -> float:
    """The risk from 0 to 100, with one digit."""
    found = factors(facts, project)
    weighed = sum(WEIGHTS[name] * value for name, value in found.items()) / sum(WEIGHTS[name] for name in found)
    return round(100 * (0.5 + 0.5 * facts.missing_share) * weighed, 1)


def level(value: float, all_risks: Sequence[float]) -> Level:
    """A gap's level among all of the project, which are sorted upwards: the first tenth is high, the half medium."""
    above = (len(all_risks) - bisect_right(all_risks, value)) / len(all_risks)
    return "high" if above < HIGH_SHARE else "medium" if above < MEDIUM_SHARE else "low"
