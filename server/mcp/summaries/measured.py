"""What the reports of the gate have in common: tests that were judged, and the code that they were measured on."""

from __future__ import annotations

from typing import Any


def figures(evidence: dict[str, Any] | None) -> dict[str, float]:
    """The numbers of an Evidence whose tests were judged; empty without one."""
    if evidence is None:
        return {}
    subjects = evidence["subjects"]
    verdicts = [test["verdict"] for test in evidence["tests"]]
    return {
        "tests": len(verdicts),
        "stable": verdicts.count("stable"),
        "runs": evidence["runs"],
        "lines_percent": _percent(subjects, "lines"),
        "branches_percent": _percent(subjects, "branches"),
        "mutants_killed": evidence["mutants_killed"],
        "mutants_total": evidence["mutants_total"],
    }


def sources(evidence: dict[str, Any] | None) -> list[str]:
    """The modules and the test files of an Evidence."""
    if evidence is None:
        return []
    found = [str(subject.get("path") or subject.get("file") or "") for subject in evidence.get("subjects", ())]
    return found + [str(test.get("name") or "").partition("::")[0] for test in evidence.get("tests", ())]


def early(report: dict[str, Any]) -> str:
    """The end of a summary where time ended the work."""
    return " Time ended the work early: what is missing here is unknown, not fine." if report.get("partial") else ""


def noted(report: dict[str, Any], most: int = 2) -> list[str]:
    """The first notes of a report, as hints."""
    return [str(note) for note in report.get("notes", ())[:most]]


def _percent(subjects: list[dict[str, Any]], what: str) -> float:
    whole = sum(subject[f"{what}_total"] for subject in subjects)
    part = sum(subject[f"{what}_covered"] for subject in subjects)
    return 100.0 if not whole else round(100.0 * part / whole, 1)
