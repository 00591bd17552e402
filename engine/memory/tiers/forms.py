"""The forms of a vector below float32, as bytes of the file and back.

Tier 1 is float16. Tier 2 is int8 with one scale (float32, the largest number over 127). Tier 3 is one bit a number, its
sign, with the mean of the absolute numbers (float32) and the dimension (two bytes): what it gives back only points the
right way roughly, and is never taken for the vector itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Tier = Literal[0, 1, 2, 3]
HOT, WARM, SMALL, COLD = 0, 1, 2, 3
Level = Literal["f32", "f16", "int8", "bits"]
LEVELS: tuple[Level, ...] = ("f32", "f16", "int8", "bits")
"""What `Vectors.demote` calls each tier."""

_HEAD = struct.Struct("<fH")


def pack(vector: bytes, tier: int) -> bytes:
    """The float32 bytes of a vector in the form of a tier from 1 to 3."""
    import numpy as np

    numbers = np.frombuffer(vector, np.float32)
    if tier == WARM:
        return bytes(np.clip(numbers, -65504, 65504).astype(np.float16).tobytes())
    if tier == SMALL:
        scale = np.float32(max(float(np.abs(numbers).max(initial=0.0)) / 127.0, 1e-30))
        return bytes(scale.tobytes() + np.rint(numbers / scale).clip(-127, 127).astype(np.int8).tobytes())
    mean = float(np.abs(numbers).mean(dtype=np.float64)) if len(numbers) else 0.0
    return _HEAD.pack(mean, len(numbers)) + np.packbits(numbers > 0, bitorder="little").tobytes()


def unpack(packed: bytes, tier: int) -> NDArray[np.float32]:
    """The numbers of a vector in the form of a tier from 0 to 3."""
    import numpy as np

    if tier == HOT:
        return np.frombuffer(packed, np.float32)
    if tier == WARM:
        return np.frombuffer(packed, np.float16).astype(np.float32)
    if tier == SMALL:
        return np.frombuffer(packed, np.int8, offset=4).astype(np.float32) * np.frombuffer(packed, np.float32, 1)
    mean, count = _HEAD.unpack_from(packed)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8, offset=_HEAD.size), count=count, bitorder="little")
    return np.where(bits, np.float32(mean), np.float32(-mean))


def unpack_many(packed: Sequence[bytes], tier: int) -> NDArray[np.float32]:
    """As `unpack` of each, as the rows of one matrix; all of one dimension and tier."""
    import numpy as np

    joined = np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), -1)
    if tier == WARM:
        return joined.view(np.float16).astype(np.float32)
    if tier == SMALL:
        scales = np.ascontiguousarray(joined[:, :4]).view(np.float32)
        return np.ascontiguousarray(joined[:, 4:]).view(np.int8).astype(np.float32) * scales
    if tier == COLD:
        means = np.ascontiguousarray(joined[:, :4]).view(np.float32)
        count = _HEAD.unpack_from(packed[0])[1]
        bits = np.unpackbits(joined[:, _HEAD.size :], axis=1, count=count, bitorder="little")
        return np.where(bits, means, -means).astype(np.float32)
    return joined.view(np.float32)


def unpack_mixed(rows: Iterable[tuple[int, int, bytes]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of several tiers (number, tier, bytes) as their numbers and one matrix; of one dimension."""
    import numpy as np

    by_tier: dict[int, tuple[list[int], list[bytes]]] = {}
    for row, tier, packed in rows:
        numbers, blobs = by_tier.setdefault(tier, ([], []))
        numbers.append(row)
        blobs.append(packed)
    if not by_tier:
        return np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
    made = [unpack_many(blobs, tier) for tier, (_, blobs) in by_tier.items()]
    return np.array([row for numbers, _ in by_tier.values() for row in numbers], np.int64), np.concatenate(made)
