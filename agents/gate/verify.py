"""The gate for tests, whoever wrote them: run them in the sandbox and come back with one `Evidence`.

Steps: find files, interpreter and subjects; five shuffled runs with five hash seeds; a run on a broken twin of the
subject, where a test that still passes proves nothing; coverage.py over the stable tests; the kill map; what each test
adds to the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

from aqe.agents.gate.box import Box
from aqe.agents.gate.collection import TestPlan, import_mode_for, other_tests, plan_tests
from aqe.agents.gate.evidence import Evidence, MutantResult, MutantState, TestEvidence
from aqe.agents.gate.hints import hints_of, summarise
from aqe.agents.gate.kill_map import KillMap, KillMapping, MutantKey, deadline_in, sample
from aqe.agents.gate.measure import Coverage, Reach, measure
from aqe.agents.gate.nearest import Footprint, Own, compare
from aqe.agents.gate.stability import (
    SessionRun,
    Stability,
    clock,
    describe_end,
    hash_seeds,
    judge,
    run_all,
    run_session,
    surroundings,
)
from aqe.agents.gate.subjects import Mutant, Subject, find_subjects
from aqe.engine.errors import Cancelled, UserError
from aqe.engine.progress import CancelToken, Progress, silent

MIN_SESSION_S = 2.0  # a session gets this much even when the budget is over
PLUGIN_MISSING = ("fixture '", "async def functions are not natively supported", "' not found in `markers`")


@dataclass(frozen=True)
class VerifyRequest:
    """What to verify. `tests` are files or folders; `sources` are drafts given as text, by file name.

    `subjects` are modules (or their files), found from the tests' imports where empty. `runs` shuffled runs; up to
    `max_mutants` mutants, None for all, 0 for none; `leave_out` sets aside equivalent-looking mutants. `budget_s` is
    wall time: what is not done by then is said in the notes. With `beside`, the project's other test files that import
    a subject are run as well, so that `nearest` and `adds_*` compare with the tests that exist. `within` maps a
    module to the first and last lines of what is judged of it; figures and mutants are then of these lines alone. With
    `elsewhere` the runs between the first and the last have another day, time zone, language, home and temporary
    folder, so that a test which records those of today on this machine is not stable.
    """

    tests: tuple[str, ...]
    project: str
    subjects: tuple[str, ...] = ()
    python: str | None = None
    seed: int = 0
    runs: int = 5
    max_mutants: int | None = 200
    budget_s: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    leave_out: bool = True
    beside: bool = False
    within: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    elsewhere: bool = False


@dataclass(frozen=True)
class VerifyReport:
    """The evidence, one sentence about it, and what would make the tests better.

    `interrupted` is True when it was stopped early: a note of the evidence says what was not done.
    """

    evidence: Evidence
    summary: str
    hints: tuple[str, ...]
    interrupted: bool = False


def verify(
    request: VerifyRequest,
    *,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
    stop: CancelToken | None = None,
) -> VerifyReport:
    """Run tests through the gate.

    `cancel` ends everything at once; `stop` does so too, but what is known of the tests by then is the answer
    (`cancelled` where no run of them has ended).

    Errors: no-such-path, not-python, no-tests, no-subject, import-failed, import-hangs, import-exits, c-extension,
    syntax-error, no-interpreter, no-pytest, cancelled. A failing, flaky or hanging test is a verdict, not an error.
    """
    if request.runs < 1:
        raise UserError("runs must be at least 1.", code="bad-argument", fix="Give --runs 5.")
    if cancel is not None:
        cancel.check()
    progress("finding the project's Python")
    plan = plan_tests(request.tests, request.sources, request.project, request.python)
    token = CancelToken()
    forget = [source.on_cancel(token.cancel) for source in (cancel, stop) if source is not None]
    is_stopped = _stopped(stop, cancel)
    work = _Verification(request, progress, token, is_stopped)
    try:
        report = work.run(plan)
        if not plan.autoload and work.misses_plugins:
            progress("the tests need the project's pytest plugins: again with them")
            work = _Verification(request, progress, token, is_stopped)
            report = work.run(replace(plan, autoload=True))
    except BaseException:
        if is_stopped():
            raise Cancelled("Stopped before a run of the tests ended: nothing to report.", code="cancelled") from None
        token.check()
        raise
    finally:
        for undo in forget:
            undo()
    return report


def _stopped(stop: CancelToken | None, cancel: CancelToken | None) -> Callable[[], bool]:
    return lambda: stop is not None and stop.is_set and not (cancel is not None and cancel.is_set)


@dataclass
class _Findings:
    """What the steps have found so far; a step that was not reached leaves its fields as they are."""

    seeds: tuple[int, ...]
    subjects: list[Subject] = field(default_factory=list)
    verdicts: dict[str, Stability] = field(default_factory=dict)
    refused: dict[str, str] | None = None
    on_twin: set[str] | None = None
    coverage: Coverage | None = None
    reach: Mapping[str, Reach] = field(default_factory=dict)
    chosen: list[tuple[Subject, Mutant]] = field(default_factory=list)
    kills: KillMap = field(default_factory=KillMap)

    def stable(self) -> list[str]:
        """The tests that hold, as far as is known."""
        refused = self.refused or {}
        return [name for name, one in self.verdicts.items() if one.verdict == "stable" and name not in refused]

    def undone(self) -> list[str]:
        """What is missing, in words; mutants that were not run are counted in."""
        known = {
            "the run beside the instrumented subject": self.refused,
            "the broken twin": self.on_twin,
            "lines and branches": self.coverage,
        }
        judged = self.kills.killed_by.keys()
        self.kills.not_run.update((one.module, mutant.id) for one, mutant in self.chosen)
        self.kills.not_run -= judged
        mutants = [f"{len(self.kills.not_run)} of {len(self.chosen)} mutants"] if self.kills.not_run else []
        return [*(words for words, found in known.items() if found is None), *mutants]


class _Verification:
    """One pass over a plan; holds what the steps share."""

    def __init__(
        self, request: VerifyRequest, progress: Progress, cancel: CancelToken, is_stopped: Callable[[], bool]
    ) -> None:
        self.request = request
        self.progress = progress
        self.cancel = cancel
        self.is_stopped = is_stopped
        self.started = time.monotonic()
        self.stop = deadline_in(request.budget_s)
        self.notes: list[str] = []
        self.misses_plugins = False
        self.packages: dict[str, str] = {}

    def run(self, plan: TestPlan) -> VerifyReport:
        found = _Findings(hash_seeds(self.request.seed, self.request.runs))
        has_stopped = False
        with ExitStack() as stack:
            first = stack.enter_context(plan.open_box(hash_seed=found.seeds[0], cancel=self.cancel))
            try:
                self._steps(plan, stack, first, found)
            except Exception:
                if not (self.is_stopped() and found.verdicts):
                    raise
                has_stopped = True
                done = f"{len(found.seeds)} of {self.request.runs} shuffled runs ended"
                self.notes.append(f"stopped by Ctrl-C: {done}; not done: {', '.join(found.undone()) or 'nothing else'}")
            evidence = self._evidence(plan, first, found, has_stopped)
        return VerifyReport(evidence, summarise(evidence), hints_of(evidence), has_stopped)

    def _steps(self, plan: TestPlan, stack: ExitStack, first: Box, found: _Findings) -> None:
        """From the subjects to the kill map; each step leaves what it found in `found`."""
        self.progress("looking for the modules under test")
        self._warm(plan, first, (), rehearse=True)
        named = find_subjects(plan, self.request.subjects, first)
        subjects = found.subjects = [one.narrowed(self.request.within.get(one.module, ())) for one in named]
        found.chosen = sample(subjects, self.request.seed, self.request.max_mutants, leave_out=self.request.leave_out)
        boxes = self._open_boxes(plan, stack, first, found.seeds, subjects)
        self._stability(plan, boxes, found)
        found.refused = self._refused_beside(plan, boxes[0], subjects, found.stable())
        stable = found.stable()
        found.on_twin = self._twin(plan, boxes[0], subjects, stable)
        self.progress("measuring coverage of the stable tests")
        coverage = measure(plan, boxes[0], subjects, stable, **self._limits())
        self._check()
        found.coverage = coverage
        whole, existing, found.reach = self._existing(plan, boxes[-1], subjects)
        self._kill_map(whole, [*stable, *existing], found, boxes[0])

    def _check(self) -> None:
        self.cancel.check()

    def _warm(self, plan: TestPlan, box: Box, modules: tuple[str, ...], *, rehearse: bool = False) -> None:
        result = plan.warm(box, modules, rehearse=rehearse)
        self._check()
        if result.state == "timeout":
            raise UserError(f"Importing {', '.join(modules) or 'pytest'} did not end.", code="import-hangs")
        if result.state != "ok":
            what = ", ".join(modules) or "pytest"
            raise UserError(f"{what} cannot be imported: {describe_end(result)}.", code="import-failed")
        self.packages.update(result.value["packages"])

    def _open_boxes(
        self, plan: TestPlan, stack: ExitStack, first: Box, seeds: Sequence[int], subjects: Sequence[Subject]
    ) -> list[Box]:
        """One box for each run, with pytest and the subjects warm."""
        self.progress(f"starting {len(seeds)} interpreters")
        modules = tuple(subject.module for subject in subjects)
        boxes = [first]

        def opened(run: int) -> Box:
            env = surroundings(run) if self.request.elsewhere and run < len(seeds) - 1 else {}
            shown = tuple(filter(None, [clock()])) if env else ()
            box = plan.open_box(hash_seed=seeds[run], env=env, readable=shown, cancel=self.cancel)
            return stack.enter_context(box)  # closed if another fails

        with ThreadPoolExecutor(len(seeds)) as pool:
            boxes += pool.map(opened, range(1, len(seeds)))
            list(pool.map(lambda box: self._warm(plan, box, modules), boxes))
        return boxes

    def _stability(self, plan: TestPlan, boxes: Sequence[Box], found: _Findings) -> None:
        total = len(boxes)
        ended: dict[int, SessionRun] = {}
        self.progress(f"running the tests {total} times in shuffled order", 0, total)
        runs = run_all(
            plan, boxes, self.request.seed,
            lambda done: self.progress(f"run {done} of {total}", done, total), ended, **self._limits(),
        )  # fmt: skip
        if self.is_stopped() and len(ended) < total:
            runs = list(ended.values())
            found.seeds = tuple(found.seeds[place] for place in sorted(ended))
        found.verdicts = judge(runs) if runs else {}
        self.misses_plugins = self._plugins_wanted(plan, found.verdicts)
        self._check()
        if not found.verdicts:
            names = ", ".join(plan.sources())
            raise UserError(f"{names} holds no tests.", code="no-tests", fix="pytest collects functions called test_*.")

    def _limits(self) -> dict[str, Any]:
        """Wall clocks of a session, shorter where the budget is."""
        if self.request.budget_s is None:
            return {}
        left = max(self.request.budget_s - (time.monotonic() - self.started), MIN_SESSION_S)
        return {"wall_s": left, "test_wall_s": min(10.0, max(left / 2, 1.0))}

    def _plugins_wanted(self, plan: TestPlan, verdicts: Mapping[str, Stability]) -> bool:
        texts = [one.message for one in verdicts.values() if one.verdict != "stable"]
        return not plan.autoload and any(sign in text for text in texts for sign in PLUGIN_MISSING)

    def _refused_beside(
        self, plan: TestPlan, box: Box, subjects: Sequence[Subject], stable: list[str]
    ) -> dict[str, str]:
        """The tests that do not pass beside the instrumented subject, and how each ends there."""
        if not stable:
            return {}
        self.progress("running the tests beside the instrumented subject")
        names = [subject.module for subject in subjects]
        run = run_session(plan, box, only=stable, beside=names, plain=True, **self._limits())
        self._check()
        refused = {}
        for name in stable:
            test = run.tests.get(name)
            if test is None:
                refused[name] = "it is not collected"
            elif test.outcome not in ("passed", "missed"):
                refused[name] = test.message or test.outcome
        return refused

    def _twin(self, plan: TestPlan, box: Box, subjects: Sequence[Subject], stable: list[str]) -> set[str]:
        """The tests that pass although every function of the subject raises."""
        if not stable:
            return set()
        self.progress("running the tests on a broken twin of the subject")
        names = [subject.module for subject in subjects]
        run = run_session(plan, box, only=stable, twin=names, options=["--runxfail"], plain=True, **self._limits())
        self._check()
        return {name for name in stable if name in run.tests and run.tests[name].outcome == "passed"}

    def _existing(
        self, plan: TestPlan, box: Box, subjects: Sequence[Subject]
    ) -> tuple[TestPlan, list[str], Mapping[str, Reach]]:
        """The plan with the project's other tests of the subjects, the names of those that pass, and their reach."""
        files = other_tests(plan, [subject.module for subject in subjects]) if self.request.beside else ()
        if not files or self.stop():
            return plan, [], {}
        self.progress(f"running {len(files)} test files that the project has for the same modules")
        mode = import_mode_for([*plan.files, *plan.drafts, *files], plan.import_mode)
        whole = replace(plan, files=plan.files + files, import_mode=mode)
        run = run_session(replace(whole, files=files, drafts={}), box, **self._limits())
        self._check()
        passing = sorted(name for name, test in run.tests.items() if test.outcome == "passed")
        reach = measure(whole, box, subjects, passing, **self._limits()).reach if passing else {}
        self._check()
        return whole, passing, reach

    def _kill_map(self, plan: TestPlan, tests: list[str], found: _Findings, box: Box) -> None:
        chosen = found.chosen
        self.progress(f"turning {len(chosen)} mutants on", 0, len(chosen))
        mapping = KillMapping(
            plan, found.subjects, tests, seed=self.request.seed, cancel=self.cancel, stop=self.stop,
            share_s=(self.request.budget_s or 0.0) / 10,
            report=lambda done, total: self.progress(f"mutant {done} of {total}", done, total),
        )  # fmt: skip
        found.kills = mapping.map
        kills = mapping.run(chosen, box)
        self.notes.extend(kills.notes)
        if kills.not_run:
            self.notes.append(
                f"{len(kills.not_run)} of {len(chosen)} mutants were not run: the budget or their sandbox ended"
                + ("; the others are a random sample" if len(kills.not_run) < len(chosen) else "")
            )

    def _evidence(self, plan: TestPlan, box: Box, found: _Findings, has_stopped: bool) -> Evidence:
        subjects, kills, chosen = found.subjects, found.kills, found.chosen
        refused = {**(found.refused or {}), **kills.refused}
        fallen = {name for name in found.on_twin or () if not kills.kills_of(name)} - refused.keys()
        stable = [name for name in found.stable() if name not in fallen and name not in refused]
        coverage = (found.coverage or Coverage((), {}, False)).without(fallen | refused.keys())
        verdicts = {
            name: distrust(one, refused[name]) if name in refused else one for name, one in found.verdicts.items()
        }
        rows = test_evidence(verdicts, fallen, footprints_of(coverage.reach, kills), footprints_of(found.reach, kills))
        if not coverage.is_measured and not has_stopped:
            self.notes.append("not measured: lines and branches of some subjects (their session did not end in time)")
        elif coverage.engine != "coverage.py":
            self.notes.append("this Python has no coverage.py: lines and branches were traced by aqe itself")
        mutants = mutant_results(subjects, chosen, kills, frozenset(stable), plan.project)
        counted = [one for one in mutants if one.state != "left-out"]
        left_out = (
            sum(1 for one in subjects for mutant in one.mutants if mutant.left_out) if self.request.leave_out else 0
        )
        everything = sum(len(one.mutants) for one in subjects)
        if left_out:
            self.notes.append(f"{left_out} of {everything} mutants ({100 * left_out / everything:.1f} %) left out")
        if self.request.max_mutants is not None and everything - left_out > self.request.max_mutants:
            self.notes.append(
                f"{len(chosen)} of {everything - left_out} mutants, sampled with seed {self.request.seed}"
            )
        layers = box.layers
        self.notes.extend(f"sandbox: {why}" for why in layers.why_not_higher)
        return Evidence(
            aqe_version=metadata.version("aqe"),
            python_version=plan.interpreter.version_text,
            python_executable=plan.interpreter.executable,
            packages=dict(sorted(self.packages.items())),
            rung=layers.rung,
            below_namespaces=layers.below_namespaces,
            layers=layers.in_force,
            layers_missing=layers.missing,
            seed=self.request.seed,
            hash_seeds=found.seeds,
            runs=len(found.seeds),
            budget_s=self.request.budget_s,
            duration_s=round(time.monotonic() - self.started, 3),
            subjects=coverage.subjects,
            tests=rows,
            mutants=mutants,
            mutants_total=len(counted),
            mutants_killed=sum(1 for one in counted if one.state == "killed"),
            mutants_left_out=left_out,
            notes=tuple(self.notes),
            mutants_not_run=len(kills.not_run),
        )


