"""What simd/postings/listed.c does, in NumPy: what runs where nothing was compiled."""

from __future__ import annotations

import re
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqe.simd._ids import Ids

_LIST = re.compile(r"[0-9]{1,18}(?:,[0-9]{1,18})*")
Scores = NDArray[np.float64]


def rank(
    lists: tuple[str, ...], lengths: NDArray[np.int32], documents: float, mean: float, k1: float, b: float
) -> tuple[Ids, Scores, Ids]:
    found = [_read(text) for text in lists]
    none = np.zeros(0, np.int64), np.zeros(0, np.float64)
    if not any(len(rows) for rows, _ in found):
        return *none, none[0]
    rows = np.concatenate([rows for rows, _ in found])
    held = rows < len(lengths)
    length = np.zeros(len(rows), np.float64)
    length[held] = lengths[rows[held]]
    if not (length > 0).all():
        return *none, rows[length <= 0]
    often = np.concatenate([often for _, often in found])
    weights = np.repeat([_weight(documents, len(rows)) for rows, _ in found], [len(rows) for rows, _ in found])
    parts = weights * (often * (k1 + 1.0) / (often + k1 * (1 - b + b * length / mean)))
    made, places = np.unique(rows, return_inverse=True)
    sums: Any = np.bincount(places, weights=parts)  # one after the other, in the order of the lists
    return made, sums, none[0]


def best_of(
    rows: Ids, scores: Scores, groups: NDArray[np.int32] | None, among: NDArray[np.bool_] | None, k: int
) -> tuple[Ids, Scores]:
    if not (len(rows) == len(scores) and (among is None or groups is None or len(groups) == len(rows))):
        raise ValueError("rows, scores and groups must be equally many")
    if among is not None and groups is not None:
        known = (groups >= 0) & (groups < len(among))
        known[known] = among[groups[known]]
        rows, scores = rows[known], scores[known]
    order = np.argsort(-scores, kind="stable")[:k]
    return rows[order], scores[order]


def _read(text: str) -> tuple[Ids, Scores]:
    """The rows of a list, and how often each stands there."""
    if not isinstance(text, str):
        raise TypeError("a list must be a string")
    if text and not _LIST.fullmatch(text):
        raise ValueError("a list must be of row numbers, rising, with commas between")
    listed = np.array(text.split(",") if text else [], np.int64)
    if (listed[1:] < listed[:-1]).any():
        raise ValueError("a list must be of row numbers, rising, with commas between")
    rows, often = np.unique(listed, return_counts=True)
    return rows, often.astype(np.float64)


def _weight(documents: float, count: int) -> float:
    share = (documents - count + 0.5) / (count + 0.5)
    weight = log(share) if share > 0 else 0.0
    return weight if weight > 0 else 1e-6
