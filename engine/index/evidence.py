"""What the project's memory holds about a question: passages of its files and what was remembered, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aqe.engine.index.indexing import index_scope
from aqe.engine.memory.store import Store
from aqe.engine.providers.extractive import DEFAULT, Extract, Passage, extract, passage_of
from aqe.engine.providers.question import widened

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Hit, SearchAnswer

LOOKED_AT = 16
"""Passages of a namespace that are read for an answer."""


def find_passages(
    store: Store,
    embedder: Embedder | None,
    question: str,
    *,
    k: int = LOOKED_AT,
    namespaces: Sequence[str | None] | None = None,
) -> list[Passage]:
    """The `k` best passages of each of `namespaces` (default: the project index, and all that was remembered).

    Raises what `Store.search` raises.
    """
    wanted = (index_scope(store), None) if namespaces is None else namespaces
    words = widened(question, store.rarity(question))
    found = [passage_of(hit) for namespace in wanted for hit in _hits(store, embedder, question, words, k, namespace)]
    return sorted(found, key=lambda one: -one.score)


def answer(
    store: Store,
    embedder: Embedder | None,
    question: str,
    *,
    k: int = LOOKED_AT,
    namespaces: Sequence[str | None] | None = None,
    threshold: float = DEFAULT,
) -> Extract:
    """The answer to `question` from the store, with citations, or that there is none (see `extract`)."""
    passages = find_passages(store, embedder, question, k=k, namespaces=namespaces)
    return extract(question, passages, threshold=threshold, rarity=store.rarity(question))


def _hits(
    store: Store, embedder: Embedder | None, question: str, words: str, k: int, namespace: str | None
) -> Sequence[Hit]:
    if embedder is None:
        return store.search(words, k=k, namespace=namespace).hits
    from aqe.engine.retrieval import find

    vector = embedder.embed([question])[0]
    near = vector.tolist() if vector.any() else None
    found: SearchAnswer = find(store, embedder, words, k=k, namespace=namespace, vector=near)
    return found.hits
