"""A clock that stands still, so that what two versions do with the time can be compared."""

from __future__ import annotations

import time
from typing import Any, Callable

_SECONDS = {"time": 1_700_000_000.25, "monotonic": 1000.5, "perf_counter": 1000.5, "process_time": 10.5}


def stop_clock() -> None:
    """Let the clocks of the module `time` say the same from here on, in this process and its forks.

    Whoever took a clock's function before keeps the running one; `datetime` reads the system's.
    """
    for name, seconds in _SECONDS.items():
        setattr(time, name, _saying(seconds))
        setattr(time, name + "_ns", _saying(int(seconds * 1_000_000_000)))


def _saying(value: Any) -> Callable[[], Any]:
    return lambda: value
