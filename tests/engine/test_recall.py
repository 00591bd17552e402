"""What a session found before serves it again only while the store would say the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from aqe.engine.embedding.static import open_static
from aqe.engine.memory import NewMemory, Provenance, Store
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.pools import SAID, Pools, pool_of
from aqe.engine.recall import CachedEmbedder, Recall
from aqe.engine.retrieval import keep
from aqe.engine.settings import load_settings


def test_a_session_is_not_served_what_is_over_or_went_stale(tmp_path: Path) -> None:
    """Once a memory of the session's is over, and once a file behind one changed, the store is asked anew."""
    file = tmp_path / "shop.md"
    file.write_text("Shipping is free above 50 euros.")
    at = [1_700_000_000_000_000]
    embedder, asked = CachedEmbedder(open_static()), "When is shipping free?"
    with Store.open(tmp_path / "aqe.db", now=lambda: at[0], growth=GrowthRules(root=tmp_path, stale="hide")) as store:
        stays = NewMemory("Shipping is free above 50 euros.", id="stays", provenance=Provenance(file="shop.md", line=1))
        keep(store, embedder, [stays, NewMemory("Shipping is free on this Friday.", id="friday", ttl_s=60)])
        recall = Recall(store, embedder, lambda: load_settings(tmp_path, environ={}))

        def found() -> tuple[bool, set[str]]:
            one = recall.recall(asked, k=5, session="talk")
            return one.reused, {passage.id for passage in one.passages}

        assert [found(), found()] == [(False, {"stays", "friday"}), (True, {"stays", "friday"})]
        at[0] += 60_000_000
        assert [found(), found()] == [(False, {"stays"}), (True, {"stays"})]
        file.write_text("Shipping is free above 20 euros.")
        assert found() == (False, set())


def test_nearness_of_named_memories_is_that_of_their_vectors(tmp_path: Path) -> None:
    """Each named memory's cosine is that of its stored vector; one that is not there, or has no vector, is left out."""
    embedder = CachedEmbedder(open_static())
    with Store.open(tmp_path / "aqe.db") as store:
        keep(store, embedder, [NewMemory("Shipping is free above 50 euros.", id="free"), NewMemory("Tea.", id="tea")])
        store.add("No vector.", id="bare")
        asked = embedder.vector_of("When is shipping free?")
        keys = [("default", id) for id in ("free", "tea", "bare", "none")]
        near = store.cosines(asked, keys, embedder_id=embedder.id)
        stored = {id: store.vector(id) for id in ("free", "tea")}
    expected = {("default", id): float(np.dot(np.array(vector), asked)) for id, vector in stored.items() if vector}
    assert near == pytest.approx(expected, abs=1e-4)


def test_nearness_is_that_of_what_a_memory_says_now(tmp_path: Path) -> None:
    """A memory that was changed, here or by somebody else, is as near as its new text; one that was forgotten is left
    out, and one that came is there, however many are asked for together."""
    embedder, asked = CachedEmbedder(open_static()), "When is shipping free?"
    vector = embedder.vector_of(asked)
    keys = [("default", f"m{number}") for number in range(40)] + [("notes", "m1")]
    with Store.open(tmp_path / "aqe.db") as store, Store.open(tmp_path / "aqe.db") as other:
        keep(store, embedder, [NewMemory(f"Tea number {at}.", id=f"m{at}") for at in range(38)])
        keep(store, embedder, [NewMemory("Coffee.", "notes", "m1")])

        def near() -> dict[tuple[str, str], float]:
            return store.cosines(vector, keys, embedder_id=embedder.id)

        before = near()
        assert len(before) == 39
        store.update("m1", text=asked, vector=vector, embedder_id=embedder.id)
        assert near() == {**before, ("default", "m1"): pytest.approx(1.0, abs=1e-3)}
        other.delete("m2")
        keep(other, embedder, [NewMemory(asked, id="m39")])
        after = near()
    assert {key for key in keys if key not in after} == {("default", "m2"), ("default", "m38")}
    assert after["default", "m39"] == pytest.approx(1.0, abs=1e-3)


class TestPools:
    """What sessions have at hand, all together."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with Store.open(tmp_path / "aqe.db") as store:
            yield store

    def recall(self, store: Store, folder: Path, memories: Sequence[NewMemory], **bound: int) -> Recall:
        """A recall over these memories, with pools of this bound."""
        embedder = CachedEmbedder(open_static())
        keep(store, embedder, memories)
        return Recall(store, embedder, lambda: load_settings(folder, environ={}), pools=Pools(**bound))

    def test_sessions_asked_longest_ago_are_let_go_of(self, store: Store, tmp_path: Path) -> None:
        """Of more characters than all may hold the sessions asked longest ago lose theirs, and ask the store again."""
        told = NewMemory("Shipping is free above 50 euros. " + "Parcels leave on Monday. " * 20, id="free")
        recall = self.recall(store, tmp_path, [told], characters=6_000)  # two memories' and a bit

        def reused(session: str) -> bool:
            found = recall.recall("When is shipping free?", k=5, session=session)
            assert [passage.id for passage in found.passages] == ["free"]
            return found.reused

        assert [reused("one"), reused("two"), reused("one"), reused("three")] == [False, False, True, False]
        assert [reused("one"), reused("three"), reused("two"), reused("one")] == [True, True, False, False]

    def test_one_session_alone_is_bounded_too(self, store: Store) -> None:
        """What is more than all may hold is not kept, takes the place of what its session had, and drives no other
        session out."""
        store.add("Shipping is free above 50 euros.", namespace="short")
        store.add("Refunds of shipping take a week. " * 100, namespace="long")
        short, long = (store.search("shipping", namespace=name).hits for name in ("short", "long"))
        pools = Pools(characters=4_000)
        for session, hits in (("small", short), ("large", long), ("grows", short), ("grows", long)):
            pools.put(session, pool_of(hits, 1, None))
        assert [pools.get(session) is not None for session in ("small", "large", "grows")] == [True, False, False]

    def test_what_a_long_text_says_at_its_end_is_asked_of_the_store(self, store: Store, tmp_path: Path) -> None:
        """A session serves what a text says in its beginning; for a word of a long one's end the store is asked, which
        finds it."""
        filler = "Parcels leave on Monday. " * (SAID // 24)
        told = NewMemory(f"Shipping is free above 50 euros. {filler} Bicycles need a crate.", id="long")
        recall = self.recall(store, tmp_path, [told, NewMemory("The tea is green.", id="tea")])
        found = [
            recall.recall(asked, k=5, session="talk")
            for asked in ("When is shipping free?", "Is shipping free?", "Which parcels with bicycles need a crate?")
        ]
        assert [one.reused for one in found] == [False, True, False]
        assert [one.passages[0].id for one in found] == ["long", "long", "long"]
