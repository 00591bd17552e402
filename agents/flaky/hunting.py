"""A hunt from start to end: runs, suspects, experiments, verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aqe.agents.execute import python_setting, raise_for_status, suite_paths, take_spool
from aqe.agents.flaky.causes import ALONE, Cause, Trials, explain
from aqe.agents.flaky.clues import Sources, from_source
from aqe.agents.flaky.history import Past, read_flips
from aqe.agents.flaky.judging import Judged, judge, verdict_of
from aqe.agents.flaky.laboratory import USUAL, Conditions, Laboratory, OutOfExperiments
from aqe.agents.flaky.notes import not_tried, own_parameters
from aqe.agents.flaky.plan import BASE, plan_runs
from aqe.agents.flaky.report import FlakyReport, FlakyRequest, TestVerdict
from aqe.agents.flaky.runs import Heard, RunSeen, Suite
from aqe.agents.flaky.showing import Shown, show_all
from aqe.agents.gate.circumstances import circumstances
from aqe.agents.gate.interpreter import Interpreter, find_interpreter
from aqe.agents.gate.suite import SuiteRun
from aqe.engine.errors import Cancelled, OutOfTime, UserError
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.scratch import scratch_folder

SHARE_OF_RUNS = 0.65  # of the budget; the rest is for causes
LONGEST_S = 24 * 3600.0
PROBED = 200  # stable tests whose source hints at chance, each run a few times more
PROBED_TEST_S = 1.0
LEAST_PROBING_S = 20.0
FORK_S = 0.05
HASH_SEEDS = (1001, 1002, 1003, 1004)  # beyond those of the runs
ASKED_SEEDS = tuple(range(1001, 1009))  # for the one test that was asked for
MOST_RUNS = 1000


@dataclass
class Hunt:
    """What one hunt knows so far."""

    request: FlakyRequest
    project: Path
    interpreter: Interpreter
    suite: Suite
    started: float
    runs: list[RunSeen] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)
    options: str = ""
    code: str = ""
    pytest: str = ""
    partial: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def soft_end(self) -> float:
        """When new work is no longer begun."""
        return self.started + (self.request.budget_s or LONGEST_S)

    @property
    def hard_end(self) -> float:
        """When running work is cut."""
        budget_s = self.request.budget_s
        return self.started + (LONGEST_S if budget_s is None else 1.3 * budget_s + 5.0)


def hunt(
    request: FlakyRequest,
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
    stop: CancelToken | None = None,
) -> FlakyReport:
    """Find the flaky tests of a suite, their causes and the commands that show them.

    `stop` ends what runs and reports what was heard until then. Raises `UserError` (bad-argument, no-such-path,
    name-not-found, no-interpreter, no-tests, pytest-usage, suite-not-collected, no-sandbox, ...), `GateFailed`
    (suite-died) where pytest ended without a result, `OutOfTime` (out-of-time) where its time ended before the suite
    was collected, and `Cancelled`.
    """
    if not 1 <= request.runs <= MOST_RUNS:
        raise UserError(
            f"{request.runs} runs cannot be made.", code="bad-argument", fix=f"Give 1 to {MOST_RUNS}; 12 is usual."
        )
    project = Path(request.project).resolve()
    interpreter = find_interpreter(project, request.python, python_setting(project), trusted=True)
    paths = suite_paths(request.paths, project, request.cwd)
    with scratch_folder("f") as folder:
        suite = Suite(project, interpreter, paths, folder, cancel, stop)
        if request.budget_s is not None:
            suite.test_wall_s = max(2.0, min(suite.test_wall_s, request.budget_s / 4))
        hunting = Hunt(request, project, interpreter, suite, time.monotonic())
        _run_all(hunting, progress, stop)
        return _conclude(hunting, progress, cancel, stop)


def _run_all(hunting: Hunt, progress: Progress, stop: CancelToken | None) -> None:
    """The whole-suite runs, as many as the budget gives."""
    request = hunting.request
    longest_s = 0.0
    last_start = hunting.started + SHARE_OF_RUNS * (request.budget_s or LONGEST_S)
    for number, plan in enumerate(plan_runs(request.runs, request.seed)):
        begun = time.monotonic()
        if number and (begun + longest_s > last_start or (stop is not None and stop.is_set)):
            hunting.partial = True
            hunting.notes.append(f"{number} of {request.runs} runs were made")
            break
        progress(f"Run {number + 1} of {request.runs}: {plan.words}", number, request.runs)
        seen, heard, done = hunting.suite.run(plan, hunting.hard_end)
        longest_s = max(longest_s, time.monotonic() - begun)
        if number == 0:
            _begin(hunting, seen, heard, done, longest_s)
        elif heard.broken:
            first = heard.broken[0]
            hunting.notes.append(
                f"{first['nodeid']} could not be collected in one run ({plan.words}): {first['message']}"
            )
        hunting.runs.append(seen)
        if not seen.complete:
            stopped = stop is not None and stop.is_set
            hunting.partial = hunting.partial or stopped or time.monotonic() >= hunting.hard_end
            hunting.notes.append(f"run {number + 1} did not finish")
    take_note = take_spool(hunting.project)
    if take_note:
        hunting.notes.append(take_note)


def _begin(hunting: Hunt, seen: RunSeen, heard: Heard, done: SuiteRun, took_s: float) -> None:
    """Look at the first run: what pytest collected, and whether it could at all."""
    if hunting.suite.stop is not None and hunting.suite.stop.is_set and not seen.attempts:
        raise Cancelled("The hunt was stopped before a test had ended.", code="cancelled")
    if heard.broken or not seen.attempts:
        if done.ended_by == "wall clock" and heard.status is None and not heard.collected:
            raise _out_of_time(hunting, took_s)
        status = heard.status if heard.status is not None else done.exit_status
        told = {"collect_errors": heard.broken} if heard.status is not None else {}
        if status is not None or not heard.collected:
            raise_for_status(1 if status is None else status, told, done.output)
    hunting.tests = list(dict.fromkeys(heard.collected))
    hunting.plugins, hunting.options = heard.plugins, heard.options
    hunting.code, hunting.pytest = heard.code, heard.pytest
    hunting.suite.learn_limits(seen, took_s)
    test = hunting.request.test
    if test is not None and test not in hunting.tests:
        raise UserError(
            f"The suite has no test {test!r}.",
            code="name-not-found",
            fix="Give its node id as pytest prints it: `PATH::NAME`, from the project's folder.",
        )


def _out_of_time(hunting: Hunt, took_s: float) -> OutOfTime:
    """The error for a suite whose collection did not end."""
    fewer = "name fewer test files, or look with `python -m pytest --collect-only` at what collection waits for."
    return OutOfTime(
        f"pytest had not collected the suite after {took_s:.0f} s, so no test was run.",
        code="out-of-time",
        fix=fewer.capitalize() if hunting.request.budget_s is None else f"Give a larger --budget, {fewer}",
    )


def _conclude(hunting: Hunt, progress: Progress, cancel: CancelToken | None, stop: CancelToken | None) -> FlakyReport:
    """Suspects, experiments, verdicts."""
    request = hunting.request
    judged = {name: judge(name, hunting.runs) for name in _known(hunting)}
    past, trouble = read_flips(hunting.project, hunting.code)
    if trouble:
        hunting.notes.append(trouble)
    seconds = {name: one.seconds for name, one in judged.items()}
    lab = Laboratory(hunting.suite, len(judged), seconds, min(hunting.soft_end, hunting.hard_end), BASE.hash_seed)
    sources = Sources(hunting.project)
    causes: dict[str, tuple[Cause, Trials]] = {}
    try:
        known = [request.test] if request.test is not None else _suspects(judged, past)
        watch = _Watch(hunting, progress, cancel, stop)
        for name in watch.each("Finding causes", known):
            others = None if request.test is None else [other for other in judged if other != name]
            seeds = () if request.test is None else ASKED_SEEDS
            causes[name] = explain(name, hunting.runs, lab, sources, seeds, others)
        if request.test is None:
            for name in _probe(hunting, judged, lab, sources, known, watch):
                causes[name] = explain(name, hunting.runs, lab, sources, HASH_SEEDS)
    finally:
        lab.close()
    if cancel is not None:
        cancel.check()
    hunting.partial = hunting.partial or lab.out_of_time
    verdicts = _verdicts(hunting, judged, past, causes)
    shown = show_all(verdicts, hunting.suite, hunting.hard_end, progress)
    hunting.partial = hunting.partial or shown.ended_early
    return _report(hunting, shown, lab)


@dataclass(frozen=True)
class _Watch:
    """Speaks of each test that is looked at, and ends where the user wants it."""

    hunting: Hunt
    progress: Progress
    cancel: CancelToken | None
    stop: CancelToken | None

    def each(self, doing: str, names: Sequence[str]) -> Iterator[str]:
        """The names, one after the other, until the hunt is stopped."""
        for number, name in enumerate(names):
            if self.cancel is not None:
                self.cancel.check()
            if self.stop is not None and self.stop.is_set:
                self.hunting.partial = True
                return
            self.progress(f"{doing}, {number + 1} of {len(names)}: {name}", number, len(names))
            yield name


def _known(hunting: Hunt) -> list[str]:
    """Every test that was collected or seen, in the suite's order."""
    seen = (name for run in hunting.runs for name in run.order)
    return list(dict.fromkeys([*hunting.tests, *seen]))


