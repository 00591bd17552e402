"""Looks for a descriptor that aqe forgot to close and writes through it."""
import os
import stat


def attack(args, emit):
    done = []
    for fd in range(3, 1024):
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            continue
        if stat.S_ISDIR(mode):
            try:
                os.close(os.open("broken.txt", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
                done.append("folder %d" % fd)
            except OSError:
                pass
        elif stat.S_ISREG(mode):
            try:
                os.write(fd, b"broken")
                done.append("file %d" % fd)
            except OSError:
                pass
    return done
