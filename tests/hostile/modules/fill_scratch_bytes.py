"""Fills the scratch folder: 400 MB are allowed to fail, and must."""
import os

STATES = ("ok", "error", "output")


def attack(args, emit):
    written = 0
    try:
        for number in range(40):
            with open(os.path.join(os.environ["TMPDIR"], "big%d" % number), "wb") as stream:
                for _ in range(10):
                    written += stream.write(b"x" * (1 << 20))
    except OSError:
        pass
    return ["%d MB" % (written >> 20)] if written > 80 << 20 else []
