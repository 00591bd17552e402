"""What stands between a mapped file and an answer: every piece of it is held against its sum when it is first read.

A file of vectors has a sum for each 4096 bytes. Opening looks at the pieces that it reads whole; a search looks at
those that it meets, so that a bit that changed on the disk is found before an answer is made of it, and nothing is read
for that alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECE = 4096
_RUNS, _FACTOR, _TURN = 8, np.uint64(0x9E3779B97F4A7C15), np.uint64(31)
_AT_ONCE = 1 << 24

Array = NDArray[Any]
Sums = NDArray[np.uint64]


def _mixed(sums: Sums, words: Sums) -> Sums:
    product = (sums ^ words) * _FACTOR
    return product << _TURN | product >> (np.uint64(64) - _TURN)


def sums_of(data: NDArray[np.uint8]) -> Sums:
    """The sum of each piece of `data`, as `aqe_sum` of `funnel/guard.c` makes it: eight runs of words side by side, and
    then those runs, each step multiplied by an odd factor and turned."""
    words = data.view("<u8").reshape(-1, PIECE // 8 // _RUNS, _RUNS)
    sums = np.broadcast_to(np.arange(1, _RUNS + 1, dtype=np.uint64), (len(words), _RUNS))
    for step in range(words.shape[1]):
        sums = _mixed(sums, words[:, step])
    found = np.zeros(len(words), np.uint64)
    for run in range(_RUNS):
        found = _mixed(found, sums[:, run])
    return found


class Tally:
    """The sums of what is written, in whatever parts it comes."""

    def __init__(self, kernels: Any) -> None:
        self._kernels, self._rest = kernels, b""
        self._made: list[Sums] = []

    def take(self, data: memoryview) -> None:
        """Count these bytes in."""
        if self._rest:
            missing = PIECE - len(self._rest)
            self._rest += bytes(data[:missing])
            data = data[missing:]
            if len(self._rest) < PIECE:
                return
            self._add(memoryview(self._rest))
        whole = len(data) // PIECE * PIECE
        self._add(data[:whole])
        self._rest = bytes(data[whole:])

    def pad(self) -> None:
        """Zeros up to the end of the piece."""
        if self._rest:
            self.take(memoryview(bytes(PIECE - len(self._rest))))

    def sums(self) -> Sums:
        """All sums so far."""
        return np.concatenate([np.empty(0, np.uint64), *self._made])

    def _add(self, data: memoryview) -> None:
        if len(data):
            made = np.empty(len(data) // PIECE, np.uint64)
            self._kernels.sums(data, made)
            self._made.append(made)


class Guard:
    """The pieces of one mapped file. `data` are its bytes, whole pieces, with a sum for each in `sums`."""

    def __init__(self, path: Path, data: NDArray[np.uint8], sums: Sums, kernels: Any) -> None:
        self._path, self._data, self._sums, self._kernels = path, data, sums, kernels
        self._seen = np.zeros(len(sums) + 1, np.uint8)
        self._start = data.ctypes.data

    @property
    def native(self) -> tuple[Array, Array, Array]:
        """What a snapshot takes of it: the bytes, their sums, and what was seen, which searches write to."""
        return self._data, self._sums, self._seen

    @property
    def is_damaged(self) -> bool:
        """Was a piece met that is not as it was written?"""
        return bool(self._seen[-1])

    def look(self, array: Array, items: NDArray[np.int64] | None = None) -> None:
        """Look at the pieces under an array, or under these items of it, unless they were seen; arrays elsewhere are
        passed over. Raises ValueError for a damaged one."""
        first = array.ctypes.data - self._start
        if not array.size or not 0 <= first < self._data.size:
            return
        if items is None:
            starts, size = np.array([first]), array.nbytes
        else:
            starts, size = first + items * array.strides[0], array.strides[0]
        self._kernels.look(self._data, self._sums, self._seen, starts, size)
        self.refuse()

    def look_at_all(self) -> None:
        """Look at every piece that was not seen; raises ValueError."""
        for start, size in self._parts():
            self._kernels.look(self._data, self._sums, self._seen, np.array([start]), size)
        self.refuse()

    def look_again(self) -> Iterator[tuple[int, int]]:
        """Look at every piece as if none had been seen, a part at a time: gives the start and the bytes of each."""
        self._seen[:-1] = 0
        for start, size in self._parts():
            self._kernels.look(self._data, self._sums, self._seen, np.array([start]), size)
            yield start, size

    def first_damaged(self) -> int | None:
        """Where the first piece begins that was not found right, of those looked at again; None where all were."""
        bad = np.flatnonzero(self._seen[:-1] == 0)
        return int(bad[0]) * PIECE if len(bad) else None

    def refuse(self) -> None:
        """Raise ValueError where a piece is damaged."""
        if self.is_damaged:
            raise ValueError(f"{self._path} is damaged: what was read is not what was saved")

    def _parts(self) -> Iterator[tuple[int, int]]:
        for start in range(0, self._data.size, _AT_ONCE):
            yield start, min(_AT_ONCE, self._data.size - start)


def looked(data: Array, sums: Sums, seen: Array, starts: NDArray[np.int64], size: int) -> None:
    """`Kernels.look` in NumPy."""
    first, last = starts // PIECE, (starts + size - 1) // PIECE
    wanted = [first + step for step in range(int((last - first).max(initial=-1)) + 1)]
    pieces = np.unique(np.concatenate([first[:0], *(np.minimum(some, last) for some in wanted)]))
    pieces = pieces[(pieces >= 0) & (pieces < len(sums))]
    pieces = pieces[seen[pieces] == 0]
    if len(pieces):
        right = sums_of(np.ascontiguousarray(data.reshape(-1, PIECE)[pieces]).reshape(-1)) == sums[pieces]
        seen[pieces[right]] = 1
        if not right.all():
            seen[-1] = 1