def distrust(one: Stability, why: str) -> Stability:
    """What is said of a test that passes in every run, but not beside the instrumented subject."""
    message = (
        "it passes only beside the uninstrumented subject, so it is not trusted (a test of the subject's own source, "
        f"line numbers or bytecode may be honest): {why}"
    )
    return replace(one, verdict="failing", message=message)


def footprints_of(reach: Mapping[str, Reach], kills: KillMap) -> dict[str, Footprint]:
    """What each test reaches and kills."""
    return {name: Footprint(one.lines, one.branches, kills.kills_of(name)) for name, one in reach.items()}


def test_evidence(
    verdicts: Mapping[str, Stability],
    fallen: set[str],
    footprints: Mapping[str, Footprint],
    existing: Mapping[str, Footprint],
) -> tuple[TestEvidence, ...]:
    """One row for each test; what a test that did not hold reaches is not counted. `existing` tests have no row."""
    own = compare({**footprints, **existing}, kept=frozenset(existing))
    rows = []
    for name, one in verdicts.items():
        footprint = footprints.get(name, Footprint(frozenset(), frozenset(), frozenset()))
        mine = own.get(name, Own(0, 0, 0, None))
        has_fallen = name in fallen
        message = "it passes although every function of the subject raises" if has_fallen else one.message
        rows.append(
            TestEvidence(
                name=name,
                verdict="passes-on-broken-twin" if has_fallen else one.verdict,
                passed=one.passed,
                runs=one.runs,
                duration_ms=round(one.ms, 3),
                lines=len(footprint.lines),
                branches=len(footprint.branches),
                mutants_killed=len(footprint.kills),
                adds_lines=mine.adds_lines,
                adds_branches=mine.adds_branches,
                adds_kills=mine.adds_kills,
                nearest=mine.nearest,
                adds_nothing=name in footprints and mine.adds_nothing,
                message=message,
            )
        )
    return tuple(rows)


