"""Writes a frame that says "passed" to every descriptor, with a guessed nonce, and ends with status 0."""
import json
import os
import struct

STATES = ("forged", "died")


def attack(args, emit):
    body = b"0" * 32 + b"V" + json.dumps([]).encode()
    for fd in range(3, 256):
        for data in (struct.pack(">I", len(body)) + body, b"E" + struct.pack(">I", 2) + b"{}"):
            try:
                os.write(fd, data)
            except OSError:
                pass
    os._exit(0)
