"""Searches by words and meaning together where both sides are at hand: arrays all through, nothing is read but the
memories that are found.

What a scope is for such a search, its ground, stays until a memory changes. The scores are those of `ranking`, which
searches whatever is not at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from aqe import simd
from aqe.engine.memory.meaning.parts import DIGITS
from aqe.engine.memory.search.ranking import candidates
from aqe.engine.memory.terms.postings import Asked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.meaning.codes import Codes
    from aqe.engine.memory.meaning.parts import Key, Part
    from aqe.engine.memory.meaning.reach import Few
    from aqe.engine.memory.search.ranking import Scope
    from aqe.engine.memory.tiers.demoted import Remaking

    Ids = NDArray[np.int64]
    Floats = NDArray[np.float32]

Found = tuple[int, float, float | None, float | None]
"""A row with its score, its BM25 and its cosine; None where that side did not find it."""


class Texts(Protocol):
    """The side of the words, with the terms of the query."""

    def found(
        self, k: int, scope: Scope, rows: NDArray[np.int64], /
    ) -> tuple[tuple[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]:
        """The `k` best rows of a scope with their BM25, and that of `rows`, 0 where no term is."""


@dataclass(frozen=True)
class Ground:
    """A scope without a condition with its vectors, and the share of the vector. Without parts nothing is in it; `few`
    are its vectors where it has a floor and they are few, `both` its two sides as one where one call searches them."""

    scope: Scope
    parts: tuple[tuple[Key, Part], ...]
    share: float | simd.Apart
    few: Few | None = None
    both: list[simd.Hybrid] = field(default_factory=list, compare=False)


def find(
    codes: Codes,
    texts: Texts,
    query: Floats,
    wanted: Sequence[tuple[Ground, int, float]],
    remaking: Remaking | None = None,
) -> list[list[Found]]:
    """The best of each ground, so many as it asks for, best first; none where no cosine reaches its floor (0: it has
    none). `query` is the vector; `remaking` is for the rows that are cold, where any is."""
    found: list[list[Found]] = []
    for ground, k, floor in wanted:
        if not ground.parts or (floor > 0 and ground.few is not None and not ground.few.may_reach(query, floor)):
            found.append([])
            continue
        wide = candidates(k)
        if isinstance(texts, Asked) and (both := _both(ground, texts)) is not None:
            codes.count_search(*ground.parts[0])
            exact = None if remaking is None else remaking.rows_of(ground.parts[0][1].vectors)
            found.append(both.search(query, texts.terms, k, ground.share, wide=wide, floor=floor, rescore=exact))
            continue
        near = _nearest(codes, ground.parts, query, wide, remaking)
        if floor > 0 and round(float(near[1].max(initial=-1.0)), DIGITS) < floor:
            found.append([])
            continue
        text, words = texts.found(wide, ground.scope, near[0])
        cosines = _cosines(ground.parts, query, text[0])
        if remaking is not None:
            _make_exact(cosines, query, text[0], remaking)
        found.append(simd.fuse_sides(text, cosines, near, words, ground.share, k))
    return found


def _both(ground: Ground, texts: Asked) -> simd.Hybrid | None:
    """Both sides of a ground of one part, made once; None where a graph is searched in place of codes."""
    vectors = ground.parts[0][1].searched
    if len(ground.parts) > 1 or vectors is not ground.parts[0][1].vectors:
        return None
    if not ground.both or ground.both[0].postings is not texts.postings:
        ground.both[:] = [simd.Hybrid(vectors, texts.postings, groups=texts.groups(ground.scope))]
    return ground.both[0]


def _nearest(
    codes: Codes, parts: Sequence[tuple[Key, Part]], query: Floats, k: int, remaking: Remaking | None
) -> tuple[Ids, Floats]:
    """The `k` nearest rows of some parts with their cosines; of equals the oldest."""
    for key, part in parts:
        codes.count_search(key, part)
    found = [
        part.searched.search(query, k, rescore=None if remaking is None else remaking.rows_of(part.vectors))
        for _, part in parts
    ]
    if len(found) == 1:
        return found[0]
    import numpy as np

    rows, near = np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])
    if len(rows) > k:
        best = np.lexsort((rows, -np.round(near.astype(np.float64), DIGITS)))[:k]
        rows, near = rows[best], near[best]
    return rows, near


def _make_exact(cosines: Floats, query: Floats, rows: Ids, remaking: Remaking) -> None:
    """Put the cosines of cold rows by their vectors made anew in place of estimates."""
    made = remaking.cosines(query, rows)
    for place, row in enumerate(rows.tolist() if made else ()):
        if row in made:
            cosines[place] = made[row]


def _cosines(parts: Sequence[tuple[Key, Part]], query: Floats, rows: Ids) -> Floats:
    """The cosine of each row, NaN for one without a vector."""
    found = parts[0][1].vectors.scores(query, rows)
    if len(parts) > 1:
        import numpy as np

        for _, part in parts[1:]:
            others = part.vectors.scores(query, rows)
            np.copyto(found, others, where=~np.isnan(others))
    return found
