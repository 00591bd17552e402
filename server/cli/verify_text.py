"""The report of `aqe verify` as plain text: a table of the tests, the totals, what to do better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aqe.agents.gate.evidence import Evidence, TestEvidence
    from aqe.agents.gate.verify import VerifyReport

WIDEST_NAME = 70
_WORDS = {
    "stable": "stable",
    "failing": "FAILS",
    "flaky": "FLAKY",
    "passes-on-broken-twin": "PROVES NOTHING",
    "not-run": "not run",
}


def text_of(report: VerifyReport) -> str:
    """The whole report, ending in a newline."""
    evidence = report.evidence
    lines = table(evidence.tests)
    lines += ["", report.summary]
    lines += [f"  {hint}" for hint in report.hints]
    lines += ["", *_footer(evidence)]
    return "\n".join(lines) + "\n"


def table(tests: Sequence[TestEvidence]) -> list[str]:
    """One row for each test: verdict, passes, lines, branches and mutants killed; `+n` is what only it adds."""
    width = min(WIDEST_NAME, max([len(test.name) for test in tests], default=4))
    rows = [f"{'test':<{width}}  {'verdict':<14}  {'passed':>6}  {'lines':>9}  {'branches':>9}  {'kills':>9}"]
    for test in tests:
        name = test.name if len(test.name) <= width else "..." + test.name[3 - width :]
        cells = (
            _with_own(test.lines, test.adds_lines),
            _with_own(test.branches, test.adds_branches),
            _with_own(test.mutants_killed, test.adds_kills),
        )
        figures = "  ".join(f"{cell:>9}" for cell in cells)
        rows.append(f"{name:<{width}}  {_WORDS[test.verdict]:<14}  {test.passed}/{test.runs:<4}  {figures}")
    return rows


def _with_own(count: int, own: int) -> str:
    return f"{count} (+{own})" if own else str(count)


def _footer(evidence: Evidence) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in evidence.packages.items())
    seeds = f"seed {evidence.seed}, {len(evidence.hash_seeds)} hash seeds"
    sandbox = f"Sandbox: {evidence.rung}" + (" (weaker than namespaces)" if evidence.below_namespaces else "")
    lines = [
        f"{sandbox}. Python {evidence.python_version}, {packages}, {seeds}, {evidence.duration_s:.1f} s.",
    ]
    if evidence.layers_missing:
        lines.append(f"Not in force here: {', '.join(evidence.layers_missing)}.")
    lines += [f"Note: {note}." for note in evidence.notes]
    return lines
