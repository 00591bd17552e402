"""A review for other programs: SARIF 2.1.0 (OASIS standard) and the annotations of GitHub workflows."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aqe.agents.review.finding import Finding, Severity
from aqe.agents.review.report import ReviewReport
from aqe.agents.review.smells import PREFIX

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ABOUT = {
    "behaviour-changed": "The new version of a function behaves differently on an input that was executed.",
    "clone": "Code that was added stands elsewhere in the project.",
    "untested-branch": "A changed branch that no test takes.",
    "invalid-syntax": "The file is not valid Python.",
}
_COMMANDS: dict[Severity, str] = {"error": "error", "warning": "warning", "note": "notice"}


def sarif_of(report: ReviewReport) -> dict[str, Any]:
    """The findings as one SARIF log with one run; each tool's rules are listed once."""
    rules = sorted({(one.rule, one.tool) for one in report.findings})
    places = {rule: place for place, (rule, _) in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "aqe",
                        "semanticVersion": report.evidence.aqe_version,
                        "rules": [_rule(rule, tool) for rule, tool in rules],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"PROJECT": {"description": {"text": "The project's folder."}}},
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "toolExecutionNotifications": [
                            {"level": "note", "message": {"text": note}} for note in report.notes
                        ],
                    }
                ],
                "results": [_result(one, places[one.rule]) for one in report.findings],
            }
        ],
    }


def _rule(rule: str, tool: str) -> dict[str, Any]:
    smell = rule.removeprefix(PREFIX).replace("-", " ") if rule.startswith(PREFIX) else ""
    about = _ABOUT.get(rule) or (f"Smell of a test: {smell}." if smell else f"Rule {rule} of {tool}.")
    row: dict[str, Any] = {"id": rule, "shortDescription": {"text": about}, "properties": {"tool": tool}}
    if tool == "ruff" and rule != "invalid-syntax":
        row["helpUri"] = f"https://docs.astral.sh/ruff/rules/{rule}"
    return row


def _result(finding: Finding, place: int) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {
                "uri": quote(finding.path.encode("utf-8", "surrogateescape")),
                "uriBaseId": "PROJECT",
            },
            "region": {"startLine": finding.line, "endLine": finding.end_line},
        }
    }
    if finding.name:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.name}]
    return {
        "ruleId": finding.rule,
        "ruleIndex": place,
        "level": finding.severity,
        "message": {"text": "\n".join((finding.message, *finding.evidence))},
        "locations": [location],
        "partialFingerprints": {"aqeFinding/v1": finding.id},
        "rank": round(100 * finding.confidence, 1),
    }


def annotations_of(report: ReviewReport) -> str:
    """One workflow command a finding, and a notice where there is nothing; GitHub shows them at the lines."""
    lines = [_annotation(one) for one in report.findings]
    if report.hidden:
        lines.append(f"::notice title=aqe review::{report.hidden} more findings of less certainty")
    return "\n".join(lines or ["::notice title=aqe review::Nothing to report"]) + "\n"


def _annotation(finding: Finding) -> str:
    properties = {
        "file": finding.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
        "line": str(finding.line),
        "endLine": str(finding.end_line),
        "title": f"{finding.rule} [{finding.id}]",
    }
    where = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    text = "\n".join((finding.message, *finding.evidence))
    return f"::{_COMMANDS[finding.severity]} {where}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
