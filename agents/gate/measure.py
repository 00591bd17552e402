"""Coverage of the subjects by coverage.py in branch mode, as a whole and test by test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aqe.agents.gate.box import Box
from aqe.agents.gate.collection import TestPlan
from aqe.agents.gate.evidence import SubjectMeasure
from aqe.agents.gate.stability import run_session
from aqe.agents.gate.subjects import Subject

Line = tuple[str, int]
Branch = tuple[str, int, int]
_LINES = ("lines", "missing_lines")
_BRANCHES = ("branches", "missing_branches")


@dataclass(frozen=True)
class Reach:
    """What one test reaches in the subjects: lines and branches, each with its module."""

    lines: frozenset[Line] = frozenset()
    branches: frozenset[Branch] = frozenset()


@dataclass(frozen=True)
class Coverage:
    """Figures of each subject over all measured tests, and the reach of each test.

    `loading` is what importing the subjects and collecting the tests reaches. Without `is_measured` the time was too
    short or the session broke: figures of some subjects are missing.
    """

    subjects: tuple[SubjectMeasure, ...]
    reach: Mapping[str, Reach]
    is_measured: bool
    engine: str = "coverage.py"
    loading: Reach = Reach()

    def without(self, tests: Iterable[str]) -> Coverage:
        """The figures as if `tests` had not run."""
        gone = frozenset(tests)
        kept = {name: one for name, one in self.reach.items() if name not in gone}
        stays, all_of_it = _union([self.loading, *kept.values()]), _union(self.reach.values())
        lost = Reach(all_of_it.lines - stays.lines, all_of_it.branches - stays.branches)
        return replace(self, subjects=tuple(_narrow(one, lost) for one in self.subjects), reach=kept)


def _union(reaches: Iterable[Reach]) -> Reach:
    parts = list(reaches)
    lines = frozenset[Line]().union(*(one.lines for one in parts))
    return Reach(lines, frozenset[Branch]().union(*(one.branches for one in parts)))


def measure(plan: TestPlan, box: Box, subjects: Sequence[Subject], tests: Iterable[str], **limits: float) -> Coverage:
    """Run `tests` under coverage.py in a fork of `box`; the subjects are imported again in it."""
    paths = [subject.path for subject in subjects]
    only = sorted(tests)
    run = run_session(
        plan, box, only=only, coverage=paths, afresh=[subject.module for subject in subjects], plain=True,
        **{"test_wall_s": 60.0, **limits},
    )  # fmt: skip
    figures = dict(run.answer.get("coverage", {}))
    measures = []
    reach = {name: _Reached() for name in [*only, ""]}
    for subject in subjects:
        entry = figures.get(subject.path)
        if entry is None:
            continue
        measures.append(_subject(subject, entry))
        for name, ran in entry["tests"].items():
            if name in reach:
                reach[name].lines.update((subject.module, line) for line in ran["lines"] if subject.counts(line))
                reach[name].branches.update(
                    (subject.module, arc[0], arc[1]) for arc in ran["branches"] if subject.counts(arc[0])
                )
    frozen = {name: Reach(frozenset(one.lines), frozenset(one.branches)) for name, one in reach.items()}
    loading = frozen.pop("")
    engine = next((str(entry["engine"]) for entry in figures.values()), "coverage.py")
    return Coverage(tuple(measures), frozen, len(measures) == len(subjects), engine, loading)


@dataclass
class _Reached:
    lines: set[Line] = field(default_factory=set)
    branches: set[Branch] = field(default_factory=set)


def _narrow(measure: SubjectMeasure, lost: Reach) -> SubjectMeasure:
    """The same module where the lost lines and branches are not covered."""
    lines = {line for module, line in lost.lines if module == measure.module}
    arcs = {(first, last) for module, first, last in lost.branches if module == measure.module}
    return replace(
        measure,
        lines_covered=measure.lines_covered - len(lines),
        branches_covered=measure.branches_covered - len(arcs),
        missing_lines=tuple(sorted({*measure.missing_lines, *lines})),
        missing_branches=tuple(sorted({*measure.missing_branches, *arcs})),
    )


def _subject(subject: Subject, entry: Mapping[str, list[list[int]]]) -> SubjectMeasure:
    covered, missing = ([arc for arc in entry[kind] if subject.counts(arc[0])] for kind in _BRANCHES)
    ran, never = ([int(str(line)) for line in entry[kind] if subject.counts(int(str(line)))] for kind in _LINES)
    return SubjectMeasure(
        module=subject.module,
        path=subject.path,
        sha256=subject.sha256,
        lines_covered=len(ran),
        lines_total=len(ran) + len(never),
        branches_covered=len(covered),
        branches_total=len(covered) + len(missing),
        missing_lines=tuple(never),
        missing_branches=tuple((arc[0], arc[1]) for arc in missing),
        within=subject.within,
    )
