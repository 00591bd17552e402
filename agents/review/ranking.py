"""In which order findings are shown: the most certain first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from aqe.agents.review.finding import SEVERITIES, Finding

ALIKE = 3
"""So many findings of one rule in one file are shown before others give way to more of them."""


def shown_of(findings: Sequence[Finding], many: int) -> list[Finding]:
    """The first `many` in their order; beyond three of one rule in one file only where nothing else is left to show."""
    counts: Counter[tuple[str, str]] = Counter()
    ahead: list[int] = []
    behind: list[int] = []
    for place, one in enumerate(findings):
        counts[one.rule, one.path] += 1
        (ahead if counts[one.rule, one.path] <= ALIKE else behind).append(place)
    chosen = [*ahead, *behind][:many]
    return [findings[place] for place in sorted(chosen)]


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, by confidence, then gravity, then place. Of two rules about one line with the same words the
    surer one is kept."""
    ordered = sorted(
        findings,
        key=lambda one: (-one.confidence, SEVERITIES.index(one.severity), one.path, one.line, one.rule, one.id),
    )
    kept: list[Finding] = []
    seen: set[tuple[str, int, str]] = set()
    for one in ordered:
        place = (one.path, one.line, _subject(one.rule))
        if place not in seen:
            kept.append(one)
        seen.add(place)
    return kept


_SAME = {
    "F811": "shadowed",
    "test-smell-shadowed-test": "shadowed",
    "F631": "always-true",
    "PLW0129": "always-true",
    "PT015": "always-true",
    "test-smell-always-true": "always-true",
    "S110": "swallowed",
    "S112": "swallowed",
    "BLE001": "swallowed",
    "E722": "swallowed",
    "test-smell-swallowed-exception": "swallowed",
    "S602": "shell",
    "S604": "shell",
    "S605": "shell",
    "B003": "state",
    "test-smell-leaked-state": "state",
    "ASYNC251": "sleep",
    "test-smell-sleep": "sleep",
}
"""Rules that say the same about one line."""


def _subject(rule: str) -> str:
    return _SAME.get(rule, rule)
