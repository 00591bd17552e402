"""What the selector is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from aqe.agents.advice import Advice
from aqe.agents.execute import ExecuteReport
from aqe.agents.gate.evidence import Evidence


@dataclass(frozen=True)
class SelectRequest:
    """Which change: from git reference `since` to the working tree (None: HEAD), or from folder `base` to `head`.

    With `run` the selected tests are run, within `budget_s` seconds where that is given. `python` is an interpreter, an
    environment's folder or a name on PATH; relative folders are sought from `cwd`. With `mapped_only` nothing is
    selected where no map is recorded, in place of the whole suite, and `why` says so. `isolated` runs them on a
    shielded tree, as `aqe execute --isolated` does.
    """

    project: str
    since: str | None = None
    base: str | None = None
    head: str | None = None
    run: bool = False
    budget_s: float | None = None
    python: str | None = None
    cwd: str | None = None
    mapped_only: bool = False
    isolated: bool = False


@dataclass(frozen=True)
class SelectedTest:
    """One test and why the change needs it; `risk` (0 to 1) says how likely it is to notice."""

    nodeid: str
    reason: str
    risk: float


@dataclass(frozen=True)
class SelectReport:
    """The tests in the order of risk, out of `all_tests` that are known.

    `why` says in one sentence what the selection rests on, also where it is empty; `whole_suite` that nothing less
    would have been safe. `run` is the run's report, `not_run` what the budget left out (then `partial`);
    `running` are those of them that had begun and not ended: one of them may hang.
    """

    base: str
    head: str
    tests: tuple[SelectedTest, ...]
    all_tests: int
    whole_suite: bool
    why: str
    changed_files: int
    run: ExecuteReport | None
    not_run: tuple[str, ...]
    partial: bool
    evidence: Evidence
    running: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
