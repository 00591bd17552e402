"""Runs several pieces of agents' work at the same time, each in a process of its own; one that fails stops no other."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

from aqe.agents.fleet.report import Part
from aqe.agents.fresh import FreshProcesses
from aqe.agents.registry import AGENTS, build_request, run_agent
from aqe.engine.errors import AqeError
from aqe.engine.progress import CancelToken, Progress

TICK_S = 0.25
LOCAL = {"AQE_PRIVACY_MODE": "strict", "AQE_ROUTER_FORCE": "local", "AQE_CLOUD_ENABLED": "false"}
"""Settings under which nothing leaves this machine; the environment outranks every file."""


@dataclass(frozen=True)
class Task:
    """One piece of work: `work(**arguments)`, a module's function with plain data, run in a process of its own."""

    name: str
    work: Callable[..., Any]
    arguments: Mapping[str, Any]
    local: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a task: its value, or None with a part that says why."""

    value: Any
    part: Part


def ask_agent(agent: str, arguments: Mapping[str, Any]) -> Any:
    """The report of one agent of the table; lists in `arguments` become tuples."""
    row = AGENTS[agent]
    return run_agent(row, build_request(row, arguments))


def side_by_side(
    tasks: Sequence[Task], *, deadline_s: float | None, progress: Progress, cancel: CancelToken
) -> dict[str, Outcome]:
    """The outcome of each task by its name; what has not ended after `deadline_s` seconds is ended.

    Raises `Cancelled`, after all processes were ended.
    """
    started = time.monotonic()
    outcomes: dict[str, Outcome] = {}
    executor = FreshProcesses(max_workers=len(tasks))
    try:
        names: dict[Future[Outcome], str] = {
            executor.submit(_work, task.name, task.work, dict(task.arguments), task.local): task.name for task in tasks
        }
        waiting = set(names)
        while waiting:
            cancel.check()
            took_s = time.monotonic() - started
            if deadline_s is not None and took_s > deadline_s:
                for future in waiting:
                    executor.kill(future)
                    outcomes[names[future]] = _late(names[future], took_s)
                break
            done, waiting = wait(waiting, timeout=TICK_S, return_when=FIRST_COMPLETED)
            for future in done:
                outcomes[names[future]] = _outcome(future, names[future], time.monotonic() - started)
            if waiting:
                progress(f"At work: {', '.join(sorted(names[future] for future in waiting))}")
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    return {task.name: outcomes[task.name] for task in tasks}


def _work(name: str, work: Callable[..., Any], arguments: dict[str, Any], local: bool) -> Outcome:
    """In the task's own process: do it, and make a part of whatever aqe says is wrong."""
    started = time.monotonic()
    if local:
        from aqe.engine.privacy.network import hold_network

        os.environ.update(LOCAL)
        hold_network()
    try:
        value = work(**arguments)
    except AqeError as error:
        return Outcome(None, failed_part(name, time.monotonic() - started, error))
    return Outcome(value, Part(name, "done", round(time.monotonic() - started, 3)))


def _outcome(future: Future[Outcome], name: str, took_s: float) -> Outcome:
    with contextlib.suppress(Exception):
        return future.result()
    error = future.exception()
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Outcome(
        None,
        Part(name, "failed", round(took_s, 3), f"aqe itself failed with {what}.", "internal", "Report it.", 3),
    )


def failed_part(name: str, took_s: float, error: AqeError) -> Part:
    """The part of work that ended with an error of aqe's."""
    return Part(name, "failed", round(took_s, 3), error.message, error.code, error.fix, error.exit_status)


def _late(name: str, took_s: float) -> Outcome:
    message = "It did not end in time and was ended."
    return Outcome(None, Part(name, "failed", round(took_s, 3), message, "out-of-time", "Give a larger --budget.", 4))
