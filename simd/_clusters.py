"""Centroids of vectors and the two lists that each vector goes to.

Centroids come from Lloyd's k-means on a sample. A vector's first list is that of its nearest centroid; the second is
chosen by orthogonality-amplified residuals (SOAR, Sun et al., arXiv 2404.00774): the centroid c' with the least
|x - c'|^2 + <r / |r|, x - c'>^2, where r = x - c is what the first one left over. A second list that errs in another
direction finds what the first one misses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Step = Callable[[str, float, float], None]

SAMPLE, ROUNDS = 65_536, 8
_AT_ONCE = 512  # rows whose distances to all centroids fit the cache
_HIGH, _WIDE = 16, 32


@dataclass(frozen=True)
class Assignment:
    """For each of some vectors the list of its nearest centroid and its second list, both int32."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]


def list_count(rows: int) -> int:
    """How many lists an inverted file over `rows` vectors has: 1024 for a quarter of a million, 2048 for a million."""
    return max(2, min(65_536, 1 << round(math.log2(max(2.0, 2.048 * rows**0.5)))))


def centroids(sample: Floats, count: int, step: Step, *, seed: int = 0, rounds: int = ROUNDS) -> Floats:
    """`count` centroids of a sample, float32 (count, dimension); fewer rows than that give some of them twice.

    `step` is called again and again with a line of text, work done and total work; what it raises ends the work.
    """
    chance = np.random.default_rng(seed)
    found = sample[
        chance.permutation(len(sample))[:count] if len(sample) >= count else chance.integers(0, len(sample), count)
    ]
    found = np.ascontiguousarray(found, np.float32)
    for number in range(rounds):
        nearest, near = _nearest(sample, found, step, (number, rounds))
        found = _means(sample, nearest, near, found)
    return found


@dataclass(frozen=True)
class Places:
    """Centroids made ready for products with many rows: with half their squares, and their products with each other.

    Products are taken a tile of 16 rows and 32 centroids at a time: for larger ones BLAS starts threads, which wait for
    each other where other programs run.
    """

    found: Floats
    half: Floats
    tiles: Floats

    @classmethod
    def of(cls, found: Floats) -> Places:
        """Of centroids (count, dimension)."""
        count, dim = found.shape
        padded = np.zeros((-(-count // _WIDE) * _WIDE, dim), np.float32)
        padded[:count] = found
        tiles = np.ascontiguousarray(padded.reshape(1, -1, _WIDE, dim).transpose(0, 1, 3, 2))
        return cls(found, _half_squares(found), tiles)

    def products(self, rows: Floats) -> Floats:
        """The product of each row with each centroid (rows, count)."""
        count, dim = rows.shape
        padded = rows
        if count % _HIGH:
            padded = np.zeros((-(-count // _HIGH) * _HIGH, dim), np.float32)
            padded[:count] = rows
        tiled = padded.reshape(-1, 1, _HIGH, dim) @ self.tiles
        flat: Floats = tiled.transpose(0, 2, 1, 3).reshape(len(padded), -1)
        return flat[:count, : len(self.found)]

    def pairs(self) -> Floats:
        """The product of each centroid with each."""
        return self.products(self.found)


def assign(rows: Floats, places: Places, pairs: Floats) -> Assignment:
    """The first and second list of each row; `pairs` are `places.pairs()`."""
    first, second = np.empty(len(rows), np.int32), np.empty(len(rows), np.int32)
    for at in range(0, len(rows), _AT_ONCE):
        part = rows[at : at + _AT_ONCE]
        products = places.products(part)
        nearest = np.argmax(products - places.half, axis=1)
        first[at : at + len(part)] = nearest
        second[at : at + len(part)] = _second(part, places, pairs, products, nearest)
    return Assignment(first, second)


def _second(
    part: Floats, places: Places, pairs: Floats, products: Floats, nearest: NDArray[np.int64]
) -> NDArray[np.int64]:
    """SOAR's list: the products of a residual with all centroids follow from those of the row and of its centroid."""
    residual = part - places.found[nearest]
    length = np.sqrt(np.einsum("ij,ij->i", residual, residual))
    scale = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    along = np.einsum("ij,ij->i", residual, part) * scale
    off = pairs[nearest]
    np.subtract(products, off, out=off)
    off *= scale[:, np.newaxis]
    np.subtract(along[:, np.newaxis], off, out=off)
    np.multiply(off, off, out=off)
    off *= np.float32(0.5)
    off += places.half
    off -= products
    off[np.arange(len(part)), nearest] = np.inf
    chosen: NDArray[np.int64] = np.argmin(off, axis=1)
    return chosen


def _half_squares(found: Floats) -> Floats:
    half: Floats = np.einsum("ij,ij->i", found, found) * np.float32(0.5)
    return half


def _nearest(sample: Floats, found: Floats, step: Step, of_rounds: tuple[int, int]) -> tuple[NDArray[np.int64], Floats]:
    """The nearest centroid of each row, and how near it is: x.c - |c|^2 / 2."""
    places = Places.of(found)
    nearest, near = np.empty(len(sample), np.int64), np.empty(len(sample), np.float32)
    for at in range(0, len(sample), _AT_ONCE):
        step("grouping a sample", of_rounds[0] + at / len(sample), of_rounds[1])
        products = places.products(sample[at : at + _AT_ONCE])
        products -= places.half
        best = np.argmax(products, axis=1)
        nearest[at : at + len(best)] = best
        near[at : at + len(best)] = products[np.arange(len(best)), best]
    return nearest, near


def _means(sample: Floats, nearest: NDArray[np.int64], near: Floats, before: Floats) -> Floats:
    """The mean of each group; an empty one takes a row that is farthest from its own centroid."""
    count = len(before)
    order = np.argsort(nearest, kind="stable")
    sizes = np.bincount(nearest, minlength=count)
    held = np.flatnonzero(sizes)
    starts = (np.cumsum(sizes) - sizes)[held]
    found = before.copy()
    found[held] = np.add.reduceat(sample[order], starts, axis=0) / sizes[held, np.newaxis].astype(np.float32)
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        squares = np.einsum("ij,ij->i", sample, sample)
        farthest = np.argsort(squares - 2 * near)[::-1][: len(empty)]
        found[empty[: len(farthest)]] = sample[farthest]
    return found
