"""The report of `aqe verify` as plain text: the totals, what does not hold, what to do better; on wish a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from aqe.server.counting import counted

if TYPE_CHECKING:
    from aqe.agents.gate.evidence import Evidence, TestEvidence, Verdict
    from aqe.agents.gate.verify import VerifyReport

WIDEST_NAME = 70
WIDTH = 110
_COUNTED: dict[Verdict, str] = {
    "failing": "failing",
    "flaky": "flaky",
    "passes-on-broken-twin": "proving nothing",
    "xfail": "expected to fail",
    "not-run": "not run",
}
_WORDS = {
    "stable": "stable",
    "failing": "FAILS",
    "flaky": "FLAKY",
    "passes-on-broken-twin": "PROVES NOTHING",
    "xfail": "xfail",
    "not-run": "not run",
}


def text_of(report: VerifyReport, *, verbose: bool = False) -> str:
    """The whole report, ending in a newline; `verbose` adds one row for each test."""
    evidence = report.evidence
    lines = totals(evidence)
    if report.interrupted:
        lines[:0] = ["Stopped by Ctrl-C: the figures are of what was done until then.", ""]
    bad = [test for test in evidence.tests if test.verdict not in ("stable", "xfail", "not-run")]
    if bad:
        lines += ["", "Tests that do not hold"]
        lines += [_judged(test) for test in bad]
    expected = [test for test in evidence.tests if test.verdict == "xfail"]
    if expected:
        lines += ["", "Tests that are expected to fail: they pass nothing, cover nothing and kill nothing here"]
        lines += [_judged(test) for test in expected]
    better = list(report.hints[len(bad) :])
    if any(test.adds_nothing for test in evidence.tests):
        better.append(better.pop(0))  # what may go comes after what is missing
    if better:
        lines += ["", "To do better"]
        lines += [line for hint in better for line in wrap(hint, WIDTH, initial_indent="  ", subsequent_indent="    ")]
    if verbose:
        lines += ["", *table(evidence.tests)]
    lines += ["", *_footer(evidence)]
    if not verbose:
        lines.append("One row for each test: --verbose. Everything: --json.")
    return "\n".join(lines) + "\n"


def totals(evidence: Evidence) -> list[str]:
    """Tests, lines, branches and mutants, one row each, in the form of `aqe generate`."""
    counts = Counter(test.verdict for test in evidence.tests)
    others = ", ".join(f"{counts[verdict]} {word}" for verdict, word in _COUNTED.items() if counts[verdict])
    subjects = ", ".join(subject.module for subject in evidence.subjects)
    rows = [counted(len(evidence.tests), "test") + (f" of {subjects}" if subjects else "")]
    rows.append(_row("stable", counts["stable"], len(evidence.tests), others))
    if evidence.subjects:
        lines = sum(one.lines_covered for one in evidence.subjects), sum(one.lines_total for one in evidence.subjects)
        rows.append(_row("lines", *lines))
        arms = [(one.branches_covered, one.branches_total) for one in evidence.subjects]
        rows.append(_row("branches", sum(one for one, _ in arms), sum(one for _, one in arms)))
    else:
        rows.append("  lines, branches  not measured")
    asides = [f"{evidence.mutants_left_out} left out"] if evidence.mutants_left_out else []
    asides += [f"{evidence.mutants_not_run} not run"] if evidence.mutants_not_run else []
    if evidence.mutants_total:
        rows.append(_row("mutants", evidence.mutants_killed, evidence.mutants_total, ", ".join(["killed", *asides])))
    else:
        rows.append("  mutants     not measured" + (f" ({', '.join(asides)})" if asides else ""))
    return rows


def _row(name: str, part: int, whole: int, rest: str = "") -> str:
    percent = 100.0 * part / whole if whole else 100.0
    return f"  {name:<8} {part:>6} of {whole:<6} {percent:5.1f} %  {rest}".rstrip()


def _judged(test: TestEvidence) -> str:
    why = test.message if len(test.message) <= WIDTH else test.message[: WIDTH - 3] + "..."
    return f"  {_WORDS[test.verdict]:<14}  {test.name}" + (f"\n    {why}" if why else "")


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
