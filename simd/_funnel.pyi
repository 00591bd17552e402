"""The C side of `Vectors`: one `Kernels` a path, in PATHS, best first. Rows are numbered from 0 over all segments."""

from typing import Any, final

from typing_extensions import Buffer

@final
class Snapshot:
    """What one search sees: arrays that no writer changes where it looks. Made by `Kernels.snapshot`."""

    def search(
        self, query: Buffer, k: int, candidates: int, allow: Buffer | None, ids: Buffer, scores: Buffer, /
    ) -> int:
        """Write the best k ids and scores, best first, and say how many; `allow` is a mask of rows (uint64 words).
        `candidates` of 0 scores every row by what is kept of it; otherwise so many come out of the codes."""

    def probe(
        self,
        query: Buffer,
        k: int,
        candidates: int,
        lists: Lists,  # of rows of this snapshot, encoded against its mean
        patience: int,  # lists that may pass without a change among the best
        tail: int,  # rows from this one on (a multiple of 64) are scanned one by one
        ids: Buffer,
        scores: Buffer,
        /,
    ) -> tuple[int, int]:
        """The same over the lists of an inverted file, nearest first; a row that stands in two is found once. Also says
        how many codes were looked at."""
    def measure(
        self, query: Buffer, wanted: Buffer, ids: Buffer | None, rows: Buffer | None, scores: Buffer, /
    ) -> None:
        """Write the score (float32) of each of `wanted` (int64) by the best form that is kept of it, NaN where there is
        none but the code. They are row numbers, or ids: then `ids` has all that there are, in order, and `rows` where
        each is."""

    def near(self) -> object:
        """What other extensions may ask of this (near.h), as a capsule."""

@final
class Lists:
    """The arrays of an inverted file, checked against each other. Made by `Kernels.lists`."""

@final
class Kernels:
    name: str

    def snapshot(
        self,
        metric: int,
        dim: int,
        mean: Buffer | None,
        units: tuple[float, float, float, float, float, int],  # `Coding.units`
        live: Buffer,  # uint64: the rows that may be found
        segments: tuple[tuple[Any, ...], ...],  # as `_table` makes them
        guard: tuple[Buffer, Buffer, Buffer] | None = None,  # `Guard.native` of the file that they are mapped from
        /,
    ) -> Snapshot: ...
    def lists(
        self,
        centroids: Buffer,  # int8 (n, dim)
        scales: Buffer,  # float32 (n,): centroid * scale is what the rows of the list were encoded against
        halves: Buffer,  # float32 (n,): half the square of its length
        starts: Buffer,  # int64 (n + 1,): the first block of each list, and the end of the last
        blocks: Buffer,
        row_of: Buffer,  # int32: the row of each slot, negative where there is none
        /,
    ) -> Lists: ...
    def encode(
        self,
        metric: int,
        units: tuple[float, float],
        rows: Buffer,  # float32 (n, dim)
        centre: Buffer,  # float32 (dim,): the mean, or the centroid of a list
        mean: Buffer,  # float32 (dim,)
        slots: Buffer | int,  # int64 (n,): slot of each row, or the first of consecutive ones
        blocks: Buffer,  # uint8, writable
        /,
    ) -> None:
        """Write the codes of rows into their slots (slot s is in block s // 64)."""
    def sums(self, data: Buffer, out: Buffer, /) -> None:
        """Write the sum (uint64) of each 4096 bytes."""
    def look(self, data: Buffer, sums: Buffer, seen: Buffer, starts: Buffer, size: int, /) -> None:
        """Hold the pieces under `size` bytes from each of `starts` (int64) on against their sums, unless they were
        seen; `seen` (a byte a piece) says which are right, its last byte whether any was not."""
    def bound(self, query: Buffer, values: Buffer, scales: Buffer, /) -> float:
        """The highest scale * query . values / |query| of rows of int8 (n, dim); 1 where that is not to be had."""
    def int8(self, rows: Buffer, values: Buffer, scales: Buffer, /) -> None:
        """Write int8 values (n, dim) and the scale of each row: value * scale is the item to 1/254 of the largest."""
    def unit(self, rows: Buffer, out: Buffer, /) -> None:
        """Write the rows, brought to length one; zero rows stay zero."""

PATHS: dict[str, Kernels]
