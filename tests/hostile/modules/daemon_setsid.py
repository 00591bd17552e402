"""Leaves a process in a session of its own, out of reach of killpg."""
import os
import time

LEFTOVERS = 1


def attack(args, emit):
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    return []
