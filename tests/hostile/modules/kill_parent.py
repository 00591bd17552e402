"""Kills its parent, its group, pid 1 and everybody."""
import os
import signal

STATES = ("ok", "died", "error")


def attack(args, emit):
    for victim in (os.getppid(), 1, args["aqe_pid"], args["bystander_pid"]):
        for number in (signal.SIGKILL, signal.SIGSTOP):
            try:
                if victim != os.getpid():
                    os.kill(victim, number)
            except OSError:
                pass
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:
        pass
    return []
