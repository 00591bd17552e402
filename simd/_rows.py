"""The rows behind `Vectors`: arrays that grow at their end, where no reader looks, in segments of at most 65,536.

A segment keeps of each row its id, an int8 form, the exact float32 row and, once the store is coded, a 1-bit code. Each
of the forms stands in a pool; while all rows of a segment have the form, row i is item i of the pool, afterwards
`slots` says where it is (negative: the row has no such form).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK = 64
MOST_ROWS = 1 << 16
LEVELS = ("f32", "f16", "int8", "bits")
"""What may be kept of a row beside its code, most first; a row of one level keeps nothing of those before it."""

POOLS = {"f32": ("f32",), "f16": ("f16",), "int8": ("f32", "f16", "int8")}
"""The levels whose rows stand in each pool."""

PLACES = np.array([2 * slot if slot < 32 else 2 * (slot - 32) + 1 for slot in range(BLOCK)])
"""Where the byte of a slot stands in a line of its block."""


def code_bytes(dim: int) -> int:
    """Bytes of the signs of one row."""
    return (dim + 7) // 8


def block_bytes(dim: int) -> int:
    """Bytes of a block of 64 codes: 64 f and 64 k as half floats, then a line of 64 bytes for each byte of the code."""
    return BLOCK * (4 + code_bytes(dim))


@dataclass
class Pool:
    """One form of the rows: `values` (items, dim), unless exact with a scale each; `count` items are in use."""

    values: NDArray[Any]
    scales: Floats | None = None
    slots: NDArray[np.int32] | None = None
    count: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the items in use, their scales and slots."""
        item = self.values.shape[1] * self.values.itemsize + (4 if self.scales is not None else 0)
        return int(self.count * item + (self.slots.nbytes if self.slots is not None else 0))

    def items(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The item of each row; negative where it has none."""
        return rows if self.slots is None else self.slots[rows].astype(np.int64)


@dataclass
class Segment:
    """Some consecutive rows of a store, from row `first` on; `rows` of them are in use."""

    dim: int
    first: int
    ids: NDArray[np.int64]
    pools: dict[str, Pool] = field(default_factory=dict)
    levels: NDArray[np.uint8] | None = None
    blocks: NDArray[np.uint8] | None = None
    rows: int = 0
    fixed: bool = False

    @property
    def room(self) -> int:
        """Rows that may still be added."""
        return 0 if self.fixed else MOST_ROWS - self.rows

    @property
    def end(self) -> int:
        """The first row number behind this segment: row numbers of a segment begin at a multiple of 64."""
        return self.first + (-(-self.rows // BLOCK) * BLOCK if self.fixed else MOST_ROWS)

    def level_of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The number of each row's level in LEVELS."""
        return np.zeros(len(rows), np.uint8) if self.levels is None else self.levels[rows]


def new_segment(dim: int, first: int, coded: bool) -> Segment:
    """An empty segment of float32 and int8 rows."""
    pools = {"f32": Pool(_empty(0, dim, np.float32)), "int8": Pool(_empty(0, dim, np.int8), np.empty(0, np.float32))}
    blocks = np.zeros((0, block_bytes(dim)), np.uint8) if coded else None
    return Segment(dim, first, np.empty(0, np.int64), pools, None, blocks)


def _empty(count: int, dim: int, kind: type) -> NDArray[Any]:
    return np.empty((count, dim), kind)


def _grown(array: NDArray[Any], used: int, needed: int) -> NDArray[Any]:
    """The array itself where it has room for `needed` items, else a copy twice as long."""
    if len(array) >= needed:
        return array
    length = min(max(needed, 2 * len(array), BLOCK), max(MOST_ROWS, needed))
    wider = np.empty((length, *array.shape[1:]), array.dtype)
    wider[:used] = array[:used]
    return wider


Form = tuple[NDArray[Any], Floats | None, NDArray[np.bool_] | None]
"""Values and scales of the rows that have a form, and which rows those are (None: all)."""


def write(
    segment: Segment, ids: NDArray[np.int64], forms: dict[str, Form], levels: NDArray[np.uint8] | None = None
) -> None:
    """Write rows behind those in use, without saying that they are there: that is `segment.rows += len(ids)`."""
    start, end = segment.rows, segment.rows + len(ids)
    segment.ids = _grown(segment.ids, start, end)
    segment.ids[start:end] = ids
    if segment.levels is None and levels is not None and levels.any():
        segment.levels = np.zeros(start, np.uint8)
    if segment.levels is not None:
        segment.levels = _grown(segment.levels, start, end)
        segment.levels[start:end] = 0 if levels is None else levels
    for name in POOLS:
        _write_form(segment, name, len(ids), forms.get(name))
    if segment.blocks is not None:
        segment.blocks = _grown_blocks(segment.blocks, -(-start // BLOCK), -(-end // BLOCK))


def _write_form(segment: Segment, name: str, count: int, form: Form | None) -> None:
    """Write one form of `count` new rows."""
    pool, start = segment.pools.get(name), segment.rows
    if form is None:
        if pool is None:
            return
        form = pool.values[:0], None if pool.scales is None else pool.scales[:0], np.zeros(count, bool)
    values, scales, has = form
    if pool is None:
        none = None if scales is None else np.empty(0, np.float32)
        slots = np.full(start, -1, np.int32) if start else None
        pool = segment.pools[name] = Pool(np.empty((0, segment.dim), values.dtype), none, slots)
    if pool.slots is None and has is not None and not has.all():
        pool.slots = np.arange(start, dtype=np.int32)
    used = start if pool.slots is None else pool.count  # a write that was broken off may have counted more
    needed = used + len(values)
    if pool.slots is not None:
        pool.slots = _grown(pool.slots, start, start + count)
        pool.slots[start : start + count] = -1
        pool.slots[start : start + count][slice(None) if has is None else has] = np.arange(used, needed)
    pool.values = _grown(pool.values, used, needed)
    pool.values[used:needed] = values
    if pool.scales is not None:
        pool.scales = _grown(pool.scales, used, needed)
        pool.scales[used:needed] = scales
    pool.count = needed


def extend(segment: Segment, source: Segment, own: NDArray[np.int64]) -> None:
    """Append these rows of another segment, each with what is kept of it."""
    forms: dict[str, Form] = {}
    for name, pool in source.pools.items():
        items = pool.items(own)
        has = None if pool.slots is None else items >= 0
        items = items if has is None else items[has]
        forms[name] = pool.values[items], None if pool.scales is None else pool.scales[items], has
    write(segment, source.ids[own], forms, source.level_of(own))
    if source.blocks is not None and segment.blocks is not None:
        halves, codes = unpack(source.blocks, own)
        pack(halves, codes, np.arange(segment.rows, segment.rows + len(own)), segment.blocks)
    segment.rows += len(own)


def _grown_blocks(blocks: NDArray[np.uint8], used: int, needed: int) -> NDArray[np.uint8]:
    if len(blocks) >= needed:
        return blocks
    wider = np.zeros((min(max(needed, 2 * len(blocks)), max(MOST_ROWS // BLOCK, needed)), blocks.shape[1]), np.uint8)
    wider[:used] = blocks[:used]
    return wider


def put_down(segment: Segment, rows: NDArray[np.int64], level: int) -> int:
    """Keep of these rows no more than `level` says; how many kept more until now. Pools are made anew."""
    rows = rows[segment.level_of(rows) < level]
    if not len(rows):
        return 0
    before = segment.level_of(np.arange(segment.rows))
    after = before.copy()
    after[rows] = level
    pools = {}
    for name, members in POOLS.items():
        kept = np.flatnonzero(np.isin(after, [LEVELS.index(member) for member in members]))
        if len(kept) == segment.rows and name in segment.pools and segment.pools[name].slots is None:
            pools[name] = segment.pools[name]
        else:
            pools[name] = _pool_of(segment, name, kept)
    segment.pools, segment.levels = {name: pool for name, pool in pools.items() if name != "f16" or pool.count}, after
    return len(rows)


def _pool_of(segment: Segment, name: str, kept: NDArray[np.int64]) -> Pool:
    """A pool of these rows alone."""
    slots = np.full(segment.rows, -1, np.int32)
    slots[kept] = np.arange(len(kept), dtype=np.int32)
    held = segment.pools.get(name)
    if name == "f16":
        return _halves_of(segment, held, kept, slots)
    assert held is not None
    items = held.items(kept)
    scales = held.scales[items] if held.scales is not None else None
    return Pool(held.values[items], scales, slots, len(kept))


def _halves_of(segment: Segment, held: Pool | None, kept: NDArray[np.int64], slots: NDArray[np.int32]) -> Pool:
    """A pool of half floats: those that are there, and the exact rows of the others, each by its largest item."""
    values, scales = np.empty((len(kept), segment.dim), np.float16), np.empty(len(kept), np.float32)
    had = held.items(kept) if held is not None else np.full(len(kept), -1)
    if held is not None and held.scales is not None:
        values[had >= 0], scales[had >= 0] = held.values[had[had >= 0]], held.scales[had[had >= 0]]
    pool = segment.pools["f32"]
    exact = pool.values[pool.items(kept[had < 0])]
    largest = np.abs(exact).max(axis=1, initial=np.float32(1e-30))
    values[had < 0], scales[had < 0] = exact / largest[:, None], largest
    return Pool(values, scales, slots, len(kept))


def rows_of(segment: Segment, rows: NDArray[np.int64], coding: Coding | None) -> Floats:
    """The vectors of these rows by the best that is kept of them."""
    found = np.zeros((len(rows), segment.dim), np.float32)
    missing = np.ones(len(rows), bool)
    for name in ("f32", "f16", "int8"):
        pool = segment.pools.get(name)
        if pool is None or not missing.any():
            continue
        items = pool.items(rows)
        now = missing & (items >= 0)
        found[now] = pool.values[items[now]]
        if pool.scales is not None:
            found[now] *= pool.scales[items[now], None]
        missing &= ~now
    if missing.any() and segment.blocks is not None and coding is not None:
        factors, _, signs = read_codes(segment.blocks, rows[missing], segment.dim)
        found[missing] = coding.mean + (factors * np.float32(coding.unit_f))[:, None] * signs
    return found


@dataclass(frozen=True)
class Coding:
    """What codes were made against: the mean of the rows, the units of f and k, and how many rows there were; and what
    a search may expect of them, as measured on a sample.

    `spread` is the error of the estimate of a row whose f is unit_f, for a query at distance 1 from the mean. `reach`
    is how many times unit_f the f of nearly every row is. `grain` is what half floats take from k. With `direct` the
    int8 forms are no better than the codes, as where one item of a row is much larger than the others. With `cut` some
    rows are so long beside the others that their codes had to be cut: every row is scored then.
    """

    mean: Floats
    unit_f: float
    unit_k: float
    rows: int
    spread: float = 0.0
    reach: float = 1.0
    grain: float = 0.0
    direct: bool = False
    cut: bool = False

    @property
    def units(self) -> tuple[float, float, float, float, float, int, int]:
        """What a snapshot takes of it."""
        return self.unit_f, self.unit_k, self.spread, self.reach, self.grain, int(self.direct), int(self.cut)


def read_codes(blocks: NDArray[np.uint8], rows: NDArray[np.int64], dim: int) -> tuple[Floats, Floats, Floats]:
    """f and k in their units, and the signs (-1, 1) of these rows of a segment."""
    factors, codes = unpack(blocks, rows)
    signs = np.unpackbits(codes, axis=1, count=dim, bitorder="little").astype(np.float32) * 2 - 1
    return factors[:, 0].astype(np.float32), factors[:, 1].astype(np.float32), signs


def unpack(blocks: NDArray[np.uint8], rows: NDArray[np.int64]) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """The halves (n, 2) and the bytes (n, code bytes) of these rows."""
    block, slot = rows // BLOCK, rows % BLOCK
    halves = blocks[:, : 4 * BLOCK].view(np.float16).reshape(len(blocks), 2, BLOCK)
    lines = blocks[:, 4 * BLOCK :].reshape(len(blocks), -1, BLOCK)
    return halves[block, :, slot], lines[block, :, PLACES[slot]]


def pack(halves: NDArray[np.float16], codes: NDArray[np.uint8], slots: NDArray[np.int64], blocks: NDArray[Any]) -> None:
    """Write halves and bytes of rows into these slots."""
    block, slot = slots // BLOCK, slots % BLOCK
    blocks[:, : 4 * BLOCK].view(np.float16).reshape(len(blocks), 2, BLOCK)[block, :, slot] = halves
    blocks[:, 4 * BLOCK :].reshape(len(blocks), -1, BLOCK)[block, :, PLACES[slot]] = codes
