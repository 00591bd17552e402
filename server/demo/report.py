"""What the demo answers with: every step, what was planted and found, and the figures of what was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aqe.server.demo.scoring import Score
from aqe.server.demo.script import Question
from aqe.server.demo.session import Step
from aqe.server.demo.tally import Bar, FlakyTally, GapTally, Lesson, ReviewTally, Selection, Told


@dataclass(frozen=True)
class ModuleResult:
    """What was generated for one module (its full name); figures of all tests together, by coverage.py and mutants."""

    module: str
    files: tuple[str, ...]
    tests: int
    lines_percent: float
    branches_percent: float
    mutants_killed: int
    mutants_total: int
    suspects: int
    executions: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Verification:
    """What `verify_tests` said of all written tests together."""

    tests: int
    stable: int
    runs: int
    hash_seeds: tuple[int, ...]
    lines_percent: float
    branches_percent: float
    mutants_killed: int
    mutants_total: int
    rung: str
    below_namespaces: bool
    python_version: str
    aqe_version: str
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """The question of the demo and its answer; `right` tells whether the planted words are quoted from their file."""

    question: Question
    told: Told
    right: bool


@dataclass(frozen=True)
class DemoReport:
    """The whole demo. `folder` holds the shop, its generated tests and the page; `excerpt` is of one test file.

    `bars` is the table of planted and found, and `met` says that every row of it holds. A part whose tool failed is
    None and has no row; its step says why, and `met` is False.
    """

    folder: str
    page: str
    seed: int
    duration_s: float
    steps: tuple[Step, ...]
    bars: tuple[Bar, ...]
    asked: Asked
    modules: tuple[ModuleResult, ...]
    score: Score
    suspected: int
    planted: int
    flaky: FlakyTally | None
    gaps: GapTally | None
    selection: Selection | None
    review: ReviewTally | None
    lessons: tuple[Lesson, ...]
    met: bool
    verification: Verification
    memories: int
    namespaces: Mapping[str, int]
    jobs: Mapping[str, int]
    test_outcomes: int
    store_bytes: int
    excerpt_file: str
    excerpt: str
