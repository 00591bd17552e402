"""A table of vectors as a file, and a file as a table: only the rows alive are written, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from aqe.simd import _rows, _vectors_file
from aqe.simd._ids import rows_of_mask
from aqe.simd._rows import BLOCK, LEVELS, POOLS, Coding, Pool, Segment
from aqe.simd._table import Table

if TYPE_CHECKING:
    from aqe.simd._ivf import Lists

_AT_ONCE = 1 << 14

LIST_ARRAYS = ("centroids", "scales", "starts", "blocks", "row_of")
LIST_FACTS = ("rows", "held", "clustered", "distance", "distance_now", "imbalance", "patience", "times")

MOST, MOST_PATIENCE, MOST_TIMES = 2**31 - 128, 1 << 20, 16
LARGEST_FLOAT, LEAST_UNIT = 3e38, 1e-40
FLAGS = {"direct", "cut"}
"""What the facts of a file may be: rows by int32, the effort of a search, numbers by float32."""

Array = NDArray[Any]
Floats = NDArray[np.float32]
Parts = list[tuple[Segment, NDArray[np.int64]]]


def save(path: Path, table: Table, live: NDArray[np.uint64], metric: str, lists: Lists | None, label: str = "") -> None:
    """Write the rows alive and, where there are, the lists over them, under a label; raises OSError."""
    facts, arrays = _told(table, live, metric, lists)
    _vectors_file.write(path, facts | ({"label": label} if label else {}), arrays)


def content(table: Table, live: NDArray[np.uint64], metric: str, lists: Lists | None) -> bytes:
    """What `save` writes, in memory."""
    return _vectors_file.content(*_told(table, live, metric, lists))


def _told(
    table: Table, live: NDArray[np.uint64], metric: str, lists: Lists | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts and arrays of a file."""
    table.look_at_all()  # nothing damaged is written under new sums
    parts = _alive(table, live)
    count = sum(len(own) for _, own in parts)
    facts: dict[str, Any] = {"dim": table.dim, "metric": metric, "rows": count}
    arrays: dict[str, Any] = {"ids": ("int64", (count,), (segment.ids[own] for segment, own in parts))}
    if any(segment.levels is not None for segment, _ in parts):
        arrays["levels"] = ("uint8", (count,), (segment.level_of(own) for segment, own in parts))
    if table.coding is not None:
        facts["coding"] = {name: value for name, value in vars(table.coding).items() if name != "mean"}
        arrays["mean"] = ("float32", (table.dim,), [table.coding.mean])
        shape = (-(-count // BLOCK), _rows.block_bytes(table.dim))
        arrays["codes"] = ("uint8", shape, _blocks(parts, shape))
    for name in POOLS:
        arrays |= _pools(name, parts, table.dim)
    if lists is not None and table.coding is not None:
        numbers = np.full(len(live) * BLOCK, -1, np.int32)
        before = rows_of_mask(live)
        numbers[before] = np.arange(count, dtype=np.int32)
        lists = lists.renumbered(numbers, int(np.searchsorted(before, lists.rows)))
        facts["lists"] = {name: getattr(lists, name) for name in LIST_FACTS}
        for name in LIST_ARRAYS:
            array = getattr(lists, name)
            arrays[f"lists {name}"] = (str(array.dtype), array.shape, [array])
    return facts, arrays


def _alive(table: Table, live: NDArray[np.uint64]) -> Parts:
    parts = []
    for segment in table.segments:
        own = rows_of_mask(live[segment.first // BLOCK : -(-(segment.first + segment.rows) // BLOCK)])
        parts.append((segment, own[own < segment.rows]))
    return parts


def _blocks(parts: Parts, shape: tuple[int, int]) -> Iterator[Array]:
    """The codes of all rows in blocks, without gaps between segments."""
    whole = np.zeros(shape, np.uint8)
    start = 0
    for segment, own in parts:
        assert segment.blocks is not None
        for at in range(0, len(own), _AT_ONCE):
            some = own[at : at + _AT_ONCE]
            halves, codes = _rows.unpack(segment.blocks, some)
            _rows.pack(halves, codes, np.arange(start, start + len(some)), whole)
            start += len(some)
    yield whole


def _pools(name: str, parts: Parts, dim: int) -> dict[str, Any]:
    """The arrays of one form: its values and, unless exact, their scales."""
    held = [(segment.pools[name], own) for segment, own in parts if name in segment.pools]
    items = [(pool, found[found >= 0]) for pool, own in held for found in [pool.items(own)]]
    count = sum(len(found) for _, found in items)
    if not count:
        return {}
    kind = str(items[0][0].values.dtype)
    arrays: dict[str, Any] = {name: (kind, (count, dim), _pieces(items))}
    if name != "f32":
        scales = (pool.scales[found] for pool, found in items if pool.scales is not None)
        arrays[f"{name} scales"] = ("float32", (count,), scales)
    return arrays


def _pieces(items: list[tuple[Pool, NDArray[np.int64]]]) -> Iterator[Array]:
    for pool, found in items:
        for start in range(0, len(found), _AT_ONCE):
            yield pool.values[found[start : start + _AT_ONCE]]


def kind(file: _vectors_file.File) -> tuple[int, Any]:
    """The dimension and the metric of a file; raises ValueError."""
    dim, metric = file.facts.get("dim"), file.facts.get("metric")
    if not _whole(dim, 1, 1 << 14) or not isinstance(metric, str):
        raise ValueError(f"{file.path} is not a file of vectors: its header names no dimension or metric")
    return int(dim), metric


def _whole(value: Any, least: int, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: Any) -> TypeGuard[float]:
    """Is it a finite number from 0 on, of a size that float32 has?"""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LARGEST_FLOAT


def _coding(file: _vectors_file.File, mean: Floats, facts: Any) -> Coding:
    """What the codes were made against; raises ValueError where a fact is missing or cannot be."""
    known = {field.name for field in fields(Coding)} - {"mean"}
    fits = isinstance(facts, dict) and {"unit_f", "unit_k", "rows"} <= facts.keys() <= known
    if fits:
        numbers = (value for name, value in facts.items() if name not in FLAGS)
        fits = all(map(_number, numbers)) and min(facts["unit_f"], facts["unit_k"]) >= LEAST_UNIT
        fits &= _whole(facts["rows"], 0, MOST) and all(isinstance(facts.get(name, False), bool) for name in FLAGS)
    if not fits or not np.isfinite(mean).all():
        raise ValueError(f"{file.path} is damaged: its header does not tell what its codes were made against")
    return Coding(mean, **facts)


def _list_facts(file: _vectors_file.File, facts: Any, rows: int) -> dict[str, Any]:
    """What is known of the lists; raises ValueError where a fact is missing or cannot be."""
    most = {"rows": rows, "held": MOST, "clustered": MOST, "patience": MOST_PATIENCE, "times": MOST_TIMES}
    fits = isinstance(facts, dict) and facts.keys() == set(LIST_FACTS)
    fits = fits and all(_whole(facts[name], 0, end) for name, end in most.items())
    fits = fits and all(_number(facts[name]) for name in LIST_FACTS if name not in most)
    if not fits or min(facts["patience"], facts["times"]) < 1:
        raise ValueError(f"{file.path} is damaged: its header does not tell what its lists are")
    return dict(facts)


def fill(table: Table, file: _vectors_file.File) -> int:
    """Make one segment of a file's arrays; returns the number of rows. Raises ValueError where they do not fit."""
    arrays, dim = file.arrays, table.dim
    if not _whole(file.facts.get("rows"), 0, MOST):
        raise ValueError(f"{file.path} is damaged: its header does not tell how many rows there are")
    file.look_at(("ids", "levels", "mean"))
    table.guard = file.guard
    ids = _wanted(file, "ids", "int64", (file.facts["rows"],))
    levels = arrays.get("levels")
    if levels is not None:
        _wanted(file, "levels", "uint8", ids.shape)
        if len(levels) and levels.max() >= len(LEVELS):
            raise ValueError(f"{file.path} is damaged: it names a level that there is not")
    pools = {}
    for name, members in POOLS.items():
        has = None if levels is None else np.isin(levels, [LEVELS.index(member) for member in members])
        count = (len(ids) if name != "f16" else 0) if has is None else int(has.sum())
        if count or name != "f16":
            pools[name] = _pool(file, name, count, dim, has)
    blocks = None
    if "codes" in arrays:
        blocks = _wanted(file, "codes", "uint8", (-(-len(ids) // BLOCK), _rows.block_bytes(dim)))
        mean = np.array(_wanted(file, "mean", "float32", (dim,)))
        table.coding = _coding(file, mean, file.facts.get("coding"))
    elif levels is not None and (levels == LEVELS.index("bits")).any():
        raise ValueError(f"{file.path} is damaged: rows have nothing but codes, and there are none")
    table.bits = levels is not None
    table.segments = [Segment(dim, 0, ids, pools, levels, blocks, len(ids), fixed=True)]
    return len(ids)


def lists_of(file: _vectors_file.File, table: Table) -> Lists | None:
    """The lists that a file holds over its rows, None where it holds none; raises ValueError where they do not fit."""
    facts = file.facts.get("lists")
    if facts is None or table.coding is None:
        return None
    facts = _list_facts(file, facts, table.rows)
    file.look_at(f"lists {name}" for name in LIST_ARRAYS if name != "blocks")
    scales = file.arrays.get("lists scales")
    count = len(scales) if scales is not None else 0
    starts = np.array(_wanted(file, "lists starts", "int64", (count + 1,)))  # its own: a search goes by them
    blocks = int(starts[-1])
    row_of = _wanted(file, "lists row_of", "int32", (blocks * BLOCK,))
    fits = starts[0] == 0 and (np.diff(starts) >= 0).all() and count > 0
    if not fits or (blocks and row_of.max() >= table.rows):
        raise ValueError(f"{file.path} is damaged: its lists are not of its rows")
    from aqe.simd._ivf import Lists

    return Lists(
        centroids=_wanted(file, "lists centroids", "int8", (count, table.dim)),
        scales=_wanted(file, "lists scales", "float32", (count,)),
        starts=starts,
        blocks=_wanted(file, "lists blocks", "uint8", (blocks, _rows.block_bytes(table.dim))),
        row_of=row_of,
        coding=table.coding,
        **facts,
    )


def _pool(file: _vectors_file.File, name: str, count: int, dim: int, has: NDArray[np.bool_] | None) -> Pool:
    types = {"f32": "float32", "f16": "float16", "int8": "int8"}
    empty = np.empty((0, dim), types[name])
    values = _wanted(file, name, types[name], (count, dim)) if count else empty
    scales = None
    if name != "f32":
        scales = _wanted(file, f"{name} scales", "float32", (count,)) if count else np.empty(0, np.float32)
    slots = None
    if has is not None:
        slots = np.where(has, np.cumsum(has) - 1, -1).astype(np.int32)
    return Pool(values, scales, slots, count)


def _wanted(file: _vectors_file.File, name: str, kind: str, shape: tuple[int, ...]) -> Array:
    """An array of the file that must be there as told."""
    found = file.arrays.get(name)
    if found is None or found.dtype != np.dtype(kind) or found.shape != shape:
        raise ValueError(f"{file.path} is damaged: its {name} are missing or of another shape")
    return found
