"""The reports of `aqe run` and `aqe analyze` as plain text for a terminal: a line for each agent, then what to mend."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from aqe.agents.advice import advice_lines
from aqe.engine.terminal import page
from aqe.server.cli.coverage_text import WIDEST, diff_lines, gap_lines

if TYPE_CHECKING:
    from aqe.agents.coverage import CoverageReport
    from aqe.agents.fleet import AnalyzeReport, Part, RunReport
    from aqe.agents.review import Finding, ReviewReport

LISTED = 10
GAPS = 5


def run_text(report: RunReport, width: int | None = None) -> str:
    """What a change needs, as `aqe run` prints it."""
    width = min(WIDEST, width or shutil.get_terminal_size((100, 24)).columns)
    files = f"{report.changed_files} file{'' if report.changed_files == 1 else 's'}"
    lines = [f"{_partial(report.partial)}Since {report.base}: {files} changed"]
    lines += _parts(
        report.parts, {"select": _selected(report), "coverage": _ran(report), "review": _found(report.review)}
    )
    lines += _failures(report.coverage)
    if report.coverage is not None and report.coverage.diff is not None:
        missing = [one for one in report.coverage.diff.files if one.missing_lines or one.missing_branches]
        if missing:
            lines += ["", "Changed lines that no test runs", *diff_lines(missing, width)]
        gaps = report.coverage.gaps[:GAPS]
        if gaps:
            lines += ["", "Changed functions by risk", *(line for gap in gaps for line in gap_lines(gap, width))]
    lines += _findings("Findings", report.review, width)
    return page([*lines, *_notes((report.select, report.coverage, report.review))])


def analysis_text(report: AnalyzeReport, width: int | None = None, *, top: int = GAPS) -> str:
    """A project's state, as `aqe analyze` prints it, with the `top` riskiest gaps (0: all that the report has)."""
    width = min(WIDEST, width or shutil.get_terminal_size((100, 24)).columns)
    lines = [f"{_partial(report.partial)}State of the project{', nothing left this machine' if report.local else ''}"]
    words = {"coverage": _covered(report.coverage), "review": _found(report.review), "audit": _found(report.audit)}
    lines += _parts(report.parts, words)
    lines += _failures(report.coverage)
    if report.coverage is not None and report.coverage.gaps:
        gaps = report.coverage.gaps[: top or None]
        lines += ["", f"Riskiest gaps, {len(gaps)} of {report.coverage.gaps_total}"]
        lines += [line for gap in gaps for line in gap_lines(gap, width)]
    lines += _findings("Findings of the review", report.review, width)
    lines += _findings("Findings in the tests", report.audit, width)
    return page([*lines, *_notes((report.coverage, report.review, report.audit))])


def _partial(is_partial: bool) -> str:
    return "Partial result: " if is_partial else ""


def _parts(parts: Iterable[Part], words: dict[str, str]) -> Iterator[str]:
    """A line for each part, with the error of one that failed."""
    for part in parts:
        if part.state == "done":
            yield f"  {part.name:<9} {words.get(part.name, 'done')}  ({part.duration_s:.1f} s)"
        elif part.state == "failed":
            fix = f" {part.fix}" if part.fix else ""
            yield f"  {part.name:<9} failed: {part.message}{fix} [{part.code}]"
        else:
            yield f"  {part.name:<9} left out: {part.message}"


def _selected(report: RunReport) -> str:
    if report.select is None:
        return ""
    if report.select.whole_suite:
        return report.select.why.removesuffix(".").replace("The whole suite", "the whole suite", 1)
    return f"{len(report.select.tests)} of {_count(report.select.all_tests, 'test')} selected"


def _ran(report: RunReport) -> str:
    if report.coverage is None:
        return ""
    passed = report.tests - report.tests_failed
    told = f"{_count(report.tests, 'test')} run"
    told += f", {passed} passed, {report.tests_failed} failed" if report.tests else ""
    if report.coverage.running:
        told += f"; {report.coverage.running} was still running when the time ended"
    diff = report.coverage.diff
    if diff is None or not diff.lines:
        return f"{told}; no changed line can be run"
    lines = _count(diff.lines, "changed line")
    return f"{told}; what ran reaches {diff.lines_covered} of {lines}, {diff.percent:.1f} %"


def _covered(report: CoverageReport | None) -> str:
    if report is None:
        return ""
    failed = f", {report.tests_failed} failed" if report.tests_failed else ""
    return (
        f"{report.lines_percent:.1f} % of lines and {report.branches_percent:.1f} % of branches "
        f"by {_count(report.tests, 'test')}{failed}"
    )


def _found(report: ReviewReport | None) -> str:
    if report is None:
        return ""
    where = f"{_count(report.figures.tests, 'test')} looked at, " if report.scope == "tests" else ""
    if not report.findings:
        return f"{where}nothing to report"
    counts = {name: sum(one.severity == name for one in report.findings) for name in ("error", "warning", "note")}
    told = ", ".join(_count(number, name) for name, number in counts.items() if number)
    return f"{where}{told}"


def _failures(report: CoverageReport | None) -> Iterator[str]:
    if report is None or not report.failures:
        return
    yield from ("", "Failing tests")
    for one in report.failures[:LISTED]:
        yield f"  {one.nodeid}: {one.message}"
    if len(report.failures) > LISTED:
        yield f"  and {len(report.failures) - LISTED} more"


def _findings(title: str, report: ReviewReport | None, width: int) -> Iterator[str]:
    if report is None or not report.findings:
        return
    yield from ("", title)
    for one in report.findings[:LISTED]:
        yield from _finding(one, width)
    more = len(report.findings) + report.hidden - LISTED
    if more > 0:
        verb = "audit" if report.scope == "tests" else "review"
        yield f"  and {more} more (`aqe {verb}` shows them)"


def _finding(one: Finding, width: int) -> Iterator[str]:
    inside = f" in {one.name}" if one.name else ""
    yield f"  {one.path}:{one.line}: {one.severity}: {one.rule}{inside}  [{one.id}]"
    for text in (one.message, *one.evidence[:2]):
        yield from textwrap.wrap(text, max(40, width), initial_indent="      ", subsequent_indent="      ")


def _notes(reports: Iterable[object]) -> Iterator[str]:
    """Advice and notes of all parts, each note once."""
    present = [report for report in reports if report is not None]
    advice = tuple(dict.fromkeys(one for report in present for one in getattr(report, "advice", ())))
    yield from advice_lines(advice)
    notes = dict.fromkeys(note for report in present for note in getattr(report, "notes", ()))
    if notes:
        yield from ("", "Notes")
        yield from (f"  {note}" for note in notes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
