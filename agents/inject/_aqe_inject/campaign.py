"""The search itself: examples first, then arms, then the mutants that are reached and still alive.

Least-tried target first and an archive per target follow MIO (Arcuri, "Many Independent Objective (MIO) algorithm for
test suite generation", SSBSE 2017); mutants are run only where a case reaches them (Just, Ernst & Fraser, ISSTA 2014).
"""

from __future__ import annotations

import dataclasses
import random
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from .examples import ExampleCase, Examples
from .literals import freeze
from .mutation import Mutation
from .observe import Observer, Run, is_async_iterator, is_iterator, now
from .reading import Target
from .recipes import FIRST_FEW, Case, collecting
from .sequences import Builder

MOST_OUTCOMES = 40
"""Distinct outcomes kept for each target (2, 8, 40 gave 59, 64, 67 % of mutants killed)."""

FIRST_SHARE = 0.3
"""Share of the time after which the first rounds over all targets end."""

HUNT_SHARE = 0.72
"""Share of the time after which the search itself ends; choosing and shortening take the rest."""

SLICE = 0.03
"""Share of the time after which the hunt asks again whether arms or mutants pay more."""


@dataclasses.dataclass
class Entry:
    """A kept case: what it showed, which arms it took (as bits), which mutants it reaches and is known to kill."""

    case: Case
    target: Target
    picture: Any
    arms: int
    new_arms: int = 0
    reached: Optional[Set[int]] = None
    kills: Set[int] = dataclasses.field(default_factory=set)
    tried: Set[int] = dataclasses.field(default_factory=set)
    steps: int = 0
    number: int = 0

    @property
    def cost(self) -> int:
        """How much there is to read."""
        return self.case.cost()


class Pace:
    """How far the search is: by evaluations when these are given, else by the clock."""

    def __init__(self, budget_s: Optional[float], evaluations: Optional[int], observer: Observer) -> None:
        self.start = now()
        self.budget_s = budget_s if evaluations is None else None
        self.evaluations = evaluations
        self.observer = observer

    def done(self) -> float:
        """0 at the start, 1 at the end."""
        if self.evaluations is not None:
            return self.observer.executions / max(1, self.evaluations)
        return (now() - self.start) / max(0.05, self.budget_s or 1.0)


