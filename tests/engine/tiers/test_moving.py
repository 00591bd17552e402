"""Vectors of rarely recalled memories move to smaller forms, and everything still finds and reads them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.growth.access import DAY_US
from aqe.engine.memory.growth.pins import set_pinned
from aqe.engine.memory.growth.upkeep import tend
from aqe.engine.memory.search.as_of import search_as_of
from aqe.engine.memory.tiers import moving
from aqe.engine.memory.tiers.figures import read_figures
from aqe.engine.memory.tiers.moving import compact_file, retier
from aqe.engine.memory.tiers.policy import Thresholds, assign
from aqe.engine.progress import Cancelled, CancelToken
from aqe.engine.retrieval import find, keep
from aqe.engine.settings import load_settings

COUNT = 120
DIMENSION = 64


class Bags:
    """An embedder of the engine's own kind: each word has a direction, a text is their sum at length one."""

    id = "aqe-static-bags"
    dimension = DIMENSION

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), DIMENSION), np.float32)
        for place, text in enumerate(texts):
            for word in text.split():
                rows[place] += np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIMENSION)
            rows[place] /= max(float(np.linalg.norm(rows[place])), 1e-9)
        return rows


def _text(number: int) -> str:
    return f"fact{number} about thing{number} and matter{number % 7}"


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Store]:
    """A store whose memories are a day apart, the later the younger, so that the last are the hot ones."""
    clock = [1_700_000_000_000_000]
    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0]) as store:
        for number in range(COUNT):
            clock[0] += DAY_US
            keep(store, Bags(), [NewMemory(_text(number), id=str(number))])
        yield store


def _counts(store: Store) -> list[int]:
    with store.reading() as connection:
        return [one.memories for one in read_figures(connection)]


def _found(store: Store, number: int) -> list[str]:
    return [hit.memory.id for hit in find(store, Bags(), _text(number), k=3).hits]


def test_tiers_are_the_percentiles(filled: Store) -> None:
    """The youngest fifth stays hot, and so on (within 2 % at each edge); a second time nothing moves."""
    moved = retier(filled, Bags(), Thresholds())
    assert _counts(filled) == pytest.approx([24, 48, 36, 12], abs=3)
    assert list(moved.to.values())[1:] == _counts(filled)[1:]
    assert sum(retier(filled, Bags(), Thresholds()).to.values()) == 0


@pytest.mark.parametrize("rounds", [1, 5])
def test_every_tier_is_found_by_words_and_meaning(filled: Store, rounds: int) -> None:
    """Each memory is the first hit for its own text, before there are codes of them and after."""
    retier(filled, Bags(), Thresholds())
    for _ in range(rounds):
        for number in (0, 30, 70, 119):
            assert _found(filled, number)[0] == str(number)
            vector = Bags().embed([_text(number)])[0]
            hits = find(filled, Bags(), None, vector=vector, k=3).hits
            assert hits[0].memory.id == str(number)
            assert hits[0].vector_score is not None
            assert number < 5 or hits[0].vector_score > 0.999


def test_a_cold_hit_is_scored_by_its_text_embedded_anew(filled: Store) -> None:
    """What only has its signs left gets the score of its whole vector, once codes are at hand."""
    retier(filled, Bags(), Thresholds())
    vector = Bags().embed([_text(0)])[0]
    for _ in range(4):
        hits = find(filled, Bags(), None, vector=vector, k=1).hits
    assert (hits[0].memory.id, hits[0].vector_score) == ("0", pytest.approx(1.0, abs=1e-5))


def test_another_process_finds_the_same(filled: Store) -> None:
    """A store opened afterwards, and one that was open and had all vectors in memory, agree."""
    with Store.open(filled.path) as other:
        for _ in range(4):
            _found(other, 0)
        retier(filled, Bags(), Thresholds())
        with Store.open(filled.path) as later:
            for number in (0, 20, 60, 110):
                assert _found(other, number) == _found(later, number) == _found(filled, number)


def test_vectors_read_back_are_the_stored_ones(filled: Store) -> None:
    """Hot, warm and int8 vectors are given as they were, within their form; a cold one is not given at all."""
    retier(filled, Bags(), Thresholds())
    assert filled.vector("0") is None
    for number, near in ((30, 0.9999), (80, 0.999999), (119, 1.0 - 1e-6)):
        found = filled.vector(str(number))
        assert found is not None
        length = float(np.linalg.norm(found))
        assert float(np.array(found) @ Bags().embed([_text(number)])[0]) / length >= near


