"""Words for the report of a hunt for flaky tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.server.mcp.summaries.measured import counted, early, noted

ORDER = ("flaky", "broken", "not-run", "skipped", "stable")


def figures(report: dict[str, Any]) -> dict[str, float]:
    """Tests by verdict, and what was run to know it."""
    return {
        "tests": len(report["tests"]),
        "flaky": report["flaky"],
        "broken": report["broken"],
        "stable": report["stable"],
        "runs": report["runs"],
        "executions": report["executions"],
    }


def summary(report: dict[str, Any]) -> str:
    """How many tests flipped in how many runs."""
    runs = f"{counted(report['runs'], 'run')} of the suite and {counted(report['diagnosis'], 'experiment')}"
    if len(report["tests"]) == 1:
        ((nodeid, test),) = report["tests"].items()
        return f"After {runs}: {_line(nodeid, test)}.{early(report)}"
    found = f"{counted(report['flaky'], 'flaky test')} among {len(report['tests'])} after {runs}"
    if report["broken"]:
        found += f"; {report['broken']} failed in every run (broken, not flaky)"
    if not report["flaky"]:
        found += ". A rare flake may need more runs"
    return f"{found}.{early(report)}"


def hints(report: dict[str, Any]) -> list[str]:
    """Each flaky test with cause and reproduction, then the broken ones, then notes."""
    found = []
    for nodeid, test in _sorted(report):
        if test["verdict"] == "flaky":
            found.append(_line(nodeid, test) + (f". Reproduce: {test['repro']}" if test["repro"] else ""))
            if test.get("advice"):
                found.append(f"{nodeid}: {test['advice']}")
        elif test["verdict"] == "broken":
            found.append(f"{nodeid} is broken: {test.get('message') or test['why'] or 'it failed in every run'}")
    return found + noted(report)


def sources(report: dict[str, Any]) -> list[str]:
    """None: each test names its own file."""
    return []


def listed(report: dict[str, Any], project: Path) -> str:
    """The verdict on each test, flaky ones first, one a line."""
    return "\n".join(
        _line(nodeid, test) + (f"; {test['repro']}" if test["repro"] else "") for nodeid, test in _sorted(report)
    )


def _sorted(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    def key(item: tuple[str, dict[str, Any]]) -> tuple[int, float, str]:
        verdict = item[1]["verdict"]
        return ORDER.index(verdict) if verdict in ORDER else len(ORDER), -item[1]["score"], item[0]

    return sorted(report["tests"].items(), key=key)


def _line(nodeid: str, test: dict[str, Any]) -> str:
    words = [f"{nodeid}: {test['verdict']}"]
    if test["category"]:
        words.append(f"by {test['category']}")
    ran = test.get("passed", 0) + test.get("failed", 0)
    if ran and test["verdict"] == "flaky":
        words.append(f"red in {test['failed']} of {counted(ran, 'run')}")
    if test["polluters"]:
        words.append(f"fails after {', '.join(test['polluters'])}")
    if test.get("setters"):
        words.append(f"fails without {', '.join(test['setters'])}")
    if test["why"]:
        words.append(str(test["why"]).rstrip("."))
    return "; ".join(words)
