"""Never comes back from its import."""
import os
import time

PRELOAD = True
STATES = ("timeout",)
WALL_S = 0.5

while os.environ.get("AQE_MARKER"):
    time.sleep(1)


def attack(args, emit):
    return []
