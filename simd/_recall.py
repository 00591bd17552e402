"""How many candidates leave the codes, and the measured share of the right answers that comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aqe.simd._funnel_twin import measured_scores, prepared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aqe.simd._vectors import Vectors

    Floats = NDArray[np.float32]

FEWEST, FOR_EACH, SMALL = 200, 8, 20_000
"""Candidates at least, and for each row asked for; up to SMALL rows half as many at least, and EACH_OF_FEW for each. A
search takes more by itself where it finds that rows which were no candidates may be as good as those it took: among
10,000 it misses as few of 100 with two for each as with eight."""
EACH_OF_FEW = 2

FEWEST_OF_LISTS, ENOUGH_ITEMS = 200, 384

_TIE = 1e-5


def candidates(rows: int, k: int) -> int:
    """How many candidates a search for k among so many rows takes from the codes; 0: all rows may as well be scored."""
    wanted = max(FEWEST, FOR_EACH * k) if rows > SMALL else max(FEWEST // 2, EACH_OF_FEW * k)
    return wanted if wanted < rows else 0


def candidates_of_lists(dim: int, k: int) -> int:
    """The same for a search of an inverted file, whose codes stand nearer to their centres; short codes say less."""
    return max(FEWEST_OF_LISTS, FEWEST_OF_LISTS * ENOUGH_ITEMS // dim, FOR_EACH * k)


def scores(rows: Floats, query: Floats, metric: int) -> Floats:
    """The exact score of each row, as a search gives it."""
    return measured_scores(rows, prepared(query, metric), metric)


def asked(ones: Floats, others: Floats, draw: np.random.Generator) -> Floats:
    """Queries that a user may have where these pairs of rows are held, a third of each kind: random directions as long
    as rows, a row and such a direction, and points half-way between two rows, which come last."""
    noise = draw.standard_normal(ones.shape, np.float32)
    lengths = np.linalg.norm(ones, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
    noise *= np.where(lengths > 0, lengths, np.float32(1))
    first, second = len(ones) // 3, 2 * len(ones) // 3
    return np.concatenate([noise[:first], (ones + noise)[first:second], (ones + others)[second:] / np.float32(2)])


def measured(vectors: Vectors, queries: Floats, k: int) -> float:
    """The share of the exact k nearest that a search finds; a score within 1e-5 of the k-th counts as found."""
    found = wanted = 0
    for query in queries:
        truth = vectors.exact(query, k)[1]
        if not len(truth):
            continue
        found += as_good(vectors.search(query, k)[1], float(truth[-1]), vectors.metric)
        wanted += len(truth)
    return found / wanted if wanted else 1.0


def as_good(scores: Floats, least: float, metric: str) -> int:
    """How many scores are as good as `least`, or worse by no more than 1e-5 of it."""
    slack = _TIE * max(1.0, abs(least))
    hits = scores <= least + slack if metric == "l2" else scores >= least - slack
    return int(hits.sum())
