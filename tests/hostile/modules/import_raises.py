"""Raises something that is no Exception while it is imported."""
import os

PRELOAD = True
STATES = ("error",)

if os.environ.get("AQE_MARKER"):
    raise KeyboardInterrupt


def attack(args, emit):
    return []
