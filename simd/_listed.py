"""BM25 of rows that another index lists (FTS5's vocabulary does, by term), and the best of them in some groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aqe import simd
from aqe.simd._given import as_k
from aqe.simd._ids import Ids, as_ids

Scores = NDArray[np.float64]
K1, B = 1.2, 0.75


def rank_lists(
    lists: Sequence[str], lengths: NDArray[np.int32], *, documents: int, tokens: int, k1: float = K1, b: float = B
) -> tuple[Ids, Scores, Ids]:
    """The rows of any list, rising, their BM25 scores, and the rows whose length is not known: where there is one, it
    has to be made known first, and nothing is ranked.

    A list is of one term: the numbers of its rows in rising order with commas between, each as often as the term stands
    there. `lengths[row]` is the number of a row's terms (0 or beyond the end: not known), `documents` and `tokens` are
    how many rows and terms there are in all. Scores are FTS5's to the bit, with the terms in their order. Raises
    ValueError and TypeError for what does not fit.

    >>> import numpy as np
    >>> rows, scores, unknown = rank_lists(["1,2,2", "2"], np.array([0, 4, 4], np.int32), documents=9, tokens=36)
    >>> rows.tolist(), scores.round(3).tolist(), unknown.tolist()
    ([1, 2], [1.099, 3.245], [])
    >>> rank_lists(["1,7"], np.array([0, 4], np.int32), documents=9, tokens=36)[2].tolist()
    [7]
    """
    given = (lists,) if isinstance(lists, str) else tuple(lists)
    if not (documents > 0 and tokens > 0):
        raise ValueError("documents and tokens must be at least 1")
    size = np.ascontiguousarray(lengths, np.int32)
    about = float(documents), tokens / documents, float(k1), float(b)
    if simd.active() != "numpy":
        try:
            from aqe.simd._postings import rank_lists as compiled
        except ImportError:
            pass
        else:
            rows, scores, unknown = compiled(given, size, *about)
            return np.frombuffer(rows, np.int64), np.frombuffer(scores, np.float64), np.frombuffer(unknown, np.int64)
    from aqe.simd._listed_twin import rank

    return rank(given, size, *about)


def best_listed(
    rows: Ids,
    scores: Scores,
    k: int,
    *,
    groups: NDArray[np.int32] | None = None,
    among: NDArray[np.bool_] | None = None,
) -> tuple[Ids, Scores]:
    """The `k` best of some rows, whose numbers rise, with their scores, best first; of equals the lowest.

    With `among` a row counts where `among[group]` of its group in `groups` does (beyond the end: never). Raises
    ValueError and TypeError for what does not fit.

    >>> import numpy as np
    >>> best_listed(np.array([3, 5, 8]), np.array([1.0, 2.0, 2.0]), 2)[0].tolist()
    [5, 8]
    """
    wanted = min(as_k(k), 2**31)
    if among is not None and groups is None:
        raise ValueError("rows that count by their group need groups")
    numbers, said = as_ids(rows), np.ascontiguousarray(scores, np.float64)
    of = None if groups is None else np.ascontiguousarray(groups, np.int32)
    mask = None if among is None else np.ascontiguousarray(among, np.bool_)
    if simd.active() != "numpy":
        try:
            from aqe.simd._postings import best_listed as compiled
        except ImportError:
            pass
        else:
            best, values = compiled(numbers, said, of, mask, wanted)
            return np.frombuffer(best, np.int64), np.frombuffer(values, np.float64)
    from aqe.simd._listed_twin import best_of

    return best_of(numbers, said, of, mask, wanted)
