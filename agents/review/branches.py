"""Branches that a change brought and that no test takes.

The test files that may reach the changed modules (by imports) run under coverage.py in the suite profile, on the head
and, where something is untested there, on the base: the change did not bring what was as untested before.
"""

from __future__ import annotations

import ast
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aqe.agents.changes.definition import digest_of
from aqe.agents.coverage.measured import FileCoverage
from aqe.agents.coverage.report import CoverageRequest
from aqe.agents.coverage.running import CoveredRun, run_covered
from aqe.agents.execute import TestFailure
from aqe.agents.review.brought import Sighting
from aqe.agents.review.sides import Sides
from aqe.agents.review.sources import Source, normalised, printed
from aqe.agents.select.imports import ImportGraph
from aqe.engine.errors import AqeError, Cancelled, OutOfTime
from aqe.engine.index.indexing import is_test_file
from aqe.engine.progress import CancelToken

RULE = "untested-branch"
LEAST_S = 3.0
HEAD_SHARE = 0.7
MOST_TESTS = 400
_TEST = re.compile(r"(^|/)test[^/]*\.py$|_test\.py$")


@dataclass(frozen=True)
class Untested:
    """One way through the code that no test takes. `line` is where it branches off, `lines` the lines it is about."""

    line: int
    lines: tuple[int, int]
    what: str
    statement: str
    whole: bool = False


@dataclass(frozen=True)
class BranchReview:
    """The untested branches with their sources, and how that was found out. `isolation` is the suite profile's way;
    `partial`: the time ended before the tests did."""

    found: tuple[tuple[Source, Sighting], ...] = ()
    tests: int = 0
    isolation: str = ""
    notes: tuple[str, ...] = ()
    partial: bool = False


@dataclass
class _Runs:
    """Runs of both versions' tests: where, who is told of failures, and what was left out."""

    sides: Sides
    on_failures: Callable[[Sequence[TestFailure]], None] | None = None
    notes: list[str] = field(default_factory=list)
    is_cut: bool = False


def find_untested(
    heads: Sequence[Source],
    bases: Sequence[Source],
    sides: Sides,
    *,
    on_failures: Callable[[Sequence[TestFailure]], None] | None = None,
) -> BranchReview:
    """What the tests leave out of the changed code. `on_failures` is given the tests of the head that fail.

    A suite that cannot run is a note, not an error; raises `Cancelled`.
    """
    before = {one.path: one for one in bases}
    changed = [one for one in heads if not one.is_test and one.touched and _does_otherwise(one, before.get(one.path))]
    if not changed:
        return BranchReview()
    runs = _Runs(sides, on_failures)
    tests = reaching_tests(sides.head, [one.path for one in changed], sides.cancel)
    if len(tests) > MOST_TESTS:
        runs.notes.append(f"{MOST_TESTS} of {len(tests)} test files that reach the change were run for its branches.")
    if not tests:
        return BranchReview(notes=("No test file imports what changed, so no branch was looked at for tests.",))
    files = [one.path for one in changed]
    run = _run(runs, sides.head, tests, files, HEAD_SHARE, "the changed version")
    if run is None:
        return BranchReview(notes=tuple(runs.notes), partial=runs.is_cut)
    untested = {one.path: list(all_untested(one, run.measured.files.get(one.path))) for one in changed}
    found: list[tuple[Source, Sighting]] = []
    if any(_is_of_change(way, one) for one in changed for way in untested[one.path]):
        then = _before(runs, bases, tests)
        for one in changed:
            new = news(one, untested[one.path], then.get(one.path))
            found += [(one, _sighting(way, one, run.tests)) for way in new]
    return BranchReview(tuple(found), run.tests, run.isolation, tuple(runs.notes), runs.is_cut)


def _does_otherwise(head: Source, base: Source | None) -> bool:
    """Whether more than formatting, comments and docstrings differs."""
    if head.tree is None:
        return False
    return base is None or base.tree is None or digest_of(head.tree) != digest_of(base.tree)


def reaching_tests(folder: Path, changed: Sequence[str], cancel: CancelToken | None = None) -> list[str]:
    """The test files below `folder` that import one of the changed files, directly or through others; direct first.

    Raises `Cancelled`.
    """
    reached = ImportGraph(folder, cancel=cancel).reaching(changed)
    tests = [path for path in reached if is_test_file(path) and _TEST.search(path)]
    return sorted(tests, key=lambda path: (reached[path] not in changed, path))


