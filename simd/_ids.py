"""Ids to rows: a sorted array, and a dictionary of what changed since it was sorted."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

_INT64 = np.dtype(np.int64)
_FEWEST_SORTED = 4096
_SHORT_MASK = 256
"""Words of a mask below which a byte for each of its bits is filled sooner than its words are."""


_SORTED_FOR_ONE = 3_000
"""Ids that are sorted in again in the time that a search with arrays in order saves."""


class Index:
    """The row of each id. Changes go through `put`, which tells the index to use from then on."""

    def __init__(self, ids: Ids, rows: Ids) -> None:
        self._given: tuple[Ids, Ids] | None = ids, rows  # sorted when it is first asked: a search needs no index
        self._sorted = ids[:0], rows[:0]
        self._recent: dict[int, int] = {}  # beside which a reader takes `_sorted` second: what goes there stands there
        self._asked = 0

    def _sort(self) -> None:
        given = self._given
        if given is None:
            return
        ids, rows = given
        if (ids[1:] <= ids[:-1]).any():
            order = np.argsort(ids, kind="stable")
            ids, rows = ids[order], rows[order]
        self._sorted = ids, rows
        self._given = None

    def find(self, ids: Ids) -> Ids:
        """The row of each id, -1 where there is none."""
        self._sort()
        recent = self._recent
        known, rows = self._sorted
        if len(known):
            places = known.searchsorted(ids)
            found = rows.take(places, mode="clip")
            found[known.take(places, mode="clip") != ids] = -1
        else:
            found = np.full(len(ids), -1, np.int64)
        if recent:
            get = recent.get
            changed = np.fromiter((get(one, -2) for one in ids.tolist()), np.int64, len(ids))
            np.copyto(found, changed, where=changed != -2)
        return found

    def in_order(self) -> tuple[Ids, Ids] | None:
        """All ids in order with their rows, arrays that never change; None while some changed since. Those are sorted
        in when this was asked so often since the last change that it pays. One thread at a time may ask or `put`."""
        self._sort()
        if self._recent:
            self._asked += 1
            if self._asked * _SORTED_FOR_ONE < len(self._sorted[0]):
                return None
            self._sorted = self._with_recent()
            self._recent = {}
        return self._sorted

    def _with_recent(self) -> tuple[Ids, Ids]:
        count = len(self._recent)
        changed = np.fromiter(self._recent, np.int64, count)
        numbers = np.fromiter(self._recent.values(), np.int64, count)
        order = np.argsort(changed)
        changed, numbers = changed[order], numbers[order]
        ids, rows = self._sorted
        if len(ids):
            places = ids.searchsorted(changed)
            places = places[ids.take(places, mode="clip") == changed]
            ids, rows = np.delete(ids, places), np.delete(rows, places)
        changed, numbers = changed[numbers >= 0], numbers[numbers >= 0]
        places = ids.searchsorted(changed)
        return np.insert(ids, places, changed), np.insert(rows, places, numbers)

    def put(self, ids: Ids, rows: Ids) -> Index:
        """Give each id a row, or -1 for none; this index changed, or a new one where many ids did."""
        self._sort()
        self._asked = 0
        if len(ids) + len(self._recent) <= max(_FEWEST_SORTED, len(self._sorted[0]) // 8):
            self._recent.update(zip(ids.tolist(), rows.tolist(), strict=True))
            return self
        parts_ids, parts_rows = [self._sorted[0]], [self._sorted[1]]
        if self._recent:
            parts_ids.append(np.fromiter(self._recent, np.int64, len(self._recent)))
            parts_rows.append(np.fromiter(self._recent.values(), np.int64, len(self._recent)))
        all_ids, all_rows = np.concatenate([*parts_ids, ids]), np.concatenate([*parts_rows, rows])
        order = np.argsort(all_ids, kind="stable")
        all_ids, all_rows = all_ids[order], all_rows[order]
        last = np.append(all_ids[1:] != all_ids[:-1], True)[: len(all_ids)]
        last &= all_rows >= 0
        return Index(all_ids[last], all_rows[last])

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, and about those of the dictionary."""
        held = self._given or self._sorted
        return held[0].nbytes + held[1].nbytes + 100 * len(self._recent)


def as_ids(given: Any, name: str = "ids") -> Ids:
    """A one-dimensional int64 array of what was given: an array of whole numbers, or an iterable of them.

    Raises TypeError for anything else and ValueError for more dimensions or a number beyond int64.
    """
    if type(given) is np.ndarray and given.dtype is _INT64 and given.ndim == 1 and given.flags.c_contiguous:
        return given
    if not isinstance(given, np.ndarray):
        return _from_iterable(given, name)
    refuse_masked(given, name)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold whole numbers (int64), got {given.dtype}")
    if given.ndim != 1:
        raise ValueError(f"{name} must have 1 dimension, got {given.ndim}")
    if given.dtype == np.uint64 and len(given) and given.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must fit int64, got {given.max()}")
    return np.ascontiguousarray(given, np.int64)


def _from_iterable(given: Iterable[Any], name: str) -> Ids:
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise TypeError(f"{name} must be whole numbers (int64), got {type(given).__name__}")
    items = list(given)
    if bool in set(map(type, items)):
        raise TypeError(f"{name} must be whole numbers (int64), got bool")
    try:
        return np.fromiter(map(index, items), np.int64, len(items))
    except TypeError:
        wrong = next(item for item in items if not hasattr(item, "__index__"))
        raise TypeError(f"{name} must be whole numbers (int64), got {type(wrong).__name__}") from None
    except OverflowError:
        wrong = next(item for item in items if not -(2**63) <= index(item) < 2**63)
        raise ValueError(f"{name} must fit int64, got {index(wrong)}") from None


def refuse_masked(given: Any, name: str) -> None:
    """Raise TypeError for an array with a mask, which would go unseen (numpy.ma is loaded where there is one)."""
    if type(given) is np.ndarray:
        return
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)  # another thread may be loading it just now
    if masked is not None and isinstance(given, masked):
        raise TypeError(f"{name} must not be a masked array: choose its items or fill them first")


def last_of_each(ids: Ids) -> NDArray[np.intp] | None:
    """The places to keep where an id stands more than once (its last), in order; None where none does."""
    if len(ids) < 2 or (ids[1:] > ids[:-1]).all():
        return None
    order = np.argsort(ids, kind="stable")
    arranged = ids[order]
    last = np.append(arranged[1:] != arranged[:-1], True)
    return None if last.all() else np.sort(order[last])


def distinct(ids: Ids) -> Ids:
    """The ids in order, each once (`np.unique` brings the whole of numpy.ma with it, two megabytes)."""
    ordered = np.sort(ids)
    return ordered if len(ids) < 2 else ordered[np.append(True, ordered[1:] != ordered[:-1])]


def set_bits(mask: NDArray[np.uint64], rows: Ids) -> None:
    """Set the bit of each row."""
    if len(mask) <= _SHORT_MASK:
        flags = np.zeros(64 * len(mask), np.bool_)
        flags[rows] = True
        mask |= np.packbits(flags, bitorder="little").view(np.uint64)
        return
    np.bitwise_or.at(mask, rows >> 6, np.left_shift(np.uint64(1), (rows & 63).astype(np.uint64)))


def clear_bits(mask: NDArray[np.uint64], rows: Ids) -> None:
    """Clear the bit of each row."""
    np.bitwise_and.at(mask, rows >> 6, ~np.left_shift(np.uint64(1), (rows & 63).astype(np.uint64)))


def rows_of_mask(mask: NDArray[np.uint64]) -> Ids:
    """The rows whose bit is set."""
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
