"""What the starter knowledge, and what a project added to it, says to a question that the project does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aqe.engine.knowledge.naming import named_entry, names_all, own_entry
from aqe.engine.knowledge.shelf import TREE
from aqe.engine.knowledge.starter import NAMESPACES
from aqe.engine.memory.store import Store
from aqe.engine.providers.extractive import Extract, Passage, passage_of, tell_entry
from aqe.engine.providers.question import widened
from aqe.engine.retrieval import find

if TYPE_CHECKING:
    from aqe.engine.embedding import Embedder

ENTRIES = 8
"""Entries that are looked at for an answer: which of them it is, their own words tell better than a search."""

NEAREST = 0.25
"""The cosine that the nearest entry has to a question about testing, as a rule; where it has less none is looked at."""

NAMED = 0.9
"""The confidence in an entry that the question asks for by name: the name may mean another thing in a project."""


def named(store: Store, question: str, namespace: str = TREE) -> tuple[Extract, tuple[Passage, ...]] | None:
    """The answer to a question that asks what something is of which an entry bears the name, and that entry; None where
    it asks for anything else."""
    entry = named_entry(store, question, [one for one in NAMESPACES if one.startswith(namespace)])
    said = None if entry is None else tell_entry(entry, NAMED)
    return None if entry is None or said is None else (said, (entry,))


def unsaid(
    store: Store, question: str, said: Extract, passages: Sequence[Passage], namespace: str = TREE
) -> tuple[Extract, tuple[Passage, ...]] | None:
    """As `named`, of an entry of the project's own whose name neither any of the quotes has that were `said` to the
    question nor the heading above it in its passage, one of `passages`: then they tell of something else."""
    found = own_entry(store, question, [one for one in NAMESPACES if one.startswith(namespace)], in_words=True)
    if found is None:
        return None
    headings = {one.id: one.name.rpartition(" > ")[2] for one in passages}
    if any(names_all(found[1], f"{headings.get(one.id, '')}\n{one.quote}") for one in said.citations):
        return None
    told = tell_entry(found[0], NAMED)
    return None if told is None else (told, (found[0],))


def find_entries(
    store: Store, embedder: Embedder, question: str, vector: NDArray[np.float32], namespace: str = TREE
) -> list[Passage]:
    """The entries nearest to a question, whose unit vector (d,) is given, best first, however far the others are than
    the nearest one; none where that is far."""
    words = widened(question, store.rarity(question))
    near = vector.tolist() if vector.any() else None
    hits = find(store, embedder, words, k=ENTRIES, namespace=namespace, vector=near).hits
    if near is not None and max((hit.vector_score or 0.0 for hit in hits), default=0.0) < NEAREST:
        return []
    return [passage_of(hit) for hit in hits]
