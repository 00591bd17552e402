"""Ctrl-C while a verb works."""

from __future__ import annotations

import os
import signal
import threading

from aqe.engine.progress import CancelToken
from aqe.server.cli.interrupts import two_stops


def test_second_signal_ends_everything_while_the_first_is_still_being_said() -> None:
    """A terminal that takes no text yet does not turn the second Ctrl-C into another first one."""
    stop, cancel, is_free = CancelToken(), CancelToken(), threading.Event()
    said: list[str] = []
    ended = threading.Event()
    cancel.on_cancel(ended.set)

    def say(text: str) -> None:
        if text == "stopping":
            is_free.wait(10)
        said.append(text)

    with two_stops(stop, cancel, say, "stopping"):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        was_ended = ended.wait(10)
        is_free.set()
    assert was_ended
    assert said[0] == "Ending at once."
