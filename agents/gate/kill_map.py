"""Which test kills which mutant.

The subjects are loaded once with all mutants behind a switch and the tests are collected once; each mutant is a fork in
which it is on and the tests that reach it run. For a mutant in code that runs at import the fork is of a process that
has neither: it imports the subject with the mutant on and collects the tests again.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from aqe.agents.gate.box import Box, CaseResult
from aqe.agents.gate.collection import TestPlan
from aqe.agents.gate.stability import SESSION_WALL_S, describe_end
from aqe.agents.gate.subjects import Mutant, Subject
from aqe.engine.errors import InternalError
from aqe.engine.progress import CancelToken

COLLECT_WALL_S = 60.0
MAX_TIMEOUTS = 4  # of one mutant; after that the tests that are left are not run against it
MAX_REOPENED = 3  # boxes opened in place of those that tests have ended

MutantKey = tuple[str, int]  # module, id of the mutant


@dataclass
class KillMap:
    """`killed_by[mutant]` names the tests that fail while it is on; `reached` holds what any test asks for.

    `refused` says of a test how it ended beside the instrumented subject, where it did not pass: it kills nothing.
    """

    killed_by: dict[MutantKey, tuple[str, ...]] = field(default_factory=dict)
    reached: set[MutantKey] = field(default_factory=set)
    not_run: set[MutantKey] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def kills_of(self, test: str) -> frozenset[MutantKey]:
        """The mutants that one test kills."""
        return frozenset(mutant for mutant, tests in self.killed_by.items() if test in tests)


def sample(
    subjects: Sequence[Subject], seed: int, most: int | None, *, leave_out: bool
) -> list[tuple[Subject, Mutant]]:
    """At most `most` mutants, the same ones for the same sources and seed whatever the tests are."""
    pool = [(one, mutant) for one in subjects for mutant in one.mutants if not (leave_out and mutant.left_out)]
    if most is None or len(pool) <= most:
        return pool
    digest = "".join(subject.sha256 for subject in subjects)
    chosen = random.Random(f"{digest} {seed}").sample(range(len(pool)), most)
    return [pool[position] for position in sorted(chosen)]


@dataclass(frozen=True)
class _Trace:
    ms: float
    reached: Mapping[str, frozenset[int]]
    steps: Mapping[str, int]


@dataclass
class _Bench:
    """The two boxes of one worker: `collected` holds the tests beside instrumented subjects, `plain` nothing yet."""

    collected: Box
    plain: Box


class KillMapping:
    """Builds a kill map with a few boxes side by side; `stop` says when to leave the rest.

    Tracing the tests gets `2 * share_s` seconds and the mutants `share_s` even where the stop is near.

    Mutants are judged in an order drawn from `seed`, and none is passed over, so that those judged before the stop are
    a fair sample of all.
    """

    def __init__(
        self, plan: TestPlan, subjects: Sequence[Subject], tests: Sequence[str], *, seed: int,
        cancel: CancelToken | None, stop: Callable[[], bool], report: Callable[[int, int], None],
        share_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.subjects = subjects
        self.tests = list(tests)
        self.seed = seed
        self.cancel = cancel
        self.stop = stop
        self.share_s = share_s
        self.report = report
        self.map = KillMap()
        self._lock = threading.Lock()
        self._done = 0
        self._total = 0
        self._load_s = 1.0
        self._stack = ExitStack()
        self._reopened = 0

    def run(self, mutants: Sequence[tuple[Subject, Mutant]], warm_box: Box) -> KillMap:
        """Judge the mutants. `warm_box` has hash seed 0, has imported the subjects and collected nothing."""
        self._total = len(mutants)
        if not self.tests or not mutants:
            return self.map
        order = list(mutants)
        random.Random(f"order {self.seed}").shuffle(order)
        workers = max(1, min(4, os.cpu_count() or 1))
        with ExitStack() as stack:
            self._stack = stack
            pool = stack.enter_context(ThreadPoolExecutor(2 * workers))
            wanted = [False] * workers + [True] * (workers - 1)
            opened = list(pool.map(self._open, wanted))
            benches = [_Bench(*pair) for pair in zip(opened, [warm_box, *opened[workers:]], strict=False)]
            at_import = self._collect(pool, benches)
            self.stop = _both(self.stop, deadline_in(2 * self.share_s))
            traces = dict(self._spread(pool, benches, self.tests, self._trace))
            self.tests = [test for test in self.tests if test not in self.map.refused]
            if self.stop():
                self.map.not_run.update((subject.module, mutant.id) for subject, mutant in order)
                return self.map
            self._prepare_import(pool, benches, any(_is_early(one, at_import) for one in order))

            self.stop = _both(self.stop, deadline_in(self.share_s))

            def act(bench: _Bench, one: tuple[Subject, Mutant]) -> None:
                self._judge(bench, one, traces, is_early=_is_early(one, at_import))

            for _ in self._spread(pool, benches, order, act):
                pass
        return self.map

    def _open(self, is_warm: bool) -> Box:
        box = self._stack.enter_context(self.plan.open_box(cancel=self.cancel))
        modules = tuple(one.module for one in self.subjects) if is_warm else ()
        self.plan.warm(box, modules, rehearse=is_warm)
        return box

    def _collect(self, pool: ThreadPoolExecutor, benches: Sequence[_Bench]) -> dict[str, set[int]]:
        def one(bench: _Bench) -> tuple[dict[str, list[int]], float]:
            result = self._collect_in(bench.collected)
            if result.state != "ok":
                raise InternalError(
                    f"The tests could not be collected beside the instrumented subject: {describe_end(result)}.",
                    code="internal",
                )
            return result.value["at_import"], result.duration_ms / 1000.0

        answers = list(pool.map(one, benches))
        self._load_s = 2.0 + 10 * max(seconds for _, seconds in answers)
        at_import = {name: set(ids) for name, ids in answers[0][0].items()}
        self.map.reached.update((name, number) for name, ids in at_import.items() for number in ids)
        return at_import

    def _collect_in(self, box: Box) -> CaseResult:
        args = {**self.plan.session(box), "only": self.tests, "subjects": [one.module for one in self.subjects]}
        result = box.preload("_aqe_inject.mutant_case:collect", args, wall_s=COLLECT_WALL_S)
        self._check()
        return result

    def _prepare_import(self, pool: ThreadPoolExecutor, benches: Sequence[_Bench], is_needed: bool) -> None:
        if is_needed:
            list(pool.map(lambda bench: self._prepare_box(bench.plain), benches))

    def _prepare_box(self, box: Box) -> None:
        args = {**self.plan.session(box), "subjects": [one.module for one in self.subjects]}
        box.preload("_aqe_inject.mutant_case:prepare_import", args, wall_s=COLLECT_WALL_S)
        self._check()

    def _revive(self, bench: _Bench, *, is_early: bool) -> Box:
        """The bench's box, or a new one where it is gone; at most MAX_REOPENED are opened in all."""
        box = bench.plain if is_early else bench.collected
        if box.alive or self.stop():
            return box
        with self._lock:
            if self._reopened >= MAX_REOPENED:
                return box
            self._reopened += 1
        fresh = self._open(is_early)
        if is_early:
            self._prepare_box(fresh)
            bench.plain = fresh
        elif self._collect_in(fresh).state == "ok":
            bench.collected = fresh
        return bench.plain if is_early else bench.collected

    def _check(self) -> None:
        if self.cancel is not None:
            self.cancel.check()

    def _spread(
        self, pool: ThreadPoolExecutor, benches: Sequence[_Bench], work: Sequence[Any],
        act: Callable[[_Bench, Any], Any],
    ) -> Iterator[tuple[Any, Any]]:  # fmt: skip
        """Hand work to whichever bench is free, in order."""
        queue = iter(enumerate(work))
        results: dict[int, Any] = {}

        def drain(bench: _Bench) -> None:
            while True:
                self._check()
                with self._lock:
                    position, one = next(queue, (-1, None))
                if position < 0:
                    return
                results[position] = act(bench, one)

        list(pool.map(drain, benches))
        return ((work[position], results[position]) for position in sorted(results))

    def _trace(self, bench: _Bench, test: str) -> _Trace:
        if self.stop():
            return _Trace(0.0, {}, {})
        result = bench.collected.run("_aqe_inject.mutant_case:trace", {"test": test}, wall_s=SESSION_WALL_S)
        self._check()
        if result.state != "ok":
            if bench.collected.alive:
                self._refuse(test, describe_end(result))
            else:
                self._note(f"{test} could not be traced: {describe_end(result)}")
            return _Trace(0.0, {}, {})
        value = result.value if isinstance(result.value, dict) else {}
        if value.get("outcome") != "passed":
            self._refuse(test, f"the test ended as {value.get('outcome')}")
            return _Trace(0.0, {}, {})
        reached = {name: frozenset(ids) for name, ids in value["reached"].items()}
        with self._lock:
            self.map.reached.update((name, number) for name, ids in reached.items() for number in ids)
        return _Trace(value["ms"], reached, value["steps"])

    def _refuse(self, test: str, why: str) -> None:
        with self._lock:
            self.map.refused[test] = why

    def _note(self, text: str) -> None:
        with self._lock:
            self.map.notes.append(text)

    def _judge(
        self, bench: _Bench, one: tuple[Subject, Mutant], traces: Mapping[str, _Trace], *, is_early: bool
    ) -> None:
        subject, mutant = one
        key = (subject.module, mutant.id)
        box = self._revive(bench, is_early=is_early)
        if self.stop() or not box.alive:  # in a box that is gone every test would seem to notice every mutant
            with self._lock:
                self.map.not_run.add(key)
        else:
            tests = [
                name for name in self.tests if is_early or mutant.id in traces[name].reached.get(subject.module, ())
            ]
            killers = self._run_mutant(bench, key, tests, traces, is_early=is_early) if tests else []
            with self._lock:
                self.map.killed_by[key] = tuple(killers)
                if is_early:
                    self.map.reached.add(key)
        with self._lock:
            self._done += 1
            done = self._done
        self.report(done, self._total)

    def _run_mutant(
        self, bench: _Bench, key: MutantKey, tests: list[str], traces: Mapping[str, _Trace], *, is_early: bool
    ) -> list[str]:
        module, number = key
        box = bench.plain if is_early else bench.collected
        entry = "judge_import" if is_early else "judge"
        killers: list[str] = []
        left, ended_early = list(tests), 0
        while left and ended_early < MAX_TIMEOUTS and box.alive:
            slowest = max(traces[name].ms for name in left) / 1000.0
            args = {
                "subject": module,
                "mutant": number,
                "tests": [[name, traces[name].steps.get(module, 0)] for name in left],
                "cpu_s": 0.3 + 10 * slowest,
                "wall_s": 1.0 + 10 * slowest,
                **({**self.plan.session(box), "load_s": self._load_s} if is_early else {}),
            }
            heard = _Heard(left, collected=not is_early)
            wall = 5.0 + 2 * args["wall_s"] + 4 * sum(traces[name].ms for name in left) / 1000.0
            wall += 2 * self._load_s if is_early else 0.0
            result = box.run(f"_aqe_inject.mutant_case:{entry}", args, wall_s=wall, on_progress=heard)
            self._check()
            killers.extend(heard.failed)
            if result.state == "ok":
                return killers + (result.value["missing"] if is_early else [])
            killers.extend(heard.victims())
            left = heard.left()
            ended_early += 1
        if left:
            self._note(f"{module}:{number} ended the process under {ended_early} tests; {len(left)} more did not run")
        return killers


