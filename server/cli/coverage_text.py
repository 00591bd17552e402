"""The coverage report as plain text for a terminal, figures first."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from aqe.agents.advice import advice_lines
from aqe.engine.terminal import page

if TYPE_CHECKING:
    from aqe.agents.coverage import CoverageReport, DiffCoverage, FileDiff, Gap

WIDEST = 120
LISTED = 10


def text_of(report: CoverageReport, width: int | None = None) -> str:
    """The whole report; `width` in characters, that of the terminal when None."""
    width = min(WIDEST, width or shutil.get_terminal_size((100, 24)).columns)
    lines = [*_figures(report), *_gaps(report, width)]
    if report.diff is not None:
        lines += ["", *_diff(report.diff, width)]
    if report.failures:
        lines += ["", f"Failing tests ({report.tests_failed})"]
        lines += [f"  {one.nodeid}: {one.message}" for one in report.failures[:LISTED]]
    lines += advice_lines(report.advice)
    if report.notes:
        lines += ["", "Notes", *(f"  {note}" for note in report.notes)]
    return page(lines)


def numbers(found: Iterable[int]) -> str:
    """Line numbers, runs of them joined.

    >>> numbers([3, 4, 5, 9])
    '3-5, 9'
    """
    ordered = sorted(found)
    known = set(ordered)
    starts = [one for one in ordered if one - 1 not in known]
    ends = [one for one in ordered if one + 1 not in known]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def _figures(report: CoverageReport) -> list[str]:
    what = f"{report.tests} test{'' if report.tests == 1 else 's'}" if report.tests else _what(report)
    rows = [
        f"What {what} reach{'es' if report.tests < 2 else ''} in {report.files} file{'' if report.files == 1 else 's'}",
        f"  lines      {report.lines_covered:>6} of {report.lines:<6} {report.lines_percent:5.1f} %",
        f"  branches   {report.branches_covered:>6} of {report.branches:<6} {report.branches_percent:5.1f} %",
    ]
    reached = report.functions - report.functions_uncovered
    share = 100.0 if not report.functions else 100.0 * reached / report.functions
    rows.append(f"  functions  {reached:>6} of {report.functions:<6} {share:5.1f} %")
    return [f"Partial result: {rows[0]}" if report.partial else rows[0], *rows[1:]]


def _what(report: CoverageReport) -> str:
    """What reached something where no test ended: data that was read, or what ran before the time was up."""
    return "what ran before the time was up" if report.evidence.runs else "the data"


def _gaps(report: CoverageReport, width: int) -> Iterator[str]:
    yield ""
    if not report.gaps_total:
        yield "Nothing is missing."
        return
    more = f", the riskiest {len(report.gaps)} of {report.gaps_total}" if len(report.gaps) < report.gaps_total else ""
    yield f"Gaps by risk{more}"
    yield "  risk"
    for gap in report.gaps:
        yield from gap_lines(gap, width)
    if report.gaps_total > len(report.gaps):
        yield f"  and {report.gaps_total - len(report.gaps)} more (--top 0 shows all)"


def gap_lines(gap: Gap, width: int) -> Iterator[str]:
    """One gap: its risk and place, then its reasons."""
    yield f"  {gap.risk:>4.0f}  {gap.level:<6}  {gap.path}:{gap.line}  {gap.name}"
    indent = " " * 16
    yield from textwrap.wrap(
        "; ".join(gap.reasons), max(40, width), initial_indent=indent, subsequent_indent=indent, break_long_words=False
    )


def _diff(diff: DiffCoverage, width: int) -> Iterator[str]:
    yield f"Changed since {diff.base}: {diff.lines_covered} of {diff.lines} lines run, {diff.percent:.1f} %"
    yield from diff_lines(diff.files, width)
    if diff.not_measured:
        yield f"  not measured: {_some(diff.not_measured)}"


def diff_lines(files: Iterable[FileDiff], width: int) -> Iterator[str]:
    """What no test runs of each changed file; nothing for one that is covered."""
    for one in files:
        parts = [f"{_lines(one.missing_lines)} never run"] if one.missing_lines else []
        arms = sorted({first for first, _ in one.missing_branches if first not in one.missing_lines})
        if arms:
            parts.append(f"{_lines(arms)} with a branch that is never taken")
        if parts:
            text = f"{one.path}: {'; '.join(parts)}"
            yield from textwrap.wrap(text, max(40, width), initial_indent="  ", subsequent_indent="    ")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _lines(found: Sequence[int]) -> str:
    return f"line{'' if len(found) == 1 else 's'} {numbers(found)}"
