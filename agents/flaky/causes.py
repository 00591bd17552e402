"""Why a test flips: experiments that change one thing at a time, then what failure and source say.

A factor is blamed only where the test did the one thing three times of three without it and the other three times of
three with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from aqe.agents.flaky.clues import Sources, from_failure, from_source, is_rounding
from aqe.agents.flaky.laboratory import USUAL, Conditions, Laboratory, OutOfExperiments
from aqe.agents.flaky.plan import BASE, ZONES, RunPlan
from aqe.agents.flaky.polluters import find_culprits, suspects
from aqe.agents.flaky.report import Category
from aqe.agents.flaky.runs import Observation, RunSeen
from aqe.agents.flaky.statistics import runs_to_see

CHECKS = 3
ALONE = 8
MOST_ALONE = 60
MOST_SEEDS = 30
TRIED_RUNS = 4
Factor = Literal["", "order", "hash", "zone", "files", "memory", "chance", "itself"]


@dataclass(frozen=True)
class Cause:
    """What was found. `factor` is what an experiment changed to make the test flip, "itself" where it
    flipped with nothing changed, empty where no experiment made it flip.

    `culprits` are the earlier tests that make it fail (or, `brittle`, those without which it fails); `conditions` those
    under which it fails, in words of `RunPlan`.
    """

    category: Category | None
    why: str
    factor: Factor = ""
    culprits: tuple[str, ...] = ()
    brittle: bool = False
    hash_seed: int | None = None
    zone: str | None = None


@dataclass
class Trials:
    """The experiments with one test: what was done, in words, and every outcome."""

    test: str
    lab: Laboratory
    words: list[str] = field(default_factory=list)
    seen: list[Observation] = field(default_factory=list)

    def run(self, before: Sequence[str] = (), under: Conditions = USUAL) -> bool | None:
        """Whether the test fails after these others; None where it did neither."""
        found = self.lab.run([*before, self.test], under).get(self.test, [])
        self.seen += found
        return found[-1].red if found else None

    def alone(self, count: int, under: Conditions = USUAL) -> list[bool | None]:
        """The outcomes of so many runs alone, each in a process of its own."""
        return [self.run((), under) for _ in range(count)]

    def always(self, red: bool, before: Sequence[str] = (), under: Conditions = USUAL, times: int = CHECKS) -> bool:
        """Whether it does so each time; stops at the first that differs."""
        return all(self.run(before, under) is red for _ in range(times))

    def note(self, text: str) -> None:
        """Keep what an experiment showed."""
        self.words.append(text)


def explain(
    test: str,
    runs: Sequence[RunSeen],
    lab: Laboratory,
    sources: Sources,
    hash_seeds: Sequence[int] = (),
    others: Sequence[str] | None = None,
) -> tuple[Cause, Trials]:
    """The cause of a test's flips, and the experiments that show it; `hash_seeds` are tried beside those of the runs.
    With `others`, the rest of the suite, it is also tried after these and in each of `ZONES`, whatever the runs said.

    Where experiments run out the cause is read from the failure and the source.
    """
    trials = Trials(test, lab)
    failure = _failure(trials, runs)
    if failure is not None and failure.hung:  # each more costs its whole limit
        return Cause("timeout", f"Some of its runs do not end: {failure.message}."), trials
    try:
        cause = _by_experiment(trials, runs, sources, hash_seeds, others)
    except OutOfExperiments:
        trials.note("the hunt reached its limit of experiments")
        cause = None
    return cause or _by_clues(
        trials, runs, sources, "It was seen both to pass and to fail, and no experiment showed why"
    ), trials


def _by_experiment(
    trials: Trials,
    runs: Sequence[RunSeen],
    sources: Sources,
    hash_seeds: Sequence[int],
    others: Sequence[str] | None,
) -> Cause | None:
    alone = [one for one in trials.alone(ALONE) if one is not None]
    reds = sum(alone)
    trials.note(f"alone, nothing changed: {len(alone) - reds} of {len(alone)} passed")
    if not alone:
        return None
    if 0 < reds < len(alone):
        return _by_itself(trials, runs, sources)
    usual = bool(reds)
    repeated = _fails_when_repeated(trials) if not usual else None
    if repeated is not None:
        return repeated
    for run in _opposite(trials.test, runs, usual):
        cause = _by_zone(trials, run.plan.zone, usual) or _by_order(trials, run, runs, usual)
        cause = cause or _by_hash(trials, run.plan.hash_seed, usual)
        if cause is not None:
            return cause
    for seed in hash_seeds:
        cause = _by_hash(trials, seed, usual)
        if cause is not None:
            return cause
    if hash_seeds:
        trials.note(f"alone with {len(hash_seeds)} more hash seeds: {_did(usual)} each time")
    cause = None if others is None else _by_what_runs_left_out(trials, runs, usual, others)
    if cause is not None:
        return cause
    left_behind = (_by_files(trials) or _by_files_of_others(trials, runs)) if usual else None
    if left_behind is not None:
        return left_behind
    more = min(MOST_ALONE, runs_to_see(_rate(trials.test, runs, usual), 0.95))
    if any(trials.run() is not usual for _ in range(more)):
        trials.note(f"alone again: the other outcome came within {more} runs")
        return _by_itself(trials, runs, sources)
    trials.note(f"alone again: the same outcome {more} times")
    for run in _opposite(trials.test, runs, usual):
        cause = _by_zone(trials, run.plan.zone, usual, cold=True) or _by_all(trials, run, usual)
        if cause is not None:
            return cause
    return None


def _opposite(test: str, runs: Sequence[RunSeen], usual: bool) -> Iterator[RunSeen]:
    """The first runs in which it did what it does not do alone."""
    found = [
        run for run in runs if not run.plan.twice and (one := run.first(test)) is not None and one.red is (not usual)
    ]
    yield from found[:TRIED_RUNS]


def _rate(test: str, runs: Sequence[RunSeen], usual: bool) -> float:
    """How often it did the other thing, at least once in its runs."""
    reds = [one.red for run in runs if (one := run.first(test)) is not None]
    return max(sum(red is (not usual) for red in reds), 0.5) / max(len(reds), 1)


# one factor


def _by_zone(trials: Trials, zone: str | None, usual: bool, *, cold: bool = False) -> Cause | None:
    """`cold`: the zone is there before Python starts, for code that asks for it when it is imported."""
    if zone is None or not trials.always(not usual, under=Conditions(zone=zone, cold_zone=cold)):
        return None
    if not trials.always(usual):
        return None
    trials.note(f"alone with TZ={zone}: {_did(not usual)} 3 of 3, without: {_did(usual)} 3 of 3")
    failing = None if usual else zone
    why = f"It {_does(not usual)} with TZ={zone} and {_does(usual)} without."
    return Cause("time", why, "zone", zone=failing)


def _by_what_runs_left_out(trials: Trials, runs: Sequence[RunSeen], usual: bool, others: Sequence[str]) -> Cause | None:
    """Each zone, and all the other tests before it: few runs try few of these."""
    for zone in ZONES:
        cause = _by_zone(trials, zone, usual)
        if cause is not None:
            return cause
    trials.note(f"alone in {len(ZONES)} time zones: {_did(usual)} each time")
    after_all = RunSeen(BASE, (*reversed(others), trials.test), {}, True, 0)
    cause = _by_order(trials, after_all, runs, usual)
    if cause is None and others:
        trials.note(f"after the {len(others)} other tests, reversed: {_did(usual)}")
    return cause


def _by_hash(trials: Trials, seed: int, usual: bool) -> Cause | None:
    under = Conditions(hash_seed=seed)
    if seed == trials.lab.hash_seed or not (trials.always(not usual, under=under) and trials.always(usual)):
        return None
    base = trials.lab.hash_seed
    trials.note(f"alone with hash seed {seed}: {_did(not usual)} 3 of 3, with {base}: {_did(usual)} 3 of 3")
    failure = next((one for one in reversed(trials.seen) if one.red), None)
    rounding = failure is not None and is_rounding(failure)
    category: Category = "float" if rounding else "unordered"
    what = "a sum of floats in the order of hashes" if rounding else "the order of a set or of hashes"
    why = f"It depends on the hash seed ({what}): it {_does(not usual)} with {seed} and {_does(usual)} with {base}."
    return Cause(category, why, "hash", hash_seed=base if usual else seed)


def _by_order(
    trials: Trials, run: RunSeen, runs: Sequence[RunSeen], usual: bool, under: Conditions = USUAL
) -> Cause | None:
    prefix = run.order[: run.order.index(trials.test)]
    if not prefix or trials.run(prefix, under) is not (not usual):
        return None
    showing = [one.order for one in runs if not one.plan.twice and _is(one.first(trials.test), not usual)]
    hiding = [one.order for one in runs if not one.plan.twice and _is(one.first(trials.test), usual)]
    likely = suspects(prefix, trials.test, showing, hiding)
    culprits = find_culprits(prefix, likely, lambda part: trials.run(part, under) is (not usual))
    if culprits is None or not trials.always(not usual, culprits, under) or not trials.always(usual, (), under):
        return None
    named = " and ".join(culprits)
    trials.note(f"after {named}: {_did(not usual)} 3 of 3; alone: {_did(usual)} 3 of 3")
    why = f"It fails alone and passes after {named}." if usual else f"It passes alone and fails after {named}."
    return Cause("order", why, "order", culprits, usual, under.hash_seed, under.zone)


def _by_all(trials: Trials, run: RunSeen, usual: bool) -> Cause | None:
    """The whole of a witnessed run replayed: its order under its hash seed and zone, where no one factor is enough."""
    plan: RunPlan = run.plan
    under = Conditions(hash_seed=plan.hash_seed, zone=plan.zone, cold_zone=plan.zone is not None)
    if not trials.always(usual, under=under):
        return None
    cause = _by_order(trials, run, (run,), usual, under)
    return None if cause is None else replace(cause, hash_seed=plan.hash_seed, zone=plan.zone)


# repeated


def _fails_when_repeated(trials: Trials) -> Cause | None:
    """Passes and then fails, each time, when it runs twice in one process."""
    for _ in range(CHECKS):
        found = trials.lab.run([trials.test], Conditions(times=2)).get(trials.test, [])
        trials.seen += found
        if [one.outcome for one in found] != ["passed", "failed"]:
            if len(found) == 2:
                trials.note(f"twice in one process: {' and '.join(one.outcome for one in found)}")
            return None
    trials.note("twice in one process: passed, then failed, 3 of 3")
    return Cause("nio", "It passes once and fails when it runs again in the same process.", "memory")


def _by_files(trials: Trials) -> Cause | None:
    """Passes in fresh folders and fails in the next process that finds what it left there, both times tried."""
    patterns = [trials.alone(4, Conditions(fresh=number)) for number in (1, 2)]
    if patterns[0] != patterns[1] or patterns[0][:2] != [False, True]:
        return None
    trials.note("in fresh folders: passed, then failed in the next process, 2 of 2")
    return Cause("nio", "It passes in fresh folders and fails on what its own earlier run left behind.", "files")


def _by_files_of_others(trials: Trials, runs: Sequence[RunSeen]) -> Cause | None:
    """Passes in an empty temporary folder and fails after tests that leave files in theirs."""
    apart = Conditions(apart=True)
    if not trials.always(False, under=apart):
        return None
    red = [run for run in runs if not run.plan.twice and _is(run.first(trials.test), True)]
    red.sort(key=lambda run: -run.order.index(trials.test))
    for run in red[:TRIED_RUNS]:
        cause = _by_order(trials, run, runs, False, apart)
        if cause is not None:
            return replace(cause, why=f"{cause.why[:-1]}, which leaves files in the temporary folder.")
    return None


# by itself


def _by_itself(trials: Trials, runs: Sequence[RunSeen], sources: Sources) -> Cause | None:
    """A test that passes and fails with nothing changed."""
    failure = _failure(trials, runs)
    hinted, depth = from_source(sources.uses(trials.test))
    named = _named(failure, hinted)
    if named is None:
        weak = depth > 0 or hinted in (None, "random", "time", "unordered")
        cause = (_by_chance(trials) if weak else None) or _by_turns(trials) or (_by_files(trials) if weak else None)
        if cause is not None:
            return cause
    return replace(_by_clues(trials, runs, sources, "It passes and fails with nothing changed"), factor="itself")


def _by_chance(trials: Trials) -> Cause | None:
    """One seed for all random numbers: the same outcome for the same seed, and both outcomes among the seeds."""
    outcomes: dict[bool, int] = {}
    for seed in range(1, MOST_SEEDS + 1):
        red = trials.run((), Conditions(entropy=seed))
        if red is not None:
            outcomes.setdefault(red, seed)
        if len(outcomes) == 2:
            break
    if len(outcomes) < 2:
        return None
    if not all(trials.always(red, under=Conditions(entropy=seed), times=5) for red, seed in outcomes.items()):
        return None
    trials.note(f"random numbers from seed {outcomes[True]}: failed 6 of 6, from {outcomes[False]}: passed 6 of 6")
    if (failure := next((one for one in trials.seen if one.red), None)) is not None and is_rounding(failure):
        return Cause("float", "It draws numbers or their order, and their sum differs in its last digits.", "chance")
    return Cause("random", "Its outcome depends on random numbers: with their seed fixed it no longer flips.", "chance")


def _by_turns(trials: Trials) -> Cause | None:
    """Passes and fails in turn in the same folders: it finds, and clears, what its own earlier run left."""
    turns = trials.alone(ALONE)
    if None in turns or any(one == other for one, other in itertools.pairwise(turns)):
        return None
    trials.note("alone in the same folders: passed and failed in turn, 8 of 8")
    return Cause("nio", "It passes and fails in turn: it finds what its own earlier run left behind.", "files")


def _by_clues(trials: Trials, runs: Sequence[RunSeen], sources: Sources, seen: str) -> Cause:
    failure = _failure(trials, runs)
    hinted, depth = from_source(sources.uses(trials.test))
    named = _named(failure, hinted)
    if failure is not None and named is not None:
        return Cause(named, f"{seen}; the failure itself says: {failure.message}.")
    if hinted == "unordered" and failure is not None and is_rounding(failure):
        hinted = "float"
    if hinted is None and failure is not None and is_rounding(failure):
        return Cause("float", f"{seen}; the numbers differ in their last digits only.")
    if hinted is None:
        return Cause(None, f"{seen}; neither the failure nor the source names a cause.")
    where = "the test uses" if depth == 0 else "the code that it calls uses"
    return Cause(hinted, f"{seen}; {where} functions that are typical of this category.")


def _named(failure: Observation | None, hinted: Category | None) -> Category | None:
    """The category that the failure names; a wait that ended too early is the network's where the source says so."""
    named = from_failure(failure) if failure is not None else None
    return hinted if named == "async_wait" and hinted in ("network", "timeout") else named


def _failure(trials: Trials, runs: Sequence[RunSeen]) -> Observation | None:
    """A failure of the test: one that interrupted it where there is one, else the first."""
    found = [one for run in runs for one in run.attempts.get(trials.test, ()) if one.red]
    found += [one for one in trials.seen if one.red]
    return next((one for one in found if one.hung), found[0] if found else None)


def _is(seen: Observation | None, red: bool) -> bool:
    return seen is not None and seen.red is red


def _did(red: bool) -> str:
    return "failed" if red else "passed"


def _does(red: bool) -> str:
    return "fails" if red else "passes"
