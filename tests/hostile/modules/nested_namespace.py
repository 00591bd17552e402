"""Makes a user namespace of its own, in which it would have every right."""
import ctypes
import os
import signal

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000


def attack(args, emit):
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    if libc.unshare(CLONE_NEWUSER) == 0 or libc.unshare(CLONE_NEWNS) == 0:
        done.append("unshare")
    number = 56 if os.uname().machine == "x86_64" else 220
    child = libc.syscall(number, CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if child > 0:
        done.append("clone")
    if libc.syscall(435, None, 0) >= 0:
        done.append("clone3")
    return done
