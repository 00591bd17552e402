"""What a team decided about findings, in `aqe-review.toml` beside pyproject.toml: accepted or dismissed, and why.

A dismissed finding stays away until its code changes, because its id is made of its code. Each decision also counts for
the rule: one that is dismissed often is trusted less, one that is accepted often more.
"""

from __future__ import annotations

import datetime
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from aqe.agents.review.finding import Finding
from aqe.agents.team_file import editing, parsed, save, tables
from aqe.engine.errors import UserError
from aqe.engine.project import toml_table

FILE = "aqe-review.toml"
HEADER = "Decisions about findings of `aqe review`; commit it, so that all see the same."
Verdict = Literal["accepted", "dismissed"]

PRIOR_WEIGHT = 6.0
"""A finding's own confidence counts as much as this many decisions about its rule."""


@dataclass(frozen=True)
class Decision:
    """One decision about one finding; `path` and `name` say where it was then. `date` is an ISO date."""

    id: str
    verdict: Verdict
    rule: str
    path: str
    name: str
    message: str
    reason: str
    date: str


def read_decisions(project: Path) -> tuple[Decision, ...]:
    """The decisions of a project, none where it has no file. Raises `UserError` (bad-decisions) for a broken file."""
    file = project / FILE
    try:
        table = toml_table(file)
    except UserError as error:
        raise _broken(file, error.message) from error
    return _decisions(file, table)


def _decisions(file: Path, table: Mapping[str, object]) -> tuple[Decision, ...]:
    """The decisions of a table that was read."""
    found = []
    for verdict in ("accepted", "dismissed"):
        rows = table.get(verdict, [])
        if not isinstance(rows, list):
            raise _broken(file, f"{verdict} is no list of tables")
        for row in rows:
            if not isinstance(row, Mapping) or not isinstance(row.get("id"), str):
                raise _broken(file, f"an entry of {verdict} has no id")
            texts = {key: str(row.get(key, "")) for key in ("rule", "path", "name", "message", "reason", "date")}
            found.append(
                Decision(id=str(row["id"]), verdict="accepted" if verdict == "accepted" else "dismissed", **texts)
            )
    return tuple(found)


def _broken(file: Path, why: str) -> UserError:
    return UserError(f"{str(file)!r} cannot be used: {why}.", code="bad-decisions", fix="Mend it, or delete the entry.")


def decide(
    project: Path, verdicts: Sequence[tuple[str, Verdict]], known: Iterable[Finding], reason: str, today: datetime.date
) -> tuple[Decision, ...]:
    """Write decisions about findings that were shown, by id; a second one about the same finding replaces the first.

    Comments and order of the file stay. Raises `UserError` (unknown-finding, bad-decisions, project-read-only).
    """
    import tomlkit

    shown = {one.id: one for one in known}
    with editing(project, FILE, "bad-decisions") as file:
        earlier = {one.id: one for one in read_decisions(project)}
        made = [_decision(id, verdict, shown, earlier, reason, today) for id, verdict in verdicts]
        document = parsed(file, HEADER)
        for one in made:
            _forget(document, one.id)
            row = tomlkit.table()
            for key in ("id", "rule", "path", "name", "message", "reason", "date"):
                if getattr(one, key):
                    row[key] = getattr(one, key)
            tables(document, one.verdict).append(row)
        wanted = earlier | {one.id: one for one in made}
        save(file, document, "bad-decisions", lambda text: _read_back(file, text) == wanted)
    return tuple(made)


def _read_back(file: Path, text: str) -> dict[str, Decision]:
    return {one.id: one for one in _decisions(file, tomllib.loads(text))}


def _forget(document: Any, id: str) -> None:
    """Take earlier decisions about a finding out of the file."""
    for verdict in ("accepted", "dismissed"):
        if verdict not in document:
            continue
        rows = tables(document, verdict)
        for place in reversed(range(len(rows))):
            if rows[place].get("id") == id:
                del rows[place]
        if not rows:
            del document[verdict]


def _decision(
    id: str,
    verdict: Verdict,
    shown: Mapping[str, Finding],
    earlier: Mapping[str, Decision],
    reason: str,
    today: datetime.date,
) -> Decision:
    date = today.isoformat()
    if id in shown:
        one = shown[id]
        return Decision(id, verdict, one.rule, one.path, one.name, one.message, reason, date)
    if id in earlier:
        return replace(earlier[id], verdict=verdict, reason=reason, date=date)
    raise UserError(
        f"The last review showed no finding {id!r}.",
        code="unknown-finding",
        fix="Run `aqe review` again: each finding is shown with its id.",
    )


def without_dismissed(
    findings: Iterable[Finding], decisions: Iterable[Decision], exists: frozenset[str]
) -> tuple[list[Finding], int]:
    """The findings that nobody dismissed, and how many were.

    A dismissal is about one file. Where that file is gone (`exists` holds the paths of the head) it was renamed, and
    the dismissal holds wherever the same code is now.
    """
    gone = [one for one in decisions if one.verdict == "dismissed"]
    dismissed = {(one.id, one.path) for one in gone} | {(one.id, "") for one in gone if one.path not in exists}
    found = list(findings)
    kept = [one for one in found if not {(one.id, one.path), (one.id, "")} & dismissed]
    return kept, len(found) - len(kept)


def weighed(findings: Iterable[Finding], decisions: Iterable[Decision]) -> list[Finding]:
    """The findings with their confidence moved by what was decided about their rule.

    The mean of a Beta distribution whose prior has the finding's own confidence as mean and `PRIOR_WEIGHT` as weight.
    """
    yes: Counter[str] = Counter()
    no: Counter[str] = Counter()
    for one in decisions:
        (yes if one.verdict == "accepted" else no)[one.rule] += 1
    moved = []
    for finding in findings:
        many = yes[finding.rule] + no[finding.rule]
        mean = (PRIOR_WEIGHT * finding.confidence + yes[finding.rule]) / (PRIOR_WEIGHT + many)
        moved.append(replace(finding, confidence=round(mean, 3)) if many else finding)
    return moved
