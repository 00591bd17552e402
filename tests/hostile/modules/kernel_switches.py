"""Tries to open for writing the files of /proc that steer the whole machine."""

import os

PLACES = ("/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
KEYS = (
    "kernel/core_pattern",
    "kernel/modprobe",
    "kernel/ns_last_pid",
    "kernel/pid_max",
    "vm/drop_caches",
    "fs/file-max",
)


def attack(args, emit):
    files = [path for path in PLACES if os.path.isfile(path)] + ["/proc/sys/" + key for key in KEYS]
    for place in PLACES:
        files += [os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names]
    done = []
    for path in files:
        try:
            os.close(os.open(path, os.O_WRONLY))
            done.append(path)
        except OSError:
            pass
    return done
