"""Ctrl-C and SIGTERM while a verb works: the first one stops and keeps, the second one ends everything."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from aqe.engine.progress import CancelToken


@contextmanager
def two_stops(stop: CancelToken, cancel: CancelToken, say: Callable[[str], None], first: str) -> Iterator[None]:
    """Within the block the first signal says `first` and sets `stop`, the second one sets `cancel`."""

    signals = itertools.count()  # `stop` tells nothing yet while the first one is still being said

    def interrupted(number: int, frame: FrameType | None) -> None:
        # in a thread: killing a box and printing take locks that this thread may hold
        threading.Thread(target=end_at_once if next(signals) else keep).start()

    def keep() -> None:
        say(first)
        stop.cancel()

    def end_at_once() -> None:
        say("Ending at once.")
        cancel.cancel()

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopped_by_signals(cancel: CancelToken) -> Iterator[None]:
    """Within the block Ctrl-C or SIGTERM sets `cancel`; what looks at it ends in good order."""

    def interrupted(number: int, frame: FrameType | None) -> None:
        cancel.cancel()

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
