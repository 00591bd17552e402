"""What was executed and measured, in one frozen value that every face prints and every agent trusts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["stable", "failing", "flaky", "passes-on-broken-twin", "xfail", "not-run"]
MutantState = Literal["killed", "survived", "not-covered", "left-out"]


@dataclass(frozen=True)
class MutantResult:
    """One mutant. `line` is 1-based; `killed_by` names tests; `reason`: why it is (or may be) left out."""

    id: str
    operator: str
    path: str
    line: int
    function: str
    original: str
    replacement: str
    state: MutantState
    killed_by: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class TestEvidence:
    """One test. `name` is `file.py::test[case]`; counts are of the subject only.

    `passed` counts runs in which it passed without a mark that expects it to fail: only "stable" tests are measured
    and kill mutants. A verdict "xfail" means that it failed as expected, or passed where failure is expected but not
    demanded (strict): it can never turn a run red, so it proves nothing.

    `adds_*` count what no other test of the run reaches; `nearest` is the other test that shares most of it.
    """

    __test__ = False

    name: str
    verdict: Verdict
    passed: int
    runs: int
    duration_ms: float
    lines: int
    branches: int
    mutants_killed: int
    adds_lines: int
    adds_branches: int
    adds_kills: int
    nearest: str | None = None
    adds_nothing: bool = False
    message: str = ""


@dataclass(frozen=True)
class SubjectMeasure:
    """Coverage of one subject module by coverage.py, branch mode, over the stable tests only.

    `within` holds the first and last lines that the figures are of; empty where they are of the whole module.
    """

    module: str
    path: str
    sha256: str
    lines_covered: int
    lines_total: int
    branches_covered: int
    branches_total: int
    missing_lines: tuple[int, ...] = ()
    missing_branches: tuple[tuple[int, int], ...] = ()
    within: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The whole proof: what ran, where, how often, and what it showed.

    `rung` names the sandbox rung; `below_namespaces` is True where it is weaker than namespaces. `mutants_total`
    counts mutants that were run or not covered; `mutants_left_out` those set aside as equivalent-looking,
    `mutants_not_run` those for which the budget was too short: they are in no other figure. A subject that could not
    be measured is not in `subjects`.
    """

    aqe_version: str
    python_version: str
    python_executable: str
    packages: dict[str, str]
    rung: str
    below_namespaces: bool
    layers: tuple[str, ...]
    layers_missing: tuple[str, ...]
    seed: int
    hash_seeds: tuple[int, ...]
    runs: int
    budget_s: float | None
    duration_s: float
    subjects: tuple[SubjectMeasure, ...]
    tests: tuple[TestEvidence, ...]
    mutants: tuple[MutantResult, ...]
    mutants_total: int
    mutants_killed: int
    mutants_left_out: int
    notes: tuple[str, ...] = ()
    mutants_not_run: int = 0

    @property
    def lines_percent(self) -> float:
        return _percent(sum(s.lines_covered for s in self.subjects), sum(s.lines_total for s in self.subjects))

    @property
    def branches_percent(self) -> float:
        return _percent(sum(s.branches_covered for s in self.subjects), sum(s.branches_total for s in self.subjects))

    @property
    def mutants_percent(self) -> float:
        return _percent(self.mutants_killed, self.mutants_total)


def _percent(part: int, whole: int) -> float:
    return 100.0 if whole == 0 else 100.0 * part / whole
