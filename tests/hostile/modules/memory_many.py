"""Takes 720 MB over four processes, each below the limit of a single one."""
import os
import time

STATES = ("memory",)


def attack(args, emit):
    for _ in range(4):
        if os.fork() == 0:
            hoard = b"x" * (180 << 20)
            time.sleep(30)
            os._exit(len(hoard) & 1)
    time.sleep(30)
    return ["720 MB"]
