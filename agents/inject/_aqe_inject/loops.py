"""Runs a coroutine on a loop whose clock jumps to the next timer, so that a search never waits for a sleep."""

from __future__ import annotations

import asyncio
import types
from typing import Any

LONGEST_SLEEP_S = 0.25
"""Time a case may sleep in all; a test that sleeps longer is not worth having."""


class Slept(BaseException):
    """The coroutine would have slept too long."""


class _SkippingLoop(asyncio.SelectorEventLoop):
    """A loop that does not wait: it moves its clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self._skipped_s = 0.0

    def time(self) -> float:
        return super().time() + self._skipped_s

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and scheduled:
            self._skipped_s += max(0.0, scheduled[0]._when - self.time())
            if self._skipped_s > LONGEST_SLEEP_S:
                raise Slept()
        super()._run_once()  # type: ignore[misc]


def run(coroutine: Any) -> Any:
    """What `asyncio.run` gives, without its waits. Raises Slept where they add up to more than a test should take."""
    if not asyncio.iscoroutine(coroutine):
        raise ValueError("a coroutine was expected, got %r" % (coroutine,))
    loop = _SkippingLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(coroutine)
    finally:
        try:
            _drop_tasks(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _drop_tasks(loop: Any) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop._skipped_s = 0.0
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def patient_asyncio() -> types.ModuleType:
    """A stand-in for the asyncio module in the search's own expressions; only `run` differs."""
    module = types.ModuleType("asyncio")
    module.__dict__.update({name: value for name, value in vars(asyncio).items() if not name.startswith("__")})
    module.__dict__["run"] = run
    return module
