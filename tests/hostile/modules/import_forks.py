"""Forks while it is imported: the child comes back into the harness as a second zygote."""
import os

PRELOAD = True

if os.environ.get("AQE_MARKER"):
    os.fork()


def attack(args, emit):
    return []
