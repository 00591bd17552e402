"""Raises SystemExit(0), which runners have taken for success."""

STATES = ("error",)


def attack(args, emit):
    raise SystemExit(0)