class Campaign:
    """All that one search knows."""

    def __init__(
        self,
        targets: Sequence[Target],
        builder: Builder,
        observer: Observer,
        pace: Pace,
        meta: Any,
        rng: random.Random,
        seen: Callable[[Entry, Run], None],
    ) -> None:
        self.targets = [target for target in targets if not target.why_not]
        self.builder = builder
        self.mutation = Mutation(rng, builder.values)
        self.observer = observer
        self.probes = observer.probes
        self.pace = pace
        self.rng = rng
        self.seen = seen
        self.watch_failures: Callable[[Target, Case, Run], None] = lambda target, case, run: None
        self.entering: Callable[[Target], None] = lambda target: None
        self.archive: Dict[int, Dict[Any, Entry]] = {id(target): {} for target in self.targets}
        self.recent: Dict[int, List[Entry]] = {id(target): [] for target in self.targets}
        self.tries: Dict[int, int] = {id(target): 0 for target in self.targets}
        self.kinds: Dict[int, Dict[str, int]] = {id(target): {} for target in self.targets}
        self.bad: Dict[int, int] = {id(target): 0 for target in self.targets}
        self.covered = 0
        self.arm_functions = [home_of(arm.function) for arm in meta.arms]
        self.function_arms: Dict[str, int] = {}
        for arm, name in zip(meta.arms, self.arm_functions):
            self.function_arms[name] = self.function_arms.get(name, 0) | arm_bit(arm.id)
        self.relevant = {id(t): self.function_arms.get(own_function(t), 0) for t in self.targets}
        self.alive: Set[int] = {m.id for m in meta.mutants if not m.at_import}
        self.mutant_tries: Dict[int, int] = {}
        self.reachers: Dict[int, List[Entry]] = {}
        self.count = 0
        self.idle = 0

    # ------------------------------------------------------------ one candidate

    def attempt(self, case: Case, target: Target, noting: bool = False) -> Optional[Entry]:
        """Run a candidate; keep it when it shows something new. Returns the entry when kept."""
        self.tries[id(target)] += 1
        probes = self.probes
        if noting:
            probes.reached.clear()
            probes.noting = True
        run = self.observer.run(case)
        if noting:
            probes.noting = False
        kinds = self.kinds[id(target)]
        kinds[run.kind] = kinds.get(run.kind, 0) + 1
        if not run.is_usable:
            if run.kind == "endless" and case.last.form in FIRST_FEW:
                some = dataclasses.replace(case.last, form=FIRST_FEW[case.last.form])
                return self.attempt(case.with_last(some), target, noting)
            if run.kind in ("endless", "odd"):
                self.watch_failures(target, case, run)
                self.bad[id(target)] += 1
            return None
        if run.kind == "raises":
            self.watch_failures(target, case, run)
        arms = int.from_bytes(probes.hits, "little")
        entry = Entry(case, target, run.picture, arms, steps=probes.steps)
        if noting:
            entry.reached = set(probes.reached)
        return entry if self._keep(entry, run) else None

    def _keep(self, entry: Entry, run: Run) -> bool:
        known = self.archive[id(entry.target)]
        arms = entry.arms
        new = arms & ~self.covered
        key = (arms, entry.picture[:2])
        held = known.get(key)
        if not new:
            if held is not None:
                if (
                    entry.cost + 4 < held.cost
                    and held.case.origin == "search"
                    and not held.kills
                    and not held.new_arms
                    and self._is_stable(entry)
                ):
                    entry.number = held.number
                    known[key] = entry
                return False
            if len(known) >= MOST_OUTCOMES + 3 * len(entry.target.patterns) + len(entry.target.entries) and any(
                one.arms == arms for one in known.values()
            ):
                return False
        if not self._is_stable(entry):
            self.bad[id(entry.target)] += 1
            return False
        if run.kind == "returns":
            run = self._adapt(entry, run)
        entry.new_arms = new
        self.count += 1
        entry.number = self.count
        self.covered |= arms
        self.relevant[id(entry.target)] |= self._functions_of(new)
        known[key] = entry
        self.recent[id(entry.target)].append(entry)
        self.seen(entry, run)
        return True

    def _is_stable(self, entry: Entry) -> bool:
        return bool(self.observer.run(entry.case).picture == entry.picture)

    def _adapt(self, entry: Entry, run: Run) -> Run:
        """Learn from a returned value: objects serve elsewhere, iterators are to be listed, states are changed."""
        target, value = entry.target, run.value
        if is_iterator(value) and target.form in ("{f}({args})",) and not target.awaits:
            target.form = "list(%s)" % target.form
        elif is_async_iterator(value) and target.form == "{f}({args})" and not target.awaits:
            target.form = collecting(target.form)
        elif type(value).__name__ == "_GeneratorContextManager" and target.form == "{f}({args})":
            target.form = "{f}({args}).__enter__()"
        self.builder.learn_provider(value, entry.case)
        receiver = entry.case.last.receiver
        if receiver is not None and target.flavour in ("method", "setter"):
            before = self.observer.run(dataclasses.replace(entry.case, steps=entry.case.steps[:-1]))
            if before.kind == "returns" and freeze(before.local.get(receiver)) != freeze(run.local.get(receiver)):
                self.builder.learn_changer(target, type(run.local[receiver]))
        return run

    def _functions_of(self, arms: int) -> int:
        found = 0
        for place in arms_of(arms):
            found |= self.function_arms[self.arm_functions[place]]
        return found

    def give_up(self, target: Target, why: str) -> None:
        """Leave a target alone from here on; what is known of it stays."""
        target.why_not = target.why_not or why
        self.targets = [one for one in self.targets if one is not target]

    def note_reached(self, entry: Entry) -> Set[int]:
        """The mutants that a case reaches, found once."""
        if entry.reached is None:
            self.probes.reached.clear()
            self.probes.noting = True
            self.observer.run(entry.case)
            self.probes.noting = False
            entry.reached = set(self.probes.reached)
        return entry.reached

    def kills_of(self, entry: Entry, mutants: Sequence[int], until: Optional[float] = None) -> Set[int]:
        """Which of the mutants change what the case shows, as far as one comes until that share of the budget."""
        killed: Set[int] = set()
        limit = entry.steps * 10 + 1000
        for mutant in mutants:
            if until is not None and self.pace.done() > until:
                break
            self.probes.switch = mutant
            try:
                run = self.observer.run(entry.case, limit)
            finally:
                self.probes.switch = -1
            entry.tried.add(mutant)
            if not run.is_usable or run.picture != entry.picture:
                killed.add(mutant)
        entry.kills |= killed
        return killed

    # ------------------------------------------------------------ phases

    def seed(self, examples: Sequence[ExampleCase], calls: Examples, sources: Sequence[Tuple[str, str]]) -> None:
        """Run the examples, and take the arguments of call sites as seeds."""
        by_name = {target.qualname: target for target in self.targets}
        for one in examples:
            target = by_name.get(one.case.target)
            if target is not None:
                self._pool_arguments(target, one.case)
                self.attempt(one.case, target)
        for target, args, kwargs in calls.from_sources(sources):
            if id(target) not in self.archive:
                continue
            for parameter, recipe in zip(target.parameters, args):
                self.builder.pools[id(target)].seeds.setdefault(parameter.name, []).append(recipe)
            for name, recipe in kwargs:
                self.builder.pools[id(target)].seeds.setdefault(name, []).append(recipe)
            steps, receiver = self.builder.setting(target)
            callee = self.builder.callee(target, receiver)
            if steps is not None and callee is not None:
                last = self.builder.last_step(target, callee, receiver, args, kwargs)
                self.attempt(Case(target.qualname, (*steps, last), "test"), target)

    def _pool_arguments(self, target: Target, case: Case) -> None:
        seeds = self.builder.pools[id(target)].seeds
        for parameter, recipe in zip(target.parameters, case.last.args):
            seeds.setdefault(parameter.name, []).append(recipe)
        for name, recipe in case.last.kwargs:
            seeds.setdefault(name, []).append(recipe)

    def fresh(self, target: Target) -> Optional[Entry]:
        """A case out of nothing."""
        case = self.builder.case(target)
        return self.attempt(case, target) if case is not None else None

    def hunt(self, until: float) -> None:
        """Open arms and living mutants in turns; the side that found more for its time gets three turns of four."""
        worth = {"arms": 3.0, "mutants": 1.0}
        arms, mutants = max(1, len(self.arm_functions)), max(1, len(self.alive))
        turn, dry = 0, 0
        while self.pace.done() < until and dry < 12:
            turn += 1
            ranked = sorted(worth, key=lambda one: (-worth[one], one))
            side = ranked[0] if turn % 4 else ranked[1]
            start, covered, alive = self.pace.done(), bin(self.covered).count("1"), len(self.alive)
            self.idle = min(self.idle, 30 * len(self.targets))
            (self.hunt_arms if side == "arms" else self.hunt_mutants)(min(until, start + SLICE))
            spent = self.pace.done() - start
            found = 2.0 * (bin(self.covered).count("1") - covered) / arms + (alive - len(self.alive)) / mutants
            worth[side] = 0.4 * worth[side] + 0.6 * found / max(spent, SLICE / 10)
            dry = dry + 1 if spent < SLICE / 4 and not found else 0
            if dry:
                worth[side] = -1.0

    def hunt_arms(self, until: float) -> None:
        """Spend the share of the budget on arms that are still open, least-tried target first."""
        while self.pace.done() < until and self.targets:
            target = self._next_target()
            if target is None:
                return
            self.entering(target)
            kept = False
            for _ in range(25):
                kept = (self._offspring(target) is not None) or kept
                if self.pace.done() >= until:
                    break
            self.idle = 0 if kept else self.idle + 1
            if self.idle > 40 * len(self.targets) + 200:
                return

    def _next_target(self) -> Optional[Target]:
        """The least-tried target with open arms; private ones only when little is left or half the time is gone."""
        half = self.pace.done() > FIRST_SHARE or self.idle > 60
        choices = [t for t in self.targets if not self._is_given_up(t) and (half or not t.is_private)]
        open_ones = [t for t in choices if self.relevant[id(t)] & ~self.covered]
        if half:
            open_ones = [t for t in open_ones if not t.is_private or self._is_untouched(t)]
        pool = (
            open_ones if open_ones and self.rng.random() < 0.85 else [t for t in choices if not t.is_private] or choices
        )
        if not pool:
            return None
        return min(pool, key=lambda t: (self.tries[id(t)] / (1 + 2 * len(self.archive[id(t)])), t.line))

    def _is_untouched(self, target: Target) -> bool:
        own = self.function_arms.get(own_function(target), 0)
        return bool(own & ~self.covered)

    def _is_given_up(self, target: Target) -> bool:
        return self.bad[id(target)] > 30 and self.bad[id(target)] * 4 > self.tries[id(target)]

    def _offspring(self, target: Target) -> Optional[Entry]:
        known = self.archive[id(target)]
        if not known or self.rng.random() < 0.4:
            return self.fresh(target)
        self.builder.values.pools = self.builder.pools[id(target)]
        recent = self.recent[id(target)]
        parent = (
            self.rng.choice(recent[-8:])
            if recent and self.rng.random() < 0.5
            else self.rng.choice(list(known.values()))
        )
        if self.rng.random() < 0.1 and len(recent) > 1:
            case = self.mutation.cross(parent.case, self.rng.choice(recent).case)
        else:
            case = self.mutation.case(parent.case, target)
        return self.attempt(case, target)

    # ------------------------------------------------------------ mutants

    def sweep(self, until: float) -> None:
        """Try the kept cases against the mutants that they reach, cheap cases first."""
        for entry in sorted(self.entries(), key=lambda one: (one.cost, one.number)):
            if self.pace.done() > until:
                return
            if entry.reached is not None and not (entry.reached & self.alive) - entry.tried:
                continue
            self._register(entry)
            alive = sorted((self.note_reached(entry) & self.alive) - entry.tried)
            self.alive -= self.kills_of(entry, alive, until)

    def _register(self, entry: Entry) -> None:
        for mutant in self.note_reached(entry):
            known = self.reachers.setdefault(mutant, [])
            if len(known) < 15 and entry not in known:
                known.append(entry)

    def hunt_mutants(self, until: float) -> None:
        """Neighbours of cases that reach a living mutant, the least-tried mutant first."""
        self.sweep(until)
        while self.pace.done() < until:
            goals = [m for m in sorted(self.alive) if self.reachers.get(m)]
            if not goals:
                return
            goal = min(goals, key=lambda m: self.mutant_tries.get(m, 0))
            for _ in range(20):
                self._hunt_one(goal)
                if goal not in self.alive or self.pace.done() >= until:
                    break

    def _hunt_one(self, goal: int) -> None:
        self.mutant_tries[goal] = self.mutant_tries.get(goal, 0) + 1
        parent = self.rng.choice(self.reachers[goal])
        target = parent.target
        self.entering(target)
        self.builder.values.pools = self.builder.pools[id(target)]
        case = self.mutation.case(parent.case, target) if self.rng.random() < 0.7 else self.builder.case(target)
        if case is None:
            return
        probes = self.probes
        probes.reached.clear()
        probes.noting = True
        run = self.observer.run(case)
        probes.noting = False
        if not run.is_usable:
            return
        if run.kind == "raises":
            self.watch_failures(target, case, run)
        arms = int.from_bytes(probes.hits, "little")
        entry = Entry(case, target, run.picture, arms, steps=probes.steps, reached=set(probes.reached))
        wanted = (
            sorted(entry.reached & self.alive, key=lambda m: (m != goal, self.mutant_tries.get(m, 0)))[:10]
            if entry.reached
            else []
        )
        killed = self.kills_of(entry, wanted)
        if (killed or arms & ~self.covered) and self._is_stable(entry) and self._is_stable(entry):
            self._keep_killer(entry, killed, run)

    def _keep_killer(self, entry: Entry, killed: Set[int], run: Run) -> None:
        entry.new_arms = entry.arms & ~self.covered
        self.covered |= entry.arms
        self.alive -= killed
        self.count += 1
        entry.number = self.count
        self.archive[id(entry.target)][("killer", entry.number)] = entry
        self.recent[id(entry.target)].append(entry)
        self._register(entry)
        self.seen(entry, run)

    def entries(self) -> List[Entry]:
        """All kept cases in the order in which they were found."""
        found = [entry for known in self.archive.values() for entry in known.values()]
        return sorted(found, key=lambda one: one.number)


def own_function(target: Target) -> str:
    """The name under which the arms of a target's own body are kept."""
    return target.qualname + ".__init__" if target.flavour == "init" else target.qualname


def home_of(function: str) -> str:
    """The function that a test can name, for the body of it and of what is defined inside it."""
    return function.partition(".<locals>")[0]


def arms_of(bits: int) -> List[int]:
    """The arms whose bits are set, in order."""
    found = []
    while bits:
        low = bits & -bits
        found.append((low.bit_length() - 1) // 8)
        bits ^= low
    return found


def arm_bit(arm: int) -> int:
    """The bit that stands for an arm in a number made of the probes' bytes."""
    return 1 << (8 * arm)
