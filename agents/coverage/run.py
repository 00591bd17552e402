"""`coverage`: measure or read, find the gaps, rank them, and tell what a change is covered by."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aqe.agents.coverage.callers import Source, count_callers
from aqe.agents.coverage.difference import diff_coverage
from aqe.agents.coverage.gaps import find_gaps, is_test, reach
from aqe.agents.coverage.history import read_history
from aqe.agents.coverage.measured import FileCoverage, Measured, inside
from aqe.agents.coverage.report import CoverageReport, CoverageRequest, share
from aqe.agents.coverage.running import CoveredRun, read_data, run_covered
from aqe.agents.coverage.structure import read_structure
from aqe.agents.gate.circumstances import circumstances
from aqe.agents.gate.evidence import Evidence
from aqe.agents.gate.interpreter import Interpreter, find_interpreter
from aqe.agents.generate.outline import read_source
from aqe.agents.generate.target import module_name, search_path
from aqe.engine.errors import UserError
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.settings import load_settings


def coverage(
    request: CoverageRequest, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> CoverageReport:
    """Measure the project's suite (or read `request.data`) and report its gaps, the riskiest first.

    Raises `UserError` (no-such-path, no-tests, suite-not-collected, no-coverage, coverage-data, nothing-measured,
    no-git, unknown-ref, ...), `GateFailed` (suite-died), `OutOfTime` and `Cancelled`.
    """
    from aqe.agents.changes import read_changes

    started = time.monotonic()
    cancel = cancel or CancelToken()
    project = Path(request.project).resolve()
    wanted = _wanted(request, project)
    with cancel.reading():
        changes = read_changes(project, since=request.since) if request.since is not None else None
    interpreter = find_interpreter(project, request.python, load_settings(project).python, trusted=True)
    run = _measure(request, project, interpreter, progress, cancel)
    progress("Ranking gaps")
    subjects = {path: one for path, one in run.measured.files.items() if not is_test(path)}
    if not subjects:
        raise _no_subject(run.measured)
    with cancel.reading():
        read = _read(project, subjects, interpreter)
        reached = [one for path, source in read.sources.items() for one in reach(source, subjects[path])]
        history = read_history(project, (one.path for one in reached if one.is_gap), time.time())
        gaps = find_gaps(reached, read.sources, count_callers(read.sources), history, read.modules)
    gaps = tuple(gap for gap in gaps if _is_wanted(gap.path, wanted))
    figures = [one for path, one in subjects.items() if _is_wanted(path, wanted)]
    notes = [*run.notes, *read.notes, *_notes(run, figures, history.known, history.left_out)]
    functions = [one for one in reached if one.function.is_function and _is_wanted(one.path, wanted)]
    total = _totals(figures)
    return CoverageReport(
        gaps=gaps[: request.top] if request.top else gaps,
        gaps_total=len(gaps),
        functions=len(functions),
        functions_uncovered=sum(one.never_ran for one in functions),
        files=len(figures),
        lines=total.lines,
        lines_covered=total.lines_ran,
        lines_percent=round(share(total.lines_ran, total.lines), 2),
        branches=total.arms,
        branches_covered=total.arms_ran,
        branches_percent=round(share(total.arms_ran, total.arms), 2),
        percent=round(share(total.lines_ran + total.arms_ran, total.lines + total.arms), 2),
        diff=None if changes is None else diff_coverage(changes, run.measured.files),
        tests=run.tests,
        tests_failed=len(run.failures),
        failures=run.failures,
        partial=run.partial,
        evidence=_evidence(request, interpreter, run, started),
        running=run.running,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Totals:
    """Lines and arms of branches, and how many of each ran."""

    lines: int
    lines_ran: int
    arms: int
    arms_ran: int


def _totals(figures: Sequence[FileCoverage]) -> _Totals:
    ran = sum(len(one.arms_ran) for one in figures)
    return _Totals(
        lines=sum(len(one.lines) for one in figures),
        lines_ran=sum(len(one.ran) for one in figures),
        arms=ran + sum(len(one.arms_missing) for one in figures),
        arms_ran=ran,
    )


def _evidence(request: CoverageRequest, interpreter: Interpreter, run: CoveredRun, started: float) -> Evidence:
    """How the figures came about; `started` is a reading of `time.monotonic`."""
    packages = {"coverage": run.measured.coverage_version}
    if run.pytest_version:
        packages["pytest"] = run.pytest_version
    return circumstances(
        interpreter,
        seed=0,
        runs=1 if run.isolation else 0,
        budget_s=request.budget_s,
        duration_s=time.monotonic() - started,
        rung=f"suite: {run.isolation}" if run.isolation else "none",
        packages=packages,
    )


def _wanted(request: CoverageRequest, project: Path) -> tuple[str, ...]:
    """The paths of the request relative to the project, posix; raises `UserError` (no-such-path)."""
    found = []
    for word in request.paths:
        places = [*([Path(request.cwd)] if request.cwd else []), project]
        path = next((place / word for place in places if (place / word).exists()), None)
        name = None if path is None else inside(str(path.absolute()), project)
        if path is not None and path.resolve() == project:
            return ()
        if name is None:
            raise UserError(
                f"There is no {word!r} in the project.", code="no-such-path", fix="Name a source file or folder of it."
            )
        found.append(name)
    return tuple(found)


def _is_wanted(path: str, wanted: Iterable[str]) -> bool:
    names = tuple(wanted)
    return not names or any(path == name or path.startswith(f"{name}/") for name in names)


def _measure(
    request: CoverageRequest, project: Path, interpreter: Interpreter, progress: Progress, cancel: CancelToken
) -> CoveredRun:
    if request.data is None:
        return run_covered(request, interpreter, progress, cancel)
    places = [*([Path(request.cwd)] if request.cwd else []), project]
    path = next((place / request.data for place in places if (place / request.data).exists()), None)
    if path is None:
        raise UserError(
            f"There is no coverage data {request.data!r}.",
            code="no-such-path",
            fix="Name the file of `coverage run` or `coverage json`, or leave --data out to measure.",
        )
    return read_data(path, request.data, interpreter, project, progress)


@dataclass(frozen=True)
class _Read:
    sources: dict[str, Source]
    modules: dict[str, str]
    notes: tuple[str, ...]


def _read(project: Path, subjects: Mapping[str, FileCoverage], interpreter: Interpreter) -> _Read:
    """The structure of each measured file, and the import name of those that have one."""
    roots = search_path(project, interpreter.sys_path)
    sources: dict[str, Source] = {}
    modules: dict[str, str] = {}
    unread = []
    for path in sorted(subjects):
        try:
            structure = read_structure(read_source(project / path))
        except (UserError, SyntaxError, ValueError, RecursionError):
            unread.append(path)
            continue
        module, _ = module_name(project / path, project, roots)
        sources[path] = Source(path, module, structure)
        if all(part.isidentifier() for part in module.split(".")):
            modules[path] = module
    notes: tuple[str, ...] = ()
    if unread:
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        notes = (f"{unread[0]}{more} could not be read as source: lines count, gaps are not ranked.",)
    return _Read(sources, modules, notes)


def _no_subject(measured: Measured) -> UserError:
    what = "nothing but tests" if measured.files else "no file of the project"
    return UserError(
        f"The coverage data holds {what}.",
        code="nothing-measured",
        fix="Look at source, include and omit of the project's coverage settings; an installed copy is not measured.",
    )


def _notes(run: CoveredRun, figures: Iterable[FileCoverage], has_git: bool, left_out: int) -> list[str]:
    notes = []
    if run.failures:
        many = "1 test" if len(run.failures) == 1 else f"{len(run.failures)} tests"
        notes.append(f"{many} failed; what {'it' if len(run.failures) == 1 else 'they'} ran counts as covered.")
    if not run.measured.has_branches:
        notes.append("The data was measured without branches (`branch = true` measures them).")
    if run.isolation and not any(one.ran for one in figures):
        notes.append("No line of these files ran: the tests may import an installed copy of them.")
    if not has_git:
        notes.append("git told no history, so recent changes count for nothing in the risk.")
    if left_out:
        notes.append(f"The recent changes of {left_out} file{'' if left_out == 1 else 's'} were not looked at.")
    return notes
