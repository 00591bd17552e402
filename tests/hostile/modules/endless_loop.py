"""Never ends."""

STATES = ("timeout",)
WALL_S = 0.5


def attack(args, emit):
    while True:
        pass
