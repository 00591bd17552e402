"""A flaky hunt on the terminal: a table of what flips, then each cause with its command."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from aqe.agents.flaky import FlakyReport, TestVerdict
from aqe.engine.terminal import page

WIDTH = 110
LISTED = 20


def text_of(report: FlakyReport, *, detail: bool = False) -> str:
    """The report in words; `detail` shows the experiments and the advice, for one test."""
    lines = [_headline(report), ""]
    flaky = [(name, one) for name, one in report.tests.items() if one.flaky]
    if flaky:
        lines += [*_table(flaky), ""]
    for name, one in flaky:
        lines += _told(name, one, detail=detail)
    broken = [(name, one) for name, one in report.tests.items() if one.verdict == "broken"]
    if broken:
        lines.append(f"Broken ({len(broken)}), failed in every run:")
        lines += [f"  {name}: {one.message}" for name, one in broken[:LISTED]]
        lines += [f"  and {len(broken) - LISTED} more"] if len(broken) > LISTED else []
    if detail and not flaky:
        for name, one in report.tests.items():
            lines += _told(name, one, detail=True)
    lines += [f"Note: {note}" for note in report.notes]
    while not lines[-1]:
        lines.pop()
    return page(lines)


def _headline(report: FlakyReport) -> str:
    tests = f"{len(report.tests)} test{'' if len(report.tests) == 1 else 's'}"
    counts = f"{report.flaky} flaky, {report.broken} broken, {report.stable} stable"
    more = f" and {report.diagnosis} session{'' if report.diagnosis == 1 else 's'} of experiments"
    runs = f"{report.runs} run{'' if report.runs == 1 else 's'}"
    partial = " (partial)" if report.partial else ""
    return f"{tests} in {runs}{more if report.diagnosis else ''}, {report.duration_s:.1f} s{partial}: {counts}"


def _table(flaky: Iterable[tuple[str, TestVerdict]]) -> list[str]:
    rows = [
        (name, one.category or "unknown", f"{one.failed} of {one.failed + one.passed}", f"{one.score:.3f}")
        for name, one in flaky
    ]
    head = ("flaky test", "category", "failed", "score")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(4)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]


def _told(name: str, one: TestVerdict, *, detail: bool) -> list[str]:
    lines = [name, f"  {one.why}"]
    if one.message:
        lines.append(f"  Failure: {one.message}")
    if one.repro:
        lines.append(f"  See it:  {one.repro}")
    if detail:
        lines += [f"  Tried:   {words}" for words in one.experiments]
    if one.advice and detail:
        lines += textwrap.wrap(
            f"{one.advice} ({one.advice_source})", WIDTH, initial_indent="  Advice:  ", subsequent_indent="           "
        )
    return [*lines, ""]
