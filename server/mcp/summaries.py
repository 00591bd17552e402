"""Words and figures for an assistant, from the JSON report of a finished job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aqe.server.mcp.answers import shorten
from aqe.server.mcp.wording import for_tools

MOST_HINTS = 8


def figures_of(agent: str, report: dict[str, Any]) -> dict[str, float]:
    """The measured numbers of a report; empty where nothing was measured."""
    evidence = report.get("evidence")
    found: dict[str, float] = {}
    if evidence is not None:
        subjects = evidence["subjects"]
        verdicts = [test["verdict"] for test in evidence["tests"]]
        found = {
            "tests": len(verdicts),
            "stable": verdicts.count("stable"),
            "runs": evidence["runs"],
            "lines_percent": _percent(subjects, "lines"),
            "branches_percent": _percent(subjects, "branches"),
            "mutants_killed": evidence["mutants_killed"],
            "mutants_total": evidence["mutants_total"],
        }
    if agent == "generate":
        found["suspected_bugs"] = len(report["suspects"])
    return found


def summary_of(agent: str, report: dict[str, Any]) -> str:
    """One paragraph complete by itself."""
    if agent == "verify":
        return shorten(str(report["summary"]), 1_500)
    figures = figures_of(agent, report)
    files = report["files"]
    if not files:
        reason = for_tools(report["notes"][0]) if report["notes"] else "nothing that could be called was found"
        return shorten(f"No test of {report['target']} was written: {reason}.", 1_500)
    parts = [f"{report['tests']} test{'' if report['tests'] == 1 else 's'} of {report['target']} in {', '.join(files)}"]
    if report["evidence"] is not None:
        parts.append(
            f"each passed {figures['runs']:g} of {figures['runs']:g} shuffled runs; "
            f"{_extent(report)}lines {figures['lines_percent']:g} %, "
            f"branches {figures['branches_percent']:g} %, {_mutants(figures)}"
        )
    if report["partial"]:
        parts.append("time ended the run early")
    return shorten("; ".join(parts) + ".", 1_500)


def hints_of(agent: str, report: dict[str, Any]) -> list[str]:
    """What to look at next, at most eight lines: hints of verify; suspected bugs and gaps of generate."""
    if agent == "verify":
        hints = [str(hint) for hint in report["hints"]]
    else:
        hints = [_suspect(bug) for bug in report["suspects"]]
        hints += [f"not reached: {gap['function']} line {gap['line']}: {gap['why']}" for gap in report["unreached"]]
    shown = [shorten(for_tools(hint), 300) for hint in hints[:MOST_HINTS]]
    if len(hints) > MOST_HINTS:
        shown.append(f"and {len(hints) - MOST_HINTS} more (detail='report')")
    return shown


def sources_of(report: dict[str, Any]) -> tuple[str, ...]:
    """The files of the project that a report is about."""
    evidence = report.get("evidence") or {}
    found = [str(subject.get("path") or subject.get("file") or "") for subject in evidence.get("subjects", ())]
    found += [str(test.get("name") or "").partition("::")[0] for test in evidence.get("tests", ())]
    found += [str(report.get("target") or "").partition("::")[0], *map(str, report.get("files", ()))]
    return tuple(name for name in dict.fromkeys(found) if name)


def tests_of(agent: str, report: dict[str, Any], project: Path) -> str:
    """The generated files' text, or the verdict on each judged test, one a line."""
    if agent == "generate":
        return "\n".join(f"# {path}\n{_text(project / path)}" for path in report["files"])
    return "\n".join(_verdict(test) for test in report["evidence"]["tests"])


def _extent(report: dict[str, Any]) -> str:
    """What the figures are of, where the target is one name of a module."""
    return "of its own lines: " if any(subject.get("within") for subject in report["evidence"]["subjects"]) else ""


def _mutants(figures: dict[str, float]) -> str:
    if not figures["mutants_total"]:
        return "no mutant was run"
    return f"{figures['mutants_killed']:g} of {figures['mutants_total']:g} mutants killed"


def _suspect(bug: dict[str, Any]) -> str:
    return f"suspected bug in {bug['module']}::{bug['target']} line {bug['line']}: {bug['why']}"


def _verdict(test: dict[str, Any]) -> str:
    words = [f"{test['name']}: {test['verdict']}, passed {test['passed']} of {test['runs']}"]
    words.append(f"{test['lines']} lines, {test['branches']} branches, {test['mutants_killed']} mutants killed")
    if test["adds_nothing"]:
        words.append(f"adds nothing to {test['nearest']}")
    if test["message"]:
        words.append(shorten(test["message"], 300))
    return "; ".join(words)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(cannot be read: {error.strerror})"


def _percent(subjects: list[dict[str, Any]], what: str) -> float:
    whole = sum(subject[f"{what}_total"] for subject in subjects)
    part = sum(subject[f"{what}_covered"] for subject in subjects)
    return 100.0 if not whole else round(100.0 * part / whole, 1)
