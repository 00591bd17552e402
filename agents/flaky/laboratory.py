"""Experiments with single tests: the same test under the same conditions, or with one of them changed.

A warm session stands for a hash seed and a zone; at most `MOST_SESSIONS` of them are started, and together they run no
more tests than as many whole runs would (or `LEAST_TESTS`, in a small suite).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aqe.agents.flaky.runs import Heard, Observation, Session, Suite

MOST_SESSIONS = 15
LEAST_TESTS = 4000
SLACK_S = 5.0


@dataclass(frozen=True)
class Conditions:
    """What differs from the usual: hash seed, zone (a POSIX string; `cold_zone`: set before Python starts), how often
    the tests run in their process, one seed for all random numbers, and (`fresh`, a number above 0) the session with
    that number, whose files and temporary folder no other has touched. `apart`: an empty temporary folder for each run.
    """

    hash_seed: int | None = None
    zone: str | None = None
    cold_zone: bool = False
    times: int = 1
    entropy: int | None = None
    fresh: int = 0
    apart: bool = False


USUAL = Conditions()


class OutOfExperiments(Exception):
    """Sessions, tests or time that experiments may take are used up."""


class Laboratory:
    """Asks warm sessions; counts what that takes."""

    def __init__(self, suite: Suite, tests: int, seconds: dict[str, float], deadline: float, hash_seed: int) -> None:
        self._suite = suite
        self._seconds = seconds
        self._deadline = deadline
        self._left = MOST_SESSIONS * tests + LEAST_TESTS
        self._sessions: dict[tuple[int, str | None, int], Session] = {}
        self.started = 0
        self.out_of_time = False
        self.ran = 0
        self.hash_seed = hash_seed

    def run(self, ids: Sequence[str], under: Conditions = USUAL) -> dict[str, list[Observation]]:
        """Each attempt of each of these tests, run in this order in a process of their own.

        Raises `OutOfExperiments`.
        """
        self.out_of_time = self.out_of_time or time.monotonic() >= self._deadline
        if self.out_of_time or self._left < len(ids) * under.times:
            raise OutOfExperiments
        heard = self._ask(self._session(under), ids, under)
        count = sum(map(len, heard.attempts.values()))
        self.ran += count
        self._left -= max(count, 1)
        return heard.attempts

    def last(self, ids: Sequence[str], under: Conditions = USUAL) -> Observation | None:
        """The last of these tests, run in this order; None where it did not come to run."""
        found = self.run(ids, under).get(ids[-1])
        return found[-1] if found else None

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _session(self, under: Conditions) -> Session:
        seed = self.hash_seed if under.hash_seed is None else under.hash_seed
        key = (seed, under.zone if under.cold_zone else None, under.fresh)
        found = self._sessions.get(key)
        if found is not None and found.alive:
            return found
        if found is not None:
            found.close()
        if self.started >= MOST_SESSIONS:
            raise OutOfExperiments
        self.started += 1
        temporary = tempfile.mkdtemp(prefix="f", dir=self._suite.folder) if under.fresh else None
        wall_s = max(1.0, self._deadline + SLACK_S - time.monotonic())
        self._sessions[key] = Session(self._suite, seed, key[1], wall_s, temporary)
        return self._sessions[key]

    def _ask(self, session: Session, ids: Sequence[str], under: Conditions) -> Heard:
        expected = under.times * sum(self._seconds.get(name, 0.1) for name in ids)
        wall_s = min(4 * expected + self._suite.test_wall_s + SLACK_S, max(1.0, self._deadline - time.monotonic()))
        folder = tempfile.mkdtemp(prefix="a", dir=self._suite.folder) if under.apart else None
        heard = session.ask(
            ids, wall_s=wall_s, zone=under.zone, times=under.times, entropy=under.entropy, folder=folder
        )
        if heard is None:
            raise OutOfExperiments
        return heard
