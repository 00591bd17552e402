"""The graph of usearch over `Vectors`: the same answers as the surface promises, measured against the exact ones."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, open_store
from aqe.engine.memory.meaning.hnsw import Hnsw, Shape
from aqe.simd import Vectors

DIM = 32


@cache
def rows(count: int, seed: int = 0) -> Any:
    """Rows about 20 centres."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(0, 1, (20, DIM))
    return (centres[chance.integers(0, 20, count)] + chance.normal(0, 0.5, (count, DIM))).astype(np.float32)


def made(count: int = 600, metric: Any = "cosine", shape: Shape | None = None) -> Hnsw:
    """A finished graph over the ids 0, 10, 20 and so on."""
    vectors = Vectors(DIM, metric)
    vectors.add(np.arange(count) * 10, rows(count))
    graph = Hnsw(vectors, shape)
    assert graph.wait(60)
    return graph


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_a_graph_finds_most_and_scores_exactly(metric: Any) -> None:
    """What a graph finds has the exact scores of its rows, best first, and its measured recall says how much it is."""
    graph = made(metric=metric, shape=Shape(ef_search=200))
    assert graph.structure == "hnsw"
    ids, scores = graph.search(rows(1, seed=3)[0], 10)
    expected = graph.exact(rows(1, seed=3)[0], 10, allow=ids)
    assert ids.tolist() == expected[0].tolist()
    np.testing.assert_allclose(scores, expected[1], rtol=1e-4, atol=1e-5)
    assert 0.95 <= graph.recall(sample=40) <= 1


def test_changes_are_seen_at_once() -> None:
    """A row that is added is found, one that is replaced by its new row alone, one that is deleted no more."""
    graph, new = made(), rows(3, seed=7)
    graph.add([7], new[:1])
    graph.add([1000], new[1:2])
    assert graph.delete([2000, 5]) == 1
    assert graph.search(new[0], 1)[0].tolist() == [7]
    assert graph.search(new[1], 1)[0].tolist() == [1000]
    assert 2000 not in graph.search(rows(600)[200], 20)[0]
    assert 1000 not in graph.search(rows(600)[100], 1)[0]
    assert len(graph) == 600


def test_a_filter_is_answered_without_the_graph() -> None:
    """With `allow` the answer is that of `Vectors`."""
    graph, query = made(), rows(1, seed=4)[0]
    chosen = np.arange(0, 600, 7) * 10
    assert graph.search(query, 5, allow=chosen)[0].tolist() == graph.vectors.exact(query, 5, allow=chosen)[0].tolist()


def test_answers_come_while_the_graph_is_made() -> None:
    """Until it is made `Vectors` answers, and what is added meanwhile is in it afterwards."""
    vectors = Vectors(DIM)
    vectors.add(np.arange(3000), rows(3000))
    graph = Hnsw(vectors)
    graph.add([5000], -rows(3000)[:1])
    graph.delete([1])
    assert graph.search(-rows(3000)[0], 1)[0].tolist() == [5000]
    assert graph.wait(60)
    assert graph.structure == "hnsw"
    assert graph.search(-rows(3000)[0], 1)[0].tolist() == [5000]
    assert 1 not in graph.search(rows(3000)[1], 10)[0]


def test_a_graph_that_is_closed_stops_being_made() -> None:
    """Closing ends the work, and searches go on by way of `Vectors`."""
    vectors = Vectors(DIM)
    vectors.add(np.arange(20_000), rows(20_000))
    graph = Hnsw(vectors, Shape(ef_construction=500))
    graph.close()
    assert graph.structure != "hnsw"
    assert graph.search(rows(20_000)[4], 1)[0].tolist() == [4]


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"m": 3}, "m must be from 4 to 64, got 3"),
        ({"m": 65}, "m must be from 4 to 64, got 65"),
        ({"ef_construction": 49}, "ef_construction must be from 50 to 500, got 49"),
        ({"ef_search": 501}, "ef_search must be from 10 to 500, got 501"),
    ],
)
def test_figures_out_of_bounds_are_refused(figures: dict[str, int], told: str) -> None:
    """Each figure of the graph has bounds, which the error names."""
    with pytest.raises(ValueError, match=told):
        Shape(**figures)


def test_bad_queries_are_refused_as_without_a_graph() -> None:
    """A query of another length, with NaN, or a k of 0 raises what `Vectors` raises."""
    graph = made(50)
    with pytest.raises(ValueError, match="32 items"):
        graph.search(np.zeros(5, np.float32), 3)
    with pytest.raises(ValueError, match="NaN"):
        graph.search(np.full(DIM, np.nan, np.float32), 3)
    with pytest.raises(ValueError, match="at least 1"):
        graph.search(np.zeros(DIM, np.float32), 0)


def test_an_empty_graph_finds_nothing() -> None:
    """Without rows the answer is empty and nothing was missed."""
    graph = Hnsw(Vectors(DIM))
    assert graph.wait(60)
    assert graph.search(np.ones(DIM, np.float32), 5)[0].tolist() == []
    assert graph.recall() == 1.0


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where usearch is not installed the error says how to install it."""
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(UserError, match=r"aqe\[hnsw\]"):
        Hnsw(Vectors(DIM))


def test_a_store_is_searched_by_the_graph_that_its_settings_ask_for(tmp_path: Path) -> None:
    """With memory.index = hnsw searches go by the graph, what changes is found at once, and its recall is measured."""
    (tmp_path / "pyproject.toml").write_text('[tool.aqe.memory]\nindex = "hnsw"\nhnsw_ef_search = 300\n')
    vectors = rows(900)
    with open_store(tmp_path) as store:
        store.add_many(
            NewMemory(f"note {number}", id=str(number), vector=row.tolist()) for number, row in enumerate(vectors)
        )
        for _ in range(4):
            store.search(vector=vectors[0].tolist())
        figures = store.stats(measure=True).searches
        assert [one.structure for one in figures] == ["hnsw"]
        assert 0.95 <= figures[0].recall <= 1
        store.add("new", id="new", vector=(-vectors[0]).tolist())
        assert store.search(vector=(-vectors[0]).tolist(), k=1).hits[0].memory.id == "new"
        store.delete("7")
        assert "7" not in [hit.memory.id for hit in store.search(vector=vectors[7].tolist(), k=5).hits]


def test_a_store_without_the_extra_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a store whose settings ask for the graph names the extra where usearch is missing."""
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(UserError, match=r"aqe\[hnsw\]"):
        open_store(tmp_path, environ={"AQE_MEMORY_INDEX": "hnsw"})
