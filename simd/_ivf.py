"""The inverted file over the rows of a `Vectors`: lists of codes, each against its own centroid; a row is in two lists.

A search probes the lists nearest to the query until its best answers stay the same (`simd/funnel/lists.c`). Rows that
came after the lists were made are scanned linearly until they are folded in; rows that were deleted are left out by the
mask of the rows alive. What is searched is never changed: whatever happens makes new lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd import _rows
from aqe.simd._clusters import SAMPLE, Places, Step, assign, centroids, list_count
from aqe.simd._rows import BLOCK, Coding, Floats

Numbers = NDArray[np.int64]
Read = Callable[[Numbers], Floats]

EFFORTS = ((192, 1), (256, 1), (448, 1), (448, 4), (1 << 20, 4), (1 << 20, 16))
"""Lists that may pass without a change among the best before a search stops, and times the usual candidates: the first
that finds enough is taken."""

WORTH_SHARE = 0.8
"""Lists of which a search looks at more codes than this share of the rows are no faster than the linear pass."""

WORTH_ROWS = 200_000
"""Above so many rows the lists are faster than the linear pass, by enough to make them."""

_FEWEST_NEW, _NEW, _GONE = 8192, 64, 4
"""Rows outside the lists, and deleted ones inside, that are tolerated: 8192, or one in 64, and one in 4."""

_GROWN, _LOPSIDED, _FARTHER = 2.0, 1.5, 1.25
"""By how much rows, imbalance or distances from the centroids may grow before the centroids are made anew."""

_AT_ONCE = 1 << 13


@dataclass(frozen=True)
class Lists:
    """`centroids` (count, dim) int8 by `scales`; the blocks of list i are starts[i] to starts[i + 1]; `row_of` names
    the row of each slot (negative: none). Rows numbered below `rows` stand in the lists, `held` of them.

    `distance` is the mean of |x - c|^2 over first lists and `imbalance` how much longer than the mean a row's own list
    is, both from when the centroids were made, of `clustered` rows; `distance_now` counts those that came since.
    A search stops when its best stayed the same for `patience` lists, and takes `times` the usual candidates.
    """

    centroids: NDArray[np.int8]
    scales: Floats
    starts: Numbers
    blocks: NDArray[np.uint8]
    row_of: NDArray[np.int32]
    coding: Coding
    rows: int
    held: int
    clustered: int
    distance: float
    distance_now: float
    imbalance: float
    patience: int
    times: int

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.centroids, self.scales, self.starts, self.blocks, self.row_of)
        return sum(array.nbytes for array in arrays)

    @property
    def places(self) -> Floats:
        """The centroids as float32 (count, dim): the very vectors that the codes were made against."""
        return self.centroids * self.scales[:, np.newaxis]

    @property
    def tail(self) -> int:
        """Rows from this one on are scanned linearly; the first of them may stand in lists as well."""
        return self.rows // BLOCK * BLOCK

    def native(self, kernels: Any) -> Any:
        """What `Snapshot.probe` takes."""
        places = self.places
        halves = np.einsum("ij,ij->i", places, places) / np.float32(2)
        return kernels.lists(self.centroids, self.scales, halves, self.starts, self.blocks, self.row_of)

    def entries(self) -> tuple[NDArray[np.int32], Numbers]:
        """The list and the slot of everything that stands in the lists, in order."""
        slots = np.flatnonzero(self.row_of >= 0)
        return np.repeat(np.arange(len(self.scales), dtype=np.int32), np.diff(self.starts) * BLOCK)[slots], slots

    def renumbered(self, numbers: NDArray[np.int32], rows: int) -> Lists:
        """The same with other row numbers: `numbers[old]`, negative for rows that are no more, all below `rows`."""
        row_of = np.where(self.row_of >= 0, numbers[np.maximum(self.row_of, 0)], np.int32(-1))
        return replace(self, row_of=row_of.astype(np.int32), rows=rows)


@dataclass(frozen=True)
class Ground:
    """What lists are made over: the numbers of the rows alive, in order, how their vectors are read, kernels, coding,
    and `end`, the number behind the last row."""

    rows: Numbers
    read: Read
    kernels: Any
    metric: int
    coding: Coding
    end: int

    def alive(self, numbers: NDArray[np.signedinteger[Any]]) -> NDArray[np.bool_]:
        """Which of these row numbers are alive."""
        held = np.zeros(self.end, bool)
        held[self.rows] = True
        found: NDArray[np.bool_] = held[numbers]
        return found


def build(ground: Ground, count: int | None, step: Step, *, seed: int = 0) -> Lists:
    """Lists of all rows; `count` of them, or as many as their number calls for. `step` may raise to end the work."""
    rows, dim = ground.rows, len(ground.coding.mean)
    count = list_count(len(rows)) if count is None else count
    chosen = np.random.default_rng(seed).permutation(len(rows))[:SAMPLE]
    found = centroids(ground.read(rows[np.sort(chosen)]), count, step, seed=seed)
    held, scales = _quantised(found)
    places = Places.of(held * scales[:, np.newaxis])
    pairs = places.pairs()
    firsts, seconds = np.empty(len(rows), np.int32), np.empty(len(rows), np.int32)
    squares = 0.0
    for at in range(0, len(rows), _AT_ONCE):
        step("putting rows into lists", at, len(rows))
        part = ground.read(rows[at : at + _AT_ONCE])
        lists = assign(part, places, pairs)
        firsts[at : at + len(part)], seconds[at : at + len(part)] = lists.first, lists.second
        squares += _squares(part - places.found[lists.first])
    both = np.concatenate([firsts, seconds]), np.concatenate([rows, rows])
    starts, order, slots = _layout(both[0], count)
    made = Lists(
        held,
        scales,
        starts,
        np.zeros((int(starts[-1]), _rows.block_bytes(dim)), np.uint8),
        np.full(int(starts[-1]) * BLOCK, -1, np.int32),
        ground.coding,
        ground.end,
        len(rows),
        len(rows),
        squares / max(1, len(rows)),
        squares / max(1, len(rows)),
        _imbalance(both[0], count),
        *EFFORTS[0],
    )
    _encode(made, ground, both[0][order], both[1][order], slots, step)
    return made


def fold(lists: Lists, ground: Ground, step: Step) -> Lists:
    """The lists with the rows that came since, without those that are no more; codes that are there are kept."""
    new = ground.rows[ground.rows >= lists.rows]
    places = Places.of(lists.places)
    pairs = places.pairs()
    both, squares = [], 0.0
    for at in range(0, len(new), _AT_ONCE):
        step("folding rows into lists", at, len(new))
        part = ground.read(new[at : at + _AT_ONCE])
        assigned = assign(part, places, pairs)
        both.append((np.concatenate([assigned.first, assigned.second]), np.tile(new[at : at + len(part)], 2)))
        squares += _squares(part - places.found[assigned.first])
    list_of, old = lists.entries()
    kept = ground.alive(lists.row_of[old])
    list_of, old = list_of[kept], old[kept]
    all_lists = np.concatenate([list_of, *(part for part, _ in both)])
    all_rows = np.concatenate([lists.row_of[old].astype(np.int64), *(part for _, part in both)])
    source = np.concatenate([old, np.full(len(all_rows) - len(old), -1)])
    starts, order, slots = _layout(all_lists, len(lists.scales))
    all_lists, all_rows, source = all_lists[order], all_rows[order], source[order]
    before = max(0, len(ground.rows) - len(new))
    made = replace(
        lists,
        starts=starts,
        blocks=np.zeros((int(starts[-1]), lists.blocks.shape[1]), np.uint8),
        row_of=np.full(int(starts[-1]) * BLOCK, -1, np.int32),
        rows=ground.end,
        held=len(ground.rows),
        distance_now=(lists.distance_now * before + squares) / max(1, before + len(new)),
    )
    _move(lists, made, source, all_rows, slots, step)
    fresh = source < 0
    _encode(made, ground, all_lists[fresh], all_rows[fresh], slots[fresh], step)
    return made


def recode(lists: Lists, ground: Ground, step: Step) -> Lists:
    """The same rows in the same lists, encoded against another mean."""
    list_of, slots = lists.entries()
    numbers = lists.row_of[slots].astype(np.int64)
    kept = ground.alive(numbers)
    row_of = np.full(len(lists.row_of), -1, np.int32)
    made = replace(lists, blocks=np.zeros_like(lists.blocks), row_of=row_of, coding=ground.coding)
    _encode(made, ground, list_of[kept], numbers[kept], slots[kept], step)
    return made


def due(lists: Lists | None, rows: int, outside: int, coding: Coding | None) -> str | None:
    """What the lists of a store of `rows` rows, `outside` of them in no list, are in need of: "build" (none are there,
    or the centroids no longer fit), "recode", "fold", or nothing."""
    if lists is None:
        return "build" if rows > WORTH_ROWS else None
    if rows > _GROWN * lists.clustered or lists.distance_now > _FARTHER * lists.distance:
        return "build"
    sizes = np.diff(lists.starts).astype(np.float64)
    spread = float(len(sizes) * (sizes @ sizes) / max(1.0, sizes.sum() ** 2))
    if spread > _LOPSIDED * lists.imbalance:
        return "build"
    if coding is not None and not lists_fit(lists, coding):
        return "recode"
    gone = lists.held - (rows - outside)
    if outside > max(_FEWEST_NEW, rows // _NEW) or gone > max(_FEWEST_NEW, rows // _GONE):
        return "fold"
    return None


def lists_fit(lists: Lists, coding: Coding) -> bool:
    """Were the codes of the lists made against this very mean, in these units?"""
    held = lists.coding
    same = held.mean is coding.mean or np.array_equal(held.mean, coding.mean)
    return same and (held.unit_f, held.unit_k) == (coding.unit_f, coding.unit_k)


def _quantised(found: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Centroids as int8 with a scale each."""
    largest = np.maximum(np.abs(found).max(axis=1), np.float32(1e-30))
    held = np.rint(found * (127 / largest)[:, np.newaxis]).astype(np.int8)
    return held, (largest / np.float32(127)).astype(np.float32)


