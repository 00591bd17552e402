"""What is asked of several agents at once, and their one report: frozen values without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aqe.agents.coverage.report import CoverageReport
from aqe.agents.gate.evidence import Evidence
from aqe.agents.review.report import ReviewReport
from aqe.agents.select.report import SelectReport


@dataclass(frozen=True)
class RunRequest:
    """What a change needs: `since` is its git base (None: HEAD), `budget_s` wall time in seconds of all agents."""

    project: str
    since: str | None = None
    budget_s: float | None = None
    seed: int = 0
    python: str | None = None
    cwd: str | None = None


@dataclass(frozen=True)
class AnalyzeRequest:
    """The state of a project: its coverage, the review of what is not committed (or of what changed since `since`),
    and an audit of its tests.

    `top` is how many gaps to report. With `local` nothing leaves this machine, whatever the settings allow: the privacy
    mode is strict for this call, no model elsewhere is asked, and the project's tests have no network but loopback.
    """

    project: str
    since: str | None = None
    budget_s: float | None = None
    top: int = 20
    local: bool = False
    seed: int = 0
    python: str | None = None
    cwd: str | None = None


@dataclass(frozen=True)
class Part:
    """How one agent's work went: done, failed (with the error's code, message, fix and exit status), or left out
    because there was nothing for it to do (`message` says why)."""

    name: str
    state: Literal["done", "failed", "left out"]
    duration_s: float
    message: str = ""
    code: str = ""
    fix: str = ""
    exit_status: int = 0


@dataclass(frozen=True)
class RunReport:
    """What the agents found of a change. A report is None where its part failed or was left out.

    `coverage` is of the run of the selected tests: its diff is that of the change, its gaps are those of functions with
    changed lines. `tests_failed` counts tests of the change that failed.
    """

    base: str
    changed_files: int
    select: SelectReport | None
    coverage: CoverageReport | None
    review: ReviewReport | None
    parts: tuple[Part, ...]
    tests: int
    tests_failed: int
    partial: bool
    duration_s: float
    evidence: Evidence
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnalyzeReport:
    """The state of a project. A report is None where its part failed or was left out."""

    coverage: CoverageReport | None
    review: ReviewReport | None
    audit: ReviewReport | None
    parts: tuple[Part, ...]
    local: bool
    partial: bool
    duration_s: float
    evidence: Evidence
    notes: tuple[str, ...] = ()
