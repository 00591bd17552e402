"""From kept cases to graded exams: what each asserts, which mutants it kills, and the shortest form that still does."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import select
import signal
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from .campaign import Campaign, Entry, own_function
from .descriptors import lift
from .exam import Exam, Examiner, is_empty_claim
from .minimise import Graded, cover, shrink
from .observe import PATIENCE_S, now
from .probes import Probes
from .recipes import Case, Step, atoms_in

MOST_EXAMS_PER_TARGET = 60
ARMS_GRACE = 0.08
"""Share of the budget by which grading may be late for a case that alone takes an arm."""

LEAST_GRADED = 25
"""Cases that are graded however late it is, as long as each takes a new arm."""

ENOUGH_KILLERS = 3
"""Exams that fail on an import-time mutant, after which no more are tried."""


class Grader:
    """Grades entries once and remembers; the same grader serves the partial results and the last one."""

    def __init__(self, campaign: Campaign, examiner: Examiner, meta: Any) -> None:
        self.campaign = campaign
        self.examiner = examiner
        self.meta = meta
        self.by_entry: Dict[int, Optional[Graded]] = {}
        self.counted = 0
        for arm in meta.arms:
            if arm.counted:
                self.counted |= 1 << (8 * arm.id)

    def grade(self, entry: Entry, mutants: Optional[Set[int]], until: float) -> Optional[Graded]:
        """The exam of an entry and its kills among the mutants (None: those that the search happened to see)."""
        if entry.number not in self.by_entry:
            exam = self.examiner.examine(entry.case, entry.target)
            self.by_entry[entry.number] = Graded(exam, entry, entry.arms, set()) if exam is not None else None
        graded = self.by_entry[entry.number]
        if graded is not None and not is_empty_claim(graded.exam):
            wanted = entry.kills if mutants is None else self.campaign.note_reached(entry) & mutants
            todo = sorted(wanted - self._tried(graded))
            graded.kills |= self.kills(graded.exam, todo, entry.steps, until, self._tried(graded))
        return graded

    def _tried(self, graded: Graded) -> Set[int]:
        found: Set[int] = graded.exam.__dict__.setdefault("_tried", set())
        return found

    def kills(
        self,
        exam: Exam,
        mutants: Iterable[int],
        steps: int,
        until: Optional[float] = None,
        tried: Optional[Set[int]] = None,
    ) -> Set[int]:
        """The mutants on which the exam fails; those looked at until the share of the budget is spent go to `tried`."""
        probes: Probes = self.campaign.probes
        killed: Set[int] = set()
        for mutant in mutants:
            if until is not None and self.campaign.pace.done() > until:
                break
            if tried is not None:
                tried.add(mutant)
            probes.switch = mutant
            try:
                if not self.examiner.passes(exam, steps * 10 + 1000):
                    killed.add(mutant)
            finally:
                probes.switch = -1
        return killed

    def grade_all(self, entries: Sequence[Entry], until: float, full: bool) -> List[Graded]:
        """Grade entries, those with own arms or kills first, until the share of the budget is spent.

        In a first round each exam meets only mutants that its case is known to kill and no exam before it has killed,
        in a second one the others that no exam kills; the time that is left goes to the rest of the matrix, which lets
        the choice find fewer and shorter cases.
        """
        done = self.campaign.pace.done
        graded: List[Graded] = []
        open_arms = self.campaign.covered  # those of function bodies too: a function without branches needs a case
        alive = {mutant.id for mutant in self.meta.mutants}
        worth = self._worth_grading(entries)
        own = [entry for entry in worth if entry.new_arms or entry.kills]
        for entry in own:
            is_late = done() > until + (ARMS_GRACE if entry.arms & open_arms else 0.0)
            if is_late and not (entry.arms & open_arms and len(graded) < LEAST_GRADED):
                continue
            one = self.grade(entry, entry.kills & alive if full else None, until)
            if one is not None:
                graded.append(one)
                alive -= one.kills
                open_arms &= ~one.arms
        if full:
            self._meet_all(graded, alive, until)
            alive = alive.difference(*(one.kills for one in graded))
        for entry in worth:
            is_late = done() > until + (ARMS_GRACE if entry.arms & open_arms else 0.0)
            if is_late or entry.new_arms or entry.kills:
                continue
            one = self.grade(entry, alive if full else None, until)
            if one is not None:
                graded.append(one)
                alive -= one.kills
                open_arms &= ~one.arms
        if full:
            self._meet_all(graded, {mutant.id for mutant in self.meta.mutants}, until)
        return graded

    def _meet_all(self, graded: Sequence[Graded], mutants: Set[int], until: float) -> None:
        """Let each exam meet those mutants that it has not met and that are left when its turn comes."""
        for one in sorted(graded, key=lambda g: (g.exam.cost(), g.entry.number)):
            if self.campaign.pace.done() > until - 0.02:
                return
            self.grade(one.entry, mutants, until)

    def _worth_grading(self, entries: Sequence[Entry]) -> List[Entry]:
        """Entries in the order in which they are graded; of those without an own arm or kill only so many a target."""
        per_target: Dict[int, int] = {}
        chosen: List[Entry] = []
        ordered = sorted(
            entries,
            key=lambda one: (
                not one.new_arms,
                not (one.kills or one.case.origin != "search"),
                one.cost,
                one.number,
            ),
        )
        for entry in ordered:
            count = per_target[id(entry.target)] = per_target.get(id(entry.target), 0) + 1
            spare = not (entry.new_arms or entry.kills)
            if not spare or count <= MOST_EXAMS_PER_TARGET + 2 * len(entry.target.patterns) + len(entry.target.entries):
                chosen.append(entry)
        return chosen

    # ------------------------------------------------------------ the suite

    def suite(self, graded: Sequence[Graded], until: float, shorten: bool) -> List[Graded]:
        """The cover of what was graded, each case as short as its kills allow."""
        chosen = self._with_every_function(cover(graded, self.counted), graded)
        if shorten:
            chosen = self._shortened_all(chosen, until)
            chosen = self._with_every_function(cover(chosen, self.counted), chosen)
            chosen = [self._without_idle_checks(one) for one in chosen]
        return sorted(
            chosen,
            key=lambda one: (one.entry.target.line, one.exam.case.target, one.exam.kind == "raises", one.exam.cost()),
        )

    def _with_every_function(self, chosen: List[Graded], graded: Sequence[Graded]) -> List[Graded]:
        """The cover, and one case of each function that none of its cases enters, for want of branches or kills."""
        reached = 0
        for one in chosen:
            reached |= one.arms
        more = []
        for one in sorted(graded, key=lambda each: (each.exam.cost(), each.entry.number)):
            own = self.campaign.function_arms.get(own_function(one.entry.target), 0)
            if one.arms & own & ~reached:
                more.append(one)
                reached |= one.arms
        return [*chosen, *more]

    def _shortened_all(self, chosen: List[Graded], until: float) -> List[Graded]:
        """Shorten case by case; each has to keep only the arms and kills that no other case has."""
        done = list(chosen)
        for place in sorted(range(len(done)), key=lambda i: -done[i].exam.cost()):
            if self.campaign.pace.done() >= until:
                break
            arms = 0
            kills: Set[int] = set()
            for other, held in enumerate(done):
                if other != place:
                    arms |= held.arms
                    kills |= held.kills
            done[place] = self._shortened(
                done[place], done[place].arms & self.counted & ~arms, done[place].kills - kills, until
            )
        return done

    def _without_idle_checks(self, one: Graded) -> Graded:
        """Without the checks that an argument is as it was, unless one of them fails on a mutant by itself."""
        exam = one.exam
        telling = [check for check in exam.checks if not check.is_unchanged]
        if len(telling) == len(exam.checks) or (exam.kind == "returns" and exam.source is None and not telling):
            return one
        lean = dataclasses.replace(exam, checks=telling)
        duties = one.kills - {m.id for m in self.meta.mutants if m.at_import}
        if self.campaign.pace.done() < 0.97 and self.kills(lean, sorted(duties), one.entry.steps) != duties:
            return one
        return Graded(lean, one.entry, one.arms, one.kills)

    def _shortened(self, one: Graded, arms: int, duties: Set[int], until: float) -> Graded:
        case = one.exam.case
        imported = {m.id for m in self.meta.mutants if m.at_import}
        if case.origin in ("doctest", "docstring") or duties & imported:
            return one
        if case.cost() < 30 and not any(step.kwargs for step in case.steps):
            return one
        campaign, target = self.campaign, one.entry.target
        found_exam: List[Exam] = []

        def holds(smaller: Case) -> bool:
            if campaign.pace.done() >= until:
                return False
            run = campaign.observer.run(smaller)
            if run.kind != one.exam.kind or int.from_bytes(campaign.probes.hits, "little") & arms != arms:
                return False
            exam = self.examiner.examine(smaller, target)
            if (
                exam is None
                or exam.exception != one.exam.exception
                or exam.cost() >= one.exam.cost()
                or is_empty_claim(exam)
            ):
                return False
            if not self.kills(exam, sorted(duties), one.entry.steps) >= duties:
                return False
            found_exam[:] = [exam]
            return True

        shrink(case, holds)
        if not found_exam:
            return one
        exam = found_exam[0]
        kills = duties | self.kills(exam, sorted(one.kills - imported - duties), one.entry.steps, until)
        campaign.observer.run(exam.case)
        return Graded(exam, one.entry, int.from_bytes(campaign.probes.hits, "little"), kills)


# ---------------------------------------------------------------- mutants that act at import

Make = Callable[[int], Examiner]


def import_kills(
    graded: Sequence[Graded], mutants: Sequence[Tuple[int, Sequence[int]]], make: Make, until: Callable[[], bool]
) -> Dict[int, Set[int]]:
    """For each import-time mutant the places of exams that fail on it; a mutant that breaks the import fails all.

    With each mutant come the places of the exams that are tried. The module runs again for each mutant, in forked
    children that take a batch each; a batch that dies is split.
    """
    found: Dict[int, Set[int]] = {}
    batches = [list(mutants[start : start + 16]) for start in range(0, len(mutants), 16)]
    while batches and not until():
        batch = batches.pop(0)
        answer = _in_fork(lambda some=batch: _failing(graded, some, make))  # type: ignore[misc]
        if answer is not None:
            found.update((mutant, set(places)) for mutant, places in answer.items())
        elif len(batch) == 1:
            found[batch[0][0]] = set(range(len(graded)))
        else:
            batches[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    return found


def _failing(
    graded: Sequence[Graded], mutants: Sequence[Tuple[int, Sequence[int]]], make: Make
) -> Dict[int, List[int]]:
    answer: Dict[int, List[int]] = {}
    for mutant, places in mutants:
        try:
            examiner = make(mutant)
        except BaseException:
            answer[mutant] = list(range(len(graded)))
            continue
        failed: List[int] = []
        for place in places:
            one = graded[place]
            if not examiner.passes(one.exam, one.entry.steps * 10 + 1000):
                failed.append(place)
                if len(failed) >= ENOUGH_KILLERS:
                    break
        answer[mutant] = failed
    return answer


def relevant_places(graded: Sequence[Graded], lines: Dict[int, List[str]]) -> Dict[int, List[int]]:
    """For each line of a table, the exams whose texts hold or match what stands there, by place."""
    texts = [[one for step in g.exam.case.steps for one in _texts(step)] for g in graded]
    found: Dict[int, List[int]] = {}
    for line, constants in lines.items():
        tests = [_holder(one) for one in constants if one]
        found[line] = [place for place, held in enumerate(texts) if any(test(text) for test in tests for text in held)]
    return found


def _texts(step: Step) -> List[str]:
    values = [atom.value for part in (*step.args, *(v for _, v in step.kwargs)) for atom in atoms_in(part)]
    return [value for value in values if isinstance(value, str)]


def _holder(constant: str) -> Callable[[str], Any]:
    """A test whether a text holds a constant, or matches it where it is a regular expression."""
    if re.search(r"[\\\\^$(\\[*+?]", constant):
        try:
            return re.compile(constant, re.IGNORECASE).search
        except re.error:
            pass
    lower = constant.lower()
    return lambda text: lower in text.lower()


def _in_fork(work: Callable[[], Dict[int, List[int]]], patience_s: float = 5.0) -> Optional[Dict[int, List[int]]]:
    """The answer of a forked child; None when it died or took too long."""
    reader, writer = (lift(end) for end in os.pipe())
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = os.getpid()
            os.close(reader)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE_S, PATIENCE_S)
            answer = json.dumps(list(work().items())).encode("ascii")
            if os.getpid() == own:  # a module may fork while it is imported: only one of the two answers
                with os.fdopen(writer, "wb") as stream:
                    stream.write(answer)
                status = 0
        finally:
            os._exit(status)
    os.close(writer)
    try:
        return _collect(reader, child, patience_s)
    finally:
        os.close(reader)


def _collect(reader: int, child: int, patience_s: float) -> Optional[Dict[int, List[int]]]:
    data = b""
    end = now() + patience_s
    while now() < end:
        ready, _, _ = select.select([reader], [], [], max(0.0, end - now()))
        if not ready:
            break
        part = os.read(reader, 65536)
        if not part:
            _, status = os.waitpid(child, 0)
            return dict(json.loads(data)) if status == 0 and data else None
        data += part
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
