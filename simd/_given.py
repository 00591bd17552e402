"""What callers of `Vectors` give, in the form that it is used in."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd._ids import Ids, refuse_masked

Floats = NDArray[np.float32]
Masks = NDArray[np.uint64]


class Allowed:
    """The ids that a search may find, in order, prepared for many searches; made by `Vectors.allowed`."""

    __slots__ = ("_cached", "ids")

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._cached: tuple[Any, int, Masks] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def carried(self, owner: Any, version: int, changes: tuple[Ids, ...], words: int) -> tuple[Masks, Ids]:
        """A mask of so many words, as far as the last search knew it, and the ids to be looked up for the rest.

        `changes` are the ids that the last changes up to `version` were of. A replaced row may keep its bit: it is not
        alive.
        """
        mask, cached = np.zeros(words, np.uint64), self._cached
        if cached is None or cached[0] is not owner or not 0 <= version - cached[1] <= len(changes):
            return mask, self.ids
        changed = np.concatenate([self.ids[:0], *changes[len(changes) - (version - cached[1]) :]])
        if len(changed) >= len(self.ids):
            return mask, self.ids
        mask[: len(cached[2])] = cached[2]
        places = np.minimum(np.searchsorted(self.ids, changed), len(self.ids) - 1)
        return mask, changed[self.ids[places] == changed]


def as_floats(given: Any, name: str) -> Floats:
    """Contiguous float32 of an array of float32 or float16, another buffer of them, or lists of numbers."""
    if isinstance(given, (list, tuple)) and not any(isinstance(item, np.ndarray) for item in given):
        try:
            numbers = np.asarray(given)
        except ValueError as refusal:
            raise ValueError(f"{name} must be rows of one length: {refusal}") from None
        if numbers.size and numbers.dtype.kind not in "fiu":
            raise TypeError(f"{name} must be numbers, got {numbers.dtype}")
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(numbers, np.float32)
    refuse_masked(given, name)
    taken = np.asarray(given)
    if taken.dtype not in (np.float32, np.float16):
        raise TypeError(f"{name} must be float32 or float16, got {taken.dtype}: cast it with .astype(numpy.float32)")
    return np.require(taken, np.float32, ("C", "A"))


def unmasked(query: Any) -> Any:
    """A query as it is; raises TypeError for a masked array, whose mask the extension would not see."""
    if query.__class__ is not np.ndarray:
        refuse_masked(query, "query")
    return query


def as_rows(given: Any, count: int, dim: int) -> Floats:
    """`count` rows of `dim` finite items each."""
    rows = as_floats(given, "array")
    if rows.ndim == 1 and not rows.size and not count:
        rows = rows.reshape(0, dim)
    if rows.ndim != 2 or rows.shape != (count, dim):
        got = " x ".join(map(str, rows.shape))
        raise ValueError(f"array must be {count} x {dim} (as many rows as ids, {dim} items each), got {got}")
    if not np.isfinite(rows).all():
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))[0]
        raise ValueError(f"array holds NaN or infinity, first in row {bad}")
    return rows


def as_whole(number: Any, name: str) -> int:
    """A whole number; raises TypeError."""
    if isinstance(number, bool) or not hasattr(number, "__index__"):
        raise TypeError(f"{name} must be a whole number, got {type(number).__name__}")
    return index(number)


def as_k(k: Any) -> int:
    """A whole k of at least 1."""
    if as_whole(k, "k") < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return index(k)
