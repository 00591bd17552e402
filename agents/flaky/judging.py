"""From outcomes to verdicts: a flip that was witnessed makes a test flaky, nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aqe.agents.flaky.advice import advice_for
from aqe.agents.flaky.causes import Cause, Trials
from aqe.agents.flaky.history import Past
from aqe.agents.flaky.report import State, TestVerdict, Witness
from aqe.agents.flaky.reproduction import command_for
from aqe.agents.flaky.runs import RunSeen
from aqe.agents.flaky.statistics import flakiness
from aqe.agents.gate.interpreter import Interpreter


@dataclass(frozen=True)
class Judged:
    """One test over the whole runs. `passed` and `failed` count them, but for the one that runs each test twice."""

    test: str
    passed: int
    failed: int
    skipped: int
    fails_repeated: bool
    seconds: float
    message: str
    line: int
    hung: bool

    @property
    def flipped(self) -> bool:
        """Whether it passed in one run and failed in another."""
        return self.passed > 0 and self.failed > 0


def judge(test: str, runs: Sequence[RunSeen]) -> Judged:
    """What the runs show of a test.

    In the run that repeats each test a neighbour has run twice as well, so that run alone makes no flip; a test that
    passed first and failed the second time there is noted, unless it failed on its own parameters, changed by its first
    run: no run of the suite repeats a test in one process.
    """
    changing: frozenset[str] = frozenset().union(*(run.parameters for run in runs))
    firsts = [one for run in runs if not run.plan.twice and (one := run.first(test)) is not None]
    twice = next((run.attempts.get(test, ()) for run in runs if run.plan.twice), ())
    reds = [one for one in firsts if one.red]
    attempts = [one for run in runs for one in run.attempts.get(test, ())]
    return Judged(
        test,
        passed=sum(one.red is False for one in firsts),
        failed=len(reds),
        skipped=sum(one.red is None for one in firsts),
        fails_repeated=test not in changing
        and ([one.outcome for one in twice] == ["passed", "failed"] or any(one.hung for one in twice)),
        seconds=max((one.duration_s for one in attempts), default=0.0),
        message=reds[0].message if reds else "",
        line=next((one.line for one in attempts if one.line), 0),
        hung=any(one.hung for one in reds),
    )


def verdict_of(
    judged: Judged,
    found: tuple[Cause, Trials] | None,
    past: Past | None,
    interpreter: Interpreter,
    project: Path,
    plugins: Sequence[str],
    options: str,
    test_wall_s: float,
) -> TestVerdict:
    """The verdict of one test: of its runs, its experiments (where some were made) and its past."""
    cause, trials = found if found is not None else (None, None)
    tried = trials.seen if trials is not None else []
    passed = judged.passed + sum(one.red is False for one in tried)
    failed = judged.failed + sum(one.red is True for one in tried)
    witness = _witness(judged, cause, passed, failed, past)
    message = judged.message or next((one.message for one in tried if one.red), "")
    path = judged.test.partition("::")[0]
    common = TestVerdict(
        flaky=bool(witness),
        verdict="flaky" if witness else _state(judged),
        score=round(flakiness(passed, failed), 4),
        witnessed=witness,
        passed=passed,
        failed=failed,
        failure_rate=round(judged.failed / max(judged.passed + judged.failed, 1), 4),
        message=message,
        path=path,
        line=judged.line,
        experiments=tuple(trials.words) if trials is not None else (),
        why=_plain_words(judged) if trials is None or judged.failed else _missed_words(judged, passed),
    )
    if cause is None or not witness:
        return common if not judged.hung else replace(common, category="timeout")
    by_itself = cause.factor in ("", "itself", "chance", "files")
    rate = failed / (passed + failed) if by_itself and passed + failed else common.failure_rate
    advice = advice_for(cause.category)
    return replace(
        common,
        category=cause.category,
        polluters=() if cause.brittle else cause.culprits,
        setters=cause.culprits if cause.brittle else (),
        repro=command_for(judged.test, cause, rate, interpreter, project, plugins, options, test_wall_s),
        why=cause.why + _past_words(past, judged),
        advice=advice.text,
        advice_source=advice.source,
    )


def _witness(judged: Judged, cause: Cause | None, passed: int, failed: int, past: Past | None) -> Witness:
    """Where a flip was seen. A failure after other tests, or one that only a repetition shows, needs its proof."""
    if judged.flipped:
        return "runs"
    if past is not None:
        return "history"
    return "diagnosis" if cause is not None and cause.factor and passed and failed else ""


def _state(judged: Judged) -> State:
    if judged.passed and not judged.failed:
        return "stable"
    if judged.failed:
        return "broken"
    return "skipped" if judged.skipped else "not-run"


def _plain_words(judged: Judged) -> str:
    runs = judged.passed + judged.failed
    if judged.failed:
        return f"It failed in each of {runs} runs." if runs > 1 else "It failed in its only run."
    if judged.passed:
        return f"It passed in each of {runs} runs." if runs > 1 else "It passed in its only run."
    return "It was skipped." if judged.skipped else "It was never run."


def _missed_words(judged: Judged, passed: int) -> str:
    """For a test that was looked at closely and never failed: what may have been missed (95 %, the rule of three)."""
    if not judged.passed:
        return _plain_words(judged)
    runs = f"{judged.passed} run{'' if judged.passed == 1 else 's'}"
    tries = passed - judged.passed
    return (
        f"No flip in {runs} and {tries} experiment{'' if tries == 1 else 's'}. A failure rarer than one time in "
        f"{max(passed // 3, 2)} may be missed, and so may one that needs a loaded machine, another day or the network."
    )


def _past_words(past: Past | None, judged: Judged) -> str:
    if past is None or judged.flipped:
        return ""
    return f" Earlier runs of this code saw it flip ({past.passed} passed, {past.failed} failed)."
