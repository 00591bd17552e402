"""A flaky hunt on the terminal: a table of what flips, then each cause with its command."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from aqe.agents.flaky import FlakyReport, TestVerdict
from aqe.engine.terminal import page

WIDTH = 110
LISTED = 20
CASES = 3  # shown of one function whose cases fail for one cause
WORDS = {"nio": "not idempotent"}


def text_of(report: FlakyReport, *, detail: bool = False) -> str:
    """The report in words; `detail` shows the experiments and the advice, for one test."""
    lines = [_headline(report), ""]
    flaky = [(name, one) for name, one in report.tests.items() if one.flaky]
    if flaky:
        shown = [row for _, cases in _by_function(flaky) for row in cases[:CASES]]
        lines += [*_table(shown), *([] if len(shown) == len(flaky) else [f"and {len(flaky) - len(shown)} more"]), ""]
    for function, cases in _by_function(flaky):
        for name, one in cases[:CASES]:
            lines += _told(name, one, detail=detail)
        if len(cases) > CASES:
            lines += [f"{function}: and {len(cases) - CASES} more cases; --json has all", ""]
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
        (
            name,
            WORDS.get(one.category or "", one.category or "unknown"),
            f"{one.failed} of {one.failed + one.passed}",
            f"{one.score:.3f}",
        )
        for name, one in flaky
    ]
    head = ("flaky test", "category", "failed", "score")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(4)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]
    ]


def _by_function(
    flaky: Iterable[tuple[str, TestVerdict]],
) -> list[tuple[str, list[tuple[str, TestVerdict]]]]:
    """The cases of each function and category together, in the order in which each first stands."""
    found: dict[tuple[str, str | None], list[tuple[str, TestVerdict]]] = {}
    for name, one in flaky:
        found.setdefault((name.partition("[")[0], one.category), []).append((name, one))
    return [(function, cases) for (function, _), cases in found.items()]


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
