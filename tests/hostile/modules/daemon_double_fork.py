"""Leaves a grandchild whose parent is gone, with all signals ignored and the pipes still open."""
import os
import signal
import time

LEFTOVERS = 1


def attack(args, emit):
    told, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 32):
                try:
                    signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError):
                    pass
            os.write(tell, b".")
            time.sleep(60)
        os._exit(0)
    os.read(told, 1)
    return []
