"""Leaves threads and exit handlers that would keep the process for a minute."""
import atexit
import threading
import time


def attack(args, emit):
    atexit.register(time.sleep, 60)
    for _ in range(4):
        threading.Thread(target=time.sleep, args=(60,)).start()
    return []
