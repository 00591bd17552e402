"""Runs both versions of what changed on the same inputs and keeps what they do differently.

Differential testing (McKeeman 1998) between two versions, with the inputs of the test generator: each side looks for
calls that its own text leads to, and both sides run all of them. What the base itself does not repeat under another
hash seed, other random numbers and another clock is dropped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aqe.agents.changes import Changes, FileChange
from aqe.agents.gate.box import Layers, Limits
from aqe.agents.gate.interpreter import Interpreter
from aqe.agents.generate.target import Subject, resolve
from aqe.agents.review.executed.altered import Altered, find_altered
from aqe.agents.review.executed.call_sites import Sources, find_call_sites
from aqe.agents.review.executed.comparison import Comparison, Difference, Skipped
from aqe.agents.review.executed.judging import (
    breaks_hint,
    difference,
    fairness,
    is_compared,
    is_crash,
    is_hidden,
    steadied,
)
from aqe.agents.review.executed.sides import ENDS, RAISES, Case, Side, Sighting, place, side_by_side
from aqe.agents.review.executed.wording import put_in_words
from aqe.engine.errors import OutOfTime, UserError
from aqe.engine.progress import CancelToken, Progress, silent

MOST_MODULES = 40
MOST_DOUBTS = 200
MOST_CONFIRMED = 4
SHRINK_ROUNDS = 8
SHRINK_S = 2.5
TOO_LATE = "the time was over first"
SETUP_SHARE = 0.25
"""The share of the time within which it is found out what changed; what was not read by then is left out."""

READING_SHARE = 0.1
STEADY_ROUNDS = 3
"""How often the base has to repeat what it showed, each time with other random numbers, before it counts."""


@dataclass(frozen=True)
class Stage:
    """One effort on one altered thing: what runs, how many calls each side looks for, how long it may take in seconds,
    and whether calls in tests and other modules are read."""

    through: str
    evaluations: int
    seconds: float
    reads_calls: bool


STAGES = (Stage("runs", 200, 1.0, True), Stage("runs", 800, 2.5, False), Stage("callers", 500, 2.0, True))


@dataclass
class _Work:
    altered: Altered
    subject: Subject
    sources: Sources = ()
    tried: set[str] = field(default_factory=set)
    inputs: int = 0
    differing: int = 0
    found: Difference | None = None
    refused: Case | None = None


@dataclass(frozen=True)
class _Doubt:
    """A case that showed a difference, with both sightings."""

    case: Case
    before: Sighting
    after: Sighting

    @property
    def fair(self) -> int:
        return fairness(self.before, self.after)


def compare_versions(
    project: Path,
    changes: Changes,
    *,
    base_folder: Path,
    head_folder: Path,
    interpreter: Interpreter,
    seed: int,
    deadline: float,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
    limits: Limits | None = None,
) -> Comparison:
    """Compare what the functions that `changes` altered do in both trees.

    `base_folder` and `head_folder` hold the whole of both versions; nothing is written into them. `project` is where
    calls of the functions are looked for in tests and other modules. `deadline` is a reading of `time.monotonic`: the
    answer is partial where it comes first. Raises `UserError` (no-sandbox, weak-sandbox, no-interpreter), `Cancelled`.
    """
    token = cancel or CancelToken()
    skipped: list[Skipped] = []
    now = time.monotonic()
    setup = _Setup(now + SETUP_SHARE * max(0.0, deadline - now), token, skipped)
    works = list(_works(changes, head_folder, interpreter, setup))
    if not works:
        return Comparison(not_compared=tuple(skipped), partial=setup.is_cut)
    _read_call_sites(project, works, deadline)
    works.sort(key=lambda one: one.altered.risk)
    roots = tuple(dict.fromkeys(one.subject.root for one in works))
    old_roots = [base_folder / one.relative_to(head_folder.resolve()) for one in roots if _is_inside(one, head_folder)]
    with ExitStack() as stack:

        def opened(folder: Path, paths: Sequence[Path], elsewhere: bool = False) -> Side:
            where = place(folder, paths, interpreter)
            side = Side(where, interpreter, deadline, token, seed, limits or Limits(), elsewhere)
            return stack.enter_context(side)

        run = _Run(
            opened(base_folder, old_roots), opened(head_folder, roots), opened(base_folder, old_roots, True), progress
        )
        run.partial = setup.is_cut
        return run.compare(works, skipped)


def _is_inside(folder: Path, tree: Path) -> bool:
    return folder.is_relative_to(tree.resolve())


def _read_call_sites(project: Path, works: Sequence[_Work], deadline: float) -> None:
    """Give each altered thing the files that call it, as far as a small part of the time reaches."""
    now = time.monotonic()
    names: dict[str, set[str]] = {}
    for work in works:
        names.setdefault(work.subject.module, set()).update(work.altered.runs, work.altered.callers)
    skip = [work.subject.path for work in works]
    found = find_call_sites(project, names, skip=skip, end=now + max(0.0, READING_SHARE * (deadline - now)))
    for work in works:
        work.sources = found[work.subject.module]


@dataclass
class _Setup:
    """How long it may take to find out what changed (`end` is a reading of `time.monotonic`), and what is left out."""

    end: float
    cancel: CancelToken
    skipped: list[Skipped]
    is_cut: bool = False


def _works(changes: Changes, head: Path, interpreter: Interpreter, setup: _Setup) -> Iterator[_Work]:
    """Everything altered that could run, file by file, smaller changes first; the rest is added to what is skipped."""
    skipped = setup.skipped
    for change in sorted(changes.files, key=lambda one: len(one.added) + len(one.removed)):
        if not change.path.endswith(".py") or change.old_text is None or change.new_text is None:
            continue
        if _is_test(change):
            continue
        setup.cancel.check()
        if time.monotonic() > setup.end:
            setup.is_cut = True
            skipped.append(Skipped(change.path, "", TOO_LATE))
            continue
        try:
            altered, gone = find_altered(change)
        except (SyntaxError, ValueError):
            skipped.append(Skipped(change.path, "", "one version is no valid Python"))
            continue
        except RecursionError:
            skipped.append(Skipped(change.path, "", "one version is nested too deeply to be read"))
            continue
        try:
            subject = resolve(str(head.resolve() / change.path), head, interpreter.sys_path)[0]
        except UserError as error:
            if altered and error.code != "test-file":
                skipped.extend(Skipped(change.path, one.name, error.message) for one in altered)
            continue
        skipped.extend(gone)
        if altered and change.old_path not in (None, change.path):
            skipped.extend(Skipped(change.path, one.name, "its module has another name now") for one in altered)
            continue
        yield from (_Work(one, subject) for one in altered)


def _is_test(change: FileChange) -> bool:
    parts = Path(change.path).parts
    stem = Path(change.path).stem
    return stem in {"conftest", "setup", "noxfile"} or stem.startswith("test_") or bool({"tests", "test"} & {*parts})


class _Run:
    """The boxes of one comparison and what is known so far."""

    def __init__(self, base: Side, head: Side, elsewhere: Side, progress: Progress) -> None:
        self.base, self.head, self.elsewhere = base, head, elsewhere
        self.progress = progress
        self.partial = False
        self.late: set[int] = set()

    def compare(self, works: list[_Work], skipped: list[Skipped]) -> Comparison:
        """All stages over all works, then the answer."""
        modules = list(dict.fromkeys(one.subject.module for one in works))[:MOST_MODULES]
        try:
            self.progress("importing both versions", 0.0)
            side_by_side(partial(self.base.load, modules), partial(self.head.load, modules))
            self._note_broken_imports(works)
            for number, stage in enumerate(STAGES):
                self._stage(stage, number, [one for one in works if one.found is None])
            self._tell_refusals(works)
        except OutOfTime:
            self.partial = True
        return self._answer(works, skipped)

    def _note_broken_imports(self, works: Sequence[_Work]) -> None:
        """A module that the head can no longer import is a difference, shown once, at the first thing that changed."""
        told: set[str] = set()
        for work in works:
            module = work.subject.module
            why = self.head.failed.get(module, "")
            if module in self.base.targets and module not in told and why.startswith((RAISES, ENDS)):
                told.add(module)
                altered = work.altered
                now = why.removeprefix("its import ")
                call = f"import {module}"
                work.inputs, work.differing = 1, 1
                work.found = Difference(
                    altered.path,
                    altered.name,
                    altered.line,
                    call,
                    "worked",
                    now,
                    "exception",
                    True,
                    inputs=1,
                    differing=1,
                )

    def _stage(self, stage: Stage, number: int, works: Sequence[_Work]) -> None:
        for place_, work in enumerate(works):
            names = self._names(work, stage)
            if not names:
                continue
            left = self.base.left_s()
            share = max(0.5, left / max(1, len(works) - place_))
            self.progress(f"running both versions of {work.altered.name}", number + place_ / len(works), len(STAGES))
            self._try(work, stage, names, min(stage.seconds, share / 3))

    def _names(self, work: _Work, stage: Stage) -> list[str]:
        """What of an altered thing can be called on both sides."""
        module = work.subject.module
        known = self.base.targets.get(module, frozenset()) & self.head.targets.get(module, frozenset())
        wanted = work.altered.runs if stage.through == "runs" else work.altered.callers
        return [name for name in wanted if name in known]

    # -- one altered thing ----------------------------------------------------------------------------------------

    def _try(self, work: _Work, stage: Stage, names: Sequence[str], seconds: float) -> None:
        module = work.subject.module
        seed = self.base.seed + 7919 * stage.evaluations

        def explored(side: Side, own_seed: int) -> list[Case]:
            sources = work.sources if stage.reads_calls else ()
            return side.explore(
                module, names, evaluations=stage.evaluations, seconds=seconds, seed=own_seed, sources=sources
            )

        found = side_by_side(partial(explored, self.base, seed), partial(explored, self.head, seed + 1))
        cases = list(_fresh(found[0] + found[1], work.tried))
        doubts = self._doubts(module, cases, 2 * seconds + 1.0, work)
        if doubts:
            self._settle(work, doubts)

    def _doubts(self, module: str, cases: Sequence[Case], seconds: float, work: _Work | None = None) -> list[_Doubt]:
        """Those of the cases that show a difference when both sides run all of them in the same order."""
        if not cases:
            return []
        pair = side_by_side(
            partial(self.base.replay, module, cases, seconds=seconds),
            partial(self.head.replay, module, cases, seconds=seconds),
        )
        rows = list(zip(cases, *pair, strict=False))
        doubts = [_Doubt(*row) for row in rows if difference(row[1], row[2]) is not None]
        if work is not None:
            work.inputs += sum(1 for _, before, after in rows if is_compared(before, after))
            work.differing += len(doubts)
            work.refused = work.refused or next((row[0] for row in rows if _is_refused(*row)), None)
        return doubts

    def _settle(self, work: _Work, doubts: list[_Doubt]) -> None:
        """Keep the smallest difference that the base repeats elsewhere, and that shows in a fresh process."""
        module = work.subject.module
        ordered = self._ranked(doubts)[:MOST_DOUBTS]
        steady = self._steady(module, ordered)
        work.differing -= len(ordered) - len(steady)
        for doubt in sorted(steady, key=_weakness)[:MOST_CONFIRMED]:
            alone = self._alone(module, doubt.case)
            if alone is None:
                continue
            smaller = self._shrunk(module, alone)
            final = smaller if smaller is alone else self._alone(module, smaller.case)
            if final is None or final.fair < alone.fair:
                final = alone
            work.found = self._worded(work, final)
            if work.found is not None:
                return

    def _ranked(self, doubts: Sequence[_Doubt]) -> list[_Doubt]:
        costs = self.base.readings([one.case for one in doubts])
        if len(costs) != len(doubts):
            return list(doubts)
        rows = sorted(zip(costs, doubts, strict=True), key=lambda row: (_weakness(row[1]), row[0][0]))
        return [doubt for _, doubt in rows]

    def _steady(self, module: str, doubts: Sequence[_Doubt], salt: int = 1) -> list[_Doubt]:
        """What is left of them without what the base does not repeat with another hash seed, other random numbers and
        another clock."""
        if module not in self.elsewhere.targets:
            self.elsewhere.load([*self.elsewhere.modules, module])
        seen = self.elsewhere.replay(module, [one.case for one in doubts], seconds=4.0, salt=salt)
        kept = []
        for one, other in zip(doubts, seen, strict=False):
            pair = steadied(one.before, one.after, other)
            if pair is not None and difference(*pair) is not None:
                kept.append(_Doubt(one.case, *pair))
        return kept

    def _alone(self, module: str, case: Case) -> _Doubt | None:
        """The case with nothing run before it, on each of the three sides."""
        found = self._doubts(module, [case], 4.0)
        for salt in range(1, STEADY_ROUNDS + 1):
            found = self._steady(module, found, salt) if found else []
        return found[0] if found else None

    def _shrunk(self, module: str, doubt: _Doubt) -> _Doubt:
        """A shorter case that shows the same kind of difference."""
        end = time.monotonic() + SHRINK_S
        wanted = _sort_of(doubt)
        with suppress(OutOfTime):
            for _ in range(SHRINK_ROUNDS):
                if time.monotonic() > end:
                    break
                found = self._doubts(module, self.base.smaller(doubt.case), 2.0)
                better = [
                    one
                    for one in found
                    if one.fair >= min(1, doubt.fair) and _sort_of(one) == wanted
                ]  # fmt: skip
                if not better:
                    break
                doubt = better[0]
        return doubt

    def _worded(self, work: _Work, doubt: _Doubt) -> Difference | None:
        kind = difference(doubt.before, doubt.after)
        readings = self.base.readings([doubt.case])
        if kind is None or not readings:
            return None
        module = work.subject.module
        before, after = side_by_side(
            partial(self.base.words, module, doubt.case), partial(self.head.words, module, doubt.case)
        )
        said = put_in_words(kind, before, after, doubt.after)
        return Difference(
            path=work.altered.path,
            name=work.altered.name,
            line=work.altered.line,
            call=readings[0][1],
            before=said[0],
            after=said[1],
            kind=kind,
            crash=is_crash(doubt.before, doubt.after),
            breaks_hint=breaks_hint(doubt.before, doubt.after),
            inputs=work.inputs,
            differing=max(1, work.differing),
            is_fair=doubt.fair > 0,
        )

    def _tell_refusals(self, works: Sequence[_Work]) -> None:
        """Functions of which the head takes none of the base's calls: its signature asks for something else."""
        for work in works:
            is_private = any(part.startswith("_") for part in work.altered.name.split("."))
            if work.refused is None or work.inputs or is_private:
                continue
            module = work.subject.module
            readings = self.base.readings([work.refused])
            before, after = self.base.words(module, work.refused), self.head.words(module, work.refused)
            if readings and str(after.get("outcome", "")).startswith("raises TypeError"):
                said = put_in_words("exception", before, after, {"kind": "raises"})
                altered = work.altered
                work.inputs, work.differing = 1, 1
                work.found = Difference(
                    altered.path, altered.name, altered.line, readings[0][1], *said, "exception", inputs=1, differing=1
                )

    # -- answer ---------------------------------------------------------------------------------------------------

    def _answer(self, works: Sequence[_Work], skipped: list[Skipped]) -> Comparison:
        ran = [one for one in works if one.inputs]
        skipped = [
            *skipped,
            *(Skipped(one.altered.path, one.altered.name, self._why(one)) for one in works if not one.inputs),
        ]
        found = [one.found for one in works if one.found is not None]
        layers = self.base.layers or self.head.layers or Layers("", (), (), True)
        return Comparison(
            differences=tuple(sorted(found, key=_gravity)),
            changed=sum(1 for one in works if one.altered.is_function),
            compared=sum(1 for one in ran if one.altered.is_function),
            not_compared=tuple(skipped),
            executions=sum(side.executions for side in (self.base, self.head, self.elsewhere)),
            rung=layers.rung,
            layers=layers.in_force,
            layers_missing=layers.missing,
            hash_seeds=(self.base.hash_seed, self.elsewhere.hash_seed),
            partial=self.partial,
        )

    def _why(self, work: _Work) -> str:
        module = work.subject.module
        for side, name in ((self.base, "base"), (self.head, "head")):
            if module in side.failed:
                return f"in the {name} {side.failed[module]}"
        if module not in self.base.targets or module not in self.head.targets or self.partial:
            return TOO_LATE
        return "no call of it could be made"


