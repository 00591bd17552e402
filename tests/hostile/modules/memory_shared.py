"""Hides memory where no process's count shows it: shared files, anonymous files, System V segments."""
import ctypes
import os


def attack(args, emit):
    done = []
    libc = ctypes.CDLL(None)
    for number in range(64):
        fd = libc.syscall(319 if os.uname().machine == "x86_64" else 279, b"hoard%d" % number, 0)
        if fd >= 0:
            done.append("memfd")
            break
    if libc.shmget(0, ctypes.c_size_t(1 << 30), 0o1600) >= 0:
        done.append("shmget")
    written = 0
    try:
        for number in range(40):
            with open("/dev/shm/hoard%d" % number, "wb") as stream:
                for _ in range(10):
                    written += stream.write(b"x" * (1 << 20))
    except OSError:
        pass
    if written > 130 << 20:
        done.append("/dev/shm took %d MB" % (written >> 20))
    return done
