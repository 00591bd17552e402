"""What a session found before serves it again only while the store would say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aqe.engine.embedding.static import open_static
from aqe.engine.memory import NewMemory, Provenance, Store
from aqe.engine.memory.growth.rules import GrowthRules
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
