"""Entry of the test generator's worker: `_aqe_inject.search:run`.

The work is done in forks that report through a pipe (see `lifeline`), so that a subject that exits, closes descriptors
or hangs in C code takes only a fork along.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import random
import sys
import types
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from . import rounds
from .background import Background
from .campaign import HUNT_SHARE, Campaign, Pace, arm_bit
from .descriptors import refuse_borrowing
from .exam import Examiner
from .examples import Examples
from .grading import Grader, import_kills, relevant_places
from .instrument import Metaprogram, instrument, load
from .lifeline import MOST_CHECKPOINTS, Beat, Data, Emit, Lifeline, in_child
from .minimise import Graded
from .namespace import Namespace
from .observe import Observer, Watch, now, quiet
from .probes import Probes
from .reading import Target, module_source, read_module
from .result import case_data, function_data, mutant_data, not_reached, step_data, why_not
from .sequences import Builder
from .suspects import Suspicions
from .usage import constants_by_line

LATE_S = 1.0
"""Time after the end of the budget at which the child is stopped and its last partial answer taken."""

MOST_RESTARTS = 4

RUNS_TO_GRADE = 8
"""About how many runs it takes to examine a case and to confirm what it kills."""

ARMS_SHARE = 0.1
"""Share of the time that open branches have for themselves after the first rounds."""


def run(args: Data, emit: Emit) -> Data:
    """Search one module; see the interface of `aqe.agents.generate` for the keys of `args` and of the result."""
    start = now()
    module, meta, probes = load(args["module"])
    targets = _chosen(read_module(module, module_source(module)), args.get("names"))
    loaded = (module, _within(meta, args.get("within") or ()), probes)
    best: Optional[Data] = None
    fatal: Set[int] = set()
    end = None if args.get("evaluations") is not None else start + (args.get("budget_s") or 20.0) + LATE_S
    for _ in range(MOST_RESTARTS):
        left = dict(args)
        if end is not None:
            left["budget_s"] = max(0.5, end - LATE_S - now())
        work = functools.partial(_search, left, loaded, targets)
        result, culprit, why = in_child(work, emit, end)
        if result is not None and (best is None or culprit is None or len(result["cases"]) >= len(best["cases"])):
            best = result
        if culprit is None or culprit in fatal or not 0 <= culprit < len(targets):
            break
        fatal.add(culprit)
        targets[culprit].why_not = why
        if end is not None and now() > end - 1.5 * LATE_S:
            break
    if best is None:
        best = {"module": args["module"], "executions": 0}
        for name in ("functions", "arms", "mutants", "cases", "suspects", "not_reached"):
            best[name] = []
    best["seconds"] = round(now() - start, 3) if args.get("evaluations") is None else 0.0
    return best


def _chosen(targets: Sequence[Target], names: Optional[Sequence[str]]) -> List[Target]:
    if not names:
        return list(targets)
    wanted = set(names)
    return [t for t in targets if t.qualname in wanted or any(t.qualname.startswith(name + ".") for name in wanted)]


def _within(meta: Metaprogram, spans: Sequence[Sequence[int]]) -> Metaprogram:
    """The mutants and branches of the lines that were asked for: what else they reach is not looked for."""
    if not spans:
        return meta

    def holds(line: int) -> bool:
        return any(first <= line <= last for first, last in spans)

    arms = [arm if holds(arm.line) else dataclasses.replace(arm, counted=False) for arm in meta.arms]
    return dataclasses.replace(meta, arms=arms, mutants=[one for one in meta.mutants if holds(one.line)])


def fatal_data(target: Target, why: str, note: str = "") -> List[Data]:
    """Nothing is suspected of a target that ends the process on purpose, nor of one that is endless by nature; a crash
    or hang for arguments that keep to their hints is worth a look."""
    if "signal" not in why and "hangs" not in why:
        return []
    held: Data = json.loads(note) if note else {}
    if not held.get("is_typed") or target.is_private:
        return []
    data: Data = {"target": target.qualname, "steps": held["steps"], "kind": "hang" if "hangs" in why else "crash"}
    data.update(exception="", message="", line=target.line, why=why, expected="an answer", actual=why)
    data["imports"] = held["imports"]
    return [data]


# ---------------------------------------------------------------- one search


class _BeatingObserver(Observer):
    """An observer that tells the watcher what it runs."""

    beat: Beat
    check: Callable[[], None]
    place = 0
    by_name: Dict[str, int]
    journal: Set[int]
    describe: Callable[[Any], str]

    def run(self, case: Any, step_limit: Optional[int] = None) -> Any:
        self.place = self.by_name.get(case.target, self.place)
        if self.place in self.journal:
            self.beat.note("")
            self.beat.note(self.describe(case))
        self.beat.write(self.place, self.executions, True)
        result = super().run(case, step_limit)
        self.check()
        self.beat.write(self.place, self.executions, False)
        return result


class _Session:
    """The parts of one search, put together."""

    def __init__(self, args: Data, loaded: Any, targets: List[Target], send: Emit, lifeline: Lifeline) -> None:
        module, self.meta, self.probes = loaded
        self.args, self.send, self.targets = args, send, targets
        self.rng = random.Random(args.get("seed") or 0)
        random.seed(args.get("seed") or 0)
        self.names = Namespace(module)
        self.watch = Watch()
        self.observer = _BeatingObserver(self.names, self.probes, self.watch)
        self.observer.beat, self.observer.check = lifeline.beat, lifeline.check
        self.lifeline = lifeline
        self.fatal: Dict[int, Tuple[str, str]] = {}
        self.observer.by_name = {target.qualname: place for place, target in enumerate(targets)}
        self.observer.journal = set()
        self.observer.describe = self._describe
        self.next_checkpoint = now()
        self.pace = Pace(args.get("budget_s"), args.get("evaluations"), self.observer)
        self.builder = Builder(targets, self.names, self.rng)
        self.suspicions = Suspicions(targets, self.observer, self.names, self.builder.pools)
        self.campaign = Campaign(
            targets, self.builder, self.observer, self.pace, self.meta, self.rng, self.suspicions.see
        )
        self.campaign.watch_failures = self.suspicions.see_failure
        self.campaign.entering = self._entering
        self.examiner = Examiner(self.observer, self.names, targets)
        self.examiner.doubts = self.suspicions.is_doubtful
        self.grader = Grader(self.campaign, self.examiner, self.meta)
        self.killed: Set[int] = set()
        self.last_partial = now()
        self.phase = "reading"

    def _entering(self, target: Target) -> None:
        self.checkpoint()
        if self.args.get("evaluations") is None and now() - self.last_partial > 2.0:
            self.partial()

    def checkpoint(self) -> None:
        """Go on in a fork from time to time; when it dies of a target, that target is left alone from here on."""
        if now() < self.next_checkpoint:
            return
        self.next_checkpoint = now() + max(0.3, (self.pace.budget_s or 10.0) / MOST_CHECKPOINTS)
        died = self.lifeline.checkpoint()
        while died is not None:
            self._after_death(*died)
            died = self.lifeline.checkpoint()
        self.watch.rearm()

    def _after_death(self, place: int, how: str) -> None:
        """The first death of a target makes its next runs leave a note; the second one ends it."""
        self.rng.seed(now() if self.pace.budget_s is not None else len(self.fatal))
        journal = self.observer.journal
        if place in journal or not 0 <= place < len(self.targets):
            self.fatal[place] = (how, self.lifeline.beat.noted() if place in journal else "")
            journal.discard(place)
            if 0 <= place < len(self.targets):
                self.campaign.give_up(self.targets[place], how)
        else:
            journal.add(place)

    def _describe(self, case: Any) -> str:
        target = self.targets[self.observer.place]
        typed = self.suspicions.is_fair(target, case)
        sources = [step.expression() for step in case.steps if not step.is_statement]
        return json.dumps(
            {
                "steps": [step_data(step) for step in case.steps],
                "is_typed": typed,
                "imports": self.names.imports_for(*sources),
            }
        )

    def say(self, text: str) -> None:
        """One line of progress."""
        counted = [arm for arm in self.meta.arms if arm.counted]
        hit = sum(1 for arm in counted if self.campaign.covered & (1 << (8 * arm.id)))
        cases = sum(len(known) for known in self.campaign.archive.values())
        alive = len(self.meta.mutants) - len(self.campaign.alive)
        self.phase = text
        self.send(
            {
                "text": text,
                "done": round(min(1.0, self.pace.done()), 3),
                "total": 1.0,
                "arms": hit,
                "kills": alive,
                "cases": cases,
            }
        )

    def partial(self) -> None:
        """Hand over what there is, so that nothing is lost when the process ends now."""
        begun = now()
        self.say(self.phase)
        until = self.pace.done() + 0.03
        graded = self.grader.grade_all(self.campaign.entries(), until, full=False)
        self.send({"partial": self.result(self.grader.suite(graded, 0.0, shorten=False))})
        self.last_partial = now() + 8 * (now() - begun)

    def result(self, chosen: Sequence[Graded]) -> Data:
        """The whole answer for a chosen suite."""
        killed = {mutant for one in chosen for mutant in one.kills}
        return {
            "module": self.args["module"],
            "functions": [function_data(t, self.campaign, why_not(t, self.campaign)) for t in self.targets],
            "arms": [
                {"id": arm.id, "line": arm.line, "target": arm.target, "function": arm.function}
                for arm in self.meta.arms
                if arm.counted
            ],
            "mutants": mutant_data(self.meta, self.campaign, killed),
            "cases": [case_data(one, self.names, self.campaign) for one in chosen],
            "suspects": self.suspicions.report()
            + [data for place, death in self.fatal.items() for data in fatal_data(self.targets[place], *death)],
            "not_reached": not_reached(self.targets, self.campaign, self.meta),
            "executions": self.observer.executions,
            "seconds": 0.0,
        }


def _search(args: Data, loaded: Any, targets: List[Target], send: Emit, lifeline: Lifeline) -> Data:
    session = _Session(args, loaded, targets, send, lifeline)
    refuse_borrowing(lambda: session.watch.is_running)
    with quiet(), session.watch.ticking():
        return _phases(session, loaded[0])


def _phases(session: _Session, module: Any) -> Data:
    campaign = session.campaign
    early = sum(1 for mutant in session.meta.mutants if mutant.at_import) / max(1, len(session.meta.mutants))
    program = Background(functools.partial(_import_program, module)) if early else None
    session.say("reading examples")
    calls = Examples(session.targets, session.names)
    examples = calls.from_docstrings(campaign.targets, module.__doc__ or "")
    campaign.seed(examples, calls, [tuple(pair) for pair in session.args.get("example_sources") or []])
    session.suspicions.judge_examples(examples)
    session.say("trying every function")
    rounds.first_round(campaign)
    rounds.edge_round(campaign)
    rounds.table_round(campaign)
    rounds.format_round(campaign)
    rounds.flag_round(campaign)
    session.say("looking for open branches")
    grade_end = HUNT_SHARE - 0.4 * early + 0.14
    search_end = _end_of_search(session, grade_end)
    if any(arm.counted and not campaign.covered & arm_bit(arm.id) for arm in session.meta.arms):
        campaign.hunt_arms(min(search_end, max(0.2, session.pace.done() + ARMS_SHARE)))
    session.say("looking for inputs that tell mutants apart")
    campaign.hunt(search_end)
    campaign.sweep(search_end + 0.04)
    session.say("choosing the cases to keep")
    graded = session.grader.grade_all(campaign.entries(), grade_end, full=True)
    if session.pace.budget_s is not None:
        session.send({"partial": session.result(session.grader.suite(graded, 0.0, shorten=False))})
    _grade_import_mutants(session, graded, program)
    session.say("shortening")
    chosen = session.grader.suite(graded, 0.94, shorten=True)
    session.suspicions.shorten(campaign.pace)
    return session.result(chosen)


def _end_of_search(session: _Session, grade_end: float) -> float:
    """The share of the budget at which the search ends, early enough to examine what is kept: on a slow subject or a
    busy machine that takes longer."""
    a_run = session.pace.done() / max(1, session.observer.executions)
    need = RUNS_TO_GRADE * a_run * sum(1 for entry in session.campaign.entries() if entry.new_arms)
    return max(grade_end - 0.45, min(grade_end - 0.14, grade_end - need))


def _import_program(module: Any) -> Any:
    """The module's program in which the switch is asked at import as well."""
    return instrument(module_source(module), str(module.__file__), at_import=True).code