def _run(
    runs: _Runs, folder: Path, tests: Sequence[str], files: Sequence[str], share: float, what: str
) -> CoveredRun | None:
    """The tests under coverage, or None with a note where they could not be run to their end in time."""
    sides = runs.sides
    left = (sides.deadline - time.monotonic()) * share
    if left < LEAST_S:
        runs.is_cut = True
        runs.notes.append(f"No time was left to run the tests of {what}: its branches were not looked at.")
        return None
    root = folder / "src"
    import_from = [root, folder] if root.is_dir() else [folder]
    request = CoverageRequest(project=str(folder), tests=tuple(tests[:MOST_TESTS]), budget_s=left)
    is_installed = folder == sides.head and not sides.import_from_head
    try:
        run = run_covered(
            request,
            sides.interpreter,
            sides.progress,
            sides.cancel,
            import_from=() if is_installed else import_from,
            only=files,
        )
    except Cancelled:
        raise
    except AqeError as error:
        runs.is_cut = runs.is_cut or isinstance(error, OutOfTime)
        runs.notes.append(f"The tests of {what} could not be run for their coverage: {error.message}")
        return None
    if folder == sides.head and runs.on_failures is not None:
        runs.on_failures(run.failures)
    if run.partial:
        runs.is_cut = True
        runs.notes.append(f"The tests of {what} did not end in {left:.0f} s: its branches were not looked at.")
        return None
    if not run.measured.has_branches:
        runs.notes.append("The project's settings measure no branches: only whole functions were looked at.")
    return run


def _before(
    runs: _Runs, bases: Sequence[Source], tests: Sequence[str]
) -> dict[str, tuple[Source, list[Untested] | None]]:
    """For each changed file that the base had: its source and what was untested in it (None where not known)."""
    olds = [one for one in bases if not one.is_test]
    if not olds:
        return {}
    folder = runs.sides.base()
    there = [test for test in tests if os.path.isfile(folder / test)]
    files = [one.path for one in olds]
    run = _run(runs, folder, there, files, 1.0, "the version before") if there else None
    found: dict[str, tuple[Source, list[Untested] | None]] = {}
    for one in olds:
        measured = run.measured.files.get(one.path) if run is not None else None
        found[one.path] = (one, list(all_untested(one, measured)) if measured is not None else None)
    return found


def all_untested(source: Source, measured: FileCoverage | None) -> Iterator[Untested]:
    """Every way through a file's functions that did not run; a function that never ran is one."""
    if measured is None or source.tree is None:
        return
    dead: list[tuple[int, int]] = []
    for definition in source.definitions:
        body = range(definition.body_line, definition.last_line + 1)
        if definition.kind != "function" or any(first <= body.start <= last for first, last in dead):
            continue
        lines = [line for line in measured.lines if line in body]
        if lines and not any(line in measured.ran for line in lines):
            dead.append((body.start, definition.last_line))
            name = definition.qualname.rpartition(".")[2]
            where = (definition.first_line, definition.last_line)
            yield Untested(definition.first_line, where, f"No test runs {name}.", f"def {definition.digest}", True)
    for way in _ways(source, measured):
        if not any(first <= way.line <= last for first, last in dead):
            yield way


def _ways(source: Source, measured: FileCoverage) -> Iterator[Untested]:
    """Arms that were not taken from a line that ran, and `except` blocks that did not run though their `try` did."""
    assert source.tree is not None
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.If, ast.While, ast.For, ast.AsyncFor)):
            missing = sorted(end for start, end in measured.arms_missing if start == node.lineno)
            for end in missing if node.lineno in measured.ran else ():
                inside = node.body[0].lineno <= end <= (node.body[-1].end_lineno or end)
                what, lines = _two_ways(node, inside)
                yield Untested(node.lineno, lines, what, f"{normalised(node)} -> {what}")
        elif isinstance(node, ast.Match):
            for case in node.cases:
                line, last = case.pattern.lineno, case.body[-1].end_lineno or case.pattern.lineno
                if line in measured.ran and case.body[0].lineno in measured.missing:
                    what = f"No test takes the case {printed(case.pattern)}."
                    yield Untested(line, (line, last), what, f"{normalised(node)} -> {what}")
        elif isinstance(node, ast.Try):
            ran = any(line in measured.ran for line in range(node.lineno, node.end_lineno or node.lineno))
            for handler in node.handlers:
                if ran and handler.body[0].lineno in measured.missing:
                    caught = printed(handler.type) if handler.type is not None else "any exception"
                    lines = (handler.lineno, handler.end_lineno or handler.lineno)
                    what = f"No test runs what is done about {caught}."
                    yield Untested(handler.lineno, lines, what, normalised(handler))


