"""What was embedded or searched before is not embedded or searched again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Provenance, Store, embeddings
from aqe.engine.memory.embeddings import KeptEmbedder, digest_of, kept_in
from aqe.engine.memory.growth.rules import GrowthRules


class Letters:
    """An embedder that counts letters, and the texts it was given."""

    dimension = 26

    def __init__(self, id: str = "toy-letters") -> None:
        self.id = id
        self.given: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.given += texts
        rows = [[text.lower().count(chr(97 + at)) for at in range(26)] for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), 26)


def test_a_text_that_comes_again_is_not_embedded_again(tmp_path: Path) -> None:
    """Within a process, and by the next one, a costly embedder is asked once for each text; the vectors are its own."""
    texts = ["alpha", "beta", "alpha", "gamma"]
    with Store.open(tmp_path / "aqe.db") as store:
        first = Letters()
        kept = KeptEmbedder(first, store, costly=True)
        wanted = Letters().embed(texts)
        assert np.array_equal(kept.embed(texts), wanted)
        assert np.array_equal(kept.embed(texts), wanted)
        assert first.given == ["alpha", "beta", "gamma"]
    with Store.open(tmp_path / "aqe.db") as store:
        second = Letters()
        assert np.array_equal(KeptEmbedder(second, store, costly=True).embed([*texts, "delta"])[:4], wanted)
        assert second.given == ["delta"]
    with Store.open(tmp_path / "aqe.db") as store:
        assert store.stats().caches["embedding_hits"] == 4 + 1 + 4
        assert store.stats().caches["embedding_misses"] == 3 + 1


def test_a_cheap_embedder_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is embedded faster than it is looked up leaves nothing in the file; a costly one is told by its calls."""
    with Store.open(tmp_path / "aqe.db") as store:
        for calls, least_us, kept in ((9, 4.0, 0), (1, 7000.0, 0), (9, 7000.0, 1)):
            monkeypatch.setitem(embeddings._measured, Letters().id, (calls, least_us))
            kept_in(store, Letters()).embed(["alpha"])
            with store.writing() as connection:
                pass
            store.accesses.flush(connection)
            with store.reading() as connection:
                assert connection.execute("SELECT count(*) FROM embeddings").get == kept


def test_vectors_of_another_embedder_are_not_taken(tmp_path: Path) -> None:
    """Each embedder has its own."""
    with Store.open(tmp_path / "aqe.db") as store:
        KeptEmbedder(Letters(), store, costly=True).embed(["alpha"])
        other = Letters("toy-others")
        KeptEmbedder(other, store, costly=True).embed(["alpha"])
        assert other.given == ["alpha"]


def test_erasing_a_memory_erases_the_vector_of_its_text(tmp_path: Path) -> None:
    """Nothing that was made of an erased text stays, neither in the file nor in what waits to be written."""
    with Store.open(tmp_path / "aqe.db") as store:
        kept = KeptEmbedder(Letters(), store, costly=True)
        store.keep([NewMemory("alpha", id="a"), NewMemory("beta", id="b")])
        kept.embed(["alpha", "beta"])
        store.close()
    with Store.open(tmp_path / "aqe.db") as store:
        KeptEmbedder(Letters(), store, costly=True).embed(["alpha of now"])
        store.delete("a", erase=True)
        assert store.accesses.kept(Letters().id, digest_of("alpha of now")) is None
        with store.reading() as connection:
            assert connection.execute("SELECT digest FROM embeddings").fetchall() == [(digest_of("beta"),)]


def test_a_search_that_was_made_before_is_answered_from_memory(store: Store) -> None:
    """The same search again has the same answer and counts as a hit; any other one, and a prior, is made anew."""
    for number in range(5):
        store.add(f"refund number{number}", vector=[1.0, 0.1 * number], metadata={"n": number})
    searches = [
        {"query": "refund"},
        {"query": "refund", "k": 2},
        {"query": "refund", "vector": [1.0, 0.0]},
        {"query": "refund", "filter": {"n": {"ge": 3}}},
        {"query": "refund", "namespace": "default"},
    ]
    first = [store.search(**one) for one in searches]
    assert [store.search(**one) for one in searches] == first
    path = store.path
    store.close()
    with Store.open(path) as again:
        assert again.stats().caches == {"query_hits": 5, "query_misses": 5}


@pytest.mark.parametrize("k", [0, True, -1, [], None, 1.0])
def test_a_wrong_k_is_refused_although_a_like_one_was_answered(store: Store, k: Any) -> None:
    """What was kept for a search of 1 is not the answer to one of True."""
    store.add("refund one")
    store.search("refund", k=1)
    with pytest.raises(UserError) as caught:
        store.search("refund", k=k)
    assert caught.value.code == "bad-limit"


def test_a_change_by_anybody_ends_what_was_kept(store: Store) -> None:
    """An addition here and a deletion by another process are seen by the next search."""
    one, two = store.add("refund one"), store.add("refund two")

    def found() -> set[str]:
        return {hit.memory.id for hit in store.search("refund").hits}

    assert found() == found() == {one, two}
    three = store.add("refund three")
    assert found() == {one, two, three}
    with Store.open(store.path) as other:
        other.delete(two)
    assert found() == {one, three}


def test_time_and_files_are_looked_at_anew(tmp_path: Path) -> None:
    """A memory that ends, and one whose file changes, are seen although no memory changed."""
    clock = [1_700_000_000_000_000]
    (tmp_path / "shop.py").write_text("RATE = 3\n")
    rules = GrowthRules(root=tmp_path, stale="mark")
    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0], growth=rules) as store:
        store.keep([NewMemory("the rate is three", provenance=Provenance("shop.py", 1))])
        assert [hit.memory.stale for _ in range(2) for hit in store.search("rate").hits] == [False, False]
        (tmp_path / "shop.py").write_text("RATE = 4\n")
        assert [hit.memory.stale for hit in store.search("rate").hits] == [True]
        store.keep([NewMemory("the rate of today", ttl_s=60)])
        assert len(store.search("rate").hits) == len(store.search("rate").hits) == 2
        clock[0] += 61_000_000
        assert len(store.search("rate").hits) == 1
