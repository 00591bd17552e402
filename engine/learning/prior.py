"""The success prior: memories that answers rested on with success rank higher, those that failed lower.

Each mark says how well an answer went, from 0 to 1, for one memory under it. Marks lose half their weight in
`HALF_LIFE_DAYS`; what is left of them is a Beta posterior over a uniform prior, so a single mark moves little and many
move no further than `CAP`. The method is Bayesian smoothing of success rates (Gelman et al., Bayesian Data Analysis,
2013, chapter 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import apsw

from aqe.engine.memory.store import Store
from aqe.engine.settings import Settings

HALF_LIFE_DAYS = 90.0
STRENGTH = 1.0
CAP = 0.6
"""In units of the fused score, whose candidates have a standard deviation of about one."""

_DAY_US = 86_400_000_000
Key = tuple[str, str]
"""A memory: namespace and id."""


@dataclass(frozen=True)
class Mark:
    """How an answer that rested on a memory went: `success` and `weight` from 0 to 1, `at` in UTC microseconds."""

    success: float
    weight: float
    at: int


def prior_of(marks: Iterable[Mark], now: int) -> float:
    """What the marks of one memory add to its fused score, from -CAP to CAP; 0 without marks.

    >>> prior_of([], 0)
    0.0
    >>> round(prior_of([Mark(1.0, 1.0, 0)], 0), 2), round(prior_of([Mark(0.0, 1.0, 0)], 0), 2)
    (0.33, -0.33)
    """
    good = bad = 0.0
    for mark in marks:
        weight = mark.weight * 0.5 ** (max(0, now - mark.at) / (HALF_LIFE_DAYS * _DAY_US))
        good += weight * mark.success
        bad += weight * (1.0 - mark.success)
    mean = (1.0 + good) / (2.0 + good + bad)
    return max(-CAP, min(CAP, STRENGTH * (2.0 * mean - 1.0)))


class MarkedFeedback:
    """How many answers one store has marks of, counted anew when its file changed."""

    def __init__(self) -> None:
        self._known: tuple[int, int] | None = None

    def count(self, connection: apsw.Connection) -> int:
        """The number, in the caller's transaction, which has read something: before that SQLite does not know what
        other connections wrote, and the number may be that of before."""
        version = connection.data_version()
        known = self._known
        if known is None or known[0] != version:
            known = version, int(connection.execute("SELECT count(DISTINCT feedback) FROM marks").get)
            self._known = known
        return known[1]


def success_prior(
    store: Store, settings: Settings, marked: MarkedFeedback | None = None
) -> Callable[[Sequence[Key]], Mapping[Key, float]] | None:
    """What `retrieval.find` asks for the prior of its candidates; None while learning is off or has too few marks.
    `marked` of this store saves who asks often most of the counting."""
    with store.reading() as connection:
        is_known = has_prior(connection, settings, marked or MarkedFeedback())
    return (lambda keys: read_priors(store, keys)) if is_known else None


def has_prior(connection: apsw.Connection, settings: Settings, marked: MarkedFeedback) -> bool:
    """Whether there is such a prior, in the caller's transaction, which has read something."""
    learning = settings.learning
    return learning.enabled and marked.count(connection) >= learning.min_marks


def read_priors(store: Store, keys: Sequence[Key]) -> dict[Key, float]:
    """The priors of those of `keys` that have any mark."""
    now = store.now()
    with store.reading() as connection:
        marks = {key: _marks(connection, key) for key in keys}
    return {key: prior_of(found, now) for key, found in marks.items() if found}


def _marks(connection: apsw.Connection, key: Key) -> list[Mark]:
    sql = "SELECT success, weight, at FROM marks WHERE namespace = ? AND id = ?"
    return [Mark(*row) for row in connection.execute(sql, key)]