def mutant_results(
    subjects: Sequence[Subject], chosen: Sequence[tuple[Subject, Mutant]], kills: KillMap, stable: frozenset[str],
    project: str,
) -> tuple[MutantResult, ...]:  # fmt: skip
    """One row for each mutant that was chosen and judged, and for each that is left out."""
    rows = []
    taken = {(subject.module, mutant.id) for subject, mutant in chosen}
    for subject in subjects:
        for mutant in subject.mutants:
            key = (subject.module, mutant.id)
            if key in kills.not_run or (key not in taken and not mutant.left_out):
                continue
            killers = tuple(name for name in kills.killed_by.get(key, ()) if name in stable)
            rows.append(
                MutantResult(
                    id=f"{subject.module}:{mutant.key}",
                    operator=mutant.operator,
                    path=subject.path,
                    line=mutant.line,
                    function=mutant.function,
                    original=mutant.original,
                    replacement=mutant.replacement,
                    state=_state(key, taken, kills, killers),
                    killed_by=killers,
                    reason=mutant.left_out,
                )
            )
    return tuple(rows)


def _state(key: MutantKey, taken: set[MutantKey], kills: KillMap, killers: tuple[str, ...]) -> MutantState:
    if key not in taken:
        return "left-out"
    if killers:
        return "killed"
    return "survived" if key in kills.reached else "not-covered"
