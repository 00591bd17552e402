"""What searches answer where something is in their way: several namespaces before codes are at hand, damaged files,
vectors of which little is kept, memories that end while they are searched for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aqe.engine.memory import NewMemory, SearchAnswer, Store
from aqe.engine.memory.parts import FEW

DIM = 16


def rows(count: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def fill(store: Store, vectors: NDArray[np.float32], namespaces: tuple[str, ...] = ("default",)) -> None:
    store.add_many(
        NewMemory(f"note {n}", id=str(n), namespace=namespaces[n % len(namespaces)], vector=row.tolist())
        for n, row in enumerate(vectors)
    )


def ids(answer: SearchAnswer) -> list[str]:
    return [hit.memory.id for hit in answer.hits]


def nearest(values: NDArray[np.float32], query: NDArray[np.float32], k: int) -> list[str]:
    cosines = values @ query / np.linalg.norm(values, axis=1)
    return [str(at) for at in np.argsort(-cosines, kind="stable")[:k]]


def test_first_search_of_several_namespaces_gives_the_nearest_of_all(store: Store) -> None:
    """The first search of a tree of namespaces, before codes are at hand, gives `k` hits, the nearest first."""
    values = rows(2 * FEW + 40)
    fill(store, values, ("team/a", "team/b"))
    query = rows(1, seed=2)[0]
    assert ids(store.search(vector=query.tolist(), k=5, namespace="team/")) == nearest(values, query, 5)
