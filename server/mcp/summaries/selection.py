"""Words for the report of the tests that a change needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.server.counting import counted
from aqe.server.mcp.answers import shorten
from aqe.server.mcp.summaries.measured import early, noted

NEXT = "none was run: call again with run=true"


def figures(report: dict[str, Any]) -> dict[str, float]:
    """How many tests of how many, and how they ended where they were run."""
    found: dict[str, float] = {"selected": len(report["tests"]), "tests": report["all_tests"]}
    ran = report.get("run")
    if ran:
        found |= {name: ran[name] for name in ("passed", "failed", "errors", "crashed", "skipped") if name in ran}
    return found


def summary(report: dict[str, Any]) -> str:
    """The report's own sentence on what is needed and why, and what the run showed."""
    text = str(report["why"]).rstrip(".")
    ran = report.get("run")
    if ran:
        text += f"; {counted(ran['tests'], 'test')} ran, {len(ran['failures']) or 'none'} failed"
    elif report["tests"]:
        text += f"; {NEXT}"
    return f"{text}.{early(report)}"


def hints(report: dict[str, Any]) -> list[str]:
    """Failures with message and reason; without a run the riskiest tests with theirs; then notes."""
    why = {test["nodeid"]: str(test["reason"]) for test in report["tests"]}
    failures = (report.get("run") or {}).get("failures", ())
    if failures:
        found = [_failure(one, why.get(one["nodeid"], "")) for one in failures]
    elif report.get("run"):
        found = []
    else:
        found = [f"{nodeid}: {reason}" for nodeid, reason in why.items()]
    return found + noted(report)


def sources(report: dict[str, Any]) -> list[str]:
    """The files of the failing tests, whose messages are shown."""
    return [str(one["nodeid"]).partition("::")[0] for one in (report.get("run") or {}).get("failures", ())]


def listed(report: dict[str, Any], project: Path) -> str:
    """Each selected test with its reason, riskiest first, one a line."""
    tests = sorted(report["tests"], key=lambda test: -float(test.get("risk") or 0))
    return "\n".join(f"{test['nodeid']}: {test['reason']}" for test in tests)


def _failure(one: dict[str, Any], reason: str) -> str:
    message = shorten(" ".join(str(one["message"]).split()), 180)
    return f"{one['outcome']}: {one['nodeid']}: {message}" + (f" (it ran because: {reason})" if reason else "")