class _Heard:
    """Follows a case: which tests ended, which one ran when the process ended."""

    def __init__(self, tests: Sequence[str], *, collected: bool) -> None:
        self.tests = list(tests) if collected else []
        self.missing = [] if collected else list(tests)
        self.failed: list[str] = []
        self.ended = 0

    def __call__(self, said: Any) -> None:
        if isinstance(said, dict):
            told = said.get("collected")
            if isinstance(told, list) and self.missing:  # else it is the code under test that speaks
                self.tests = [name for name in told if name in self.missing]
                self.missing = [name for name in self.missing if name not in told]
        elif isinstance(said, list) and len(said) == 2:
            self.ended += 1
            if said[1] == "failed" and said[0] in self.tests:
                self.failed.append(said[0])

    def victims(self) -> list[str]:
        """The tests that noticed the mutant by the end of the process: the running one, and those not collected."""
        return self.tests[self.ended : self.ended + 1] + self.missing

    def left(self) -> list[str]:
        """The tests that did not get their turn."""
        return self.tests[self.ended + 1 :]


def _is_early(one: tuple[Subject, Mutant], at_import: Mapping[str, set[int]]) -> bool:
    subject, mutant = one
    return mutant.at_import or mutant.id in at_import[subject.module]


def _both(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() and other()


def deadline_in(seconds: float | None) -> Callable[[], bool]:
    """A function that says whether `seconds` have passed since now; never, for None."""
    if seconds is None:
        return lambda: False
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