def test_what_was_recalled_comes_up_again(filled: Store) -> None:
    """A cold memory that is asked for often is hot at the next round, with its whole vector."""
    retier(filled, Bags(), Thresholds())
    for _ in range(50):
        _found(filled, 3)
    path, clock = filled.path, filled.now
    filled.close()
    with Store.open(path, now=clock) as store:
        retier(store, Bags(), Thresholds())
        assert store.vector("3") == pytest.approx(tuple(Bags().embed([_text(3)])[0]), abs=1e-6)
        assert _found(store, 3)[0] == "3"


def test_vectors_of_callers_are_never_thrown_away(tmp_path: Path) -> None:
    """What cannot be made anew from the text keeps int8, whoever is said to have made it."""
    clock = [1_700_000_000_000_000]
    rng = np.random.default_rng(1)
    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0]) as store:
        for number in range(60):
            clock[0] += DAY_US
            name = ("theirs", Bags.id)[number % 2]
            vector = rng.standard_normal(DIMENSION).tolist()
            store.keep([NewMemory(_text(number), id=str(number), vector=vector, embedder_id=name)])
        moved = retier(store, Bags(), Thresholds(10, 10, 10))
        assert _counts(store)[2:] == [48, 0]
        assert moved.kept_int8 == 21
        assert all(store.vector(str(number)) is not None for number in range(60))


def test_pinned_memories_stay_hot_and_changed_ones_are_whole(filled: Store) -> None:
    """A pin keeps the vector; a new text of a cold memory is found by it; a deleted one by nothing."""
    set_pinned(filled, "0", True)
    retier(filled, Bags(), Thresholds())
    assert filled.vector("0") is not None
    filled.update("1", text="quite another story")
    filled.update("2", metadata={"seen": True})
    filled.delete("4")
    assert find(filled, Bags(), "quite another story", k=1).hits[0].memory.id == "1"
    assert _found(filled, 2)[0] == "2"
    assert "4" not in _found(filled, 4)
    assert filled.vector("2") is not None  # embedded anew by the search


def test_a_cold_twin_shares_nothing_and_the_past_stays_searchable(filled: Store) -> None:
    """The same text again is embedded by itself, and a search of the past goes on by words."""
    retier(filled, Bags(), Thresholds())
    filled.add(_text(0), id="again")
    assert {"0", "again"} <= set(_found(filled, 0))
    vector = Bags().embed([_text(70)])[0].tolist()
    hits = search_as_of(filled, filled.now(), _text(70), vector=vector, embedder_id=Bags.id, k=1).hits
    assert hits[0].memory.id == "70"


def test_filters_and_namespaces_see_demoted_rows(filled: Store) -> None:
    """A metadata filter and a namespace scope hold for rows of every tier."""
    keep(filled, Bags(), [NewMemory(_text(1), namespace="other", id="x", metadata={"kind": "rule"})])
    retier(filled, Bags(), Thresholds(0, 0, 0))
    vector = Bags().embed([_text(1)])[0]
    for _ in range(4):
        assert [hit.memory.id for hit in find(filled, Bags(), None, vector=vector, filter={"kind": "rule"}).hits] == [
            "x"
        ]
        assert find(filled, Bags(), None, vector=vector, namespace="default", k=1).hits[0].memory.id == "1"


def test_fewer_bytes_are_held(filled: Store) -> None:
    """The file has fewer blocks of vectors afterwards, and the figures say less for each tier."""

    def blocks() -> int:
        with filled.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM vectors_1_chunks").get)

    before = blocks()
    with filled.reading() as connection:
        whole = sum(one.file_bytes for one in read_figures(connection))
    retier(filled, Bags(), Thresholds())
    assert blocks() < before
    with filled.reading() as connection:
        figures = read_figures(connection)
    assert sum(one.file_bytes for one in figures) < 0.6 * whole
    assert [one.form for one in figures] == ["f32", "f16", "int8", "bits"]


