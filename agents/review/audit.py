"""Audits a whole test suite: every smell of every test, without a change to compare with. Nothing is run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aqe.agents.changes.changeset import as_text
from aqe.agents.execute import python_setting
from aqe.agents.gate.circumstances import circumstances
from aqe.agents.gate.interpreter import find_interpreter
from aqe.agents.review.brought import Placed, all_of
from aqe.agents.review.decisions import read_decisions, weighed, without_dismissed
from aqe.agents.review.looking import look
from aqe.agents.review.ranking import ranked
from aqe.agents.review.report import ReviewFigures, ReviewReport
from aqe.agents.review.request import ReviewRequest
from aqe.agents.review.smells import PREFIX
from aqe.agents.review.sources import Source
from aqe.agents.review.test_functions import find_tests
from aqe.engine.errors import UserError
from aqe.engine.index.files import find_files
from aqe.engine.index.indexing import is_test_file
from aqe.engine.progress import CancelToken, Progress
from aqe.engine.project import locate

AT_ONCE = 50
"""Files that are looked at together."""

LEAST_S = 2.0
"""What each part of the files gets at least, so that a small budget has an answer too."""

_ABOUT_TESTS = (PREFIX, "PT", "B011", "B015", "B017", "F811", "F631", "PGH", "invalid-syntax")
"""Rules whose findings an audit shows; what ruff says about the rest of the test code is the review's business."""


def audit(request: ReviewRequest, *, progress: Progress, cancel: CancelToken) -> ReviewReport:
    """Look at every test below the project, or at `request.paths`; all findings are in the report, the surest first.

    Raises `UserError` (no-tests, no-such-path, bad-decisions).
    """
    started = time.monotonic()
    project = Path(request.project)
    decisions = read_decisions(project)
    interpreter = find_interpreter(project, request.python, python_setting(project), trusted=True)
    sources, left_out = _sources(project, request.paths)
    notes = [f"{name} was left out: {why}." for name, why in left_out]
    progress(f"Reading {len(sources)} test files")
    seen = _look(sources, request, started + request.budget_s, progress, cancel)
    findings = [one for one in all_of(seen.placed) if one.rule.startswith(_ABOUT_TESTS) or one.tool == "bandit"]
    exists = frozenset(source.path for source in sources)
    kept, dismissed = without_dismissed(findings, decisions, exists)
    lines = sum(len(source.lines) for source in sources[: seen.files])
    return ReviewReport(
        scope="tests",
        base="",
        head="the working tree",
        findings=tuple(ranked(weighed(kept, decisions))),
        hidden=0,
        dismissed=dismissed,
        changed_lines=0,
        figures=ReviewFigures(
            files=seen.files,
            lines_added=0,
            lines_removed=0,
            tests=sum(len(find_tests(source)) for source in sources[: seen.files]),
            rules=dict(sorted(Counter(one.rule for one in findings).items())),
            findings_per_1000_lines=round(1000 * len(kept) / lines, 1) if lines else None,
        ),
        evidence=circumstances(
            interpreter,
            seed=request.seed,
            runs=0,
            budget_s=request.budget_s,
            duration_s=time.monotonic() - started,
            rung="none",
            packages=seen.packages,
        ),
        partial=not seen.is_whole,
        notes=tuple(dict.fromkeys([*notes, *seen.notes])),
    )


@dataclass
class _Seen:
    """What looking at the first `files` of the tests found so far; `is_whole`: nothing was cut short."""

    placed: list[Placed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    files: int = 0
    is_whole: bool = True


def _look(
    sources: Sequence[Source], request: ReviewRequest, deadline: float, progress: Progress, cancel: CancelToken
) -> _Seen:
    """Look at the test files, some at a time, until the deadline (a reading of `time.monotonic`)."""
    found = _Seen()
    for first in range(0, len(sources), AT_ONCE):
        cancel.check()
        if time.monotonic() > deadline and first:
            found.is_whole = False
            break
        part = sources[first : first + AT_ONCE]
        left = max(LEAST_S, deadline - time.monotonic())
        seen = look((part,), bandit=request.bandit, wall_s=left, deadline=time.monotonic() + left, cancel=cancel)
        found.is_whole = found.is_whole and seen.is_whole
        found.notes += seen.notes
        found.packages |= seen.tools
        found.placed += seen.placed[0]
        found.files += seen.files
        progress(f"Looked at {found.files} of {len(sources)} test files", found.files, len(sources))
    if found.files < len(sources):
        found.notes.append(f"The time ended: {found.files} of {len(sources)} test files were looked at.")
    return found


def _sources(project: Path, paths: tuple[str, ...]) -> tuple[list[Source], list[tuple[str, str]]]:
    """The test files to look at; those that cannot be read, with the reason."""
    wanted = [locate(path, project).resolve() for path in paths]
    sources, left_out = [], []
    for file in find_files(project.resolve(), wanted)[0]:
        if not file.name.endswith(".py") or not is_test_file(file.name):
            continue
        try:
            text = as_text(file.name, file.path.read_bytes())
        except OSError as error:
            left_out.append((file.name, error.strerror or "it cannot be read"))
            continue
        if text is None:
            left_out.append((file.name, "it is no text"))
        else:
            sources.append(Source(file.name, text, frozenset()))
    if not sources:
        where = ", ".join(paths) if paths else str(project)
        raise UserError(
            f"There is no test file in {where}.",
            code="no-tests",
            fix="Test files are named test_*.py or *_test.py, or lie in a folder named tests.",
        )
    return sources, left_out
