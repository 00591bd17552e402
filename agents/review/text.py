"""A review as plain text for a terminal: the findings, each with its evidence and its id, then figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from aqe.agents.advice import advice_lines
from aqe.agents.review.finding import Finding
from aqe.agents.review.report import ReviewReport
from aqe.engine.terminal import page

WIDTH = 100
SHOWN_OF_AUDIT = 20
MOST_SKIPPED = 6


def text_of(report: ReviewReport, *, verbose: bool = False) -> str:
    """The whole report; `verbose` also lists what was not executed and every finding of an audit."""
    lines = [_title(report)]
    shown = report.findings if verbose or report.scope == "changes" else report.findings[:SHOWN_OF_AUDIT]
    for finding in shown:
        lines += ["", *_finding(finding)]
    more = report.hidden + len(report.findings) - len(shown)
    if more:
        lines += ["", f"{more} more of less certainty{'' if report.hidden else ' (--verbose shows them)'}."]
    lines += ["", *_figures(report, verbose)]
    if report.findings:
        lines += ["", "Keep one from coming back: aqe review --dismiss ID. Mark one as right: aqe review --accept ID."]
    lines += advice_lines(report.advice)
    if report.notes:
        lines += ["", "Notes", *(f"  {note}" for note in report.notes)]
    return page(lines)


def _title(report: ReviewReport) -> str:
    partial = "Partial result: " if report.partial else ""
    many = len(report.findings)
    if report.scope == "tests":
        what = f"{_count(report.figures.tests, 'test')} in {_count(report.figures.files, 'file')}"
        return f"{partial}{what}: {_count(many, 'finding') if many else 'nothing to report'}"
    between = f"{report.base} to {report.head}, {_count(report.changed_lines, 'changed line')}"
    if not many:
        return f"{partial}Nothing to report ({between})"
    return f"{partial}{_count(many, 'finding')}, the most certain first ({between})"


def _finding(finding: Finding) -> Iterator[str]:
    inside = f" in {finding.name}" if finding.name else ""
    yield f"{finding.path}:{finding.line}: {finding.severity}: {finding.rule}{inside}  [{finding.id}]"
    for line in textwrap.wrap(finding.message, WIDTH - 4) or [""]:
        yield f"    {line}"
    for said in finding.evidence:
        for number, line in enumerate(textwrap.wrap(said, WIDTH - 8)):
            yield f"      {'- ' if number == 0 else '  '}{line}"


def _figures(report: ReviewReport, verbose: bool) -> Iterator[str]:
    figures = report.figures
    if report.scope == "changes":
        ran = (
            f"{figures.functions_compared} of {_count(figures.functions_changed, 'changed function')} executed in both"
        )
        tests = f"; {_count(figures.tests, 'test')} run for their branches" if figures.tests else ""
        sandbox = "" if report.evidence.rung == "none" else f"; sandbox: {report.evidence.rung}"
        yield f"  {ran} versions{tests}{sandbox}"
        for one in figures.not_compared if verbose else figures.not_compared[:MOST_SKIPPED]:
            place = f"{one.path}::{one.name}" if one.name else one.path
            yield f"    not executed: {place}: {one.why}"
        rest = 0 if verbose else len(figures.not_compared) - MOST_SKIPPED
        if rest > 0:
            yield f"    and {rest} more (--verbose lists them)"
    elif figures.rules:
        yield "  " + ", ".join(
            f"{rule} {many}" for rule, many in sorted(figures.rules.items(), key=lambda row: -row[1])
        )
    if report.dismissed:
        yield f"  left out: {_count(report.dismissed, 'finding')} dismissed earlier (aqe-review.toml)"
    spent = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in figures.phases_s.items())
    yield f"  {report.evidence.duration_s:.1f} s" + (f" ({spent})" if spent else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
