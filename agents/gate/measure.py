"""Coverage of the subjects by coverage.py in branch mode, as a whole and test by test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aqe.agents.gate.box import Box
from aqe.agents.gate.evidence import SubjectMeasure
from aqe.agents.gate.stability import run_session
from aqe.agents.gate.subjects import Subject
from aqe.agents.gate.test_plan import TestPlan

Line = tuple[str, int]
Branch = tuple[str, int, int]


@dataclass(frozen=True)
class Reach:
    """What one test reaches in the subjects: lines and branches, each with its module."""

    lines: frozenset[Line] = frozenset()
    branches: frozenset[Branch] = frozenset()


@dataclass(frozen=True)
class Coverage:
    """Figures of each subject over all measured tests, and the reach of each test."""

    subjects: tuple[SubjectMeasure, ...]
    reach: Mapping[str, Reach]
    is_measured: bool
    engine: str = "coverage.py"


def measure(plan: TestPlan, box: Box, subjects: Sequence[Subject], tests: Iterable[str], **limits: float) -> Coverage:
    """Run `tests` under coverage.py in a fork of `box`, which must not have imported the subjects."""
    paths = [subject.path for subject in subjects]
    only = sorted(tests)
    run = run_session(plan, box, only=only, coverage=paths, **{"test_wall_s": 60.0, **limits}) if only else None
    figures = dict(run.answer.get("coverage", {})) if run is not None else {}
    if len(figures) < len(paths):
        # no test is left, or coverage.py gave no answer: totals only, from a session of no test
        figures = dict(run_session(plan, box, only=[], coverage=paths).answer.get("coverage", {}))
    measures = []
    lines: dict[str, set[Line]] = {name: set() for name in only}
    branches: dict[str, set[Branch]] = {name: set() for name in only}
    for subject in subjects:
        entry = figures.get(subject.path)
        if entry is None:
            continue
        measures.append(_subject(subject, entry))
        for name in only:
            ran = entry["tests"].get(name)
            if ran is not None:
                lines[name].update((subject.module, line) for line in ran["lines"])
                branches[name].update((subject.module, arc[0], arc[1]) for arc in ran["branches"])
    reach = {name: Reach(frozenset(lines[name]), frozenset(branches[name])) for name in only}
    engine = next((str(entry["engine"]) for entry in figures.values()), "coverage.py")
    return Coverage(tuple(measures), reach, len(measures) == len(subjects), engine)


def _subject(subject: Subject, entry: Mapping[str, list[list[int]]]) -> SubjectMeasure:
    covered, missing = entry["branches"], entry["missing_branches"]
    return SubjectMeasure(
        module=subject.module,
        path=subject.path,
        sha256=subject.sha256,
        lines_covered=len(entry["lines"]),
        lines_total=len(entry["lines"]) + len(entry["missing_lines"]),
        branches_covered=len(covered),
        branches_total=len(covered) + len(missing),
        missing_lines=tuple(int(str(line)) for line in entry["missing_lines"]),
        missing_branches=tuple((arc[0], arc[1]) for arc in missing),
    )
