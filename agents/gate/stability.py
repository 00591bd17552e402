"""Does a test always pass? Five warm interpreters with five hash seeds, one shuffled session in a fork of each."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aqe.agents.gate.box import Box, CaseResult
from aqe.agents.gate.collection import ELSEWHERE, TestPlan
from aqe.agents.gate.evidence import Verdict

Outcome = Literal["passed", "failed", "skipped", "xfailed", "xpassed", "missed"]
EXPECTED = ("xfailed", "xpassed")  # whatever such a test does, the run stays green
TEST_WALL_S = 10.0
SESSION_WALL_S = 120.0
LATER_H = (31, 965, 9611)  # a day, 40 days and 400 days on, each at another hour
ZONES = ("America/New_York", "Asia/Tokyo", "Australia/Lord_Howe")
MAX_FATAL = 12  # tests that may end the process before the rest of a session is given up


@dataclass(frozen=True)
class TestRun:
    """One test in one session."""

    __test__ = False

    outcome: Outcome
    ms: float
    message: str


@dataclass(frozen=True)
class SessionRun:
    """One session: the tests that ran, files that could not be collected, and what else the session returned."""

    tests: Mapping[str, TestRun]
    broken_files: Mapping[str, str]
    answer: Mapping[str, Any]


def hash_seeds(seed: int, runs: int) -> tuple[int, ...]:
    """One hash seed for each run; the first is always 0, the others follow from `seed`."""
    chance = random.Random(f"hash seeds {seed}")
    return (0, *(chance.randrange(1, 2**32 - 1) for _ in range(runs - 1)))


def clock() -> str | None:
    """The library that shifts the wall clock of what it is loaded into; None where it was not built."""
    return next((str(path) for path in Path(__file__).parent.glob("_clock*.so")), None)


def surroundings(run: int) -> dict[str, str]:
    """Variables of a run elsewhere: another zone for each, another language, home and temporary folder, and where
    `clock` was built another day and hour."""
    folder = f"{{scratch}}/{ELSEWHERE}"
    place = {"TZ": ZONES[run % len(ZONES)], "LANG": "C", "HOME": folder, "TMPDIR": folder}
    shifting = clock()
    if shifting is not None:
        place |= {"LD_PRELOAD": shifting, "CLOCK_SHIFT_S": str(3600 * LATER_H[run % len(LATER_H)])}
    return place


def run_session(
    plan: TestPlan,
    box: Box,
    *,
    only: Iterable[str] | None = None,
    wall_s: float = SESSION_WALL_S,
    test_wall_s: float = TEST_WALL_S,
    **more: Any,
) -> SessionRun:
    """One session in a fork of `box`. A test that ends the process fails, and the others run in a new fork.

    Only a session that ended well says that a test passed: what one that died had reported before is run again.
    """
    tests: dict[str, TestRun] = {}
    broken: dict[str, str] = {}
    left = None if only is None else list(only)
    deadline = time.monotonic() + wall_s
    for _ in range(MAX_FATAL):
        listener = _Listener()
        args = {**plan.session(box), "only": left, "test_wall_s": test_wall_s, **more}
        result = box.run(
            "_aqe_inject.pytest_case:session", args, wall_s=max(deadline - time.monotonic(), 1.0), on_progress=listener
        )
        if result.state == "ok":
            answer = result.value if isinstance(result.value, dict) else {}
            tests.update(one for one in map(read_test, answer.get("tests", ())) if one is not None)
            broken.update({str(entry["file"]): str(entry["message"]) for entry in answer.get("broken_files", ())})
            return SessionRun(tests, broken, answer)
        if listener.running is None:
            if not listener.tests:
                broken[""] = f"the session ended before a test ran: {describe_end(result)}"
                break
            why = f"its session ended after it had reported: {describe_end(result)}"
            for name, said in listener.tests.items():
                tests[name] = said if said.outcome == "failed" else TestRun("failed", said.ms, why)
        else:
            tests[listener.running] = TestRun("failed", result.duration_ms, describe_end(result, test_wall_s))
        known = listener.collected if left is None else left
        left = [name for name in known if name not in tests]
        if not left or not box.alive or time.monotonic() >= deadline:
            break
    for name in left or ():
        tests.setdefault(
            name, TestRun("missed", 0.0, "the time or the patience for its session was over before it ran")
        )
    return SessionRun(tests, broken, {})


class _Listener:
    """Follows a session: which test runs now, which have ended."""

    def __init__(self) -> None:
        self.tests: dict[str, TestRun] = {}
        self.running: str | None = None
        self.collected: list[str] = []

    def __call__(self, said: Any) -> None:
        if not isinstance(said, dict):
            return
        if "start" in said:
            self.running = str(said["start"])
        elif "test" in said:
            ended = read_test(said["test"])
            if ended is not None:
                self.tests[ended[0]] = ended[1]
                self.running = None
        elif isinstance(said.get("collected"), list):
            self.collected = [str(name) for name in said["collected"]]


def read_test(entry: Any) -> tuple[str, TestRun] | None:
    """One test as a session told it; None for what no session says, since the code under test may speak as well."""
    outcomes = ("passed", "failed", "skipped", *EXPECTED)
    if not isinstance(entry, dict) or entry.get("outcome") not in outcomes or not isinstance(entry.get("id"), str):
        return None
    ms, message = entry.get("ms"), entry.get("message")
    if not isinstance(ms, (int, float)) or not isinstance(message, str):
        return None
    return entry["id"], TestRun(entry["outcome"], float(ms), message)


def describe_end(result: CaseResult, wall_s: float | None = None) -> str:
    """How a case ended that gave no answer, in words."""
    if result.state == "timeout" or result.signal == 14:
        return "it did not end in time" + (f" ({wall_s:g} s)" if wall_s else "")
    if result.state == "memory":
        return "it used more memory than it may"
    if result.state == "output":
        return "it wrote more output than it may"
    if result.state == "forged":
        return "it wrote to the harness's result pipe"
    if result.signal is not None:
        return f"the process was ended by signal {result.signal}"
    if result.exit_status is not None and result.state == "died":
        return f"it ended the process with exit status {result.exit_status}"
    return result.error.splitlines()[0] if result.error else result.state


def run_all(
    plan: TestPlan, boxes: Sequence[Box], seed: int, report: Callable[[int], None],
    ended: dict[int, SessionRun] | None = None, **more: Any,
) -> list[SessionRun]:  # fmt: skip
    """One shuffled session in each box, at the same time; those that ended well go to `ended` as they end."""
    done = 0

    def one(numbered: tuple[int, Box]) -> SessionRun:
        nonlocal done
        result = run_session(plan, numbered[1], seed=seed * 1000 + numbered[0], **more)
        done += 1
        if ended is not None and result.answer:
            ended[numbered[0]] = result
        report(done)
        return result

    with ThreadPoolExecutor(len(boxes)) as pool:
        return list(pool.map(one, enumerate(boxes)))


@dataclass(frozen=True)
class Stability:
    """What the runs say of one test. `passed` counts passes; one that is expected to fail has none."""

    verdict: Verdict
    passed: int
    runs: int
    ms: float
    message: str


def judge(runs: Sequence[SessionRun]) -> dict[str, Stability]:
    """The verdict of each test and of each file that could not be collected."""
    verdicts = {name: _of_test(name, runs) for name in sorted({name for run in runs for name in run.tests})}
    for file in sorted({file for run in runs for file in run.broken_files}):
        messages = [run.broken_files[file] for run in runs if file in run.broken_files]
        verdict: Verdict = "failing" if len(messages) == len(runs) else "flaky"
        verdicts[file or "the session"] = Stability(verdict, 0, len(runs), 0.0, f"cannot be collected: {messages[0]}")
    return verdicts


def _of_test(name: str, runs: Sequence[SessionRun]) -> Stability:
    seen = [run.tests[name] for run in runs if name in run.tests]
    passed = [test for test in seen if test.outcome == "passed"]
    expected = [test for test in seen if test.outcome in EXPECTED]
    failed = [test for test in seen if test.outcome == "failed"]
    missed = [test for test in seen if test.outcome == "missed"]
    ms = sorted(test.ms for test in seen)[len(seen) // 2]
    message = failed[0].message if failed else ""
    verdict: Verdict
    if len(passed) == len(runs):
        verdict, message = "stable", passed[0].message
    elif len(expected) == len(runs):
        verdict, message = "xfail", _expectation(expected)
    elif not passed and not failed and not expected:
        verdict, message = "not-run", seen[0].message or "skipped"
    elif missed and not failed:
        verdict, message = "not-run", missed[0].message
    elif len(failed) == len(runs):
        verdict = "failing"
    else:
        verdict = "flaky"
        message = f"passed {len(passed)} of {len(runs)} runs" + (f"; {message}" if message else "")
    return Stability(verdict, len(passed), len(runs), ms, message)


def _expectation(runs: Sequence[TestRun]) -> str:
    """What a test did that is expected to fail, with the reason that its mark gives."""
    reason = next((f": {run.message}" for run in runs if run.message), "")
    surprising = sum(run.outcome == "xpassed" for run in runs)
    if not surprising:
        return f"fails as expected{reason}"
    often = "" if surprising == len(runs) else f" in {surprising} of {len(runs)} runs"
    return f"is expected to fail, but passes{often} (with strict=True that would be a failure){reason}"
