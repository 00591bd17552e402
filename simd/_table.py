"""The segments of a `Vectors` together: rows by number, the coding that all share, and what a search sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd import _rows, _sample
from aqe.simd._guard import Guard
from aqe.simd._ids import Ids, rows_of_mask
from aqe.simd._rows import BLOCK, Coding, Floats, Segment

Masks = NDArray[np.uint64]

CODES_FROM_DIM, CODES_FROM_ROWS = 128, 1024
"""Below these every row is scored: signs of few items say little, and few rows are quickly read."""

_SAMPLED = 4096
_FAR = 16
"""Rows that are so many times as long as the others do not count for the mean."""

_AT_ONCE = 1 << 14
_DRIFT = 0.02
"""Codes are made anew when the mean has moved by this share of the rows' mean square."""

L2 = 2


class Table:
    """Rows in segments; the writer's own (a search has the snapshot)."""

    def __init__(self, dim: int, metric: int, kernels: Any) -> None:
        self.dim, self.metric, self.kernels = dim, metric, kernels
        self.segments: list[Segment] = []
        self.coding: Coding | None = None
        self.guard: Guard | None = None  # of the file that the first segment is mapped from
        self.bits = False  # may there be rows of which only the code is kept?
        self.came = 0  # rows since the codes were made or measured

    @property
    def rows(self) -> int:
        """Row numbers in use, with those of deleted rows."""
        return sum(segment.rows for segment in self.segments)

    @property
    def words(self) -> int:
        """Words of a mask over all rows."""
        return -(-self.end // BLOCK)

    @property
    def end(self) -> int:
        """The number behind that of the last row."""
        return self.segments[-1].first + self.segments[-1].rows if self.segments else 0

    def nbytes(self) -> dict[str, int]:
        """Bytes of the rows by what they hold."""
        found = dict.fromkeys(("codes", "f32", "f16", "int8", "ids", "masks"), 0)
        for segment in self.segments:
            for name, pool in segment.pools.items():
                found[name] += pool.nbytes
            if segment.blocks is not None:
                found["codes"] += -(-segment.rows // BLOCK) * segment.blocks.shape[1]
            found["ids"] += segment.rows * 8
            found["masks"] += segment.rows if segment.levels is not None else 0
        return found

    def snapshot(self, live: Masks) -> Any:
        """What a search sees of the rows as they are now."""
        parts = tuple(_parts(segment) for segment in self.segments)
        mean = self.coding.mean if self.coding else None
        coding = self.coding
        units = coding.units if coding else (1.0, 1.0, 0.0, 1.0, 0.0, 0, 0)
        guard = self.guard.native if self.guard is not None else None
        return self.kernels.snapshot(self.metric, self.dim, mean, units, live, parts, guard)

    def frozen(self) -> Table:
        """The rows as they are now, over the same arrays: what is added, demoted or coded later does not show."""
        made = Table(self.dim, self.metric, self.kernels)
        made.coding, made.bits, made.guard = self.coding, self.bits, self.guard
        for segment in self.segments:
            pools = {name: replace(pool) for name, pool in segment.pools.items()}
            made.segments.append(replace(segment, pools=pools))
        return made

    def append(self, ids: Ids, rows: Floats) -> Ids:
        """Add rows at the end and return their numbers."""
        numbers = [np.empty(0, np.int64)]
        start = 0
        while start < len(ids):
            if not self.segments or not self.segments[-1].room:
                first = self.segments[-1].end if self.segments else 0
                self.segments.append(_rows.new_segment(self.dim, first, self.coding is not None))
            segment = self.segments[-1]
            end = min(len(ids), start + segment.room)
            self._append(segment, ids[start:end], rows[start:end])
            numbers.append(np.arange(segment.first + segment.rows, segment.first + segment.rows + end - start))
            segment.rows += end - start
            start = end
        self.came += len(ids)
        return np.concatenate(numbers)

    def _append(self, segment: Segment, ids: Ids, rows: Floats) -> None:
        values, scales = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
        self.kernels.int8(rows, values, scales)
        _rows.write(segment, ids, {"f32": (rows, None, None), "int8": (values, scales, None)})
        if segment.blocks is not None and self.coding is not None:
            cut = self._encode(segment.blocks, segment.rows, rows, self.coding)
            if cut > self.coding.cut:
                self.coding = replace(self.coding, cut=True)

    def _encode(self, blocks: NDArray[np.uint8], first: int, rows: Floats, coding: Coding) -> bool:
        """Write the codes of rows; was one cut?"""
        units = (coding.unit_f, coding.unit_k)
        return bool(self.kernels.encode(self.metric, units, rows, coding.mean, coding.mean, first, blocks))

    def split(self, rows: Ids) -> Iterator[tuple[Segment, NDArray[np.intp], Ids]]:
        """For each segment that some of `rows` are in: the segment, their places in `rows`, and their own numbers."""
        for segment in self.segments:
            places = np.flatnonzero((rows >= segment.first) & (rows < segment.first + segment.rows))
            if len(places):
                yield segment, places, rows[places] - segment.first

    def ids_of(self, rows: Ids) -> Ids:
        """The id of each row."""
        found = np.empty(len(rows), np.int64)
        for segment, places, own in self.split(rows):
            found[places] = segment.ids[own]
        return found

    def values_of(self, rows: Ids) -> Floats:
        """The vector of each row by the best that is kept of it."""
        found = np.empty((len(rows), self.dim), np.float32)
        for segment, places, own in self.split(rows):
            self._look(segment, own)
            found[places] = _rows.rows_of(segment, own, self.coding)
        return found

    def look_at_all(self) -> None:
        """Hold all that is mapped against its sums, before any of it is copied; raises ValueError."""
        if self.guard is not None:
            self.guard.look_at_all()

    def _look(self, segment: Segment, own: Ids) -> None:
        """The same of these rows alone."""
        if self.guard is None or segment.first:
            return
        for pool in segment.pools.values():
            items = pool.items(own)
            for array in (pool.values, pool.scales):
                if array is not None:
                    self.guard.look(array, items[items >= 0])
        if segment.blocks is not None and self.bits:
            self.guard.look(segment.blocks, own // BLOCK)

    def levels_of(self, rows: Ids) -> NDArray[np.uint8]:
        """The number of each row's level in LEVELS."""
        found = np.zeros(len(rows), np.uint8)
        for segment, places, own in self.split(rows):
            found[places] = segment.level_of(own)
        return found

    def coded(self, count: int) -> bool:
        """Do searches of a store of `count` rows begin with the codes?"""
        return self.coding is not None and self.dim >= CODES_FROM_DIM and count >= CODES_FROM_ROWS

    def numbers(self) -> Ids:
        """The numbers of all rows in use, in order."""
        parts = [np.arange(segment.first, segment.first + segment.rows) for segment in self.segments]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def unit(self, rows: Floats) -> Floats:
        """A copy of rows, brought to length one; zero rows stay zero."""
        out = np.empty_like(rows)
        self.kernels.unit(rows, out)
        return out

    def code_where_due(self, live: Masks, count: int) -> None:
        """Make the codes when there are rows enough. When as many came since: anew where these moved the mean, else
        measured again."""
        if self.dim < CODES_FROM_DIM or count < CODES_FROM_ROWS:
            return
        if self.coding is None:
            self.code(live)
        elif count >= 2 * self.coding.rows or self.came >= self.coding.rows:
            sample = self._sample(live)
            if _drift(sample, self.coding) > _DRIFT and not self.bits:
                self.code(live)
            else:
                self.coding = _sample.measured_again(self.coding, sample, count, self.metric, self.kernels)
                self.came = 0

    def _sample(self, live: Masks) -> Floats:
        rows = rows_of_mask(live)
        if len(rows) > _SAMPLED:
            rows = np.sort(np.random.default_rng(len(rows)).choice(rows, _SAMPLED, replace=False))
        return np.random.default_rng(0).permutation(self.values_of(rows))

    def code(self, live: Masks) -> None:
        """Make the codes of all rows against the mean of those alive."""
        self.look_at_all()
        coding = self._coding_of(live)
        made, cut = [], False
        for segment in self.segments:
            blocks = np.zeros((-(-len(segment.ids) // BLOCK), _rows.block_bytes(self.dim)), np.uint8)
            for start in range(0, segment.rows, _AT_ONCE):
                own = np.arange(start, min(start + _AT_ONCE, segment.rows))
                cut |= self._encode(blocks, start, _rows.rows_of(segment, own, self.coding), coding)
            made.append(replace(segment, blocks=blocks))
        self.segments, self.coding = (
            made,
            replace(coding, cut=cut),
        )  # at once: what is broken off leaves codes and coding that agree
        self.came = 0

    def _coding_of(self, live: Masks) -> Coding:
        rows, sample = rows_of_mask(live), np.zeros((1, self.dim), np.float32)
        mean, count = sample[0], len(rows)
        if count:
            sample = self._sample(live)
            mean = self._mean(rows, _FAR * float(np.median(np.linalg.norm(sample, axis=1))))
        return _sample.coding_of(sample, mean, count, self.metric, self.kernels)

    def _mean(self, rows: Ids, longest: float) -> Floats:
        """The mean of rows, without those that are much longer than the others."""
        total, count = np.zeros(self.dim), 0
        for start in range(0, len(rows), _AT_ONCE):
            values = self.values_of(rows[start : start + _AT_ONCE])
            usual = values[np.linalg.norm(values, axis=1) <= longest]
            total, count = total + usual.sum(axis=0, dtype=np.float64), count + len(usual)
        return (total / max(1, count)).astype(np.float32)

    def fixed(self) -> None:
        """Add no more to the segments that there are."""
        for segment in self.segments:
            segment.fixed = True


def _drift(sample: Floats, coding: Coding) -> float:
    """How far the mean of the rows has moved, as a share of their mean square."""
    mean = sample.mean(axis=0, dtype=np.float64)
    gap, rest = mean - coding.mean, sample - mean
    square = float(np.einsum("ij,ij->", rest, rest)) / len(sample)
    return float(gap @ gap) / square if square > 0 else 0.0


def compacted(table: Table, live: Masks) -> Table:
    """A table of the rows alive alone, in their order, each with what is kept of it; the coding stays."""
    table.look_at_all()
    made = Table(table.dim, table.metric, table.kernels)
    made.coding, made.bits, made.came = table.coding, table.bits, table.came
    for segment in table.segments:
        words = live[segment.first // BLOCK : -(-(segment.first + segment.rows) // BLOCK)]
        own = rows_of_mask(words)
        own = own[own < segment.rows]
        for start in range(0, len(own), _AT_ONCE):
            _move(made, segment, own[start : start + _AT_ONCE])
    return made


def _move(made: Table, segment: Segment, own: Ids) -> None:
    """Append these rows of a segment of another table."""
    if not made.segments or made.segments[-1].room < len(own):
        made.fixed()
        first = made.segments[-1].end if made.segments else 0
        made.segments.append(_rows.new_segment(made.dim, first, made.coding is not None))
    _rows.extend(made.segments[-1], segment, own)


def _parts(segment: Segment) -> tuple[Any, ...]:
    """A segment as `Kernels.snapshot` takes it."""
    f32, f16, int8 = (segment.pools.get(name) for name in ("f32", "f16", "int8"))
    parts: list[Any] = [segment.first, segment.rows, segment.ids, segment.blocks]
    for pool in (f32, f16, int8):
        parts += [None] * 3 if pool is None else [pool.values, pool.scales, pool.slots]
    return tuple(parts)
