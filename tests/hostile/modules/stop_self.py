"""Stops itself, so that it neither ends nor uses processor time."""
import os
import signal

STATES = ("timeout",)
WALL_S = 0.5


def attack(args, emit):
    os.kill(os.getpid(), signal.SIGSTOP)
    return []