def _squares(rest: Floats) -> float:
    return float(np.einsum("ij,ij->", rest, rest, dtype=np.float64))


def _imbalance(list_of: NDArray[np.int32], count: int) -> float:
    sizes = -(-np.bincount(list_of, minlength=count) // BLOCK).astype(np.float64)
    return float(count * (sizes @ sizes) / max(1.0, sizes.sum() ** 2))


def _layout(list_of: NDArray[np.int32], count: int) -> tuple[Numbers, Numbers, Numbers]:
    """The first block of each list, the entries in the order of their lists, and the slot of each of them."""
    sizes = np.bincount(list_of, minlength=count)
    starts = np.concatenate([[0], np.cumsum(-(-sizes // BLOCK))]).astype(np.int64)
    order = np.argsort(list_of, kind="stable")
    before = np.cumsum(sizes) - sizes
    within = np.arange(len(list_of)) - np.repeat(before, sizes)
    return starts, order, np.repeat(starts[:-1] * BLOCK, sizes) + within


def _encode(made: Lists, ground: Ground, list_of: NDArray[np.int32], rows: Numbers, slots: Numbers, step: Step) -> None:
    """Write the codes of rows, sorted by list, into their slots."""
    units = (ground.coding.unit_f, ground.coding.unit_k)
    places = made.places
    for one, part in _runs(list_of):
        if not one % 64:
            step("encoding rows", part.start, len(rows))
        values = ground.read(rows[part])
        ground.kernels.encode(ground.metric, units, values, places[one], ground.coding.mean, slots[part], made.blocks)
    made.row_of[slots] = rows


def _runs(list_of: NDArray[np.int32]) -> Iterator[tuple[int, slice]]:
    """Each list that is named, with where it stands."""
    edges = [*np.flatnonzero(np.diff(list_of, prepend=-1)), len(list_of)]
    for start, end in pairwise(edges):
        yield int(list_of[start]), slice(int(start), int(end))


def _move(lists: Lists, made: Lists, source: Numbers, rows: Numbers, slots: Numbers, step: Step) -> None:
    """Copy the codes that are there to their new slots."""
    kept = np.flatnonzero(source >= 0)
    for at in range(0, len(kept), _AT_ONCE * 8):
        step("moving codes", at, len(kept))
        part = kept[at : at + _AT_ONCE * 8]
        halves, codes = _rows.unpack(lists.blocks, source[part])
        _rows.pack(halves, codes, slots[part], made.blocks)
        made.row_of[slots[part]] = rows[part]
