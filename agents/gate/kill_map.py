"""Which test kills which mutant.

The subjects are loaded once with all mutants behind a switch and the tests are collected once; each mutant is a fork in
which it is on and the tests that reach it run. Mutants in code that runs at import get a whole session each.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from aqe.agents.gate.box import Box
from aqe.agents.gate.stability import SESSION_WALL_S, describe_end, run_session
from aqe.agents.gate.subjects import Mutant, Subject
from aqe.agents.gate.test_plan import TestPlan
from aqe.engine.errors import InternalError
from aqe.engine.progress import CancelToken

COLLECT_WALL_S = 60.0
MAX_TIMEOUTS = 4  # of one mutant; after that the tests that are left are not run against it

MutantKey = tuple[str, int]  # module, id of the mutant


@dataclass
class KillMap:
    """`killed_by[mutant]` names the tests that fail while it is on; `reached` holds what any test asks for."""

    killed_by: dict[MutantKey, tuple[str, ...]] = field(default_factory=dict)
    reached: set[MutantKey] = field(default_factory=set)
    not_run: set[MutantKey] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

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


class KillMapping:
    """Builds a kill map with a few boxes side by side; `stop` says when to leave the rest."""

    def __init__(
        self, plan: TestPlan, subjects: Sequence[Subject], tests: Sequence[str], *, boxes: int,
        cancel: CancelToken | None, stop: Callable[[], bool], report: Callable[[int, int], None],
    ) -> None:  # fmt: skip
        self.plan = plan
        self.subjects = subjects
        self.tests = list(tests)
        self.boxes = boxes
        self.cancel = cancel
        self.stop = stop
        self.report = report
        self.map = KillMap()
        self._lock = threading.Lock()
        self._done = 0
        self._total = 0

    def run(self, mutants: Sequence[tuple[Subject, Mutant]], warm_boxes: Sequence[Box]) -> KillMap:
        """Judge the mutants. `warm_boxes` have imported the subjects as they are and collected nothing."""
        self._total = len(mutants)
        if not self.tests or not mutants:
            return self.map
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(self.boxes))
            boxes = [stack.enter_context(box) for box in pool.map(lambda _: self._open(), range(self.boxes))]
            at_import = self._collect(pool, boxes)
            traces = dict(self._spread(pool, boxes, self.tests, self._trace))
            later: list[tuple[Subject, Mutant]] = []
            now: list[tuple[Subject, Mutant]] = []
            for subject, mutant in mutants:
                early = mutant.at_import or mutant.id in at_import[subject.module]
                (later if early else now).append((subject, mutant))
            for _ in self._spread(pool, boxes, now, lambda box, one: self._judge(box, one, traces)):
                pass
            for _ in self._spread(pool, warm_boxes, later, lambda box, one: self._judge_import(box, one, traces)):
                pass
        return self.map

    def _open(self) -> Box:
        box = self.plan.open_box(cancel=self.cancel)
        self.plan.warm(box, ())
        return box

    def _collect(self, pool: ThreadPoolExecutor, boxes: Sequence[Box]) -> dict[str, set[int]]:
        def one(box: Box) -> dict[str, list[int]]:
            args = {**self.plan.session(box), "only": self.tests, "subjects": [one.module for one in self.subjects]}
            result = box.preload("_aqe_inject.mutant_case:collect", args, wall_s=COLLECT_WALL_S)
            self._check()
            if result.state != "ok":
                raise InternalError(
                    f"The tests could not be collected beside the instrumented subject: {describe_end(result)}.",
                    code="internal",
                )
            found: dict[str, list[int]] = result.value["at_import"]
            return found

        answers = list(pool.map(one, boxes))
        at_import = {name: set(ids) for name, ids in answers[0].items()}
        self.map.reached.update((name, number) for name, ids in at_import.items() for number in ids)
        return at_import

    def _check(self) -> None:
        if self.cancel is not None:
            self.cancel.check()

    def _spread(
        self, pool: ThreadPoolExecutor, boxes: Sequence[Box], work: Sequence[Any], act: Callable[[Box, Any], Any]
    ) -> Iterator[tuple[Any, Any]]:
        """Hand work to whichever box is free, in order."""
        queue = iter(enumerate(work))
        results: dict[int, Any] = {}

        def drain(box: Box) -> None:
            while True:
                self._check()
                with self._lock:
                    position, one = next(queue, (-1, None))
                if position < 0:
                    return
                results[position] = act(box, one)

        list(pool.map(drain, boxes))
        return ((work[position], results[position]) for position in sorted(results))

    def _trace(self, box: Box, test: str) -> _Trace:
        result = box.run("_aqe_inject.mutant_case:trace", {"test": test}, wall_s=SESSION_WALL_S)
        self._check()
        if result.state != "ok":
            self._note(f"{test} could not be traced: {describe_end(result)}")
            return _Trace(0.0, {}, {})
        value = result.value
        if value["outcome"] not in ("passed", "xfailed"):
            self._note(f"{test} passes, but not beside the instrumented subject; it is left out of the kill map")
            return _Trace(0.0, {}, {})
        reached = {name: frozenset(ids) for name, ids in value["reached"].items()}
        with self._lock:
            self.map.reached.update((name, number) for name, ids in reached.items() for number in ids)
        return _Trace(value["ms"], reached, value["steps"])

    def _note(self, text: str) -> None:
        with self._lock:
            self.map.notes.append(text)

    def _judge(self, box: Box, one: tuple[Subject, Mutant], traces: Mapping[str, _Trace]) -> None:
        subject, mutant = one
        key = (subject.module, mutant.id)
        tests = [name for name in self.tests if mutant.id in traces[name].reached.get(subject.module, ())]
        if not tests:
            self._tick()
            return
        if self.stop():
            self._skip(key)
            return
        killers = self._run_mutant(box, key, tests, traces)
        with self._lock:
            self.map.killed_by[key] = tuple(killers)
        self._tick()

    def _run_mutant(self, box: Box, key: MutantKey, tests: list[str], traces: Mapping[str, _Trace]) -> list[str]:
        module, number = key
        killers: list[str] = []
        left, timeouts = list(tests), 0
        while left and timeouts < MAX_TIMEOUTS:
            slowest = max(traces[name].ms for name in left) / 1000.0
            test_wall_s = 1.0 + 10 * slowest
            args = {
                "subject": module,
                "mutant": number,
                "tests": [[name, traces[name].steps.get(module, 0)] for name in left],
                "cpu_s": 0.3 + 10 * slowest,
                "wall_s": test_wall_s,
            }
            said: list[Any] = []
            wall = 5.0 + test_wall_s * 2 + 4 * sum(traces[name].ms for name in left) / 1000.0
            result = box.run("_aqe_inject.mutant_case:judge", args, wall_s=wall, on_progress=said.append)
            self._check()
            ended = result.value if result.state == "ok" else [one for one in said if isinstance(one, list)]
            killers.extend(name for name, outcome in ended if outcome == "failed")
            if result.state == "ok":
                return killers
            # the test that ran when the process ended noticed the mutant
            running = min(len(ended), len(left) - 1)
            killers.append(left[running])
            left = left[running + 1 :]
            timeouts += 1
        if left:
            self._note(f"{module}:{number} ended the process under {timeouts} tests; {len(left)} more did not run")
        return killers

    def _judge_import(self, box: Box, one: tuple[Subject, Mutant], traces: Mapping[str, _Trace]) -> None:
        subject, mutant = one
        key = (subject.module, mutant.id)
        if self.stop():
            self._skip(key)
            return
        slowest = max((trace.ms for trace in traces.values()), default=0.0) / 1000.0
        run = run_session(
            self.plan, box, only=self.tests, wall_s=20.0 + 10 * slowest, test_wall_s=1.0 + 10 * slowest,
            forced={subject.module: mutant.id},
        )  # fmt: skip
        self._check()
        killers = [name for name in self.tests if name not in run.tests or run.tests[name].outcome == "failed"]
        with self._lock:
            self.map.reached.add(key)
            self.map.killed_by[key] = tuple(killers)
        self._tick()

    def _skip(self, key: MutantKey) -> None:
        with self._lock:
            self.map.not_run.add(key)
        self._tick()

    def _tick(self) -> None:
        with self._lock:
            self._done += 1
            done = self._done
        self.report(done, self._total)


def deadline_in(seconds: float | None) -> Callable[[], bool]:
    """A function that says whether `seconds` have passed since now; never, for None."""
    if seconds is None:
        return lambda: False
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
