"""`select`: read the change and the map, apply the rules, look up new tests, order by risk, and run if asked."""

from __future__ import annotations

import fnmatch
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path, PurePosixPath

from aqe.agents.changes import Changes, FileChange, read_changes
from aqe.agents.execute import python_setting
from aqe.agents.gate.circumstances import circumstances
from aqe.agents.gate.interpreter import find_interpreter
from aqe.agents.select.choose import CONFIGURATION, EVERY, ITSELF, PROSE, READS, Choice, Chooser, FileDelta
from aqe.agents.select.deltas import Present, halves, is_only_for_tools, of_change
from aqe.agents.select.history import Past, read_past
from aqe.agents.select.impact_map import ImpactMap, has_other_format, load, update
from aqe.agents.select.imports import CONFTEST, ImportGraph
from aqe.agents.select.report import SelectedTest, SelectReport, SelectRequest
from aqe.agents.select.running import collect, collecting_s, run_selected
from aqe.agents.select.taking import MODULE
from aqe.engine.index.files import walk_files
from aqe.engine.memory.opening import open_to_read
from aqe.engine.progress import CancelToken, Progress, silent

UNTIMED_S = float("inf")
RECORD = "`aqe execute --map` (or `pytest --aqe-map`) records what each test executes."
_NO_MAP = ("no map of what the tests execute is recorded", "another version of aqe recorded the map")
"""Why there is no map: nobody recorded one, or its form is another."""


def select(request: SelectRequest, *, progress: Progress = silent, cancel: CancelToken | None = None) -> SelectReport:
    """The tests that the change needs, in the order of risk; run, if asked.

    Raises `UserError` (no-git, unknown-ref, shallow-clone, bad-argument, no-such-path, suite-not-collected, no-tests,
    ...), `GateFailed` (suite-died), `OutOfTime` (the tests could not be collected in time) and `Cancelled`. Tests that
    fail in the run are a report, no error.
    """
    started = time.monotonic()
    cancel = cancel or CancelToken()
    with cancel.reading():
        project, changes = _read(request)
    progress("Reading the impact map")
    with open_to_read(project) as store:
        update(store, project)
        found = load(store)
        other = has_other_format(store)
        past = read_past(store)
    interpreter = find_interpreter(project, request.python, python_setting(project), trusted=True)
    cancel.check()
    known: dict[str, str] = {}
    if found is None or not found.tests:
        choice = _without_map(other, request.mapped_only)
    else:
        progress("Choosing tests")
        with cancel.reading():
            choice = choose(project, found, changes)
        known = {nodeid: test.file for nodeid, test in found.tests.items()}
    look_up = partial(
        collect,
        project,
        interpreter,
        cancel=cancel,
        wall_s=collecting_s(request.budget_s, started),
        isolated=request.isolated,
    )
    here = _present(project, look_up, choice, known, progress)
    tests = _ordered(here.chosen, past, found)
    why = f"Nothing is selected: {_NO_MAP[other]}."
    if known or choice.why_all:
        why = _why(choice, tests, here.all_tests, changes)
    report = SelectReport(
        base=changes.base,
        head=changes.head,
        tests=tests,
        all_tests=here.all_tests,
        whole_suite=bool(choice.why_all),
        why=why,
        changed_files=len(changes.files),
        run=None,
        not_run=(),
        partial=False,
        evidence=circumstances(
            interpreter, seed=0, runs=0, budget_s=request.budget_s, duration_s=time.monotonic() - started, rung="none"
        ),
        notes=tuple(dict.fromkeys((*changes.notes, *choice.notes))),
    )
    if not request.run or not tests:
        return report
    return run_selected(request, report, project, started, progress, cancel)


def _without_map(is_of_another_version: bool, mapped_only: bool) -> Choice:
    """Nothing where only a map may choose, else the whole suite; with what would record a map."""
    told = f"{_NO_MAP[is_of_another_version]}; {RECORD}"
    return Choice(notes=[told]) if mapped_only else Choice(why_all=told)


def choose(project: Path, found: ImpactMap, changes: Changes) -> Choice:
    """Apply the rules to the change, and to what changed since the map was recorded."""
    parts = [half for change in changes.files for half in halves(change)]
    present = Present(project, found)
    stale = list(present.deltas())
    unknown = _unknown_test_files(project, found)

    @cache
    def graph() -> ImportGraph:
        others = {one.path: [one.old_text] for one in parts if one.path.endswith(".py") and one.old_text is not None}
        made = ImportGraph(project, found.places, others)
        for importer, numbers in found.imports.items():
            for number in numbers:
                file, name, _ = found.parts[number]
                if name == MODULE and file != importer:
                    made.add(importer, file)
        return made

    chooser = Chooser(found, graph, lambda file: is_test_file(file, found))
    code_changed = False
    for one in parts:
        code_changed |= _apply(chooser, one, found)
    for delta in stale:
        code_changed |= _apply_delta(chooser, delta, found)
    chooser.having_any(dict(present.stale_parts()), READS)
    for file in unknown:
        chooser.choice.wanted_files.setdefault(file, "has not been recorded yet")
    chooser.unrecorded()
    if code_changed:
        chooser.opaque()
    return chooser.choice


def is_test_file(path: str, found: ImpactMap) -> bool:
    """Whether pytest takes a file for one with tests: it has, or its name and place are such."""
    if path in found.test_files:
        return True
    named = any(fnmatch.fnmatch(PurePosixPath(path).name, pattern) for pattern in found.python_files)
    return named and _is_beneath(path, found.testpaths)


