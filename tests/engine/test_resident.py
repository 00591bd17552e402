"""Vectors held in memory for a store that is asked again and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.resident import MOST_BYTES, SEARCHES, Resident
from aqe.engine.memory.vectors import find_table


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Store]:
    """Sixty memories with vectors around a circle, in three namespaces."""
    with Store.open(tmp_path / "aqe.db") as store:
        store.add_many(
            NewMemory(f"note {number}", namespace=f"n{number % 3}", vector=[1.0, number / 10, 2.0])
            for number in range(60)
        )
        yield store


def found(store: Store, namespace: str | None = None) -> list[tuple[str, float]]:
    hits = store.search("note 7", vector=[1.0, 0.72, 2.0], namespace=namespace, k=5).hits
    return [(hit.memory.text, round(hit.vector_score or 0.0, 5)) for hit in hits]


@pytest.mark.parametrize("namespace", [None, "n1"])
def test_the_same_is_found_by_vectors_at_hand(three: Store, namespace: str | None) -> None:
    """However often a store is searched, the hits and their similarities stay, within a namespace too."""
    first = found(three, namespace)
    assert first[0][0] == "note 7"
    assert all(found(three, namespace) == first for _ in range(2 * SEARCHES))
    alone = three.search(vector=[1.0, 0.72, 2.0], namespace=namespace, k=3)
    assert [hit.memory.text for hit in alone.hits] == [text for text, _ in sorted(first, key=lambda one: -one[1])][:3]


def test_a_new_and_an_ended_memory_are_seen_at_once(three: Store, tmp_path: Path) -> None:
    """Vectors at hand follow the memories, those that another process writes too."""
    for _ in range(2 * SEARCHES):
        found(three)
    with Store.open(tmp_path / "aqe.db") as other:
        other.add("note seven more", vector=[1.0, 0.72, 2.0], id="more")
        assert "note seven more" in dict(found(three))
        for _ in range(2 * SEARCHES):
            found(three)
        other.delete("more")
    assert "note seven more" not in dict(found(three))


def test_equal_vectors_are_found_oldest_first(store: Store) -> None:
    """Of equally near memories at hand the older one is first."""
    store.add_many(NewMemory(f"{number}", vector=[0.3, 0.1]) for number in range(40))
    for _ in range(SEARCHES):
        store.search(vector=[0.31, 0.1], k=4)
    hits = store.search(vector=[0.31, 0.1], k=4).hits
    assert [hit.memory.text for hit in hits] == ["0", "1", "2", "3"]


def test_many_vectors_stay_in_the_file(three: Store) -> None:
    """Vectors are at hand after some searches of one state, unless they take too much room."""
    with three.reading() as connection:
        table = find_table(connection, "given", 3)
        assert table is not None
        resident, vector = Resident(), bytes(12)
        at_hand = [resident.cosines(connection, table, vector) is not None for _ in range(SEARCHES + 1)]
        assert at_hand == [False] * SEARCHES + [True]
        large, wide = Resident(), bytes(4 * (MOST_BYTES // 4 // 50))
        assert [large.cosines(connection, table, wide) for _ in range(2 * SEARCHES)] == [None] * 2 * SEARCHES
