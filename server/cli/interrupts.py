"""Ctrl-C and SIGTERM while a verb works: the first one stops and keeps, the second one ends everything."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from aqe.engine.progress import CancelToken
from aqe.server.cli.output import Shown, terminal_progress

STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STDERR = 2
END_S = 2.0
"""How long work has to end in good order after a second signal."""


@contextmanager
def two_stops(stop: CancelToken, cancel: CancelToken, say: Callable[[str], None], first: str) -> Iterator[None]:
    """Within the block the first signal says `first` and sets `stop`, the second one sets `cancel`; what has not ended
    `END_S` seconds later is left where it is, and a third one ends the process."""

    ends: list[threading.Timer] = []
    signals = itertools.count()  # `stop` tells nothing yet while the first one is still being said

    def interrupted(number: int, frame: FrameType | None) -> None:
        is_second = bool(next(signals))
        if is_second:
            for one in STOPPING_SIGNALS:
                signal.signal(one, signal.SIG_DFL)
            ends.append(threading.Timer(END_S, os._exit, (128 + number,)))
            ends[0].daemon = True
            ends[0].start()
        # in a thread: killing a box and printing take locks that this thread may hold
        threading.Thread(target=end_at_once if is_second else keep).start()

    def keep() -> None:
        say(first)
        stop.cancel()

    def end_at_once() -> None:
        say("Ending at once.")
        show_cursor()
        cancel.cancel()  # what runs elsewhere is killed by it

    with _handled(interrupted):
        try:
            yield
        finally:
            for end in ends:
                end.cancel()


@contextmanager
def stopped_by_signals(cancel: CancelToken) -> Iterator[None]:
    """Within the block the first Ctrl-C or SIGTERM sets `cancel`, and what looks at it ends in good order; work that
    only reads (`CancelToken.reading`) is broken off with `Cancelled`. The second one ends the process.

    After the block `cancel` tells whether there was one: work that was done already did not look at it any more.
    """

    keepers: list[threading.Thread] = []

    def interrupted(number: int, frame: FrameType | None) -> None:
        for one in STOPPING_SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        keepers.append(threading.Thread(target=keep))
        keepers[-1].start()
        if cancel.may_break:
            cancel.cancel()
            cancel.check()

    def keep() -> None:
        show_cursor()
        cancel.cancel()

    try:
        with _handled(interrupted):
            yield
    finally:
        for keeper in keepers:
            keeper.join()


@contextmanager
def working(*, quiet: bool = False) -> Iterator[tuple[Shown, CancelToken]]:
    """What work within the block takes: a progress, shown on a terminal unless `quiet`, a token that Ctrl-C sets."""
    cancel = CancelToken()
    with terminal_progress(quiet=quiet) as progress, stopped_by_signals(cancel):
        yield progress, cancel


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in STOPPING_SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def wait_for_input() -> None:
    """Wait until standard input, a terminal, has something to read. A Ctrl-C that comes just before a plain reading
    begins would be heard of only when it ends."""
    if sys.platform == "win32":
        return
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        select.select([sys.stdin, woken], [], [])
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wake)


def show_cursor() -> None:
    """Give the terminal back its cursor, which a progress bar hides: the process may end without a word. It goes past
    `sys.stderr`, which a bar takes for text to be shown above it."""
    with contextlib.suppress(OSError):
        if os.isatty(STDERR):
            os.write(STDERR, b"\x1b[?25h")
