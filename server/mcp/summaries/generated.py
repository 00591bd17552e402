"""Words for the report of generated tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.server.counting import counted
from aqe.server.mcp.summaries import measured
from aqe.server.mcp.wording import for_tools


def figures(report: dict[str, Any]) -> dict[str, float]:
    """Tests, coverage and mutants, and the number of suspected bugs."""
    return {**measured.figures(report["evidence"]), "suspected_bugs": len(report["suspects"])}


def summary(report: dict[str, Any]) -> str:
    """How many tests stand where, and what they were measured to do; or why there is none."""
    found = figures(report)
    files = report["files"]
    if not files:
        reason = for_tools(report["notes"][0]) if report["notes"] else "nothing that could be called was found"
        return f"No test of {report['target']} was written: {reason}."
    parts = [f"{counted(report['tests'], 'test')} of {report['target']} in {', '.join(files)}"]
    if report["evidence"] is not None:
        parts.append(
            f"each passed {found['runs']:g} of {found['runs']:g} shuffled runs; "
            f"{_extent(report)}lines {found['lines_percent']:g} %, "
            f"branches {found['branches_percent']:g} %, {_mutants(found)}"
        )
    if report["partial"]:
        parts.append("time ended the run early")
    return "; ".join(parts) + "."


def hints(report: dict[str, Any]) -> list[str]:
    """Suspected bugs, then what was not reached."""
    found = [
        f"suspected bug in {bug['module']}::{bug['target']} line {bug['line']}: {bug['why']}"
        for bug in report["suspects"]
    ]
    return found + [f"not reached: {gap['function']} line {gap['line']}: {gap['why']}" for gap in report["unreached"]]


def sources(report: dict[str, Any]) -> list[str]:
    """The target, its modules, and the files written."""
    target = str(report.get("target") or "").partition("::")[0]
    return [*measured.sources(report.get("evidence")), target, *map(str, report.get("files", ()))]


def listed(report: dict[str, Any], project: Path) -> str:
    """The text of the files."""
    return "\n".join(f"# {path}\n{_text(project / path)}" for path in report["files"])


def _extent(report: dict[str, Any]) -> str:
    """What the figures are of, where the target is one name of a module."""
    return "of its own lines: " if any(subject.get("within") for subject in report["evidence"]["subjects"]) else ""


def _mutants(found: dict[str, float]) -> str:
    if not found["mutants_total"]:
        return "no mutant was run"
    return f"{found['mutants_killed']:g} of {found['mutants_total']:g} mutants killed"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