def test_a_compacted_file_is_smaller_and_whole(filled: Store) -> None:
    """Writing the file anew gives the free pages back, and every tier is found and read as before."""
    retier(filled, Bags(), Thresholds())
    wanted = {number: filled.vector(str(number)) for number in (30, 80, 110)}
    assert compact_file(filled) > 0
    with Store.open(filled.path) as later:
        assert {number: later.vector(str(number)) for number in wanted} == wanted
        assert all(_found(later, number)[0] == str(number) for number in (0, 30, 80, 110))
        keep(later, Bags(), [NewMemory("one more fact", id="more")])
        assert later.vector("more") is not None


def test_upkeep_moves_where_there_are_enough_and_not_too_often(filled: Store, tmp_path: Path) -> None:
    """The background leaves a small store alone, moves a large one, and not twice within the hour."""
    flags = {"memory.merge": False}
    few = load_settings(tmp_path, flags={**flags, "memory.tiers_from": COUNT + 1}, environ={})
    many = load_settings(tmp_path, flags={**flags, "memory.tiers_from": COUNT}, environ={})
    off = load_settings(tmp_path, flags={**flags, "memory.tiers_from": 0, "memory.tiers": False}, environ={})
    moved = [tend(filled, settings) for settings in (few, off, many, many)]
    assert [one is not None and one.moved > 0 for one in moved] == [False, False, True, False]
    assert _counts(filled)[1] > 0


def test_rows_near_an_edge_do_not_go_to_and_fro() -> None:
    """A rank that moved by one percent keeps its tier; one that moved by ten does not."""
    scores = np.arange(1000, dtype=np.float64)
    none = np.zeros(1000, bool)
    now = assign(scores, np.zeros(1000, np.int8), none, Thresholds())
    edge = 800  # the last of the first fifth
    nudged = scores.copy()
    nudged[edge] -= 10
    assert assign(nudged, now, none, Thresholds())[edge] == 0
    nudged[edge] -= 100
    assert assign(nudged, now, none, Thresholds())[edge] == 1


@pytest.mark.parametrize("searches", [1, 5])
def test_cold_vectors_have_exact_scores_wherever_they_are_named(filled: Store, searches: int) -> None:
    """By words and meaning, by the first search and by later ones, now and as of now, each cold hit's score is that of
    its whole vector."""
    retier(filled, Bags(), Thresholds())
    filled.remake_with(Bags())
    query = "fact3 about matter4"
    vector = Bags().embed([query])[0]
    at = filled.now()
    found = [filled.search(query, vector=vector, k=COUNT, embedder_id=Bags.id) for _ in range(searches)][-1]
    then = search_as_of(filled, at, query, vector=vector, k=COUNT, embedder_id=Bags.id)
    cold = {str(number) for number in range(COUNT) if filled.vector(str(number)) is None}
    for answer in (found, then):
        scored = {hit.memory.id: hit.vector_score for hit in answer.hits if hit.memory.id in cold}
        assert len(scored) > 6
        for id, score in scored.items():
            assert score == pytest.approx(float(Bags().embed([_text(int(id))])[0] @ vector), abs=1e-5)
    assert [hit.memory.id for hit in then.hits[:9]] == [hit.memory.id for hit in found.hits[:9]]


@pytest.mark.parametrize(("batch", "done"), [(8, 1), (8, 2), (60, 1)])
def test_a_move_that_was_cut_off_is_known_to_all(
    filled: Store, monkeypatch: pytest.MonkeyPatch, batch: int, done: int
) -> None:
    """Broken off after any batch, what is cold by then is scored by its text, in this process and in another."""
    monkeypatch.setattr(moving, "BATCH", batch)
    cancel, steps = CancelToken(), list[int]()
    _found(filled, 1)

    def watch(_text: str, at: float, _total: float | None) -> None:
        steps.append(int(at))
        if len(steps) == done:
            cancel.cancel()

    with pytest.raises(Cancelled):
        retier(filled, Bags(), Thresholds(), progress=watch, cancel=cancel)
    with filled.reading() as connection:
        cold = [
            int(id) for (id,) in connection.execute("SELECT id FROM demoted JOIN memories USING (row) WHERE tier=3")
        ]
    assert cold
    with Store.open(filled.path) as other:
        for store in (filled, other):
            for _ in range(4):
                hits = find(store, Bags(), None, vector=Bags().embed([_text(cold[0])])[0], k=1).hits
            assert (hits[0].memory.id, hits[0].vector_score) == (str(cold[0]), pytest.approx(1.0, abs=1e-5))
