"""The vectors of one namespace in one space, as they are held: opened from a file, or read from the database."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.meaning import chunks
from aqe.engine.memory.tiers import demoted

if TYPE_CHECKING:
    from aqe.engine.memory.meaning.hnsw import Hnsw, Shape
    from aqe.simd import Vectors

FEW = 256
"""Vectors that are read at the first search: that costs less than asking vec0 for them."""

WORTH_A_FILE = 2_000
"""Vectors from which a namespace has a file: reading fewer from the database takes a few milliseconds."""

STALE_SHARE = 0.05
"""Changed rows, as a share of a namespace's, after which its file is written anew."""

MOST_CHANGED = 0.25
"""Changed rows, as a share of all that is held, above which everything is read anew."""

LISTS_FROM = 100_000
"""Vectors below which no inverted file can be due."""

WRITE_EVERY_S = 30.0
FEW_RESULTS = 32
"""Results up to which Python sorts faster than NumPy begins."""

DIGITS = 6
"""Cosines are rounded, so that equal vectors are equally near."""

_UNITS = 10.0**DIGITS
_WHOLE = 1.5 * 2.0**52
"""A float32 times `_UNITS` is exact in float64; whoever adds `_WHOLE` and takes it away again has rounded it to a whole
number, a half to the even one: that gives what round() does, in a fifth of the time."""

Key = tuple[int, str]
"""A table of vectors and a namespace."""


@dataclass
class Part:
    """The vectors of one namespace in one space; `written` is the change that its file is of (None: it has none) and
    `changed` the rows that changed since; `version` grows with each change."""

    vectors: Vectors
    dimension: int
    written: int | None = None
    changed: int = 0
    version: int = 0
    tried_at: float = -WRITE_EVERY_S
    searches: int = 0
    is_checked: bool = False
    graph: Hnsw | None = None

    @property
    def searched(self) -> Vectors | Hnsw:
        """What is searched and told of changes: the vectors, or the graph over them that the settings ask for."""
        return self.graph or self.vectors

    def join(self, shape: Shape) -> None:
        """Begin a graph over the vectors, unless there is one."""
        if self.graph is None:
            from aqe.engine.memory.meaning.hnsw import Hnsw

            self.graph = Hnsw(self.vectors, shape)

    def close(self) -> None:
        """Stop making the graph, where there is one."""
        if self.graph is not None:
            self.graph.close()

    @property
    def is_behind(self) -> bool:
        """Whether a file is worth writing."""
        size = len(self.vectors)
        return size >= WORTH_A_FILE and (self.written is None or self.changed > STALE_SHARE * size)

    @property
    def wants_work(self) -> bool:
        """Whether the background has something to do for it: a file, or the lists of an inverted file."""
        has_lists = self.graph is None and len(self.vectors) >= LISTS_FROM
        return self.is_behind or (has_lists and self.vectors.due is not None)

    def is_outrun(self, rows: Sequence[int]) -> bool:
        """Whether so many rows changed that reading everything anew costs less than looking them up."""
        return len(rows) > FEW + MOST_CHANGED * len(self.vectors)


def open_part(path: Path, dimension: int, number: int) -> Part | None:
    """The vectors of a file of the change `number`; None for one that is damaged, gone, of another space, or not by its
    own label what its name says."""
    from aqe.simd import Vectors

    try:
        vectors = Vectors.open(path)
    except (OSError, ValueError):
        return None
    fits = vectors.dim == dimension and vectors.metric == "cosine" and vectors.label == path.stem
    return Part(vectors, dimension, written=number) if fits else None


def read_part(connection: apsw.Connection, key: Key, dimension: int, is_over: Callable[[], bool]) -> Part | None:
    """The vectors as the database has them; None where there is no room for them, or `is_over` says to stop."""
    from aqe.simd import Vectors

    vectors = Vectors(dimension)
    try:
        for ids, values in chunks.read_space(connection, key[0], dimension, key[1]):
            vectors.add(ids, values)
            if is_over():
                return None
        demoted.put_down(connection, vectors)
    except MemoryError:
        return None
    return Part(vectors, dimension)


def apply(connection: apsw.Connection, parts: Mapping[Key, Part], rows: Sequence[int]) -> None:
    """Look these rows up anew."""
    if not rows or not parts:
        return
    sql = (
        "SELECT row, embedder, namespace FROM memories WHERE row IN (SELECT value FROM json_each(?))"
        " AND valid_to IS NULL AND embedder IS NOT NULL"
    )
    held: dict[Key, list[int]] = {}
    for row, table, name in connection.execute(sql, (json.dumps(rows),)):
        held.setdefault((table, name), []).append(row)
    for key, part in parts.items():
        present: Iterable[int] = ()
        if wanted := held.get(key):
            ids, values = chunks.read_rows(connection, key[0], part.dimension, wanted)
            part.searched.add(ids, values)
            if demoted.has_demoted(connection):
                demoted.put_down(connection, part.vectors, wanted)
            present = ids.tolist()
        gone = part.searched.delete(sorted(set(rows).difference(present)))
        count = gone + len(held.get(key, ()))
        part.changed, part.version = part.changed + count, part.version + count


def best_of(found: Sequence[tuple[Any, Any]], k: int) -> tuple[list[int], list[float]]:
    """The `k` best rows of some searches, each its ids and their scores, and the cosines of these; of equals the oldest
    first."""
    if sum([len(ids) for ids, _ in found]) > FEW_RESULTS:
        return _best_of_many(found, k)
    rows: list[int] = []
    near: list[float] = []
    units, whole, last, stand = _UNITS, _WHOLE, math.inf, True
    for ids, scores in found:
        rows += ids.tolist()
        for score in scores.tolist():
            one = (score * units + whole - whole) / units
            near.append(one)
            if one >= last:
                stand = False
            last = one
    if stand and len(rows) <= k:  # they stand in order, and no two are equal
        return rows, near
    ordered = sorted(zip([-one for one in near], rows, strict=True))[:k]
    return [row for _, row in ordered], [-one for one, _ in ordered]


def _best_of_many(found: Sequence[tuple[Any, Any]], k: int) -> tuple[list[int], list[float]]:
    import numpy as np

    rows = np.concatenate([ids for ids, _ in found])
    near = np.round(np.concatenate([scores for _, scores in found]).astype(np.float64), DIGITS)
    best = np.lexsort((rows, -near))[:k]
    return rows[best].tolist(), near[best].tolist()
