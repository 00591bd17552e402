"""Forks as fast as it can, and every fork does the same; the count is bounded so that a hole shows and does not hurt."""
import os
import time

MOST = 300
STATES = ("ok", "timeout", "died", "error", "forged")


def attack(args, emit):
    counter = os.path.join(os.environ["TMPDIR"], "count")
    stop = time.monotonic() + 1
    open(counter, "w").close()
    me = os.getpid()
    while time.monotonic() < stop and os.path.getsize(counter) < MOST:
        try:
            if os.fork() == 0:
                with open(counter, "a") as stream:
                    stream.write(".")
        except OSError:
            time.sleep(0.01)
    if os.getpid() != me:
        time.sleep(60)
        os._exit(0)
    return ["%d processes" % os.path.getsize(counter)] if os.path.getsize(counter) > 120 else []
