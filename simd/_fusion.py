"""Words and meaning made one score: the sum of standard scores of both sides of a search.

Each side becomes (score - mean) / standard deviation over the candidates of the query, so that neither needs a scale,
then they are summed with a share for each (method: z-score combination, Fox and Shaw's CombSUM on standardised scores,
TREC-2 1994; Montague and Aslam 2001). On this project's measurements it beats reciprocal ranks (docs/retrieval.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aqe import simd
from aqe.simd._given import as_k
from aqe.simd._ids import Ids, as_ids

DIGITS = 6
"""Cosines are rounded, so that equal vectors are equally near."""

Found = tuple[int, float, float | None, float | None]
"""A row, its place between the worst (0) and the best (1), and what each side said of it."""


class Apart(NamedTuple):
    """The share of `near` where it is not one for all: `other` for the ids that are `marked` (by place; none is
    beyond its end), `share` for all others."""

    share: float
    other: float
    marked: NDArray[np.bool_]


class Fused(NamedTuple):
    """One candidate: `score` is its place between the worst (0) and the best (1). `text` and `near` are what came in,
    None where that side did not have it; the standard scores of both, the share of `near`, and what was added."""

    row: int
    score: float
    text: float | None
    near: float | None
    prior: float
    text_standard: float
    near_standard: float
    share: float


def fuse(
    text: Mapping[int, float],
    near: Mapping[int, float],
    share: float | Mapping[int, float],
    k: int,
    *,
    prior: Mapping[int, float] | None = None,
) -> list[Fused]:
    """The `k` best candidates of either side by share * near + (1 - share) * text, both as standard scores, plus their
    `prior`; best first, equals by row.

    A row that `text` does not have counts 0 there (no word of the query), one that `near` does not have as average. A
    `share` (0 to 1) may be of each row. Raises ValueError and TypeError for what does not fit.

    >>> [(one.row, round(one.score, 6)) for one in fuse({1: 2.0, 2: 1.0}, {1: 0.5, 3: 0.9}, 0.75, 2)]
    [(3, 1.0), (2, 0.5)]
    """
    wanted = as_k(k)
    shares = share.values() if isinstance(share, Mapping) else (share,)
    if not all(0 <= one <= 1 for one in shares):
        raise ValueError("share must be from 0 to 1")
    if simd.active() != "numpy":
        try:
            from aqe.simd._postings import fuse as compiled
        except ImportError:
            pass
        else:
            shared = _as_dict(share) if isinstance(share, Mapping) else float(share)
            added = None if prior is None else _as_dict(prior)
            return [*map(Fused._make, compiled(_as_dict(text), _as_dict(near), shared, added, min(wanted, 2**31)))]
    return _fuse(text, near, share, prior or {})[:wanted]


def fuse_sides(
    text: tuple[Ids, NDArray[np.float64]],
    cosines: NDArray[np.float32],
    near: tuple[Ids, NDArray[np.float32]],
    words: NDArray[np.float64],
    share: float | Apart,
    k: int,
) -> list[Found]:
    """As `fuse`, of arrays: the ids and BM25 scores of what the words found with the cosine of each (NaN: none), and
    the ids and cosines of what was near with the BM25 score of each (0: no word). Cosines are rounded to six digits. A
    `share` may be another for some ids.

    Raises ValueError and TypeError for what does not fit, as for a row that stands twice on a side.

    >>> import numpy as np
    >>> text = np.array([1, 2]), np.array([2.0, 1.0])
    >>> near = np.array([1, 3]), np.array([0.5, 0.9], np.float32)
    >>> found = fuse_sides(text, np.array([0.5, np.nan], np.float32), near, np.array([2.0, 0.0]), 0.75, 2)
    >>> [(row, round(score, 6), by_text, by_near) for row, score, by_text, by_near in found]
    [(3, 1.0, None, 0.9), (2, 0.5, 1.0, None)]
    """
    wanted = as_k(k)
    if not is_share(share):
        raise ValueError("share must be from 0 to 1")
    if isinstance(share, Apart):
        share = Apart(float(share.share), float(share.other), np.ascontiguousarray(share.marked, np.bool_))
        if share.marked.ndim != 1:
            raise ValueError("the marks of a share must be one for each id")
    else:
        share = float(share)
    if simd.active() != "numpy":
        try:
            from aqe.simd._postings import join as compiled
        except ImportError:
            pass
        else:
            return compiled(text[0], text[1], cosines, near[0], near[1], words, share, min(wanted, 2**31))
    return _fuse_sides(text, cosines, near, words, share)[:wanted]


def is_share(share: float | Apart) -> bool:
    """Whether each share is one."""
    if isinstance(share, Apart):
        return 0 <= share.share <= 1 and 0 <= share.other <= 1
    return 0 <= share <= 1


def _fuse_sides(
    text: tuple[Ids, Any], cosines: Any, near: tuple[Ids, Any], words: Any, share: float | Apart
) -> list[Found]:
    first, second = as_ids(text[0]).tolist(), as_ids(near[0]).tolist()
    if not (len(first) == len(text[1]) == len(cosines) and len(second) == len(near[1]) == len(words)):
        raise ValueError("the arrays of a side must be equally long")
    if len(set(first)) < len(first) or len(set(second)) < len(second):
        raise ValueError("a row stands twice on one side")
    by_text = dict(zip(first, text[1].tolist(), strict=True))
    by_text |= {
        row: score for row, score in zip(second, words.tolist(), strict=True) if score > 0 and row not in by_text
    }
    rounded = np.round(np.concatenate([cosines, near[1]]).astype(np.float64), DIGITS).tolist()
    by_near = {row: one for row, one in zip([*first, *second], rounded, strict=True) if one == one}
    parts: float | dict[int, float]
    if isinstance(share, Apart):
        ends = len(share.marked)
        parts = {
            row: share.other if 0 <= row < ends and share.marked[row] else share.share for row in {**by_text, **by_near}
        }
    else:
        parts = share
    return [(one.row, one.score, one.text, one.near) for one in _fuse(by_text, by_near, parts, {})]


def _as_dict(given: Mapping[int, float]) -> dict[int, float]:
    return given if isinstance(given, dict) else dict(given)


def _fuse(
    text: Mapping[int, float],
    near: Mapping[int, float],
    share: float | Mapping[int, float],
    prior: Mapping[int, float],
) -> list[Fused]:
    rows = [*{**text, **near}]
    if isinstance(share, Mapping) and any(row not in share for row in rows):
        raise ValueError("share must have every row")
    by_text, by_near = _standard({row: text.get(row, 0.0) for row in rows}), _standard(near)
    made = []
    for row in rows:
        part = share[row] if isinstance(share, Mapping) else share
        total = part * by_near.get(row, 0.0) + (1 - part) * by_text[row] + prior.get(row, 0.0)
        made.append(
            Fused(
                row,
                total,
                text.get(row),
                near.get(row),
                prior.get(row, 0.0),
                by_text[row],
                by_near.get(row, 0.0),
                float(part),
            )
        )
    worst, best = min((one.score for one in made), default=0.0), max((one.score for one in made), default=0.0)
    placed = [one._replace(score=(one.score - worst) / (best - worst) if best > worst else 1.0) for one in made]
    return sorted(placed, key=lambda one: (-one.score, one.row))


def _standard(scores: Mapping[int, float]) -> dict[int, float]:
    """Each score in standard deviations from their mean; 0 where all are the same."""
    if not scores:
        return {}
    mean = math.fsum(scores.values()) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores.values()) / len(scores))
    same = deviation <= 1e-9 * max(abs(score) for score in scores.values())
    return {row: 0.0 if same else (score - mean) / deviation for row, score in scores.items()}
