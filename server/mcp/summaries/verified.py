"""Words for the report of judged tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.server.mcp.answers import shorten
from aqe.server.mcp.summaries import measured


def figures(report: dict[str, Any]) -> dict[str, float]:
    """Tests, coverage and mutants."""
    return measured.figures(report.get("evidence"))


def summary(report: dict[str, Any]) -> str:
    """The report's own sentence."""
    return str(report["summary"])


def hints(report: dict[str, Any]) -> list[str]:
    """The report's own hints: what survives and what to assert."""
    return [str(hint) for hint in report["hints"]]


def sources(report: dict[str, Any]) -> list[str]:
    """The modules under test and the test files."""
    return measured.sources(report.get("evidence"))


def listed(report: dict[str, Any], project: Path) -> str:
    """The verdict on each test, one a line."""
    return "\n".join(_verdict(test) for test in report["evidence"]["tests"])


def _verdict(test: dict[str, Any]) -> str:
    words = [f"{test['name']}: {test['verdict']}, passed {test['passed']} of {test['runs']}"]
    words.append(f"{test['lines']} lines, {test['branches']} branches, {test['mutants_killed']} mutants killed")
    if test["adds_nothing"]:
        words.append(f"adds nothing to {test['nearest']}")
    if test["message"]:
        words.append(shorten(test["message"], 300))
    return "; ".join(words)