def _suspects(judged: dict[str, Judged], past: dict[str, Past]) -> list[str]:
    """The tests that flipped, here or before, or failed only when they were repeated."""
    return [name for name, one in judged.items() if one.flipped or one.fails_repeated or name in past]


def _probe(
    hunting: Hunt, judged: dict[str, Judged], lab: Laboratory, sources: Sources, known: Sequence[str], watch: _Watch
) -> list[str]:
    """Stable tests that flip when they run alone a few times more: those whose source hints at chance, as they are, and
    those that use sets under more hash seeds."""
    tries: dict[str, list[Conditions]] = {}
    left_s = max(LEAST_PROBING_S, time.monotonic() - hunting.started)  # not longer than the runs themselves
    for name, one in sorted(judged.items(), key=lambda item: item[1].seconds):
        if name not in known and one.passed and not one.failed and one.seconds < PROBED_TEST_S:
            category, depth = from_source(sources.uses(name))
            if category == "unordered" and depth <= 1:
                tries[name] = [Conditions(hash_seed=seed) for seed in (BASE.hash_seed, *HASH_SEEDS)]
            elif category is not None and depth <= 1:
                tries[name] = [USUAL] * ALONE
            left_s -= len(tries.get(name, ())) * (one.seconds + FORK_S)
            if left_s <= 0 or len(tries) == PROBED:
                break
    found: list[str] = []
    try:
        for name in watch.each("Trying again", list(tries)):
            trials = Trials(name, lab)
            if {True, False} <= {trials.run((), under) for under in tries[name]}:
                found.append(name)
    except OutOfExperiments:
        hunting.notes.append("not every test whose source hints at chance was tried again")
    return found


