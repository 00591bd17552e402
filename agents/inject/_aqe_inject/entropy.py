"""Chance taken out of a process: every source of random numbers of the standard library starts from one seed.

A test whose outcome is the same for the same seed, and differs between seeds, depends on random numbers.
"""

import os
import random
import sys
from typing import Any


def fix_entropy(seed: int) -> None:
    """Make `random`, `os.urandom`, `secrets`, `uuid.uuid4` and numpy's generators follow from `seed` from now on."""
    stream = random.Random(seed)

    def urandom(size: int) -> bytes:
        return bytes(stream.getrandbits(8) for _ in range(size))

    plain = random.Random.seed

    def seed_from_stream(self: Any, a: Any = None, version: int = 2) -> None:
        plain(self, stream.getrandbits(64) if a is None and self is not stream else a, version)

    for place, name, value in (
        (os, "urandom", urandom),
        (random, "_urandom", urandom),
        (random.Random, "seed", seed_from_stream),
    ):
        setattr(place, name, value)
    random.seed(seed)
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:
        numpy.seed(seed % 2**32)
