"""What a sample of rows says about their codes: units, and how wrong estimates and int8 forms are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe import simd
from aqe.simd._rows import Coding

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]

L2 = 2
QUERIES, NEIGHBOURS = 64, 1024
_OTHERS = slice(QUERIES, QUERIES + NEIGHBOURS)
_FEW = 10
"""Rows that are asked as queries; rows whose estimates are held to the truth, and where they stand in a sample; how
many of these the scores of a query must tell apart."""

_LARGEST_HALF, _HEADROOM, _MOST_LIFT = 65504.0, 4.0, 1024.0
"""Of half floats; how much longer than those of the sample rows may be; and what usual rows lose nothing by."""

_HALF, _NEARLY_ALL, _COARSE = 2.0**-11, 99.9, 0.25
"""The rounding of half floats; what share of rows `reach` and `grain` are for; when int8 forms are of no use."""

_MOST_QUERIES, _WORSE, _WORSE_ELSEWHERE = 75, 1.3, 1.5
"""What share of rows as queries `spread` is for; how much worse it may be for another one, and for a query that is no
row, until it is for the worst instead. In embeddings of code it is worse by 1.06 to 1.26; by 1.4 to 2.9 where some
items are five times the others or more, since a query is then as hard to judge as it is large in those; by 2 to 80
where rows stand in a few heaps: codes nearly the same, right for the rows of the heap and wrong together for others."""


def coding_of(sample: Floats, mean: Floats, count: int, metric: int, kernels: Any) -> Coding:
    """The coding of `count` rows with this mean, of which `sample` are some."""
    rest = sample - mean
    squares = np.einsum("ij,ij->i", rest, rest, dtype=np.float64)
    sums = np.abs(rest).sum(axis=1, dtype=np.float64)
    f = np.divide(squares, sums, out=np.zeros_like(sums), where=sums > 0)
    k = squares / 2 if metric == L2 else np.einsum("ij,j->i", rest, mean, dtype=np.float64)
    unit, unit_k = _unit(f), _usual(k) if metric == L2 else _unit(k)
    reach = max(1.0, float(np.percentile(f, _NEARLY_ALL)) / unit)
    grain = _HALF * float(np.percentile(np.abs(k), _NEARLY_ALL))
    spread, direct = 0.0, False
    if len(sample) >= 2 * QUERIES:
        costs = k if metric == L2 else -k
        asked = np.concatenate([rest[:QUERIES], _unlike_rows(sample) - mean])
        near, scores, errors = _estimated(asked, rest, costs, f)
        spread = unit * _spread(asked, errors)
        wrong = np.sqrt(np.mean((errors * f[_OTHERS][near])[:QUERIES] ** 2))
        rounded, lost = _int8_errors(sample, near[:QUERIES], metric, kernels)
        direct = bool(rounded > _COARSE * wrong) or lost > _told_apart(scores[:QUERIES])
    return Coding(mean, unit, unit_k, count, spread, reach, grain, direct)


def measured_again(coding: Coding, sample: Floats, count: int, metric: int, kernels: Any) -> Coding:
    """The same codes among the rows that there are now: what a search expects of them is no more than either says."""
    now = coding_of(sample, coding.mean, count, metric, kernels)
    share = coding.unit_f / now.unit_f
    return replace(
        coding,
        rows=count,
        spread=max(coding.spread, now.spread * share),
        reach=max(coding.reach, now.reach / share),
        grain=max(coding.grain, now.grain),
        direct=coding.direct or now.direct,
    )


def _usual(values: Wide) -> float:
    """The usual size of values: half floats reach from a millionth of it to 65,504 times it."""
    sizes = np.abs(values[values != 0])
    size = float(np.median(sizes)) if len(sizes) else 0.0
    return float(np.float32(size)) if size > 1e-30 else 1.0


def _unit(values: Wide) -> float:
    """The usual size, or as much more as the largest values call for and the usual ones can do with."""
    size, most = _usual(values), float(np.abs(values).max(initial=0))
    return size * min(max(1.0, _HEADROOM * most / (_LARGEST_HALF * size)), _MOST_LIFT)


def _products(queries: Floats, rows: Floats) -> Wide:
    """The product of each query with each row (`@` would leave a thread of BLAS spinning, and its memory)."""
    return np.stack([simd.matvec(rows, query) for query in queries]).astype(np.float64)


def _unlike_rows(sample: Floats) -> Floats:
    """Queries that are no rows: random directions of the usual length, points half-way between two rows, opposites."""
    rows, others = sample[:QUERIES], sample[QUERIES : QUERIES + QUERIES // 2]
    noise = np.random.default_rng(1).standard_normal(rows.shape, np.float32)
    noise *= np.float32(np.median(np.linalg.norm(rows, axis=1))) / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.concatenate([noise, (rows[: len(others)] + others) / np.float32(2), -others])


def _estimated(queries: Floats, rest: Floats, costs: Wide, f: Wide) -> tuple[NDArray[np.intp], Wide, Wide]:
    """For queries about the mean: which of some rows are nearest (a tenth), what these score, and the error by f of
    the estimate of (q - mean).(x - mean) of each of them."""
    rest, costs, f = rest[_OTHERS], costs[_OTHERS], f[_OTHERS]
    products = _products(queries, rest)
    tenth = max(1, len(rest) // 10)
    near = np.argpartition(costs - products, tenth - 1, axis=1)[:, :tenth]
    errors = _products(queries, np.sign(rest)) - np.divide(products, f, out=np.zeros_like(products), where=f > 0)
    return near, np.take_along_axis(products - costs, near, axis=1), np.take_along_axis(errors, near, axis=1)


def _spread(queries: Floats, errors: Wide) -> float:
    """The usual error of queries at distance 1 from the mean, of which the first are rows; the worst where that is so
    much worse that the usual one says nothing of it."""
    lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))
    each = np.sqrt(np.mean(errors**2, axis=1)) / np.maximum(lengths, 1e-30)
    usual = float(np.percentile(each[:QUERIES], _MOST_QUERIES))
    is_usual = each[:QUERIES].max() <= _WORSE * usual and each.max() <= _WORSE_ELSEWHERE * usual
    return usual if is_usual else float(each.max())


def _told_apart(scores: Wide) -> float:
    """By how much the scores of the nearest few rows differ, for half of the queries."""
    few = -np.sort(-scores, axis=1)[:, :_FEW]
    return float(np.median(few.std(axis=1)))


def _int8_errors(sample: Floats, near: NDArray[np.intp], metric: int, kernels: Any) -> tuple[float, float]:
    """The error of products with the int8 forms of the rows that are near, and that of scores by them."""
    rows = np.ascontiguousarray(sample[_OTHERS])
    values, scales = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
    kernels.int8(rows, values, scales)
    off = rows - values * scales[:, None]
    errors = np.take_along_axis(_products(sample[:QUERIES], off), near, axis=1)
    of_scores = errors - (np.einsum("ij,ij->i", rows, off, dtype=np.float64)[near] if metric == L2 else 0.0)
    return float(np.sqrt(np.mean(errors**2))), float(np.sqrt(np.mean(of_scores**2)))
