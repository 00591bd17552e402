"""What the flaky hunter is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from aqe.agents.advice import Advice
from aqe.agents.gate.evidence import Evidence

Category = Literal[
    "order",
    "async_wait",
    "concurrency",
    "random",
    "unordered",
    "float",
    "time",
    "network",
    "resource",
    "nio",
    "timeout",
]
State = Literal["stable", "flaky", "broken", "skipped", "not-run"]
Witness = Literal["", "runs", "diagnosis", "history"]


@dataclass(frozen=True)
class FlakyRequest:
    """What to hunt through. `paths` are files, folders or node ids (from `cwd`, then from the project); none means all.

    `runs` whole-suite runs are made, and at most fifteen sessions more to find causes. `test` asks for one test: the
    suite is run all the same, and only that test is diagnosed and told, also when no run made it flip.
    """

    project: str
    paths: tuple[str, ...] = ()
    runs: int = 12
    seed: int = 0
    budget_s: float | None = None
    python: str | None = None
    cwd: str | None = None
    test: str | None = None


@dataclass(frozen=True)
class TestVerdict:
    """What the runs say of one test.

    `verdict` is "flaky" where a flip was witnessed (`witnessed` says where), "broken" where every run was red.
    `polluters` are tests after which it fails, `setters` those without which it fails; the smallest such set, checked
    three times of three. `score` is the posterior probability that it is flaky (see `statistics`), `failure_rate` the
    share of its runs that were red. `repro` is a command for a shell in the project's folder that ends with a status
    other than 0 when it has shown the failure. `passed`, `failed`: whole runs and diagnosis together.
    """

    __test__ = False

    flaky: bool
    verdict: State
    category: Category | None = None
    polluters: tuple[str, ...] = ()
    score: float = 0.0
    repro: str = ""
    why: str = ""
    setters: tuple[str, ...] = ()
    witnessed: Witness = ""
    passed: int = 0
    failed: int = 0
    failure_rate: float = 0.0
    message: str = ""
    path: str = ""
    line: int = 0
    experiments: tuple[str, ...] = ()
    advice: str = ""
    advice_source: str = ""


@dataclass(frozen=True)
class FlakyReport:
    """`executions` counts pytest sessions: `runs` over the whole suite and `diagnosis` more; `test_executions` counts
    single tests in all of them. `shown` counts the commands (`repro`) that were run once more, each in a process of its
    own, before their verdict stood. `partial` is True where the budget or the user ended the hunt early.
    """

    tests: dict[str, TestVerdict]
    executions: int
    runs: int
    diagnosis: int
    test_executions: int
    flaky: int
    broken: int
    stable: int
    duration_s: float
    seed: int
    partial: bool
    isolation: str
    evidence: Evidence
    notes: tuple[str, ...] = field(default=())
    shown: int = 0
    advice: tuple[Advice, ...] = ()

    @property
    def flaky_ids(self) -> tuple[str, ...]:
        """The node ids of the flaky tests, in the report's order."""
        return tuple(nodeid for nodeid, test in self.tests.items() if test.flaky)
