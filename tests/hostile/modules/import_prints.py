"""Prints gigabytes while it is imported."""
import os

PRELOAD = True
STATES = ("output",)

while os.environ.get("AQE_MARKER"):
    os.write(1, b"x" * 65536)


def attack(args, emit):
    return []
