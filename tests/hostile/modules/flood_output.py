"""Writes to stdout and stderr without end."""
import os

STATES = ("output",)


def attack(args, emit):
    while True:
        os.write(1, b"x" * 65536)
        os.write(2, b"y" * 65536)
