"""Asks the module of an agent for the words and figures of its report, and keeps them short.

Each module has `figures`, `summary`, `hints`, `sources` and `listed`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from aqe.server.mcp.answers import shorten
from aqe.server.mcp.wording import for_tools

MOST_HINTS = 8
MOST_ADVICE = 2
LONGEST_HINT = 300
LONGEST_SUMMARY = 1_500

_MODULES = {
    "generate": "generated",
    "verify": "verified",
    "flaky": "flakiness",
    "coverage": "gaps",
    "select": "selection",
    "review": "findings",
}


class Words(Protocol):
    """What each module offers; every function takes the report and returns plain data."""

    def figures(self, report: dict[str, Any]) -> dict[str, float]:
        """The measured numbers; empty where nothing was measured."""

    def summary(self, report: dict[str, Any]) -> str:
        """One paragraph complete by itself."""

    def hints(self, report: dict[str, Any]) -> list[str]:
        """What to look at next, the most useful first."""

    def sources(self, report: dict[str, Any]) -> list[str]:
        """The files that all of the report is about; what names its own file is not among them."""

    def listed(self, report: dict[str, Any], project: Path) -> str:
        """The detail between summary and whole report."""


def figures_of(agent: str, report: dict[str, Any]) -> dict[str, float]:
    """The measured numbers of a report; empty where nothing was measured."""
    return _words(agent).figures(report)


def summary_of(agent: str, report: dict[str, Any]) -> str:
    """One paragraph complete by itself."""
    return shorten(for_tools(_words(agent).summary(report)), LONGEST_SUMMARY)


def hints_of(agent: str, report: dict[str, Any]) -> list[str]:
    """What to look at next, at most eight lines, of which two may be what memory says, with its source."""
    advice = [f"memory on {one['about']}: {one['text']} [{one['source']}]" for one in report.get("advice") or ()]
    remembered = advice[:MOST_ADVICE]
    hints, room = _words(agent).hints(report), MOST_HINTS - len(remembered)
    shown = [shorten(for_tools(hint), LONGEST_HINT) for hint in [*hints[:room], *remembered]]
    if len(hints) > room:
        shown.append(f"and {len(hints) - room} more (detail='report')")
    return shown


def sources_of(agent: str, report: dict[str, Any]) -> tuple[str, ...]:
    """The files that all of a report is about; an object in it that names its own file speaks for itself."""
    return tuple(name for name in dict.fromkeys(_words(agent).sources(report)) if name)


def list_of(agent: str, report: dict[str, Any], project: Path) -> str:
    """What stands between the summary and the whole report: the tests, the gaps, the findings, one a line."""
    return _words(agent).listed(report, project)


def agent_of(report: dict[str, Any]) -> str:
    """The agent whose report it is, by its schema."""
    return str(report.get("schema", "")).removeprefix("aqe.").partition("/")[0]


def _words(agent: str) -> Words:
    return cast("Words", import_module(f"{__package__}.{_MODULES[agent]}"))
