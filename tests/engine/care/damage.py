"""How tests damage a closed store's file, and an embedder whose vectors they know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aqe.engine.memory.care import Place


class Lines:
    """An embedder of the engine's own kind: each text has a direction."""

    id = "aqe-static-lines"
    dimension = 32

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        made = [np.random.default_rng(list(text.encode())).standard_normal(32) for text in texts]
        rows = np.array(made, np.float32).reshape(len(made), 32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def flip(data: bytes, *bits: int) -> bytes:
    """Bytes with these bits flipped."""
    flipped = bytearray(data)
    for bit in bits:
        flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def flip_in_file(place: Place, known: bytes, *bits: int) -> None:
    """Flip bits of the one place of a closed store's file that holds these bytes."""
    data = place.path.read_bytes()
    assert data.count(known) == 1
    place.path.write_bytes(data.replace(known, flip(known, *bits)))
