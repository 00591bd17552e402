"""The forms of a vector below float32, as bytes of the file and back.

Tier 1 is float16. Tier 2 is int8 with one scale (float32, the largest number over 127). Tier 3 is four bits a number
with one scale (float32, the largest over 7) and the dimension (two bytes): enough to make the 1-bit code from, which
is all that memory holds of it (codes made from signs alone lose 1 to 4 % of recall), and never taken for the vector.
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
    step = max(float(np.abs(numbers).max(initial=0.0)) / 7.0, 1e-30)
    levels = (np.rint(numbers / np.float32(step)).clip(-7, 7) + 8).astype(np.uint8)
    levels = np.pad(levels, (0, len(levels) % 2))
    return _HEAD.pack(step, len(numbers)) + bytes((levels[::2] | levels[1::2] << 4).tobytes())


def unpack(packed: bytes, tier: int) -> NDArray[np.float32]:
    """The numbers of a vector in the form of a tier from 0 to 3."""
    import numpy as np

    if tier == HOT:
        return np.frombuffer(packed, np.float32)
    if tier == WARM:
        return np.frombuffer(packed, np.float16).astype(np.float32)
    if tier == SMALL:
        return np.frombuffer(packed, np.int8, offset=4).astype(np.float32) * np.frombuffer(packed, np.float32, 1)
    rows = unpack_many([packed], tier)
    return rows.reshape(rows.shape[1])


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
        scales = np.ascontiguousarray(joined[:, :4]).view(np.float32)
        held = joined[:, _HEAD.size :]
        levels = np.stack([held & 15, held >> 4], axis=2).reshape(len(packed), -1)[:, : _HEAD.unpack_from(packed[0])[1]]
        return (levels.astype(np.float32) - 8) * scales
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
