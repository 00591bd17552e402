"""Words for the report of a hunt for flaky tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.server.counting import counted
from aqe.server.mcp.answers import shorten
from aqe.server.mcp.summaries.measured import early, noted

ORDER = ("flaky", "broken", "not-run", "skipped", "stable")
MOST_SHOWN = 7
CAUSES = {
    "order": "depends on the order",
    "async_wait": "does not wait for what it started",
    "concurrency": "races",
    "random": "draws at random",
    "unordered": "relies on an order that sets and the like do not have",
    "float": "compares floats exactly",
    "time": "depends on clock or date",
    "network": "needs the network",
    "resource": "leaks or lacks a resource",
    "nio": "leaves behind what its next run trips over",
    "timeout": "runs into its time limit",
}


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
    """Each flaky test with its cause, then the broken ones, then notes; of a single test its command and advice too."""
    found = []
    for nodeid, test in _sorted(report):
        if test["verdict"] == "flaky" and len(report["tests"]) > 1:
            found.append(_line(nodeid, test))
        elif test["verdict"] == "flaky":
            found += [f"reproduce: {test['repro']}"] * bool(test["repro"]) + [test["advice"]] * bool(test.get("advice"))
        elif test["verdict"] == "broken":
            message = shorten(" ".join(str(test.get("message") or test["why"]).split()), 150)
            found.append(f"{nodeid} is broken: {message or 'it failed in every run'}")
    if report["flaky"] and len(report["tests"]) > 1:
        found.insert(min(report["flaky"], MOST_SHOWN), "the command that shows each again: detail='tests'")
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
        words.append(f"{CAUSES.get(test['category'], '')} ({test['category']})".strip())
    ran = test.get("passed", 0) + test.get("failed", 0)
    if ran and test["verdict"] == "flaky":
        words.append(f"red in {test['failed']} of {counted(ran, 'run')}")
    if test["polluters"]:
        words.append(f"fails after {', '.join(test['polluters'])}")
    if test.get("setters"):
        words.append(f"fails without {', '.join(test['setters'])}")
    if test["why"] and not test["polluters"] and not test.get("setters"):
        words.append(str(test["why"]).rstrip("."))
    return "; ".join(words)
