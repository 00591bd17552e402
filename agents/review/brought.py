"""Which findings a change brought: those of the head less those of the base, by what they are and not by their line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

from aqe.agents.review.finding import Finding, Severity, Tool, fingerprint
from aqe.agents.review.sources import Source

STOOD_BEFORE = 0.6
"""What is left of a finding's confidence where the base had its like in the same function, in another statement."""


@dataclass(frozen=True)
class Sighting:
    """A finding before it is known whether the change brought it. `lines` are first and last, 1-based.

    `statement` replaces the source's own statement at that line in the fingerprint, where given.
    """

    rule: str
    severity: Severity
    confidence: float
    lines: tuple[int, int]
    message: str
    evidence: tuple[str, ...] = ()
    tool: Tool = "aqe"
    statement: str = ""


@dataclass(frozen=True)
class Placed:
    """A sighting with what tells it from others: where it is, and the statement it is about."""

    sighting: Sighting
    source: Source
    name: str
    statement: str

    @property
    def is_touched(self) -> bool:
        """Whether the change touched one of its lines."""
        first, last = self.sighting.lines
        return any(line in self.source.touched for line in range(first, last + 1))


def place(source: Source, sightings: Iterable[Sighting]) -> list[Placed]:
    """Each sighting with its qualified name and normalised statement."""
    found = []
    for one in sightings:
        line = one.lines[0]
        found.append(Placed(one, source, source.name_at(line), one.statement or source.statement_at(line)))
    return found


def brought(head: Iterable[Placed], base: Iterable[Placed]) -> list[Finding]:
    """What is left of the head when the base is subtracted, as findings.

    Counted by rule, qualified name and statement. What is left over is then matched where a function was only renamed
    (same rule and statement on an untouched line). Where the base had the same rule in the same function on another
    statement, the finding stays as a note.
    """
    left = sorted(head, key=lambda one: one.is_touched)
    spare = list(base)
    left, spare = _less(left, spare, lambda one: (one.sighting.rule, _scope(one), one.statement))
    touched = [one for one in left if one.is_touched]
    still = [one for one in left if not one.is_touched]
    still, spare = _less(still, spare, lambda one: (one.sighting.rule, one.statement))
    fresh, spare = _less(touched + still, spare, lambda one: (one.sighting.rule, _scope(one)))
    kept = {id(one) for one in fresh}
    findings = [_finding(one) for one in fresh]
    for one in touched + still:
        if id(one) not in kept:
            found = _finding(one)
            findings.append(replace(found, severity="note", confidence=round(found.confidence * STOOD_BEFORE, 2)))
    return findings


def all_of(placed: Iterable[Placed]) -> list[Finding]:
    """Every sighting as a finding, for an audit that has no base."""
    return [_finding(one) for one in placed]


def _less(
    head: list[Placed], base: list[Placed], key: Callable[[Placed], Hashable]
) -> tuple[list[Placed], list[Placed]]:
    """Both sides without what they share, counted; of equals the earlier ones of `head` are taken away."""
    counts = Counter(map(key, base))
    shared: Counter[Hashable] = Counter()
    left = []
    for one in head:
        if shared[key(one)] < counts[key(one)]:
            shared[key(one)] += 1
        else:
            left.append(one)
    spare = []
    for one in base:
        if shared[key(one)]:
            shared[key(one)] -= 1
        else:
            spare.append(one)
    return left, spare


def _scope(one: Placed) -> str:
    return one.name or f"<{one.source.path}>"


def _finding(one: Placed) -> Finding:
    sighting = one.sighting
    return Finding(
        id=fingerprint(sighting.rule, _scope(one), one.statement),
        rule=sighting.rule,
        severity=sighting.severity,
        confidence=sighting.confidence,
        path=one.source.path,
        line=sighting.lines[0],
        end_line=max(sighting.lines),
        name=one.name,
        message=sighting.message,
        evidence=sighting.evidence,
        tool=sighting.tool,
    )