def _two_ways(node: ast.If | ast.While | ast.For | ast.AsyncFor, inside: bool) -> tuple[str, tuple[int, int]]:
    here = (node.lineno, node.lineno)
    if isinstance(node, (ast.For, ast.AsyncFor)):
        loop = f"`for {printed(node.target)} in {printed(node.iter)}`"
        return (f"No test goes into {loop}.", here) if inside else (f"No test comes to the end of {loop}.", here)
    block = node.body if inside else node.orelse
    lines = (block[0].lineno, block[-1].end_lineno or node.lineno) if block else here
    return f"No test has `{_short(printed(node.test))}` {'true' if inside else 'false'} here.", lines


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_of_change(way: Untested, source: Source) -> bool:
    """Whether the change touched the decision or what lies behind it."""
    first, last = way.lines
    return way.line in source.touched or any(line in source.touched for line in range(first, last + 1))


def news(
    source: Source, untested: Sequence[Untested], before: tuple[Source, list[Untested] | None] | None
) -> list[Untested]:
    """What is untested in changed code and was not as untested before, function by function.

    `before` has the base's source and what was untested there; None in its place: the base did not have the file, or it
    could not be measured, and then a decision that the base had as it is now does not count.
    """
    touched = [way for way in untested if _is_of_change(way, source)]
    if before is None:
        return touched
    old, old_untested = before
    names = {one.qualname for one in old.definitions}
    if old_untested is None:
        return _by_decisions(source, old, touched, names)
    now = Counter(source.name_at(way.line) for way in untested)
    then = Counter(old.name_at(way.line) for way in old_untested)
    had = {way.statement for way in old_untested}
    were_dead = {old.name_at(way.line) for way in old_untested if way.whole}
    spare = sum(max(0, many - now[name]) for name, many in then.items())
    found: list[Untested] = []
    for name in dict.fromkeys(source.name_at(way.line) for way in touched):
        ways = [way for way in touched if source.name_at(way.line) == name and way.statement not in had]
        if name in names and any(way.whole for way in ways):
            found += _new_in_dead(source, old, ways[0]) if name in were_dead else ways
            continue
        allowed = now[name] - then[name]
        if name not in names and spare:
            allowed, spare = allowed - spare, max(0, spare - now[name])
        found += ways[: max(0, allowed)]
    return found


def _new_in_dead(source: Source, old: Source, way: Untested) -> list[Untested]:
    """The first branch that came into a function which no test ran before either, where it has more than it had."""
    name = source.name_at(way.line)
    now = [one for one in _decisions(source) if one[0] == name]
    known = Counter(statement for owner, statement, _ in _decisions(old) if owner == name)
    if len(now) <= known.total():
        return []
    fresh = [line for _, statement, line in now if statement not in known and line in source.touched]
    short = name.rpartition(".")[2]
    what = f"No test runs {short}, so none takes the branch that is new here."
    return (
        [Untested(fresh[0], (fresh[0], fresh[0]), what, f"{source.statement_at(fresh[0])} -> {what}")] if fresh else []
    )


def _by_decisions(source: Source, old: Source, touched: Sequence[Untested], names: set[str]) -> list[Untested]:
    """What is untested on new decisions: such as the base does not have, in functions that have more than they had."""
    now, then = _decisions(source), _decisions(old)
    known = {statement for _, statement, _ in then}
    many, before = Counter(one[0] for one in now), Counter(one[0] for one in then)
    left = {name: count - before[name] for name, count in many.items()}
    spare = len(now) - len(then)  # what moved between functions is no more than it was
    found: list[Untested] = []
    for way in touched:
        name = source.name_at(way.line)
        if way.whole and name in names:
            found += _new_in_dead(source, old, way) if spare > 0 else []
        elif way.whole or (left.get(name, 0) > 0 and spare > 0 and way.statement.partition(" -> ")[0] not in known):
            found.append(way)
            left[name] = left.get(name, 0) - 1
            spare -= 1
    return found


def _decisions(source: Source) -> list[tuple[str, str, int]]:
    """Function, normalised text and line of every branching statement."""
    kinds = (ast.If, ast.While, ast.For, ast.AsyncFor, ast.Match, ast.ExceptHandler)
    nodes = ast.walk(source.tree) if source.tree is not None else ()
    return [(source.name_at(one.lineno), normalised(one), one.lineno) for one in nodes if isinstance(one, kinds)]


def _sighting(way: Untested, source: Source, tests: int) -> Sighting:
    first, last = way.lines
    touched = [line for line in range(first, last + 1) if line in source.touched]
    line = way.line if way.line in source.touched or not touched else touched[0]
    confidence = 0.62 if way.whole else 0.7
    of = f"{tests} test{'' if tests == 1 else 's'} ran that may reach this module"
    return Sighting(RULE, "warning", confidence, (line, max(line, last)), way.what, (of,), statement=way.statement)
