"""Entry of the test generator's worker: `_aqe_inject.search:run`.

The work is done in a forked child that reports through a pipe, so that a subject that exits, closes descriptors or
hangs in C code takes only the child along: the parent then starts over without the target that did it.
"""

from __future__ import annotations

import functools
import json
import mmap
import os
import random
import select
import signal
import struct
import sys
import types
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from .campaign import ARMS_SHARE, MUTANTS_SHARE, Campaign, Pace
from .exam import Examiner
from .examples import Examples
from .grading import Grader, import_kills
from .instrument import instrument, load
from .minimise import Graded
from .namespace import Namespace
from .observe import Observer, Watch, now, quiet
from .probes import Probes
from .reading import Target, module_source, read_module
from .result import case_data, function_data, mutant_data, not_reached, why_not
from .sequences import Builder
from .suspects import Suspicions

Emit = Callable[[Any], None]
Data = Dict[str, Any]

STUCK_S = 4.0
"""Wall time without a new run after which the child counts as hanging outside Python."""

MOST_RESTARTS = 8


def run(args: Data, emit: Emit) -> Data:
    """Search one module; see the interface of `aqe.agents.generate` for the keys of `args` and of the result."""
    start = now()
    loaded = load(args["module"])
    targets = _chosen(read_module(loaded[0], module_source(loaded[0])), args.get("names"))
    excluded: Dict[int, str] = {}
    best: Optional[Data] = None
    for _ in range(MOST_RESTARTS):
        left = dict(args)
        if left.get("evaluations") is None:
            left["budget_s"] = max(0.5, (args.get("budget_s") or 20.0) - (now() - start))
        for place, why in excluded.items():
            targets[place].why_not = why
        work = functools.partial(_search, left, loaded, targets)
        result, culprit, why = _in_child(work, emit)
        if result is not None and (best is None or culprit is None or len(result["cases"]) >= len(best["cases"])):
            best = result
        if culprit is None or culprit in excluded:
            break
        excluded[culprit] = why
        if args.get("evaluations") is None and now() - start > (args.get("budget_s") or 20.0) * 0.9:
            break
    if best is None:
        best = {
            "module": args["module"],
            "functions": [],
            "arms": [],
            "mutants": [],
            "cases": [],
            "suspects": [],
            "not_reached": [],
            "executions": 0,
        }
    for place, why in excluded.items():
        best["suspects"] = best.get("suspects", []) + _fatal(targets[place], why)
    best["seconds"] = round(now() - start, 3) if args.get("evaluations") is None else 0.0
    return best


def _chosen(targets: Sequence[Target], names: Optional[Sequence[str]]) -> List[Target]:
    if not names:
        return list(targets)
    wanted = set(names)
    return [t for t in targets if t.qualname in wanted or any(t.qualname.startswith(name + ".") for name in wanted)]


def _fatal(target: Target, why: str) -> List[Data]:
    """Nothing is suspected of a target that ends the process on purpose; a crash or hang is worth a look."""
    if "signal" not in why and "hangs" not in why:
        return []
    kind = "hang" if "hangs" in why else "crash"
    step: Data = {
        "bind": None,
        "callee": target.qualname,
        "receiver": None,
        "args": [],
        "kwargs": [],
        "await": False,
        "kind": "get",
        "expr": target.qualname,
    }
    return [{"target": target.qualname, "steps": [step], "kind": kind, "exception": "", "message": "",
        "line": target.line, "why": why,
             "expected": "an answer", "actual": why}]  # fmt: skip


# ---------------------------------------------------------------- the child and its watcher


