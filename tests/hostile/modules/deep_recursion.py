"""Recurses until the stack of C is at its end."""
import sys

STATES = ("died", "error", "memory", "timeout")
WALL_S = 3.0


def attack(args, emit):
    sys.setrecursionlimit(10**9)

    class Deep:
        def __repr__(self):
            return repr(self) + "x"

    return [repr(Deep())]
