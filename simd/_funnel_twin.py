"""The funnel in NumPy: every row is scored by the best that is kept of it, so nothing is missed and nothing is fast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd._guard import PIECE, looked, sums_of
from aqe.simd._ivf_twin import Lists, probe
from aqe.simd._rows import BLOCK, pack, read_codes

Floats = NDArray[np.float32]
Masks = NDArray[np.uint64]

DOT, COSINE, L2 = range(3)
LARGEST_HALF = 65504

LARGEST = 1e15
"""Items beyond this are refused for dot and l2: sums of their squares would leave float32."""

_ROWS_AT_ONCE = 4096


class Snapshot:
    """What one search sees; the interface of `_funnel.Snapshot`."""

    def __init__(
        self,
        metric: int,
        dim: int,
        mean: Floats | None,
        units: tuple[float, ...],
        live: Masks,
        segments: Sequence[tuple[Any, ...]],
        guard: tuple[Any, Any, Any] | None = None,
    ) -> None:
        self._metric, self._dim, self._mean, self._units = metric, dim, mean, units
        self._guard = guard
        self._live, self._segments = live, segments

    def search(
        self, query: Floats, k: int, candidates: int, allow: Masks | None, ids: NDArray[np.int64], scores: Floats
    ) -> int:
        """Write the best k ids and scores, best first, and say how many; `candidates` changes nothing here."""
        if getattr(query, "dtype", None) != np.float32 or query.shape != (self._dim,):
            raise TypeError(f"query must be {self._dim} items of float32")
        query = prepared(query, self._metric)
        best_ids: list[NDArray[np.int64]] = []
        best: list[Floats] = []
        for segment in self._segments:
            first, rows, held = segment[:3]
            words = slice(first // BLOCK, -(-(first + rows) // BLOCK))
            mask = self._live[words] if allow is None else self._live[words] & allow[words]
            wanted = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")[:rows])
            for start in range(0, len(wanted), _ROWS_AT_ONCE):
                part = wanted[start : start + _ROWS_AT_ONCE]
                best.append(self._scores(segment, part, query))
                best_ids.append(held[part])
        self._look()
        if not best:
            return 0
        found, all_ids = np.concatenate(best), np.concatenate(best_ids)
        order = np.argsort(found if self._metric == L2 else -found, kind="stable")[:k]
        ids[: len(order)], scores[: len(order)] = all_ids[order], found[order]
        return len(order)

    def measure(
        self,
        query: Floats,
        wanted: NDArray[np.int64],
        ids: NDArray[np.int64] | None,
        rows: NDArray[np.int64] | None,
        scores: Floats,
    ) -> None:
        """Write the score of each row that is wanted, NaN where there is none or only its code is kept."""
        if getattr(query, "dtype", None) != np.float32 or query.shape != (self._dim,):
            raise TypeError(f"query must be {self._dim} items of float32")
        query, places = prepared(query, self._metric), wanted
        self._look()
        if ids is not None and rows is not None:
            found = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
            places = np.where(ids[found] == wanted, rows[found], -1) if len(ids) else np.full(len(wanted), -1)
        scores[: len(wanted)] = np.nan
        for segment in self._segments:
            own = np.flatnonzero((places >= segment[0]) & (places < segment[0] + segment[1]))
            at = places[own] - segment[0]
            kept = np.zeros(len(at), bool)
            for values, slots in (segment[4:7:2], segment[7:10:2], segment[10:13:2]):
                if values is not None:
                    kept |= True if slots is None else slots[at] >= 0
            scores[own[kept]] = self._scores(segment, at[kept], query)

    def probe(
        self,
        query: Floats,
        k: int,
        candidates: int,
        lists: Lists,
        patience: int,
        tail: int,
        ids: NDArray[np.int64],
        scores: Floats,
    ) -> tuple[int, int]:
        """The same over the lists of an inverted file, and over the rows from `tail` on; also how many codes of lists
        and rows were looked at."""
        query = prepared(query, self._metric)
        self._look()
        live = np.flatnonzero(np.unpackbits(self._live.view(np.uint8), bitorder="little"))
        outside = live[live >= tail]
        alive = np.zeros(max(len(self._live) * BLOCK, 1), bool)
        alive[live] = True

        def score(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
            rows = rows[(rows >= 0) & (rows < len(alive))]  # a mapped list may have changed to anything
            rows = rows[alive[rows]]
            found = np.empty(len(rows), np.float32)
            for segment in self._segments:
                own = np.flatnonzero((rows >= segment[0]) & (rows < segment[0] + segment[1]))
                found[own] = self._scores(segment, rows[own] - segment[0], query)
            return rows, -found if self._metric == L2 else found

        order = lists.order(query, self._metric)
        (rows, best), looked = probe(lists, order, k, patience, score, score(outside))
        order = np.argsort(-best, kind="stable")[:k]
        rows, best = rows[order], best[order]
        for segment in self._segments:
            own = np.flatnonzero((rows >= segment[0]) & (rows < segment[0] + segment[1]))
            ids[own] = segment[2][rows[own] - segment[0]]
        scores[: len(rows)] = -best if self._metric == L2 else best
        return len(rows), looked * BLOCK + len(outside)

    def _look(self) -> None:
        """Hold everything that is mapped against its sums: all of it is read for every answer."""
        if self._guard is not None:
            data, sums, seen = self._guard
            if not seen[:-1].all():
                looked(data, sums, seen, np.arange(len(sums)) * PIECE, PIECE)
            if seen[-1]:
                raise ValueError("the file of these vectors is damaged: what was read is not what was saved")

    def _scores(self, segment: tuple[Any, ...], rows: NDArray[np.int64], query: Floats) -> Floats:
        found = np.empty(len(rows), np.float32)
        missing = np.ones(len(rows), bool)
        for values, scales, slots in (segment[4:7], segment[7:10], segment[10:13]):
            if values is None or not missing.any():
                continue
            items = rows if slots is None else slots[rows]
            now = missing & (items >= 0)
            taken = values[items[now]].astype(np.float32)
            if scales is not None:
                taken *= scales[items[now], None]
            found[now] = measured_scores(taken, query, self._metric)
            missing &= ~now
        if missing.any():
            found[missing] = self._estimates(segment[3], rows[missing], query)
        return found

    def _estimates(self, blocks: NDArray[np.uint8], rows: NDArray[np.int64], query: Floats) -> Floats:
        assert self._mean is not None
        f, k, signs = read_codes(blocks, rows, self._dim)
        gap = query - self._mean
        found: Floats = f * np.float32(self._units[0]) * (signs @ gap) + k * np.float32(self._units[1])
        if self._metric == L2:
            return np.maximum(gap @ gap - 2 * found, 0, dtype=np.float32)
        found = found + query @ self._mean
        return _within_one(found) if self._metric == COSINE else found


def prepared(query: Floats, metric: int) -> Floats:
    """The query, brought to length one for cosine; raises ValueError where it is not finite."""
    if not (np.abs(query) <= (np.finfo(np.float32).max if metric == COSINE else LARGEST)).all():
        raise ValueError("query holds NaN, infinity or, but for cosine, an item beyond 1e15")
    if metric != COSINE:
        return query
    found: Floats = unit(query[None])[0]
    return found


def unit(rows: Floats) -> Floats:
    """Rows brought to length one, whatever their scale; zero rows stay zero."""
    wide = rows.astype(np.float64)
    largest = np.abs(wide).max(axis=1, initial=0)[:, None]
    wide = np.divide(wide, largest, out=wide, where=largest > 0)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    found: Floats = np.divide(wide, lengths, out=wide, where=lengths > 0).astype(np.float32)
    return found


def measured_scores(rows: Floats, query: Floats, metric: int) -> Floats:
    """The score of each row with a prepared query."""
    with np.errstate(over="ignore", invalid="ignore"):
        if metric == L2:
            gaps = rows - query
            distances: Floats = np.einsum("ij,ij->i", gaps, gaps)
            return distances
        products: Floats = rows @ query
        return _within_one(products) if metric == COSINE else products


def _within_one(cosines: Floats) -> Floats:
    found: Floats = np.clip(cosines, -1, 1)
    return found


class Kernels:
    """The functions of the path `numpy`; the interface of `_funnel.Kernels`."""

    name = "numpy"

    def snapshot(self, *parts: Any) -> Snapshot:
        """What a search sees."""
        return Snapshot(*parts)

    def lists(self, *parts: Any) -> Lists:
        """The lists of an inverted file, as `Snapshot.probe` takes them."""
        return Lists(*parts)

    def sums(self, data: Any, out: NDArray[np.uint64]) -> None:
        """Write the sum of each piece of these bytes."""
        out[:] = sums_of(np.frombuffer(data, np.uint8))

    def look(self, *parts: Any) -> None:
        """Look at pieces of a file that were not seen."""
        looked(*parts)

    def unit(self, rows: Floats, out: Floats) -> None:
        """Write the rows, brought to length one."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            out[start : start + _ROWS_AT_ONCE] = unit(rows[start : start + _ROWS_AT_ONCE])

    def bound(self, query: Floats, values: NDArray[np.int8], scales: Floats) -> float:
        """The highest product of the query, brought to length one, with rows of int8; 1 where that is not to be had."""
        if getattr(query, "dtype", None) != np.float32 or query.shape != values.shape[1:]:
            raise TypeError(f"query must be {values.shape[1]} items of float32")
        with np.errstate(over="ignore"):
            square = float(query @ query)
        if not 1e-20 < square < 1e20:
            return math.nan if math.isnan(square) else 1.0
        return float((values.astype(np.float32) @ query * scales).max()) / math.sqrt(square)

    def int8(self, rows: Floats, values: NDArray[np.int8], scales: Floats) -> None:
        """Write int8 values (n, dim) and the scale of each row."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            largest = np.abs(part).max(axis=1, initial=0)
            factors = np.divide(127, largest, out=np.zeros_like(largest), where=largest > 1e-30)
            values[start : start + len(part)] = np.rint(part * factors[:, None])
            scales[start : start + len(part)] = largest / 127

    def encode(
        self,
        metric: int,
        units: tuple[float, float],
        rows: Floats,
        centre: Floats,
        mean: Floats,
        slots: NDArray[np.int64] | int,
        blocks: NDArray[np.uint8],
    ) -> int:
        """Write the codes of rows into their slots, and say how many were cut."""
        cut = 0
        places = np.arange(slots, slots + len(rows)) if isinstance(slots, int) else slots
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            factors, codes = _codes(metric, units, part, centre, mean)
            cut += int((factors > LARGEST_HALF).any(axis=1).sum())
            halves = np.clip(factors, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
            pack(halves, codes, places[start : start + len(part)], blocks)
        return cut


def _codes(
    metric: int, units: tuple[float, float], rows: Floats, centre: Floats, mean: Floats
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """The factors, in their units, and the bytes of rows against a centre."""
    rest = (rows - centre).astype(np.float64)
    signs = rest > 0
    squares, sums = np.einsum("ij,ij->i", rest, rest), np.abs(rest).sum(axis=1)
    f = np.divide(squares, sums, out=np.zeros_like(sums), where=sums > 0)
    away = (centre - mean).astype(np.float64)
    k = -f * ((signs * 2.0 - 1) @ away)
    k += -squares / 2 if metric == L2 else rest @ centre.astype(np.float64)
    halves = np.stack([f / units[0], k / units[1]], axis=1)
    return halves, np.packbits(signs, axis=1, bitorder="little")


PATHS = {"numpy": Kernels()}
