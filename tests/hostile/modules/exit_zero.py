"""Ends with status 0 before any check could fail."""
import os

STATES = ("died",)


def attack(args, emit):
    os._exit(0)
