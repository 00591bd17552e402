"""Suspected bugs against planted ones: what was found, what was missed, what was a false alarm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aqe.server.demo.shop import PlantedBug

BROKEN_PROMISES = ("hint-broken", "docstring-broken")


@dataclass(frozen=True)
class Suspect:
    """A suspected bug as the generator reported it. `line` is 1-based, 0 where no line is known."""

    module: str
    target: str
    kind: str
    line: int
    why: str
    reproduction: str
    exception: str = ""


@dataclass(frozen=True)
class Found:
    """A planted bug and what was suspected of it; none means that it was missed."""

    bug: PlantedBug
    suspects: tuple[Suspect, ...]


@dataclass(frozen=True)
class Score:
    """`met` is the demo's bar: at least half of the planted bugs suspected, at most one false alarm."""

    found: tuple[Found, ...]
    false_alarms: tuple[Suspect, ...]

    @property
    def suspected(self) -> int:
        """How many planted bugs were suspected."""
        return sum(bool(entry.suspects) for entry in self.found)

    @property
    def met(self) -> bool:
        """Whether the bar holds."""
        return 2 * self.suspected >= len(self.found) and len(self.false_alarms) <= 1


def suspects_of(report: Mapping[str, Any]) -> tuple[Suspect, ...]:
    """The suspected bugs of a generator's JSON report."""
    fields = ("module", "target", "kind", "line", "why", "reproduction", "exception")
    return tuple(Suspect(**{name: bug[name] for name in fields}) for bug in report["suspects"])


def compare(bugs: Sequence[PlantedBug], suspects: Iterable[Suspect]) -> Score:
    """Match each suspect with the planted bug that it speaks of; the rest are false alarms."""
    rest = list(suspects)
    found = []
    for bug in bugs:
        speaking = tuple(suspect for suspect in rest if speaks_of(suspect, bug))
        rest = [suspect for suspect in rest if suspect not in speaking]
        found.append(Found(bug, speaking))
    return Score(tuple(found), tuple(rest))


def speaks_of(suspect: Suspect, bug: PlantedBug) -> bool:
    """Whether a suspect is about a bug: its function (or faulty line), and its exception or a broken promise.

    A suspect of a caller whose exception left the bug's own line is about the bug, and so is a broken promise of the
    other end of a round trip.
    """
    if suspect.module != bug.module:
        return False
    broken = suspect.kind in BROKEN_PROMISES
    if bug.partner and suspect.target == bug.partner:
        return broken
    if suspect.target != bug.function and suspect.line != bug.line:
        return False
    return suspect.exception.rpartition(".")[2] == bug.raises if bug.raises else broken
