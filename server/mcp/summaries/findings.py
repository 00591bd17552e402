"""Words for the report of a review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.server.counting import counted
from aqe.server.mcp.summaries.measured import early, noted


def figures(report: dict[str, Any]) -> dict[str, float]:
    """Findings by severity, and how much was looked at and executed."""
    severities = [finding["severity"] for finding in report["findings"]]
    counts = report["figures"]
    return {
        "findings": len(severities) + report["hidden"],
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
        "notes": severities.count("note"),
        "hidden": report["hidden"],
        "changed_lines": report["changed_lines"],
        "functions_changed": counts["functions_changed"],
        "functions_compared": counts["functions_compared"],
        "tests": counts["tests"],
    }


def summary(report: dict[str, Any]) -> str:
    """What was found in how much, or that there is nothing to report."""
    counts = report["figures"]
    if report["scope"] == "tests":
        extent = f"{counted(counts['tests'], 'test')} in {counted(counts['files'], 'file')}"
    else:
        extent = (
            f"{counted(report['changed_lines'], 'changed line')} in {counted(counts['files'], 'file')} "
            f"({report['base']} to {report['head']}); old and new version of {counts['functions_compared']} of "
            f"{counted(counts['functions_changed'], 'changed function')} executed on the same inputs"
        )
    shown = report["findings"]
    if not shown:
        return f"Nothing to report: {extent}.{early(report)}"
    found = figures(report)
    kinds = [counted(found[f"{kind}s"], kind) for kind in ("error", "warning", "note") if found[f"{kind}s"]]
    text = f"{counted(len(shown), 'finding')} ({', '.join(kinds)})"
    if report["hidden"]:
        text += f" and {report['hidden']} more of less weight"
    return f"{text}: {extent}.{early(report)}"


def hints(report: dict[str, Any]) -> list[str]:
    """Each finding with its place and the first of its evidence, then what was not compared, then notes."""
    found = [_line(finding, evidence=1) for finding in report["findings"]]
    missing = report["figures"].get("not_compared", ())
    if missing:
        names = ", ".join(f"{one['name']} ({one['why']})" for one in missing[:3])
        found.append(f"not executed: {names}" + (f" and {len(missing) - 3} more" if len(missing) > 3 else ""))
    return found + noted(report)


def sources(report: dict[str, Any]) -> list[str]:
    """None: each finding names its own file."""
    return []


def listed(report: dict[str, Any], project: Path) -> str:
    """Each finding with all its evidence, and its id for `aqe review --accept` and `--dismiss`."""
    return "\n".join(f"{finding['id']} {_line(finding, evidence=20)}" for finding in report["findings"])


def _line(finding: dict[str, Any], *, evidence: int) -> str:
    place = f"{finding['path']}:{finding['line']}"
    name = f" {finding['name']}" if finding["name"] and finding["name"] not in finding["message"] else ""
    shown = [text for text in map(str, finding["evidence"][:evidence]) if text not in finding["message"]]
    words = "; ".join([str(finding["message"]).rstrip("."), *shown])
    return f"{finding['severity']} {finding['rule']} {place}{name}: {words}"
