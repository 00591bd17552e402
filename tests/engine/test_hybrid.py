"""Searches by words and meaning where both sides are at hand: what they find is what the slower ways find."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.graph.searching import Graph
from aqe.engine.memory.search import hybrid
from aqe.engine.memory.search.shares import Shares
from aqe.engine.memory.terms import postings

WORDS = ["refund", "parse", "header", "round", "total", "flaky", "import", "voucher", "cart", "the"]
PLACES = [("notes", 3), ("tree/", 5), (None, 70), ("nowhere", 2)]
LEAST = {"tree/": 0.3}
Found = list[list[tuple[str, str, float | None, float | None]]]


def memory(rng: random.Random, at: int) -> NewMemory:
    """Words and, mostly, a vector of some directions that many share."""
    vector = None if rng.random() < 0.1 else [float(rng.randrange(-2, 3)) + 0.1 for _ in range(6)]
    text = f"{at} " + " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 9)))
    return NewMemory(text, namespace=rng.choice(["notes", "tree/a", "tree/b", "index/main"]), vector=vector)


@pytest.fixture(params=["lists", "fts5"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store whose vectors are at hand from the first search on, and whose lists are, or never."""
    monkeypatch.setattr(postings, "SEARCHES", 0 if request.param == "lists" else 10**9)
    rng = random.Random(3)
    with Store.open(tmp_path / "aqe.db", shares=Shares(0.6)) as store:
        store.add_many([memory(rng, at) for at in range(240)])
        store.search("round", vector=[1.0] * 6)
        yield store


def found(store: Store, query: str, vector: list[float], places: Any = PLACES, least: Any = LEAST) -> Found:
    answers = store.search_each(query, vector=vector, places=places, least=least)
    return [[(one.memory.id, one.score, one.text_score, one.vector_score) for one in each.hits] for each in answers]


def slowly(store: Store, query: str, vector: list[float], least: Any = LEAST) -> Found:
    """The same by searches that explain themselves, which take the way of dictionaries."""
    answers = [store.search(query, vector=vector, namespace=name, k=k, explain=True).hits for name, k in PLACES]
    near = [max([one.vector_score or 0.0 for one in hits], default=0.0) for hits in answers]
    reached = [best >= least.get(name or "", -1.0) for best, (name, _) in zip(near, PLACES, strict=True)]
    return [
        [(one.memory.id, one.score, one.text_score, one.vector_score) for one in hits] if is_reached else []
        for hits, is_reached in zip(answers, reached, strict=True)
    ]


def alike(one: Found, other: Found) -> None:
    for hits, others in zip(one, other, strict=True):
        assert [hit[0] for hit in hits] == [hit[0] for hit in others]
        for hit, expected in zip(hits, others, strict=True):
            assert hit[1:] == pytest.approx(expected[1:], abs=1e-9)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join),
    vector=st.lists(st.sampled_from([-1.5, 0.1, 0.4, 2.0]), min_size=6, max_size=6),
    seed=st.integers(0, 99),
)
def test_arrays_find_what_dictionaries_find(store: Store, query: str, vector: list[float], seed: int) -> None:
    """Memories, their scores and those of each side are the same, whatever was changed before the search."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        kept = store.add_many([memory(rng, 1000 + seed)])
        store.delete(
            kept[0],
            namespace=next(n for n in ("notes", "tree/a", "tree/b", "index/main") if store.get(kept[0], namespace=n)),
        )
    alike(found(store, query, vector), slowly(store, query, vector))


def test_search_at_hand_goes_by_arrays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second search on every place is answered by arrays, also after a change; with words alone none is."""
    calls: list[int] = []
    real = hybrid.find
    monkeypatch.setattr(hybrid, "find", lambda *asked: calls.append(len(asked[3])) or real(*asked))
    found(store, "round total", [1.0] * 6)
    store.add("a round one", namespace="notes", vector=[1.0] * 6)
    found(store, "round flaky", [1.0] * 6)
    found(store, "round cart", [1.0] * 6)
    assert len(calls) >= 2
    assert set(calls) == {len(PLACES)}
    store.search("round")
    assert len(calls) <= 3


def test_floor_leaves_out_what_is_far(store: Store) -> None:
    """A place in which no cosine reaches its floor is empty, the others are as they were."""
    vector = [1.0, 0.4, 2.0, 0.1, 0.1, 0.1]
    plain, high = (
        found(store, "round total", vector, least={}),
        found(store, "round total", vector, least={"tree/": 1.1}),
    )
    assert high[1] == []
    assert plain[1] != []
    assert [high[0], *high[2:]] == [plain[0], *plain[2:]]


def test_memory_that_ended_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found is not found any more once it is deleted, nor when its time is over."""
    monkeypatch.setattr(postings, "SEARCHES", 0)
    moment, vector = [10**15], [3.0, -3.0, 3.0]
    with Store.open(tmp_path / "aqe.db", now=lambda: moment[0]) as store:
        for at in range(5):
            store.add(f"note {at}", namespace="notes", vector=[1.0, at, 0.0])
        store.keep([NewMemory("a mark for a while", namespace="notes", id="brief", vector=vector, ttl_s=60)])
        store.add("a mark for long", namespace="notes", id="long", vector=vector)
        places = [("notes", 9)]

        def ids() -> list[str]:
            return [one[0] for one in found(store, "mark", vector, places=places)[0]][:2]

        assert set([ids() for _ in range(3)][-1]) == {"brief", "long"}
        moment[0] += 61 * 10**6
        assert "brief" not in ids()
        store.delete("long", namespace="notes")
        assert "long" not in ids()


def test_row_that_only_the_index_has_is_passed_over(store: Store) -> None:
    """A text index with a row too many, as a torn write leaves it, still answers with the memories that there are."""
    before = found(store, "refund voucher", [1.0] * 6, PLACES)
    with store.writing() as connection:
        connection.execute("INSERT INTO texts (rowid, subtokens) VALUES (99999, 'refund voucher')")
    store.delete(store.add("header", namespace="notes", vector=[1.0] * 6), namespace="notes")
    after = found(store, "refund voucher", [1.0] * 6, PLACES)
    assert [len(hits) for hits in after] == [len(hits) for hits in before]
    assert [hits[0][0] for hits in after if hits] == [hits[0][0] for hits in before if hits]


def test_explaining_changes_nothing_where_edges_have_a_say(tmp_path: Path) -> None:
    """Of many tests those that are looked at are the same, whether the scores are explained or not."""
    rng = random.Random(5)
    with Store.open(tmp_path / "aqe.db") as store:
        store.graph = Graph(store)
        rows = [replace(memory(rng, at), namespace="index/tests") for at in range(300)]
        store.add_many(rows)
        for query in ("refund cart", "flaky header total", "import"):
            vector = [float(rng.randrange(-2, 3)) + 0.1 for _ in range(6)]
            plain = store.search(query, vector=vector, namespace="index/tests", k=5).hits
            told = store.search(query, vector=vector, namespace="index/tests", k=5, explain=True).hits
            assert [hit.memory.id for hit in plain] == [hit.memory.id for hit in told]
            assert [hit.score for hit in plain] == pytest.approx([hit.score for hit in told], abs=1e-9)
