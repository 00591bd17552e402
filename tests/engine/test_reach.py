"""A place that is wanted only where something comes near enough: what changes in it counts at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.engine.memory import Memory, NewMemory, Store

NEAR, FAR = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
LEAST = 0.9


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "aqe.db")
    store.add_many([NewMemory(f"note {at}", vector=[0.5, 0.5, at / 90], namespace="notes") for at in range(90)])
    store.add_many([NewMemory(f"far {at}", vector=[0.1, 1.0, at], namespace=f"shelf/{at % 3}") for at in range(9)])
    return store


def found(store: Store, query: list[float] = NEAR) -> list[Memory]:
    places = [("notes", 2), ("shelf/", 2)]
    for _ in range(4):  # by vec0 first, by what is held in memory later
        answers = store.search_each("anything", vector=query, places=places, least={"shelf/": LEAST})
    assert len(answers[0].hits) == 2
    return [hit.memory for hit in answers[1].hits]


def test_what_comes_near_is_found_as_soon_as_it_is_there(store: Store) -> None:
    """A place without anything near is empty; a near memory added to it fills it, and its end empties it again."""
    with store:
        assert found(store) == []
        id = store.add("near", vector=NEAR, namespace="shelf/1")
        assert found(store)[0].id == id
        store.delete(id, namespace="shelf/1")
        assert found(store) == []
        store.add("in a new namespace", vector=NEAR, namespace="shelf/new")
        assert found(store)[0].text == "in a new namespace"


def test_a_revised_vector_counts(store: Store) -> None:
    """A memory whose vector moves away takes its place with it, one that comes near opens it."""
    with store:
        id = store.add("wanders", vector=FAR, namespace="shelf/0")
        assert found(store) == []
        store.update(id, namespace="shelf/0", vector=NEAR)
        assert found(store)[0].id == id
        store.update(id, namespace="shelf/0", vector=FAR)
        assert found(store) == []


def test_the_length_of_the_query_does_not_count(store: Store) -> None:
    """A query a thousand times as long, or as short, reaches the same memories."""
    with store:
        store.add("near", vector=[0.91, 0.4, 0.0], namespace="shelf/2")
        for length in (1e-3, 1.0, 1e3):
            assert [memory.text for memory in found(store, [length, 0.0, 0.0])][:1] == ["near"]
            assert found(store, [0.0, 0.0, -length]) == []
