"""What a sample of rows says about their codes: units, and how wrong estimates and int8 forms are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe import simd
from aqe.simd._rows import Coding

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]

L2 = 2
QUERIES, NEIGHBOURS = 64, 1024

_LARGEST_HALF, _HEADROOM, _MOST_LIFT = 65504.0, 4.0, 1024.0
"""Of half floats; how much longer than those of the sample rows may be; and what usual rows lose nothing by."""

_HALF, _NEARLY_ALL, _COARSE = 2.0**-11, 99.9, 0.25
"""The rounding of half floats; what share of rows `reach` and `grain` are for; when int8 forms are of no use."""

_MOST_QUERIES, _UNLIKE = 75, 1.3
"""What share of queries `spread` is for; how much worse it may be for another one until it is for the worst instead. In
embeddings of code it is worse by 1.06 to 1.2; by 1.4 to 2.9 where some items are five times the others or more, since a
query is then as hard to judge as it is large in those."""


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
        near, errors, lengths = _errors(rest, k if metric == L2 else -k, f)
        each = np.sqrt(np.mean(np.take_along_axis(errors / lengths, near, axis=1) ** 2, axis=1))
        usual, worst = float(np.percentile(each, _MOST_QUERIES)), float(each.max())
        spread = unit * (worst if worst > _UNLIKE * usual else usual)
        wrong = np.sqrt(
            np.mean(np.take_along_axis(errors * f[None, QUERIES : QUERIES + NEIGHBOURS], near, axis=1) ** 2)
        )
        direct = bool(_int8_error(sample, near, kernels) > _COARSE * wrong)
    return Coding(mean, unit, unit_k, count, spread, reach, grain, direct)


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


def _errors(rest: Floats, costs: Wide, f: Wide) -> tuple[NDArray[np.intp], Wide, Wide]:
    """For some rows as queries: which others are nearest (a tenth), the error by f of each one's estimate of
    (q - mean).(x - mean), and |q - mean|."""
    queries, others = rest[:QUERIES], slice(QUERIES, QUERIES + NEIGHBOURS)
    rest, costs, f = rest[others], costs[others], f[others]
    products = _products(queries, rest)
    errors = _products(queries, np.sign(rest)) - np.divide(products, f, out=np.zeros_like(products), where=f > 0)
    tenth = max(1, len(rest) // 10)
    near = np.argpartition(costs - products, tenth - 1, axis=1)[:, :tenth]
    lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))[:, None]
    return near, errors, np.maximum(lengths, 1e-30)


def _int8_error(sample: Floats, near: NDArray[np.intp], kernels: Any) -> float:
    """The error of products with the int8 forms of the rows that are near."""
    rows = np.ascontiguousarray(sample[QUERIES : QUERIES + NEIGHBOURS])
    values, scales = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
    kernels.int8(rows, values, scales)
    errors = _products(sample[:QUERIES], rows - values * scales[:, None])
    return float(np.sqrt(np.mean(np.take_along_axis(errors, near, axis=1) ** 2)))
