"""Ends the process while it is imported."""
import os

PRELOAD = True
STATES = ("died",)

if os.environ.get("AQE_MARKER"):
    os._exit(0)


def attack(args, emit):
    return []
