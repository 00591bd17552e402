"""Entries of executed review: find calls of changed functions in one version, and run calls that were found elsewhere.

The same module serves the base's box and the head's. `preload` runs in the warm process, the others in forks of it.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from . import rounds
from .campaign import Campaign, Entry, Pace
from .descriptors import refuse_borrowing
from .examples import Examples
from .importing import check, failure
from .loading import Loaded, load_all
from .minimise import smaller_cases
from .namespace import Namespace
from .observe import Observer, Run, Watch, now, quiet
from .packing import pack, unpack
from .reading import Target, module_source, read_module
from .recipes import Case
from .sequences import Builder
from .sightings import Witness
from .standstill import stop_clock

Data = Dict[str, Any]
Emit = Callable[[Any], None]

CHUNK = 25
"""Sightings that travel in one message."""

MOST_CASES = 1500
MOST_SMALLER = 60
MOST_SIBLINGS = 16
CALLS_OF_SIBLING = 4
LEARNING_SHARE = 0.25
UNHELPFUL = ("unbuilt", "sleeps", "borrows", "odd")
_LOADED: Dict[str, Tuple[Loaded, List[Target]]] = {}


def imports(args: Data, emit: Emit) -> Data:
    """Import the modules one after the other and emit how each went, so that the one that ends the process is known."""
    for name in args["modules"]:
        emit({"module": name, "said": check({"module": name}, emit)})
    return {}


def preload(args: Data, emit: Emit) -> Data:
    """Import the modules under instrumentation; answers which targets each has, its file, and what could not be loaded.

    Modules of one package are loaded together, so that they know each other; alone where one of them fails.
    """
    stop_clock()
    failed: Data = {}
    for name, one in _loaded(list(args["modules"]), failed).items():
        module = one[0]
        try:
            targets = [_Examined(**vars(target)) for target in read_module(module, module_source(module))]
        except Exception as error:  # a subject's own classes may refuse to be looked at
            failed[name] = failure(error, None)
            continue
        _LOADED[name] = (one, list(targets))
    known = {name: sorted({t.qualname for t in held[1] if not t.why_not}) for name, held in _LOADED.items()}
    files = {name: os.path.realpath(str(held[0][0].__file__)) for name, held in _LOADED.items()}
    return {"targets": known, "files": files, "failed": failed}


def _loaded(names: List[str], failed: Data) -> Dict[str, Loaded]:
    try:
        return load_all(names, mutants=False)
    except BaseException as error:  # a subject may raise anything, SystemExit included
        if len(names) == 1:
            failed[names[0]] = failure(error, None)
            return {}
    loaded: Dict[str, Loaded] = {}
    for name in names:
        loaded.update(_loaded([name], failed))
    return loaded


class _Examined(Target):
    """A target that is called however private its name is."""

    @property
    def is_private(self) -> bool:
        """Never: what changed is what is asked for."""
        return False


class _Recorder(Observer):
    """Hands over each case before it is run, because that may be the end of the process."""

    def __init__(self, names: Namespace, probes: Any, watch: Watch, wanted: Set[str], emit: Emit) -> None:
        super().__init__(names, probes, watch)
        self.wanted = wanted
        self.emit = emit
        self.known: Set[str] = set()

    def run(self, case: Case, step_limit: Optional[int] = None) -> Run:
        is_new = (
            case.target in self.wanted
            and case.last.bind is None
            and len(self.known) < MOST_CASES
            and case.key() not in self.known
        )
        if is_new:
            self.known.add(case.key())
            self.emit({"case": pack(case)})
        run = super().run(case, step_limit)
        if is_new and run.kind in UNHELPFUL:
            self.emit({"drop": True})
        return run


class _Haste(Pace):
    """Counts evaluations, and ends with the clock where that is earlier."""

    def __init__(self, evaluations: int, seconds: float, observer: Observer) -> None:
        super().__init__(None, evaluations, observer)
        self.seconds = seconds

    def done(self) -> float:
        """0 at the start, 1 at the end."""
        return max(super().done(), (now() - self.start) / max(0.05, self.seconds))


def _ignore(entry: Entry, run: Run) -> None:
    return None


def explore(args: Data, emit: Emit) -> Data:
    """Look for calls of `names` in this version; they are emitted as they are found."""
    (module, meta, probes), targets = _LOADED[args["module"]]
    wanted = set(args["names"])
    rng = random.Random(args["seed"])
    _seed(args["seed"])
    names, watch = Namespace(module), Watch()
    recorder = _Recorder(names, probes, watch, wanted, emit)
    chosen = [target for target in targets if target.qualname in wanted and not target.why_not]
    others = _siblings(chosen, targets)
    pace = _Haste(args["evaluations"], args["seconds"], recorder)
    builder = Builder(targets, names, rng)
    campaign = Campaign([*chosen, *others], builder, recorder, pace, meta, rng, _ignore)
    refuse_borrowing(lambda: watch.is_running)
    with quiet(), watch.ticking():
        _learn_states(campaign, others)
        campaign.targets = chosen
        pace.evaluations = args["evaluations"] + recorder.executions
        calls = Examples(targets, names)
        examples = calls.from_docstrings(chosen, module.__doc__ or "")
        campaign.seed(examples, calls, [tuple(pair) for pair in args.get("sources") or []])
        for one in (rounds.first_round, rounds.edge_round, rounds.table_round, rounds.format_round, rounds.flag_round):
            one(campaign)
        campaign.hunt_arms(1.0)
    return {"executions": recorder.executions}


def _siblings(chosen: Sequence[Target], targets: Sequence[Target]) -> List[Target]:
    """The other methods of the classes whose methods were chosen: calls of them make states."""
    owners = {id(target.owner) for target in chosen if target.flavour in ("method", "property", "setter")}
    found = [one for one in targets if id(one.owner) in owners and one.flavour == "method" and not one.why_not]
    return [one for one in found if one not in chosen][:MOST_SIBLINGS]


def _learn_states(campaign: Campaign, others: Sequence[Target]) -> None:
    """A few calls of each other method, from which the builder learns those that change a state."""
    for target in others:
        for _ in range(CALLS_OF_SIBLING):
            if campaign.pace.done() < LEARNING_SHARE:
                campaign.fresh(target)


def _seed(salt: int) -> None:
    random.seed(salt)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(salt % (2**32))


def _witness(args: Data) -> Tuple[Witness, Watch]:
    (module, _, probes), targets = _LOADED[args["module"]]
    watch = Watch()
    witness = Witness(Namespace(module), probes, watch, targets, args["places"])
    refuse_borrowing(lambda: watch.is_running)
    return witness, watch


def replay(args: Data, emit: Emit) -> Data:
    """Run the given cases in their order and emit what each showed. `salt` seeds the random numbers of each."""
    witness, watch = _witness(args)
    with quiet(), watch.ticking():
        for data in _sights(witness, args["cases"], args["salt"], args.get("chunk") or CHUNK, emit):
            emit({"sightings": data})
    return {}


def _sights(witness: Witness, cases: Sequence[Data], salt: int, chunk: int, emit: Emit) -> Any:
    seen: List[Data] = []
    for data in cases:
        try:
            case = unpack(data)
        except (SyntaxError, ValueError, RecursionError):
            seen.append({"kind": "unbuilt", "steps": 0})
            continue
        _seed(salt)
        seen.append(witness.sight(case))
        if len(seen) >= chunk:
            yield seen
            seen = []
    yield seen


def smaller(args: Data, emit: Emit) -> Data:
    """Shorter cases than the given one, the shortest first."""
    case = unpack(args["case"])
    found: Dict[str, Case] = {}
    for one in itertools.chain(_without_last(case), _with_shared_arguments(args["case"]), smaller_cases(case)):
        if one.cost() < case.cost():
            found.setdefault(one.key(), dataclasses.replace(one, origin="search"))
        if len(found) >= 4 * MOST_SMALLER:
            break
    ordered = sorted(found.values(), key=lambda one: one.cost())
    step = max(1, len(ordered) // MOST_SMALLER)
    return {"cases": [pack(one) for one in ordered[::step]]}


def _with_shared_arguments(data: Data) -> Iterator[Case]:
    """The case with an argument that stands in it several times replaced in all places at once."""
    texts = [text for step in data["steps"] for text in (*step["args"], *(text for _, text in step["kwargs"]))]
    for text in dict.fromkeys(text for text in texts if texts.count(text) > 1):
        short = '"a"' if text.startswith(("'", '"')) else "1"
        steps = [
            {
                **step,
                "args": [short if one == text else one for one in step["args"]],
                "kwargs": [[name, short if one == text else one] for name, one in step["kwargs"]],
            }
            for step in data["steps"]
        ]
        yield unpack({**data, "steps": steps})


def _without_last(case: Case) -> Iterator[Case]:
    """The case that ends with the call before the last, where both call the same."""
    if len(case.steps) > 1 and case.steps[-2].callee == case.last.callee and case.steps[-2].bind is None:
        yield dataclasses.replace(case, steps=case.steps[:-1])


def costs(args: Data, emit: Emit) -> Data:
    """How much there is to read in each case, and the call that a reader would type."""
    cases = [unpack(data) for data in args["cases"]]
    return {"costs": [one.cost() for one in cases], "calls": [_call(one) for one in cases]}


def _call(case: Case) -> str:
    """The case in one line: set-up lines before the call are joined to it by semicolons."""
    lines = [("%s = %s" % (step.bind, step.expression())) if step.bind else step.expression() for step in case.steps]
    return "; ".join(lines)


def words(args: Data, emit: Emit) -> Data:
    """What one case shows here, in words."""
    witness, watch = _witness(args)
    with quiet(), watch.ticking():
        _seed(args["salt"])
        return witness.words(unpack(args["case"]))
