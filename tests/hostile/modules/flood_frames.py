"""Sends progress without end."""

STATES = ("output", "timeout")
WALL_S = 1.0


def attack(args, emit):
    while True:
        emit("x" * 1000000)