def _is_beneath(path: str, places: Iterable[str]) -> bool:
    folders = [place.rstrip("/") for place in places]
    return not folders or any(folder == "." or path == folder or path.startswith(f"{folder}/") for folder in folders)


def _read(request: SelectRequest) -> tuple[Path, Changes]:
    """The project, which is the head's folder where two are compared, and the change."""
    places = [Path(request.cwd)] if request.cwd else [Path(request.project)]
    base, head = ((places[0] / one).resolve() if one is not None else None for one in (request.base, request.head))
    project = (head if head is not None and head.is_dir() else Path(request.project)).resolve()
    return project, read_changes(project, since=request.since, base=base, head=head)


def _unknown_test_files(project: Path, found: ImpactMap) -> list[str]:
    """Test files that no recorded run has met."""
    known = found.test_files | found.imports.keys()
    names = (name for name in walk_files(project) if name.endswith(".py") and name not in known)
    return sorted(name for name in names if is_test_file(name, found))


def _apply(chooser: Chooser, change: FileChange, found: ImpactMap) -> bool:
    """The rule for one changed file; returns whether it is something that a process may run or read."""
    path = change.path
    words = of_change(change).words if not path.endswith(".py") else ""
    if CONFIGURATION.fullmatch(path):
        if is_only_for_tools(change):
            chooser.choice.notes.append(f"{path} changed only in what no test feels")
        else:
            chooser.every_test(f"{path} changed, and configuration may concern every test")
        return False
    if path.endswith(".py"):
        return _apply_delta(chooser, of_change(change), found)
    if path.endswith((".so", ".pyd")):
        chooser.every_test(f"{path} changed, a compiled module")
    went = change.kind in ("added", "deleted")
    chooser.data(path, words, existed=change.kind != "added", came_or_went=went)
    return not PROSE.fullmatch(path)


def _apply_delta(chooser: Chooser, delta: FileDelta, found: ImpactMap) -> bool:
    old, new = delta.old, delta.new
    both = old is not None and new is not None and old.is_known and new.is_known
    if both and old and new and replace(old, content="") == replace(new, content=""):
        return False  # only formatting and comments
    if PurePosixPath(delta.path).name == CONFTEST:
        chooser.conftest(delta.path, delta.words)
    elif is_test_file(delta.path, found):
        chooser.test_file(delta)
        return False
    else:
        chooser.source(delta)
    return True


@dataclass(frozen=True)
class _Here:
    """The chosen tests that are really there, by id with directness and reason, and how many tests are known."""

    chosen: Mapping[str, tuple[float, str]]
    all_tests: int


def _present(
    project: Path,
    look_up: Callable[[Sequence[str] | None], dict[str, str]],
    choice: Choice,
    known: Mapping[str, str],
    progress: Progress,
) -> _Here:
    """Look up the tests of new and changed test files, of all where all are chosen; leave out what is gone."""
    there = {nodeid: file for nodeid, file in known.items() if os.path.exists(project / file)}
    files = {file for file in choice.wanted_files if os.path.exists(project / file)}
    if choice.why_all or files:
        progress("Collecting tests")
        found = look_up(None if choice.why_all else sorted(files))
        if choice.why_all:
            there = dict(found)
        else:
            there = {nodeid: file for nodeid, file in there.items() if file not in files} | found
    chosen = {nodeid: why for nodeid, why in choice.tests.items() if nodeid in there}
    for nodeid, file in there.items():
        if nodeid not in chosen and choice.why_all:
            chosen[nodeid] = (EVERY, choice.why_all)
        elif file in files and (nodeid not in known or choice.wanted_files[file] != "is a new test"):
            chosen.setdefault(nodeid, (ITSELF, choice.wanted_files[file]))
    return _Here(chosen, len(there))


def _ordered(chosen: Mapping[str, tuple[float, str]], past: Past, found: ImpactMap | None) -> tuple[SelectedTest, ...]:
    """Most directly hit and most recently failing first; among equals the fastest, and what was never timed last, in
    the suite's order."""
    tests = {} if found is None else found.tests
    rows: list[tuple[float, float, int, str, str]] = []
    for nodeid, (directness, reason) in chosen.items():
        mapped = tests.get(nodeid)
        failing = past.failing(nodeid, mapped.outcome if mapped else "")
        width = len(mapped.parts) if mapped else 0
        risk = min(1.0, directness + 0.3 * failing) - min(0.05, width / 100_000)
        duration_s = past.duration_s.get(nodeid, mapped.duration_s if mapped else UNTIMED_S)
        rows.append((-round(risk, 4), duration_s, len(rows), nodeid, reason))
    return tuple(SelectedTest(nodeid, reason, -risk) for risk, _, _, nodeid, reason in sorted(rows))


def _count(tests: int) -> str:
    return f"{tests} test{'' if tests == 1 else 's'}"


def _why(choice: Choice, tests: tuple[SelectedTest, ...], all_tests: int, changes: Changes) -> str:
    """What the selection means, in one sentence."""
    if choice.why_all:
        return f"The whole suite, {_count(len(tests))}: {choice.why_all.rstrip('.')}."
    if tests:
        are = "is" if len(tests) == 1 else "are"
        return f"{len(tests)} of {_count(all_tests)} {are} needed for what changed since {changes.base}."
    if not changes.files:
        return f"No test is needed: nothing changed since {changes.base}, nor since the map was recorded."
    told = "; ".join(dict.fromkeys(choice.notes)) or "only formatting and comments changed"
    return f"No recorded test is needed for this change, which is no proof that it is right: {told}."
