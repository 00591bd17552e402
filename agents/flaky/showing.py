"""Runs each command that is to be printed once more: what nobody has seen to fail is not printed.

The command runs as a user's would, by a shell in the project's folder in a new process and an empty temporary folder,
but on a shielded tree.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aqe.agents.flaky.report import TestVerdict
from aqe.agents.flaky.runs import Suite
from aqe.agents.flaky.statistics import flakiness
from aqe.agents.gate.suite import run_suite
from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken, Progress

TRIES = 2  # a command that waits for chance misses it once in a hundred times
SUMMARY = "-rfE --color=no"  # the lines that name each failed test
DEADLY = ("did not end", "ended the process", "used more memory")  # pytest itself may not come to name the test
NOT_SHOWN = " The command that should show it did not in {tries} tries, so none is given."
NO_TIME = " No time was left to try a command that shows it."
NOT_PROVED = "An experiment made it fail, but a command in a process of its own did not ({why}): not called flaky."


@dataclass(frozen=True)
class Shown:
    """The verdicts that stand, how many commands were run, and whether time or the user ended that early."""

    tests: dict[str, TestVerdict]
    ran: int
    ended_early: bool


def show_all(
    tests: Mapping[str, TestVerdict],
    suite: Suite,
    deadline: float,
    progress: Progress,
) -> Shown:
    """Run every command of the verdicts. A verdict that rests on experiments alone falls with its command; one that
    the runs witnessed stands, without a command.

    `deadline` is one of `time.monotonic()`. Raises `Cancelled` where `suite.cancel` is set.
    """
    found, ran, ended_early = dict(tests), 0, False
    named = [name for name, one in tests.items() if one.repro]
    either = CancelToken()
    unties = [token.on_cancel(either.cancel) for token in (suite.cancel, suite.stop) if token is not None]
    try:
        for number, name in enumerate(named):
            progress(f"Trying the commands, {number + 1} of {len(named)}: {name}", number, len(named))
            shown = None if ended_early else _is_shown(suite, name, tests[name], deadline, either)
            ended_early = ended_early or shown is None
            ran += shown is not None
            if not shown:
                found[name] = _without_command(tests[name], tried=shown is not None)
    finally:
        for untie in unties:
            untie()
    return Shown(found, ran, ended_early)


def _is_shown(suite: Suite, name: str, told: TestVerdict, deadline: float, cancel: CancelToken) -> bool | None:
    """Whether its command fails by this test, in one of two tries; None where time or the user ended it first."""
    for _ in range(TRIES):
        left_s = deadline - time.monotonic()
        if left_s <= 0 or cancel.is_set:
            break
        environ = os.environ | {"TMPDIR": tempfile.mkdtemp(prefix="r", dir=suite.folder)}
        environ["PYTEST_ADDOPTS"] = f"{environ.get('PYTEST_ADDOPTS', '')} {SUMMARY}".strip()
        try:
            done = run_suite(
                ["sh", "-c", told.repro],
                suite.project,
                environ=environ,
                wall_s=min(suite.wall_s, left_s),
                keep=(suite.folder.resolve(),),
                cancel=cancel,
            )
        except Cancelled:
            if suite.cancel is not None:
                suite.cancel.check()
            break
        if done.exit_status and _tells(done.output, name, is_deadly=told.message.startswith(DEADLY)):
            return True
    else:
        return False
    return None


def _tells(output: str, test: str, *, is_deadly: bool) -> bool:
    """Whether pytest names the test among those that failed; of one that ends its process, whether pytest ran."""
    heads = (f"FAILED {test}", f"ERROR {test}")
    if any(line == head or line.startswith(f"{head} ") for line in output.splitlines() for head in heads):
        return True
    return is_deadly and "No module named pytest" not in output


def _without_command(told: TestVerdict, *, tried: bool) -> TestVerdict:
    """What is left of a verdict whose command was not seen to fail."""
    if told.witnessed == "diagnosis" and (tried or told.category == "nio"):
        return replace(
            told,
            flaky=False,
            verdict="stable",
            category=None,
            polluters=(),
            setters=(),
            score=round(flakiness(told.passed, 0), 4),
            repro="",
            why=NOT_PROVED.format(why=told.why.rstrip(".")),
            witnessed="",
            advice="",
            advice_source="",
        )
    return replace(told, repro="", why=told.why + (NOT_SHOWN.format(tries=TRIES) if tried else NO_TIME))
