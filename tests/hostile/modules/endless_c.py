"""Never ends, inside one call of C, where no Python signal handler runs."""

STATES = ("timeout", "memory", "error")
WALL_S = 0.5


def attack(args, emit):
    return [sum(range(10**13))]
