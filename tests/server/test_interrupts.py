"""Ctrl-C while a verb works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from aqe.engine.progress import CancelToken
from aqe.server.cli.interrupts import stopped_by_signals, two_stops


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


WORK = """
import sys, time
from aqe.engine.errors import Cancelled
from aqe.engine.progress import CancelToken
from aqe.server.cli.interrupts import stopped_by_signals, two_stops

def work():
    while True:
        time.sleep(0.05)  # a signal just before a long wait is seen when the wait is over

how, cancel, stop = sys.argv[1], CancelToken(), CancelToken()
block = two_stops(stop, cancel, print, "stopping") if how == "two" else stopped_by_signals(cancel)
try:
    with block:
        if how == "reads":
            with cancel.reading():
                print("at work", flush=True)
                work()
        cancel.on_cancel(lambda: print("heard", flush=True))
        stop.on_cancel(lambda: print("heard", flush=True))
        print("at work", flush=True)
        work()
except Cancelled:
    sys.exit(7)
"""


def started(how: str) -> subprocess.Popen[str]:
    """A process that looks at no token; `how` is the way in which it takes signals."""
    process = subprocess.Popen([sys.executable, "-c", WORK, how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


def heard(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal and wait until the process has taken it."""
    assert process.stdout is not None
    process.send_signal(number)
    while process.stdout.readline() != "heard\n":
        assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_work_that_looks_at_nothing(number: int) -> None:
    """The same signal twice ends the process, whatever it is doing."""
    process = started("one")
    heard(process, signal.SIGTERM)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number


@pytest.mark.services
def test_second_signal_ends_what_was_asked_to_stop_first() -> None:
    """Work that could stop in good order and does not is left with the status of a signal."""
    process = started("two")
    heard(process, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


def test_first_signal_breaks_off_what_only_reads() -> None:
    """Reading that looks at no token is cancelled by the first signal."""
    process = started("reads")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 7


def test_signal_at_the_very_end_is_seen_after_the_block() -> None:
    """A Ctrl-C in the last moment of the work has set the token, and been dealt with, when the block is left."""
    cancel, dealt_with = CancelToken(), threading.Event()
    cancel.on_cancel(lambda: time.sleep(0.1))
    cancel.on_cancel(dealt_with.set)
    with stopped_by_signals(cancel):
        os.kill(os.getpid(), signal.SIGINT)
    assert dealt_with.is_set()


LATE = """
import os, signal, sys
from aqe.server.cli import main
class Late:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
kept_to_the_end = Late()
sys.argv = ["aqe", "--version"]
sys.exit(main())
"""


def test_ctrl_c_after_the_work_changes_nothing() -> None:
    """While the interpreter puts its things away a Ctrl-C neither ends the process nor says anything."""
    run = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("aqe ")
