"""The page of `aqe analyze`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.server.reports.page import render_page

if TYPE_CHECKING:
    from aqe.agents.fleet import AnalyzeReport

CHIPS = {"error": "bad", "warning": "quiet", "note": "good"}


def analysis_page(report: AnalyzeReport, name: str, made_on: str, *, redacts: bool = True) -> str:
    """One self-contained HTML page of a project's state; `name` is the project's, `made_on` the day in words.

    Secrets and personal data are taken out unless `redacts` is false.
    """
    parts = (report.coverage, report.review, report.audit)
    notes = dict.fromkeys(note for part in parts if part is not None for note in part.notes)
    headline = headline_of(report)
    shown = {"report": report, "name": name, "made_on": made_on, "headline": headline}
    return render_page("analysis.html", redacts=redacts, chips=CHIPS, notes=tuple(notes), **shown)


def headline_of(report: AnalyzeReport) -> str:
    """The page's first line: how far the tests reach, and how much was found."""
    found = sum(len(part.findings) + part.hidden for part in (report.review, report.audit) if part is not None)
    looked = report.review is not None or report.audit is not None
    findings = f"{found or 'no'} finding{'' if found == 1 else 's'}" if looked else ""
    if report.coverage is None:
        return findings[:1].upper() + findings[1:] if findings else "Nothing could be looked at"
    reach = f"The tests reach {report.coverage.percent:.0f} % of the code"
    return f"{reach}, {findings}" if findings else reach
