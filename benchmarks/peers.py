"""Other engines of vector search behind one face: build once, then ids of the nearest by inner product of unit vectors.

A peer whose library is not installed is named with what it lacks: `python -m pip install usearch hnswlib faiss-cpu`.
All run on one thread. Graphs have a search width (ef): `widths` are tried in order until one reaches a wished recall.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw
import numpy as np
import sqlite_vec
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048)
_AT_ONCE = 20_000


@dataclass
class Peer:
    """`search(query, k)` gives at most k ids, nearest first; `widen(width)` sets the width where there is one."""

    name: str
    search: Callable[[Floats, int], Ids]
    widen: Callable[[int], None] | None = None
    widths: Sequence[int] = ()
    setting: str = ""
    held: Any = field(default=None, repr=False)


def numpy_peer(rows: Floats) -> Peer:
    """One product with all rows, then argpartition: exact."""

    def search(query: Floats, k: int) -> Ids:
        scores = rows @ query
        if k < len(scores):
            best = np.argpartition(scores, len(scores) - k)[-k:]
        else:
            best = np.arange(len(scores))
        return best[np.argsort(-scores[best])]

    return Peer("NumPy", search)


class SqliteRows:
    """A vec0 table of float32 in memory that grows, searched as its documentation shows: exact."""

    def __init__(self, dimension: int) -> None:
        self._connection = apsw.Connection(":memory:")
        self._connection.enable_load_extension(True)
        self._connection.load_extension(sqlite_vec.loadable_path())
        self._connection.execute(f"CREATE VIRTUAL TABLE rows USING vec0(embedding float[{dimension}])")
        self._count = 0

    def add(self, rows: Floats) -> None:
        """Add rows under the ids that follow."""
        insert = "INSERT INTO rows (rowid, embedding) VALUES (?, ?)"
        with self._connection:
            numbered = enumerate(rows, self._count)
            self._connection.executemany(insert, ((at, row.tobytes()) for at, row in numbered))
        self._count += len(rows)

    def peer(self) -> Peer:
        """It as it is now."""
        find = "SELECT rowid FROM rows WHERE embedding MATCH ? AND k = ?"

        def search(query: Floats, k: int) -> Ids:
            found = self._connection.execute(find, (query.tobytes(), k))
            return np.array([row for (row,) in found], np.int64)

        return Peer("sqlite-vec", search, held=self)


def sqlite_peer(rows: Floats) -> Peer:
    """sqlite-vec over all rows."""
    held = SqliteRows(rows.shape[1])
    for at in range(0, len(rows), _AT_ONCE):
        held.add(np.asarray(rows[at : at + _AT_ONCE]))
    return held.peer()


def faiss_peer(rows: Floats) -> Peer:
    """faiss's flat index: exact."""
    faiss = _library("faiss")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(rows.shape[1])
    for at in range(0, len(rows), _AT_ONCE):
        index.add(np.ascontiguousarray(rows[at : at + _AT_ONCE]))
    return Peer("faiss Flat", lambda query, k: index.search(query[None], k)[1][0], held=index)


def faiss_lists_peer(rows: Floats) -> Peer:
    """faiss's inverted file with RaBitQ codes or 4-bit product codes, re-ranked by the exact rows."""
    faiss = _library("faiss")
    faiss.omp_set_num_threads(1)
    lists = 1 << round(np.log2(2.048 * len(rows) ** 0.5))
    setting = f"IVF{lists},PQ{rows.shape[1] // 2}x4fs,RFlat"
    index = faiss.index_factory(rows.shape[1], setting, faiss.METRIC_INNER_PRODUCT)
    chosen = np.random.default_rng(0).choice(len(rows), min(len(rows), 40 * lists), replace=False)
    index.train(np.ascontiguousarray(rows[np.sort(chosen)]))
    for at in range(0, len(rows), _AT_ONCE):
        index.add(np.ascontiguousarray(rows[at : at + _AT_ONCE]))
    inner = faiss.extract_index_ivf(index)

    def widen(width: int) -> None:
        inner.nprobe = width
        index.k_factor = 20

    widths = [width for width in (8, 16, 32, 64, 128, 256, 512) if width <= lists]
    return Peer("faiss IVF", lambda query, k: index.search(query[None], k)[1][0], widen, widths, setting, index)


def hnswlib_peer(rows: Floats) -> Peer:
    """hnswlib's graph, float32."""
    hnswlib = _library("hnswlib")
    index = hnswlib.Index("ip", rows.shape[1])
    index.init_index(len(rows), M=16, ef_construction=128, random_seed=1)
    index.set_num_threads(1)
    for at in range(0, len(rows), _AT_ONCE):
        index.add_items(rows[at : at + _AT_ONCE], np.arange(at, min(at + _AT_ONCE, len(rows))))
    setting = "M 16, efC 128"

    def search(query: Floats, k: int) -> Ids:
        return index.knn_query(query, k)[0][0].astype(np.int64)

    return Peer("hnswlib", search, index.set_ef, WIDTHS, setting, index)


def usearch_peer(rows: Floats) -> Peer:
    """usearch's graph over half floats, its default."""
    usearch = _library("usearch.index")
    index = usearch.Index(ndim=rows.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_add=128)
    for at in range(0, len(rows), _AT_ONCE):
        part = np.ascontiguousarray(rows[at : at + _AT_ONCE])
        index.add(np.arange(at, at + len(part)), part, threads=1)

    def widen(width: int) -> None:
        index.expansion_search = width

    def search(query: Floats, k: int) -> Ids:
        return index.search(query, k, threads=1).keys.astype(np.int64)

    return Peer("usearch", search, widen, WIDTHS, "f16, M 16, efC 128", index)


PEERS: dict[str, Callable[[Floats], Peer]] = {
    "sqlite-vec": sqlite_peer,
    "numpy": numpy_peer,
    "faiss-flat": faiss_peer,
    "faiss-ivf": faiss_lists_peer,
    "hnswlib": hnswlib_peer,
    "usearch": usearch_peer,
}
GRAPHS = ("hnswlib", "usearch")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        raise MissingPeer(f"{name.partition('.')[0]} is not installed") from missing


class MissingPeer(Exception):
    """A peer's library is not there; the text says which."""
