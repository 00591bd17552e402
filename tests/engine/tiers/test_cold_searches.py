"""Searches by words and meaning in stores of which some memories are cold."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.memory import NewMemory, SearchAnswer, Store
from aqe.engine.memory.growth.access import write_accesses
from aqe.engine.memory.tiers.moving import retier
from aqe.engine.memory.tiers.policy import Thresholds
from aqe.engine.retrieval import find, keep

COUNT = 1200
DIMENSION = 192


@cache
def _direction(word: str) -> NDArray[np.float32]:
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIMENSION).astype(np.float32)


class Bags:
    """An embedder of the engine's own kind: each word has a direction, a text is their sum at length one; `texts` are
    those that it embedded."""

    id = "aqe-static-bags"
    dimension = DIMENSION

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.texts += texts
        rows = np.stack([np.sum([_direction(word) for word in text.split()], axis=0) for text in texts])
        unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit.astype(np.float32)


def _texts() -> list[str]:
    """Ten words of a subject each, and a name of its own."""
    chance = random.Random(5)
    subjects = [[f"s{subject}w{number}" for number in range(40)] for subject in range(25)]
    return [" ".join([f"name{at}", *chance.choices(chance.choice(subjects), k=10)]) for at in range(COUNT)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store all of whose vectors are whole."""
    path = tmp_path_factory.mktemp("whole") / "aqe.db"
    with Store.open(path) as store:
        keep(
            store, Bags(), [NewMemory(text, id=str(at), namespace=f"part{at % 2}") for at, text in enumerate(_texts())]
        )
    return path


def _cooled(whole: Path, folder: Path, seed: int) -> Store:
    """A copy of the store whose memories were recalled at random, moved to tiers of random sizes."""
    chance = random.Random(seed)
    path = folder / "aqe.db"
    path.write_bytes(whole.read_bytes())
    store = Store.open(path)
    with store.writing() as connection:
        write_accesses(
            connection,
            {(f"part{at % 2}", str(at)): chance.randrange(1, 9) for at in chance.sample(range(COUNT), COUNT // 2)},
            store.now(),
        )
    embedder = Bags()
    store.remake_with(embedder)
    shares = [chance.uniform(0, 30) for _ in range(3)]
    assert retier(store, embedder, Thresholds(*shares)).to["cold"] > COUNT // 20
    return store


def _asked(seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.sample(text.split()[1:], 5)) for text in chance.sample(_texts(), 25)]


def _by_id(answer: SearchAnswer) -> dict[str, tuple[float, float]]:
    return {hit.memory.id: (hit.score, hit.vector_score or 0.0) for hit in answer.hits}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.services) for seed in (1, 2, 3))])
@pytest.mark.parametrize("namespace", ["part0", None])
def test_cold_memories_are_found_as_if_each_that_is_near_were_whole(
    whole: Path, tmp_path: Path, namespace: str | None, seed: int
) -> None:
    """What is found by arrays is what the search finds that explains itself, and so goes another way: of ten hits nine
    and a half at least, each with the very same cosine, and with about its score."""
    with _cooled(whole, tmp_path, seed) as store:
        embedder, same, found = Bags(), 0, 0
        for query in ["warm up"] * 5 + _asked(seed):
            slow = _by_id(find(store, embedder, query, namespace=namespace, explain=True))
            fast = _by_id(find(store, embedder, query, namespace=namespace))
            same, found = same + len(fast.keys() & slow.keys()), found + len(slow)
            for id in fast.keys() & slow.keys():
                assert fast[id][1] == pytest.approx(slow[id][1], abs=3e-6)
                assert fast[id][0] == pytest.approx(slow[id][0], abs=0.15)
        assert same / found >= 0.95


@pytest.mark.services
def test_few_texts_are_embedded_anew_for_a_search(whole: Path, tmp_path: Path) -> None:
    """In one namespace texts are embedded whose memories may be among the best: a fraction of those that are near."""
    with _cooled(whole, tmp_path, 1) as store:
        embedder = Bags()
        for query in _asked(0):
            find(store, embedder, query, namespace="part0")
        texts = dict[bool, int]()
        for explain in (True, False):
            embedder.texts.clear()
            for query in _asked(7):
                find(store, embedder, query, namespace="part0", explain=explain)
            texts[explain] = len(embedder.texts)
        assert texts[False] < 0.6 * texts[True]


def test_a_memory_that_is_warm_again_is_found_by_its_own_vector(whole: Path, tmp_path: Path) -> None:
    """What is recalled, and so comes up, between two searches is found as before, and so is what is new."""
    with _cooled(whole, tmp_path, 2) as store, Store.open(tmp_path / "aqe.db") as other:
        embedder, texts = Bags(), _texts()
        for at in range(0, 12, 2):
            assert find(store, embedder, texts[at], namespace="part0", k=3).hits[0].memory.id == str(at)
        with other.writing() as connection:
            write_accesses(connection, {("part0", str(at)): 50 for at in range(0, COUNT, 2)}, other.now())
        other.remake_with(embedder)
        retier(other, embedder, Thresholds(60, 20, 10))
        keep(other, embedder, [NewMemory("brand new text of its own", namespace="part0", id="new")])
        for at in range(0, 200, 20):
            hit = find(store, embedder, texts[at], namespace="part0", k=3).hits[0]
            assert (hit.memory.id, hit.vector_score) == (str(at), pytest.approx(1.0, abs=2e-3))
        assert find(store, embedder, "brand new text", namespace="part0", k=3).hits[0].memory.id == "new"
