"""What a run of the generator answers with: frozen values, and their text for a terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from aqe.agents.advice import Advice, advice_lines
from aqe.agents.gate.evidence import Evidence


@dataclass(frozen=True)
class GenerateRequest:
    """What to write tests for, and within which limits.

    `target` is `PATH[::NAME]` or `MODULE[::NAME]`. `budget_s` is wall time in seconds of all work after the first
    import; `evaluations` takes its place and makes the output byte-identical for one `seed` on one Python. `out` is
    the folder of the test files, `suffix` is put at the end of their names. `targets` holds several of them; then
    `target` says in words what they are.
    """

    target: str
    project: str
    out: str | None = None
    budget_s: float | None = 20.0
    seed: int = 0
    evaluations: int | None = None
    python: str | None = None
    suffix: str | None = None
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class SuspectedBug:
    """Behaviour that neither docstring, hint nor `raise` backs; never asserted as right.

    `reproduction` is a snippet that runs as it stands; `line` (1-based) is where the exception left the subject.
    """

    module: str
    target: str
    kind: str
    line: int
    why: str
    reproduction: str
    exception: str = ""
    message: str = ""
    expected: str = ""
    actual: str = ""


@dataclass(frozen=True)
class Unreached:
    """A part of a function that no test runs. `line` is 1-based, 0 for the whole function."""

    module: str
    function: str
    line: int
    why: str


@dataclass(frozen=True)
class WorkedGap:
    """A gap in the coverage of the project's suite, and what the written tests left of it.

    Lines and branches are 1-based; `lines` and `branches` count what was missing before. `state` is "closed" where
    nothing is left, "open" where all is.
    """

    path: str
    name: str
    line: int
    risk: float
    lines: int
    branches: int
    lines_left: tuple[int, ...]
    branches_left: tuple[tuple[int, int], ...]
    state: Literal["closed", "partly", "open"]


@dataclass(frozen=True)
class GenerateReport:
    """The outcome: files written, what proves them, what is suspected and what stayed out of reach.

    `partial` is True when time or Ctrl-C ended the run early; `phases_s` are wall seconds for each phase. `gaps` are
    those that were asked for, the riskiest first.
    """

    target: str
    files: tuple[str, ...]
    tests: int
    evidence: Evidence | None
    suspects: tuple[SuspectedBug, ...]
    unreached: tuple[Unreached, ...]
    executions: int
    phases_s: dict[str, float] = field(default_factory=dict)
    partial: bool = False
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    gaps: tuple[WorkedGap, ...] = ()
    advice: tuple[Advice, ...] = ()


MAX_UNREACHED_LINES = 12


def text_of(report: GenerateReport) -> str:
    """The report as plain text for a terminal, figures first."""
    lines = [*_head(report), *_figures(report), *_gaps(report), *_suspects(report), *_unreached(report)]
    lines += advice_lines(report.advice)
    if report.notes:
        lines += ["", "Notes", *(f"  {note}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def _head(report: GenerateReport) -> list[str]:
    stopped = "Stopped by Ctrl-C: " if report.interrupted else ""
    if not report.files:
        return [f"{stopped}{'no' if stopped else 'No'} test of {report.target} was written."]
    how = stopped or ("partial result: " if report.partial else "")
    tests = _count(report.tests, "test")
    kept = " kept" if stopped else ""
    return [f"{how}{tests} of {report.target}{kept} in {', '.join(report.files)}"]


def _figures(report: GenerateReport) -> list[str]:
    lines: list[str] = []
    evidence = report.evidence
    if evidence is not None:
        covered = sum(subject.lines_covered for subject in evidence.subjects)
        total = sum(subject.lines_total for subject in evidence.subjects)
        arms = sum(subject.branches_covered for subject in evidence.subjects)
        arms_total = sum(subject.branches_total for subject in evidence.subjects)
        if any(one.within for one in evidence.subjects):
            lines.append(f"  figures of {report.target} alone:")
        lines.append(f"  lines     {covered:>5} of {total:<5} {evidence.lines_percent:5.1f} %")
        lines.append(f"  branches  {arms:>5} of {arms_total:<5} {evidence.branches_percent:5.1f} %")
        lines.append(_mutants(evidence, report.interrupted))
        below = " (below namespaces)" if evidence.below_namespaces else ""
        lines.append(
            f"  every test passed {evidence.runs} of {evidence.runs} shuffled runs, sandbox: {evidence.rung}{below}"
        )
    spent = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in report.phases_s.items())
    if spent:
        lines.append(f"  {report.executions} calls tried; {spent}")
    return lines


def _mutants(evidence: Evidence, is_stopped: bool) -> str:
    if not evidence.mutants_total:
        why = "the run was stopped" if is_stopped else "the time went into proving the tests"
        return f"  mutants   none was run: {why}"
    left_out = f", {evidence.mutants_left_out} left out" if evidence.mutants_left_out else ""
    counts = f"{evidence.mutants_killed:>5} of {evidence.mutants_total:<5}"
    return f"  mutants   {counts} {evidence.mutants_percent:5.1f} % killed{left_out}"


def _gaps(report: GenerateReport) -> list[str]:
    if not report.gaps:
        return []
    closed = sum(gap.state == "closed" for gap in report.gaps)
    lines = ["", f"Gaps of the suite: {closed} of {len(report.gaps)} closed, as measured"]
    for gap in report.gaps:
        was = f"{_count(gap.lines, 'line')} and {_count(gap.branches, 'arm')}"
        left = f", {len(gap.lines_left)} and {len(gap.branches_left)} left" if gap.state == "partly" else ""
        lines.append(f"  {gap.state:<6}  {gap.path}:{gap.line}  {gap.name}: {was} missed{left}")
    return lines


def _suspects(report: GenerateReport) -> list[str]:
    if not report.suspects:
        return []
    lines = ["", f"Suspected bugs ({len(report.suspects)}), not asserted by any test"]
    for bug in report.suspects:
        where = f"{bug.module}::{bug.target}" + (f", line {bug.line}" if bug.line else "")
        lines.append(f"  {where}: {bug.why}")
        lines += [f"      {line}" if line else "" for line in bug.reproduction.splitlines()]
    return lines


def _unreached(report: GenerateReport) -> list[str]:
    if not report.unreached:
        return []
    lines = ["", "Not reached"]
    ordered = sorted(
        report.unreached,
        key=lambda item: (item.module, _is_private(item.function), item.function, item.why, item.line),
    )
    for (module, function, why), items in groupby(ordered, key=lambda item: (item.module, item.function, item.why)):
        numbers = sorted({item.line for item in items if item.line})
        at = f" line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}" if numbers else ""
        lines.append(f"  {module}::{function}{at}: {why}")
    shown = lines[: MAX_UNREACHED_LINES + 2]
    rest = len(lines) - len(shown)
    return [*shown, f"  and {_count(rest, 'more place')} (--json lists them)"] if rest > 0 else shown


def _is_private(function: str) -> bool:
    """Whether a name is a helper's: what the user sees of it comes last."""
    return any(part.startswith("_") and not part.endswith("__") for part in function.split("."))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
