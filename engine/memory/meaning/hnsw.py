"""Search by a graph of near neighbours (HNSW, Malkov and Yashunin, arXiv 1603.09320) of usearch, for those who ask.

`Vectors` stays beneath: it holds the rows, answers filters, and recall is measured against it. Until the graph is made,
in the background, it answers everything.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aqe.engine.extras import missing_extra
from aqe.engine.side_thread import started

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aqe.simd import Vectors

    Ids = NDArray[np.int64]
    Floats = NDArray[np.float32]

M_BOUNDS, CONSTRUCTION_BOUNDS, SEARCH_BOUNDS = (4, 64), (50, 500), (10, 500)
_METRICS = {"cosine": "cos", "dot": "ip", "l2": "l2sq"}
_AT_ONCE = 500
_SPARE = 8
"""Rows that a search asks the graph for beyond those it shall give: half floats rank near equals at random."""


@dataclass(frozen=True)
class Shape:
    """`m` is how many neighbours a row keeps (4 to 64), `ef_construction` how many are looked at when it comes in (50
    to 500), `ef_search` how many a search looks at (10 to 500, and never fewer than it shall find)."""

    m: int = 16
    ef_construction: int = 128
    ef_search: int = 64

    def __post_init__(self) -> None:
        """Raises ValueError for a figure out of its bounds."""
        for name, bounds in (("m", M_BOUNDS), ("ef_construction", CONSTRUCTION_BOUNDS), ("ef_search", SEARCH_BOUNDS)):
            if not bounds[0] <= getattr(self, name) <= bounds[1]:
                raise ValueError(f"{name} must be from {bounds[0]} to {bounds[1]}, got {getattr(self, name)}")


class Hnsw:
    """`Vectors` searched through a graph: the same add, delete, search and recall. Threads may share it."""

    def __init__(self, vectors: Vectors, shape: Shape | None = None) -> None:
        """Begins to make the graph of what `vectors` holds. Raises `UserError` (missing-extra) without usearch."""
        self.vectors, self.shape = vectors, shape or Shape()
        self.dim, self.metric = vectors.dim, vectors.metric
        self.due: str | None = None  # nothing: the graph takes each row as it comes
        self._lock = threading.RLock()
        self._graph = _empty(vectors, self.shape)
        self._scanned = 1.0
        self._is_made = False
        self._closed = threading.Event()
        self._thread = started(threading.Thread(target=self._make, name="aqe-hnsw", daemon=True))

    @property
    def structure(self) -> str:
        """How rows are found: "hnsw", or while the graph is made as `Vectors` finds them."""
        return "hnsw" if self._is_made else self.vectors.structure

    @property
    def last_scanned(self) -> float:
        """The share of the rows that the last search compared."""
        return self._scanned if self._is_made else self.vectors.last_scanned

    @property
    def ids(self) -> Ids:
        """The ids that are held."""
        return self.vectors.ids

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes by what they hold, "graph" among them."""
        return {**self.vectors.nbytes, "graph": int(self._graph.memory_usage)}

    def __len__(self) -> int:
        return len(self.vectors)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the graph is made; is it?"""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._is_made

    def close(self) -> None:
        """Stop making the graph."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def add(self, ids: Ids | Iterable[int], array: Any) -> None:
        """Add rows as `Vectors.add` does; an id that is there is replaced."""
        taken = ids if isinstance(ids, np.ndarray) else list(ids)
        with self._lock:
            self.vectors.add(taken, array)
            if len(taken):
                self._put(np.unique(np.asarray(taken, np.int64)))

    def delete(self, ids: Ids | Iterable[int]) -> int:
        """Delete these ids and say how many were there."""
        taken = ids if isinstance(ids, np.ndarray) else list(ids)
        with self._lock:
            count = self.vectors.delete(taken)
            if count:
                self._drop(np.unique(np.asarray(taken, np.int64)))
        return count

    def search(self, query: Any, k: int, *, allow: Any = None, rescore: Any = None) -> tuple[Ids, Floats]:
        """The ids near to the query with exact scores, best first. With `allow` or `rescore`, and while the graph is
        made, the answer is that of `Vectors`; so are its errors."""
        flat = query if isinstance(query, np.ndarray) else np.asarray(query)
        fits = flat.dtype == np.float32 and flat.shape == (self.dim,) and isinstance(k, int) and k > 0
        if allow is not None or rescore is not None or not self._is_made or not fits or not np.isfinite(flat).all():
            return self.vectors.search(query, k, allow=allow, rescore=rescore)
        with self._lock:
            size = len(self._graph)
            if not size:
                return self.vectors.search(query, k)
            self._graph.expansion_search = max(self.shape.ef_search, k + _SPARE)
            found = self._graph.search(np.ascontiguousarray(flat), min(k + _SPARE, size), threads=1)
            self._scanned = min(1.0, found.computed_distances / size)
            ids = np.unique(found.keys.astype(np.int64))
            scores = self._scores(flat, self.vectors.get(ids))
        order = np.argsort(scores if self.metric == "l2" else -scores, kind="stable")[:k]
        return ids[order], scores[order]

    def exact(self, query: Any, k: int, *, allow: Any = None) -> tuple[Ids, Floats]:
        """What `search` answers when every row is looked at."""
        return self.vectors.exact(query, k, allow=allow)

    def allowed(self, ids: Ids | Iterable[int]) -> Any:
        """Ids for `allow`, prepared for many searches."""
        return self.vectors.allowed(ids)

    def get(self, ids: Ids | Iterable[int]) -> Floats:
        """The rows of these ids."""
        return self.vectors.get(ids)

    def demote(self, ids: Ids | Iterable[int], level: Any) -> int:
        """Keep no more than `level` of these rows in `Vectors`; the graph keeps its half floats."""
        return self.vectors.demote(ids, level)

    def save(self, path: Any) -> None:
        """Write the rows into a file of `Vectors`; the graph is made anew from them."""
        self.vectors.save(path)

    def recall(self, sample: int = 100, k: int = 10, seed: int = 0) -> float:
        """The share of the exact k nearest that `search` finds, over points half-way between two rows that are held;
        scores equal to 1e-5 count as found. 1.0 where nothing is held."""
        ids = self.vectors.ids
        if not len(ids):
            return 1.0
        pairs = np.random.default_rng(seed).choice(ids, (sample, 2))
        points = (self.vectors.get(pairs[:, 0]) + self.vectors.get(pairs[:, 1])) / np.float32(2)
        return float(np.mean([self._share(point, k) for point in points]))

    def _share(self, point: Floats, k: int) -> float:
        best, scores = self.vectors.exact(point, k)[1], self.search(point, k)[1]
        slack = 1e-5 * max(1.0, abs(float(best[-1])))
        near = scores <= best[-1] + slack if self.metric == "l2" else scores >= best[-1] - slack
        return float(np.count_nonzero(near)) / len(best)

    def _scores(self, query: Floats, rows: Floats) -> Floats:
        if self.metric == "l2":
            gaps = rows - query
            distances: Floats = np.einsum("ij,ij->i", gaps, gaps)
            return distances
        products: Floats = np.einsum("ij,j->i", rows, query)
        if self.metric == "dot":
            return products
        length = float(np.sqrt(np.einsum("i,i->", query, query, dtype=np.float64)))
        return (np.clip(products / length, -1, 1) if length > 0 else products * 0).astype(np.float32)

    def _make(self) -> None:
        """Put in what is held, some rows at a time, so that adds and deletes get their turn."""
        ids = self.vectors.ids
        for at in range(0, len(ids), _AT_ONCE):
            if self._closed.is_set():
                return
            with self._lock:
                self._put_missing(ids[at : at + _AT_ONCE])
        self._is_made = True

    def _put_missing(self, ids: Ids) -> None:
        """Put in those of these ids that are held and not in it."""
        missing = ids[~np.atleast_1d(self._graph.contains(ids))]
        try:
            self._put(missing)
        except ValueError:  # some were deleted since
            self._put(missing[np.isin(missing, self.vectors.ids)])

    def _put(self, ids: Ids) -> None:
        rows = self.vectors.get(ids)
        self._drop(ids)
        if len(ids):
            self._graph.add(ids, np.ascontiguousarray(rows), threads=1)

    def _drop(self, ids: Ids) -> None:
        held = ids[np.atleast_1d(self._graph.contains(ids))] if len(ids) else ids
        for one in held.tolist():
            self._graph.remove(one)


def library() -> Any:
    """The class of usearch's indexes; raises `UserError` (missing-extra) where it is not installed."""
    try:
        from usearch.index import Index
    except ImportError:
        raise missing_extra("The setting memory.index = 'hnsw'", extra="hnsw") from None
    return Index


def _empty(vectors: Vectors, shape: Shape) -> Any:
    return library()(
        ndim=vectors.dim,
        metric=_METRICS[vectors.metric],
        dtype="f16" if vectors.metric == "cosine" else "f32",
        connectivity=shape.m,
        expansion_add=shape.ef_construction,
        expansion_search=shape.ef_search,
    )
