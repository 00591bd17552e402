"""From kept cases to graded exams: what each asserts, which mutants it kills, and the shortest form that still does."""

from __future__ import annotations

import os
import pickle
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from .campaign import Campaign, Entry
from .exam import Exam, Examiner, is_empty_claim
from .minimise import Graded, cover, shrink
from .namespace import Namespace
from .observe import Observer, now
from .probes import Probes

MOST_EXAMS_PER_TARGET = 60


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

    def grade(self, entry: Entry, full: bool) -> Optional[Graded]:
        """The exam of an entry and its kills: all of them when `full`, else those that the search happened to see."""
        if entry.number not in self.by_entry:
            exam = self.examiner.examine(entry.case, entry.target)
            self.by_entry[entry.number] = Graded(exam, entry, entry.arms, set()) if exam is not None else None
        graded = self.by_entry[entry.number]
        if graded is not None and not is_empty_claim(graded.exam):
            wanted = self.campaign.note_reached(entry) if full else entry.kills
            todo = sorted(wanted - self._tried(graded))
            graded.kills |= self.kills(graded.exam, todo, entry.steps)
            self._tried(graded).update(todo)
        return graded

    def _tried(self, graded: Graded) -> Set[int]:
        found: Set[int] = graded.exam.__dict__.setdefault("_tried", set())
        return found

    def kills(self, exam: Exam, mutants: Iterable[int], steps: int) -> Set[int]:
        """The mutants on which the exam fails."""
        probes: Probes = self.campaign.probes
        killed: Set[int] = set()
        for mutant in mutants:
            probes.switch = mutant
            try:
                if not self.examiner.passes(exam, steps * 10 + 1000):
                    killed.add(mutant)
            finally:
                probes.switch = -1
        return killed

    def grade_all(self, entries: Sequence[Entry], until: float, full: bool) -> List[Graded]:
        """Grade entries, those with own arms or kills first, until the share of the budget is spent."""
        per_target: Dict[int, int] = {}
        graded: List[Graded] = []
        ordered = sorted(entries, key=lambda one: (not (one.new_arms or one.kills or one.case.origin != "search"), one.cost, one.number))
        for entry in ordered:
            spare = not (entry.new_arms or entry.kills)
            count = per_target.get(id(entry.target), 0)
            if (spare and count >= MOST_EXAMS_PER_TARGET) or (self.campaign.pace.done() > until and graded and spare):
                continue
            per_target[id(entry.target)] = count + 1
            one = self.grade(entry, full and self.campaign.pace.done() <= until)
            if one is not None:
                graded.append(one)
        return graded

    # ------------------------------------------------------------ the suite

    def suite(self, graded: Sequence[Graded], until: float, shorten: bool) -> List[Graded]:
        """The cover of what was graded, each case as short as its kills allow."""
        chosen = cover(graded, self.counted)
        if shorten:
            done: List[Graded] = []
            for one in chosen:
                done.append(self._shortened(one) if self.campaign.pace.done() < until else one)
            chosen = cover(done, self.counted)
        return sorted(chosen, key=lambda one: (one.entry.target.line, one.exam.case.target, one.exam.kind == "raises", one.exam.cost()))

    def _shortened(self, one: Graded) -> Graded:
        case = one.exam.case
        if case.origin in ("doctest", "docstring") or case.cost() < 30:
            return one
        campaign, target = self.campaign, one.entry.target
        arms = one.arms & self.counted
        kind, name = one.exam.kind, one.exam.exception

        def holds(smaller: Any) -> bool:
            run = campaign.observer.run(smaller)
            if run.kind != kind or int.from_bytes(campaign.probes.hits, "little") & arms != arms:
                return False
            exam = self.examiner.examine(smaller, target)
            if exam is None or exam.kind != kind or exam.exception != name or exam.cost() > one.exam.cost():
                return False
            return self.kills(exam, sorted(one.kills), one.entry.steps) >= one.kills

        found = shrink(case, holds)
        if found is case:
            return one
        exam = self.examiner.examine(found, target)
        return Graded(exam, one.entry, one.arms, one.kills) if exam is not None else one


# ---------------------------------------------------------------- mutants that act at import


def import_kills(
    graded: Sequence[Graded],
    mutants: Sequence[int],
    reload: Callable[[int], Tuple[Any, Probes]],
    make: Callable[[Any, Probes], Examiner],
    until: Callable[[], bool],
) -> Dict[int, Set[int]]:
    """For each import-time mutant the places of the exams that fail on it: one forked import and run each."""
    found: Dict[int, Set[int]] = {}
    for mutant in mutants:
        if until():
            break
        failed = _in_fork(lambda number=mutant: _failing(graded, number, reload, make))  # type: ignore[misc]
        found[mutant] = set(range(len(graded))) if failed is None else set(failed)
    return found


def _failing(
    graded: Sequence[Graded], mutant: int, reload: Callable[[int], Tuple[Any, Probes]], make: Callable[[Any, Probes], Examiner]
) -> List[int]:
    module, probes = reload(mutant)
    examiner = make(module, probes)
    return [place for place, one in enumerate(graded) if not examiner.passes(one.exam, one.entry.steps * 10 + 1000)]


def _in_fork(work: Callable[[], List[int]], patience_s: float = 3.0) -> Optional[List[int]]:
    """The answer of a forked child; None when it died, raised or took too long: the mutant broke the import."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            answer = pickle.dumps(work())
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


def _collect(reader: int, child: int, patience_s: float) -> Optional[List[int]]:
    import select
    import signal

    data = b""
    end = now() + patience_s
    while now() < end:
        ready, _, _ = select.select([reader], [], [], max(0.0, end - now()))
        if not ready:
            break
        part = os.read(reader, 65536)
        if not part:
            _, status = os.waitpid(child, 0)
            return pickle.loads(data) if status == 0 and data else None  # type: ignore[no-any-return]
        data += part
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


__all__ = ["Grader", "Namespace", "Observer", "import_kills"]
