"""Takes 6 GB in one process."""

STATES = ("error", "memory", "died")


def attack(args, emit):
    hoard = []
    for _ in range(60):
        hoard.append(b"x" * (100 << 20))
    return ["%d MB" % (100 * len(hoard))]