def _fresh(cases: Sequence[Case], tried: set[str]) -> Iterator[Case]:
    for case in cases:
        key = json.dumps(case["steps"], sort_keys=True)
        if key not in tried:
            tried.add(key)
            yield case


def _weakness(doubt: _Doubt) -> tuple[bool, bool, bool, bool]:
    """Sorts the telling doubts first: arguments that callers give, a difference that they notice, in the answer, and
    not beside an exception on both sides."""
    kind = difference(doubt.before, doubt.after)
    both = doubt.before["kind"] == doubt.after["kind"] == "raises"
    return doubt.fair == 0, is_hidden(doubt.before, doubt.after), kind in ("arguments", "output"), both


def _sort_of(doubt: _Doubt) -> tuple[str, bool]:
    """What a shorter case has to show as well: the kind of difference, another type being another value too."""
    kind = difference(doubt.before, doubt.after)
    return "value" if kind == "type" else str(kind), is_crash(doubt.before, doubt.after)


def _is_refused(case: Case, before: Sighting, after: Sighting) -> bool:
    """Whether a call by position alone, which the base answers, does not fit the head's signature."""
    return before["kind"] == "returns" and after["kind"] == "illegal" and not case["steps"][-1]["kwargs"]


def _gravity(one: Difference) -> tuple[bool, bool, bool, str, int]:
    return not one.crash, not one.breaks_hint, not one.is_fair, one.path, one.line
