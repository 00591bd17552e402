"""Coverage of the lines that a change brought."""

from __future__ import annotations

from collections.abc import Mapping

from aqe.agents.changes import Changes
from aqe.agents.coverage.gaps import is_test
from aqe.agents.coverage.measured import FileCoverage
from aqe.agents.coverage.report import DiffCoverage, FileDiff, share


def diff_coverage(changes: Changes, measured: Mapping[str, FileCoverage]) -> DiffCoverage:
    """The changed lines of each measured file, tests among them, and which of them no test ran."""
    files = []
    not_measured = []
    for change in changes.files:
        found = measured.get(change.path)
        if change.kind == "deleted" or not change.added:
            continue
        if found is None:
            if change.path.endswith(".py") and not is_test(change.path):
                not_measured.append(change.path)
            continue
        lines = change.added & found.lines
        if lines:
            arms = sorted(arc for arc in found.arms_missing if arc[0] in change.added)
            missing = change.added & found.missing
            files.append(FileDiff(change.path, tuple(sorted(lines)), tuple(sorted(missing)), tuple(arms)))
    total = sum(len(one.lines) for one in files)
    missed = sum(len(one.missing_lines) for one in files)
    return DiffCoverage(
        changes.base, tuple(files), total, total - missed, share(total - missed, total), tuple(not_measured)
    )
