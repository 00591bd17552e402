"""What callers of `Vectors` give, in the form that it is used in."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


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
    taken = np.asarray(given)
    if taken.dtype not in (np.float32, np.float16):
        raise TypeError(f"{name} must be float32 or float16, got {taken.dtype}: cast it with .astype(numpy.float32)")
    return np.ascontiguousarray(taken, np.float32)


def as_k(k: Any) -> int:
    """A whole k of at least 1."""
    if isinstance(k, bool) or not hasattr(k, "__index__"):
        raise TypeError(f"k must be a whole number, got {type(k).__name__}")
    if index(k) < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return index(k)
