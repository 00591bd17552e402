"""What a review answers with."""

from __future__ import annotations

from dataclasses import dataclass, field

from aqe.agents.advice import Advice
from aqe.agents.gate.evidence import Evidence
from aqe.agents.review.finding import Finding

MOST_FINDINGS = 10
"""How many findings of a change are shown; the rest is counted in `hidden`."""


@dataclass(frozen=True)
class NotCompared:
    """A changed function (qualified name) whose versions were not executed, and why in words."""

    path: str
    name: str
    why: str


@dataclass(frozen=True)
class ReviewFigures:
    """Counts of a review. `rules` counts every finding of the change by rule, shown or not, before dismissals.

    `functions_changed` counts functions of the head side whose code differs; `functions_compared` those of them that
    were executed in both versions. `tests` counts the tests that an audit looked at, or that ran for a review.
    `phases_s` are wall seconds for each phase.
    """

    files: int
    lines_added: int
    lines_removed: int
    functions_changed: int = 0
    functions_compared: int = 0
    not_compared: tuple[NotCompared, ...] = ()
    tests: int = 0
    rules: dict[str, int] = field(default_factory=dict)
    findings_per_1000_lines: float | None = None
    phases_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ReviewReport:
    """The outcome: what the change brought, most certain first.

    `scope` is "changes" or "tests"; an audit of the tests has all findings and no base. `hidden` counts findings beyond
    the shown ones, `dismissed` those that were dismissed earlier; `changed_lines` are lines added and removed in Python
    files. `base` and `head` name the two sides. `partial` is True when the budget
    ended the review before all was looked at; the notes say what was left out.
    """

    scope: str
    base: str
    head: str
    findings: tuple[Finding, ...]
    hidden: int
    dismissed: int
    changed_lines: int
    figures: ReviewFigures
    evidence: Evidence
    partial: bool = False
    notes: tuple[str, ...] = ()
    advice: tuple[Advice, ...] = ()
