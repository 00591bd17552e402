"""Words for the report of untested code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.server.counting import counted
from aqe.server.mcp.summaries.measured import early, noted


def figures(report: dict[str, Any]) -> dict[str, float]:
    """Coverage of lines, branches and functions, and of the change where one was asked about."""
    found = {
        "lines_percent": round(report["lines_percent"], 1),
        "branches_percent": round(report["branches_percent"], 1),
        "functions": report["functions"],
        "functions_uncovered": report["functions_uncovered"],
        "gaps": report["gaps_total"],
        "tests": report["tests"],
        "tests_failed": report["tests_failed"],
    }
    if report["diff"] is not None:
        found["changed_lines"] = report["diff"]["lines"]
        found["changed_lines_percent"] = round(report["diff"]["percent"], 1)
    return found


def summary(report: dict[str, Any]) -> str:
    """What the tests reach, in one sentence, and what they reach of the change."""
    text = (
        f"Lines {report['lines_percent']:.1f} %, branches {report['branches_percent']:.1f} % of "
        f"{counted(report['files'], 'file')}; {report['functions_uncovered']} of "
        f"{counted(report['functions'], 'function')} were never entered; {counted(report['gaps_total'], 'gap')}"
    )
    diff = report["diff"]
    if diff is not None:
        text += f". Of the change since {diff['base']}: {diff['lines_covered']} of {counted(diff['lines'], 'line')} run"
    if report["tests_failed"]:
        text += f". {report['tests_failed']} of {counted(report['tests'], 'test')} failed"
    return f"{text}.{early(report)}"


def hints(report: dict[str, Any]) -> list[str]:
    """Changed lines that no test ran, then the riskiest gaps, each with a target for generate_tests."""
    found = [
        f"changed and not run: {file['path']} lines {_spans(file['missing_lines'])}"
        for file in (report["diff"] or {"files": []})["files"]
        if file["missing_lines"]
    ]
    for gap in report["gaps"]:
        what = {"function": "never entered", "branch": "an arm is missing", "line": "lines are missing"}[gap["kind"]]
        target = f"; generate_tests target={gap['path']}::{gap['name']}" if gap.get("module") else ""
        found.append(f"{_place(gap)} ({what}, risk {gap['risk']:.0f}): {'; '.join(map(str, gap['reasons']))}{target}")
    return found + noted(report)


def sources(report: dict[str, Any]) -> list[str]:
    """None: each gap names its own file."""
    return []


def listed(report: dict[str, Any], project: Path) -> str:
    """Each gap with its missing lines and branches, one a line."""
    lines = []
    for gap in report["gaps"]:
        parts = [f"{_place(gap)} {gap['kind']}, risk {gap['risk']:.0f} ({gap['level']})"]
        if gap["missing_lines"]:
            parts.append(f"lines {_spans(gap['missing_lines'])}")
        if gap["missing_branches"]:
            parts.append("branches " + ", ".join(f"{start}->{end}" for start, end in gap["missing_branches"]))
        lines.append("; ".join([*parts, *map(str, gap["reasons"])]))
    more = report["gaps_total"] - len(report["gaps"])
    return "\n".join([*lines, f"{more} more: ask with a larger top" if more else ""]).rstrip()


def _place(gap: dict[str, Any]) -> str:
    return f"{gap['path']}:{gap['line']} {gap['name']}"


def _spans(lines: list[int]) -> str:
    """Line numbers with runs drawn together.

    >>> _spans([3, 4, 5, 9])
    '3-5, 9'
    """
    spans: list[list[int]] = []
    for line in sorted(lines):
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