def _grade_import_mutants(session: _Session, graded: List[Graded], program: Optional[Background]) -> None:
    """Mutants that act while the module is imported: each gets a forked import of its own."""
    mutants = [m for m in session.meta.mutants if m.at_import and not m.left_out]
    mutants += [m for m in session.meta.mutants if m.at_import and m.left_out]
    pool = sorted(graded, key=lambda one: (one.exam.cost(), one.entry.number))[:400]
    if program is None or not pool:
        return
    code = program.code(max(0.5, (0.9 - session.pace.done()) * (session.pace.budget_s or 60.0)))
    if code is None:
        return

    def make(mutant: int) -> Examiner:
        module, probes = run_again(session.names.module, code, len(session.meta.arms), mutant)
        names = Namespace(module)
        for name, line in session.names.imports.items():
            if name not in names.globals:
                exec(line, names.globals)
        names.imports.update(session.names.imports)
        examiner = Examiner(Observer(names, probes, session.watch), names, [])
        return examiner

    def is_late() -> bool:
        return session.pace.budget_s is not None and session.pace.done() > 0.9

    if session.args.get("evaluations") is not None:
        mutants = mutants[: max(10, session.args["evaluations"] // max(1, len(pool)))]
    relevant = relevant_places(pool, constants_by_line(module_source(session.names.module)))
    few, rest = [], []
    for mutant in mutants:
        mine = relevant.get(mutant.line, [])
        others = [place for place in range(len(pool)) if place not in set(mine)]
        few.append((mutant.id, mine[:30] + others[:15]))
        rest.append((mutant.id, mine[30:] + others[15:]))
    found = import_kills(pool, few, make, is_late)
    for mutant_id, places in found.items():
        for place in sorted(places)[:40]:
            pool[place].kills.add(mutant_id)
    open_ones = [(mutant_id, places) for mutant_id, places in rest if not found.get(mutant_id)]
    for mutant_id, places in import_kills(pool, open_ones, make, is_late).items():
        for place in sorted(places)[:40]:
            pool[place].kills.add(mutant_id)


def run_again(module: Any, code: Any, arms: int, mutant: int) -> Tuple[Any, Probes]:
    """A second copy of the module, run with a mutant on from its first line."""
    copy = types.ModuleType(module.__name__)
    for name in ("__file__", "__package__", "__spec__", "__path__", "__loader__"):
        if hasattr(module, name):
            setattr(copy, name, getattr(module, name))
    probes = Probes(copy, arms)
    probes.start(10_000_000)
    probes.switch = mutant
    sys.modules[module.__name__] = copy
    exec(code, copy.__dict__)
    return copy, probes