class Beat:
    """Shared memory in which the child says what it is at: (target, runs, 1 while the subject runs)."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 24)

    def write(self, target: int, runs: int, is_running: bool) -> None:
        """Say what is going on."""
        struct.pack_into("qqq", self.memory, 0, target, runs, is_running)

    def read(self) -> Tuple[int, int, int]:
        """What was said last."""
        target, runs, running = struct.unpack_from("qqq", self.memory, 0)
        return target, runs, running


Work = Callable[[Emit, Beat], Data]


def _in_child(work: Work, emit: Emit) -> Tuple[Optional[Data], Optional[int], str]:
    """Run the work in a fork. Returns the last result, the target that ended the child early (or None), and how."""
    beat = Beat()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(work, writer, beat)
    os.close(writer)
    try:
        return _watch(child, reader, beat, emit)
    finally:
        os.close(reader)


def _child(work: Work, writer: int, beat: Beat) -> None:
    status = 70
    try:
        own = os.dup(writer)

        def send(message: Any) -> None:
            data = json.dumps(message).encode("utf-8", "backslashreplace") + b"\n"
            while data:
                data = data[os.write(own, data) :]

        send({"result": work(send, beat)})
        status = 0
    except BaseException as error:
        try:
            os.write(2, ("%s: %s\n" % (type(error).__name__, error)).encode("utf-8", "replace"))
            if os.environ.get("AQE_DEBUG"):
                import traceback

                os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        finally:
            os._exit(71)
    os._exit(status)


def _watch(child: int, reader: int, beat: Beat, emit: Emit) -> Tuple[Optional[Data], Optional[int], str]:
    last: Optional[Data] = None
    data = b""
    seen, since = beat.read()[1], now()
    while True:
        ready, _, _ = select.select([reader], [], [], 0.25)
        if ready:
            part = os.read(reader, 1 << 20)
            if not part:
                break
            *lines, data = (data + part).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "result" in message:
                    last = message["result"]
                else:
                    last = message.get("partial", last)
                    emit(message)
        _, runs, running = beat.read()
        if runs != seen or not running:
            seen, since = runs, now()
        elif now() - since > STUCK_S:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return last, beat.read()[0], "hangs outside Python code"
    _, status = os.waitpid(child, 0)
    if status == 0:
        return last, None, ""
    how = "ends the process with signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "ends the process"
    culprit = beat.read()[0]
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status) == 71 and not beat.read()[2]:
        return last, None, ""
    return last, culprit, how


# ---------------------------------------------------------------- one search


class _BeatingObserver(Observer):
    """An observer that tells the watcher what it runs."""

    beat: Beat
    place = 0

    def run(self, case: Any, step_limit: Optional[int] = None) -> Any:
        self.beat.write(self.place, self.executions, True)
        result = super().run(case, step_limit)
        self.beat.write(self.place, self.executions, False)
        return result


class _Session:
    """The parts of one search, put together."""

    def __init__(self, args: Data, loaded: Any, targets: List[Target], send: Emit, beat: Beat) -> None:
        module, self.meta, self.probes = loaded
        self.args, self.send, self.targets = args, send, targets
        self.rng = random.Random(args.get("seed") or 0)
        random.seed(args.get("seed") or 0)
        self.names = Namespace(module)
        self.watch = Watch()
        self.observer = _BeatingObserver(self.names, self.probes, self.watch)
        self.observer.beat = beat
        self.pace = Pace(args.get("budget_s"), args.get("evaluations"), self.observer)
        self.builder = Builder(targets, self.names, self.rng)
        self.suspicions = Suspicions(targets, self.observer, self.names, self.builder.pools)
        self.campaign = Campaign(
            targets, self.builder, self.observer, self.pace, self.meta, self.rng, self.suspicions.see
        )
        self.campaign.watch_failures = self.suspicions.see_failure
        self.campaign.entering = self._entering
        self.places = {id(target): place for place, target in enumerate(targets)}
        self.examiner = Examiner(self.observer, self.names, targets)
        self.examiner.doubts = self.suspicions.is_doubtful
        self.grader = Grader(self.campaign, self.examiner, self.meta)
        self.killed: Set[int] = set()
        self.last_partial = now()
        self.phase = "reading"

    def _entering(self, place: int) -> None:
        self.observer.place = self.places[id(self.campaign.targets[place])]
        if self.args.get("evaluations") is None and now() - self.last_partial > 2.0:
            self.partial()

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
        graded = self.grader.grade_all(self.campaign.entries(), 2.0, full=False)
        self.send({"partial": self.result(self.grader.suite(graded, 0.0, shorten=False))})
        self.last_partial = now() + 3 * (now() - begun)

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
            "suspects": self.suspicions.report(),
            "not_reached": not_reached(self.targets, self.campaign, self.meta),
            "executions": self.observer.executions,
            "seconds": 0.0,
        }


def _search(args: Data, loaded: Any, targets: List[Target], send: Emit, beat: Beat) -> Data:
    session = _Session(args, loaded, targets, send, beat)
    with quiet(), session.watch.ticking():
        return _phases(session, loaded[0])


def _phases(session: _Session, module: Any) -> Data:
    campaign = session.campaign
    session.say("reading examples")
    calls = Examples(session.targets, session.names)
    examples = calls.from_docstrings(campaign.targets, module.__doc__ or "")
    campaign.seed(examples, calls, [tuple(pair) for pair in session.args.get("example_sources") or []])
    session.suspicions.judge_examples(examples)
    session.say("trying every function")
    campaign.first_round()
    campaign.pattern_round()
    session.say("looking for open branches")
    early = sum(1 for mutant in session.meta.mutants if mutant.at_import) / max(1, len(session.meta.mutants))
    search_end = MUTANTS_SHARE - 0.25 * early
    campaign.hunt_arms(min(ARMS_SHARE, search_end / 2))
    session.say("looking for inputs that tell mutants apart")
    campaign.hunt_mutants(search_end)
    campaign.hunt_arms(search_end)
    campaign.sweep(search_end + 0.05)
    session.say("choosing the cases to keep")
    graded = session.grader.grade_all(campaign.entries(), search_end + 0.12, full=True)
    _grade_import_mutants(session, graded)
    session.say("shortening")
    chosen = session.grader.suite(graded, 1.0, shorten=True)
    session.suspicions.shorten(campaign.pace)
    return session.result(chosen)


def _grade_import_mutants(session: _Session, graded: List[Graded]) -> None:
    """Mutants that act while the module is imported: each gets a forked import of its own."""
    mutants = [m.id for m in session.meta.mutants if m.at_import]
    pool = sorted(graded, key=lambda one: (one.exam.cost(), one.entry.number))[:400]

    if not mutants or not pool:
        return
    code = instrument(module_source(session.names.module), str(session.names.module.__file__), at_import=True).code

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
    found = import_kills(pool, mutants, make, is_late)
    for mutant, places in found.items():
        for place in sorted(places)[:40]:
            pool[place].kills.add(mutant)


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