def _verdicts(
    hunting: Hunt, judged: dict[str, Judged], past: dict[str, Past], causes: dict[str, tuple[Cause, Trials]]
) -> dict[str, TestVerdict]:
    """What is said of each test, its command not yet tried."""
    names: Sequence[str] = list(judged) if hunting.request.test is None else [hunting.request.test]
    return {
        name: verdict_of(
            judged[name],
            causes.get(name),
            past.get(name),
            hunting.interpreter,
            hunting.project,
            hunting.plugins,
            hunting.options,
            hunting.suite.test_wall_s,
        )
        for name in names
    }


def _report(hunting: Hunt, shown: Shown, lab: Laboratory) -> FlakyReport:
    request, tests = hunting.request, shown.tests
    hunting.notes += [*not_tried(hunting.runs, asked=request.test is not None), *own_parameters(hunting.runs)]
    states = [one.verdict for one in tests.values()]
    if states and all(one == "broken" for one in states):
        hunting.notes.append("No test passed in any run: they are broken, not flaky")
    duration_s = time.monotonic() - hunting.started
    sessions = sum(run.sessions for run in hunting.runs)
    ran = sum(len(found) for run in hunting.runs for found in run.attempts.values())
    isolation = hunting.suite.isolation
    return FlakyReport(
        tests=tests,
        executions=sessions + lab.started,
        runs=len(hunting.runs),
        diagnosis=lab.started,
        test_executions=ran + lab.ran,
        flaky=sum(one.flaky for one in tests.values()),
        broken=states.count("broken"),
        stable=states.count("stable"),
        duration_s=round(duration_s, 3),
        seed=request.seed,
        partial=hunting.partial,
        isolation=isolation,
        evidence=circumstances(
            hunting.interpreter,
            seed=request.seed,
            runs=len(hunting.runs),
            budget_s=request.budget_s,
            duration_s=duration_s,
            rung=f"suite: {isolation}",
            hash_seeds=[run.plan.hash_seed for run in hunting.runs],
            packages={"pytest": hunting.pytest},
        ),
        notes=tuple(hunting.notes),
        shown=shown.ran,
    )
