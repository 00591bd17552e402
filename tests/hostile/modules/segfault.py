"""Reads address 0."""
import ctypes

STATES = ("died",)


def attack(args, emit):
    return [ctypes.string_at(0)]
