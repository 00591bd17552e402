"""Ignores every signal that can be ignored, blocks the rest, and never ends."""
import signal
import time

STATES = ("timeout",)
WALL_S = 0.5


def attack(args, emit):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    while True:
        try:
            time.sleep(1)
        except BaseException:
            pass
