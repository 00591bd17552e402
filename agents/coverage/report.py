"""What is asked of the coverage agent and what it answers: frozen values without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aqe.agents.advice import Advice
from aqe.agents.execute import TestFailure
from aqe.agents.gate.evidence import Evidence

Level = Literal["high", "medium", "low"]


@dataclass(frozen=True)
class CoverageRequest:
    """Whose coverage to measure or to read.

    `paths` are source files or folders (from `cwd`, then from the project) of which gaps are wanted; none means all.
    `since` is a git base for the coverage of changed lines. `top` is how many gaps to report, 0 all. `tests` are test
    files, folders or node ids to run in place of the whole suite. `data` is a data file or JSON report of coverage.py
    that is read instead of running anything. `budget_s` limits the run of the tests, in seconds of wall time.
    """

    project: str
    since: str | None = None
    paths: tuple[str, ...] = ()
    top: int = 20
    budget_s: float | None = None
    python: str | None = None
    cwd: str | None = None
    tests: tuple[str, ...] = ()
    data: str | None = None


@dataclass(frozen=True)
class Gap:
    """A function of which no test reaches all, or the code of a module or class outside its functions.

    `path` is relative to the project and posix; `name` is the qualified name, "<module>" for code outside functions
    and classes. Lines are 1-based. `kind` is "function" where nothing of its body was run, else "branch" where an
    arm is missing, else "line". A branch is (from line, to line); a negative end means leaving the code that starts
    there. `risk` is from 0 to 100 (docs/coverage.md), `level` its place among the gaps of the project, and `reasons`
    say in words what it is made of. `module` and `name` make the target for the generator, "" where it has none.
    """

    path: str
    name: str
    line: int
    end_line: int
    kind: Literal["function", "branch", "line"]
    missing_lines: tuple[int, ...]
    missing_branches: tuple[tuple[int, int], ...]
    risk: float
    level: Level
    reasons: tuple[str, ...]
    complexity: int
    callers: int
    commits: int
    module: str = ""


@dataclass(frozen=True)
class FileDiff:
    """One changed file: its changed lines that are measured, those of them that no test ran, and the missing branches
    that start on a changed line."""

    path: str
    lines: tuple[int, ...]
    missing_lines: tuple[int, ...]
    missing_branches: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class DiffCoverage:
    """Coverage of changed lines. `not_measured` are changed Python files of which nothing was measured.

    Lines are counted as coverage.py counts them: a statement by its first line, without comments and what the
    project's settings exclude. `percent` is 100 where no changed line is measured.
    """

    base: str
    files: tuple[FileDiff, ...]
    lines: int
    lines_covered: int
    percent: float
    not_measured: tuple[str, ...] = ()


@dataclass(frozen=True)
class CoverageReport:
    """Figures over the project's files that are no tests, the riskiest gaps first, and the diff where one was asked.

    `gaps_total` counts all gaps, `gaps` holds the first of them. `tests_*` are of the run (0 with `data`). `partial`
    is True when the time ended the run: then what ran before is measured, and `running` is
    the test that had not ended. `files` counts measured files; `percent` is
    of lines and branches together, as coverage.py's own total counts them.
    """

    gaps: tuple[Gap, ...]
    gaps_total: int
    functions: int
    functions_uncovered: int
    files: int
    lines: int
    lines_covered: int
    lines_percent: float
    branches: int
    branches_covered: int
    branches_percent: float
    percent: float
    diff: DiffCoverage | None
    tests: int
    tests_failed: int
    failures: tuple[TestFailure, ...]
    partial: bool
    evidence: Evidence
    running: str = ""
    notes: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()


def share(part: int, whole: int) -> float:
    """The share in percent; 100 of nothing."""
    return 100.0 if whole == 0 else 100.0 * part / whole
