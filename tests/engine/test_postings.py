"""The text index in memory: what it finds is what FTS5 finds, whatever was written meanwhile and by whom."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.file.changelog import read_number
from aqe.engine.memory.terms import postings

WORDS = ["refund", "parse", "header", "round", "total", "größe", "テスト", "flaky", "import", "the", "of", "a", "b"]
Found = list[tuple[str, str, float, float | None]]


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, Store]]:
    """One file twice: a store that asks FTS5, and one that has the lists in memory."""
    with Store.open(tmp_path / "aqe.db") as through_fts5, Store.open(tmp_path / "aqe.db") as from_lists:
        monkeypatch.setattr(postings, "SEARCHES", 10**9)
        monkeypatch.setattr(from_lists._searcher.lists, "_searches", 10**9)
        yield through_fts5, from_lists


def found(store: Store, query: str, **asked: Any) -> Found:
    answer = store.search(query, **asked)
    return [(hit.memory.namespace, hit.memory.id, hit.score, hit.text_score) for hit in answer.hits]


def has_lists(store: Store) -> bool:
    return store._searcher.lists.nbytes > 0


def text_of(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))


def write(store: Store, seed: int, count: int) -> None:
    """`count` changes of all kinds in three namespaces."""
    rng = random.Random(seed)
    for _ in range(count):
        namespace, id = rng.choice(["default", "notes", "index/main"]), str(rng.randrange(25))
        known = store.get(id, namespace=namespace)
        if known is None:
            store.add(text_of(rng), namespace=namespace, id=id, metadata={"even": rng.random() < 0.5})
        elif rng.random() < 0.4:
            store.delete(id, namespace=namespace, erase=rng.random() < 0.3)
        else:
            store.update(id, namespace=namespace, text=text_of(rng))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join))
def test_lists_find_what_fts5_finds(both: tuple[Store, Store], seed: int, query: str) -> None:
    """After any changes every search gives the same memories, order and scores, in every scope and under a filter."""
    write(both[0], seed, 30)
    for scope in ({}, {"namespace": "notes"}, {"namespace": "index/"}, {"filter": {"even": True}}, {"k": 2}):
        assert found(both[1], query, **scope) == found(both[0], query, **scope)
    assert both[1].rarity(query, without="index/") == both[0].rarity(query, without="index/")
    assert has_lists(both[1])
    assert not has_lists(both[0])


def test_hybrid_search_is_the_same_through_both(both: tuple[Store, Store]) -> None:
    """Words and vector together give the same hits with the same three scores."""
    rng = random.Random(7)
    both[0].add_many(
        [
            NewMemory(f"{text_of(rng)} {at}", vector=[rng.uniform(-1, 1) for _ in range(8)], embedder_id="own")
            for at in range(300)
        ]
    )
    for at in range(5):
        vector = [rng.uniform(-1, 1) for _ in range(8)]
        query = f"refund {WORDS[at]}"
        from_lists, through_fts5 = (
            store.search(query, vector=vector, embedder_id="own", k=20) for store in reversed(both)
        )
        assert from_lists.hits == through_fts5.hits
    assert has_lists(both[1])


def test_lists_are_read_after_a_few_searches_of_a_large_store_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first searches are answered by FTS5, and those after some time, with the same hits, by the lists."""
    monkeypatch.setattr(postings, "ASIDE", 300)
    rng = random.Random(3)
    with Store.open(tmp_path / "aqe.db") as store:
        store.add_many([NewMemory(f"{text_of(rng)} w{at}") for at in range(postings.ASIDE)])
        for at in range(postings.SEARCHES + 1):
            assert f"w{at}" in store.search(f"refund w{at} header").hits[0].memory.text
        assert not has_lists(store)
        for thread in threading.enumerate():
            if thread.name == "aqe-postings":
                thread.join()
        asked = [f"refund w{at} header" for at in range(100, 104)]
        from_lists = [found(store, query) for query in asked]
        assert has_lists(store)
    with Store.open(tmp_path / "aqe.db") as through_fts5:
        assert [found(through_fts5, query) for query in asked[:3]] == from_lists[:3]
        assert not has_lists(through_fts5)


def test_lists_beyond_their_memory_leave_the_search_to_fts5(
    both: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the lists would take more than they may, FTS5 goes on answering."""
    monkeypatch.setattr(postings, "MOST_BYTES", 1000)
    write(both[0], 1, 60)
    assert found(both[1], "refund the") == found(both[0], "refund the")
    assert not has_lists(both[1])


def test_many_changes_at_once_drop_the_lists_until_they_are_worth_it_again(both: tuple[Store, Store]) -> None:
    """An import larger than the log is worth following makes the next searches ask FTS5, which finds it."""
    write(both[0], 2, 60)
    found(both[1], "refund")
    assert has_lists(both[1])
    both[0].add_many([NewMemory(f"newcomer {at}", namespace="notes") for at in range(400)])
    assert len(found(both[1], "newcomer", k=500)) == 400
    assert not has_lists(both[1])


def test_number_of_an_erased_row_that_comes_back_has_the_new_words(both: tuple[Store, Store]) -> None:
    """A memory that takes the row of an erased one is found by its own words, the erased one by none."""
    both[0].add("refund", id="x")
    both[0].add("header", id="y")
    assert [id for _, id, _, _ in found(both[1], "header")] == ["y"]
    both[0].delete("y", erase=True)
    both[0].add("flaky import", id="z")
    assert found(both[1], "header") == []
    assert [id for _, id, _, _ in found(both[1], "flaky")] == ["z"]
    assert has_lists(both[1])


def test_transaction_from_before_the_lists_is_answered_by_fts5(both: tuple[Store, Store]) -> None:
    """Lists that know more than a caller's transaction sees are not used for it, and are there for the next one."""
    write(both[0], 4, 40)
    found(both[1], "refund")
    lists = both[1]._searcher.lists
    with both[1].reading() as connection:
        number = read_number(connection)
        assert lists.at_hand(connection, number - 1) is None
        assert lists.at_hand(connection, number) is lists


def test_filter_that_matches_nothing_finds_nothing(both: tuple[Store, Store]) -> None:
    """However many rows hold the words, a condition that none meets leaves none."""
    both[0].add_many([NewMemory(f"refund {at}", metadata={"kind": "note"}) for at in range(300)])
    both[0].add("refund odd one out", id="odd", metadata={"kind": "rare"})
    assert found(both[1], "refund", filter={"kind": "none"}) == []
    assert [id for _, id, _, _ in found(both[1], "refund", filter={"kind": "rare"})] == ["odd"]
    assert has_lists(both[1])
