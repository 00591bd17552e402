"""A search with the graph: what edges lead to is found, and what is found together is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aqe.engine.embedding.static import built_in_path, open_static
from aqe.engine.errors import UserError
from aqe.engine.index import index_project
from aqe.engine.memory import NewMemory, Store, open_store
from aqe.engine.memory.graph import Edge, add_edges, neighbours, read_figures, remove_edges
from aqe.engine.memory.graph.attention import SIZE
from aqe.engine.memory.graph.searching import Graph, built_in_weights
from aqe.engine.retrieval import find, find_each, keep

CODE = '''def round_half_up(cents, places):
    """Round an amount of cents so that halves go up."""
    return (cents + 5 * 10 ** (places - 1)) // 10**places
'''
NAMED = (
    "import pytest\nfrom money import round_half_up\n\n\ndef test_edge():\n    assert round_half_up(5, 1) == 1\n\n\n"
)
ALIKE = """def test_amount_of_cents_is_shown_{n}():
    amount, cents = {n}, {n}
    assert amount == cents  # halves go up


"""
TESTS = NAMED + "".join(ALIKE.format(n=n) for n in range(60))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("money")
    (root / "pyproject.toml").touch()
    (root / "money.py").write_text(CODE)
    (root / "test_money.py").write_text(TESTS)
    return root


@pytest.fixture
def store(project: Path) -> Iterator[Store]:
    with open_store(project) as opened:
        index_project(opened, open_static(built_in_path()), project)
        yield opened


def names(store: Store, k: int = 5) -> list[str]:
    answer = find(store, open_static(built_in_path()), CODE, k=k, namespace="index/tests")
    return [str(hit.memory.metadata["name"]) for hit in answer.hits]


def test_test_that_names_a_function_is_found_by_its_text(store: Store) -> None:
    """The one test that names a function comes first for its text, before sixty that only sound like it."""
    assert names(store)[0] == "test_edge"
    store.graph = None
    assert names(store)[0] != "test_edge"


def test_edges_that_come_and_go_count_at_once(store: Store) -> None:
    """The same search finds by an edge as soon as it is there, and no more once it is gone."""
    by_name = {memory.metadata["name"]: memory.id for memory in store.list(namespace="index/tests")}
    (function,) = store.list(namespace="index/code", filter={"kind": "function"})
    chosen = ("index/tests", by_name["test_amount_of_cents_is_shown_41"])
    before = names(store, 3)
    edge = Edge("covers", (chosen, ("index/code", function.id)), 1.0)
    add_edges(store, [edge])
    assert "test_amount_of_cents_is_shown_41" in names(store, 3)
    remove_edges(store, [edge])
    assert names(store, 3) == before


def test_explained_hit_tells_what_edges_added(store: Store) -> None:
    """The score is the place of the sum of what the search and the edges gave; other searches have no part of edges."""
    embedder = open_static(built_in_path())
    asked = {"k": 200, "explain": True}
    hits = find(store, embedder, CODE, namespace="index/tests", **asked).hits
    sums = [hit.explained.similarity + hit.explained.graph_added for hit in hits if hit.explained is not None]
    assert hits[0].memory.metadata["name"] == "test_edge"
    assert hits[0].explained is not None
    assert hits[0].explained.graph_added > 0.05
    low, high = min(sums), max(sums)
    assert [(one - low) / (high - low) for one in sums] == pytest.approx([hit.score for hit in hits], abs=1e-4)
    others = find(store, embedder, CODE, namespace="index/", **asked).hits
    assert {hit.explained.graph_added for hit in others if hit.explained is not None} == {0.0}


def test_explaining_changes_no_order(store: Store) -> None:
    """The hits are the same, with the same scores, whether or not they are explained."""
    embedder = open_static(built_in_path())
    plain, told = (
        [
            (hit.memory.id, round(hit.score, 4))
            for hit in find(store, embedder, CODE, namespace="index/tests", **how).hits
        ]
        for how in ({}, {"explain": True})
    )
    assert plain == told


def test_hits_have_their_scores_in_order(store: Store) -> None:
    """The best hit has 1, none has less than 0, and each is found once."""
    hits = find(store, open_static(built_in_path()), CODE, k=20, namespace="index/tests").hits
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert (scores[0], len({hit.memory.id for hit in hits})) == (1.0, 20)
    assert min(scores) >= 0.0


def test_each_place_is_answered_in_turn(store: Store) -> None:
    """Several places are answered as each would be alone."""
    embedder = open_static(built_in_path())
    tests, code = find_each(store, embedder, CODE, [("index/tests", 3), ("index/code", 1)])
    assert [hit.memory.metadata["name"] for hit in tests.hits] == names(store, 3)
    assert [hit.memory.metadata["name"] for hit in code.hits] == ["round_half_up"]


def test_place_that_asks_for_nearness_stays_empty_without_it(store: Store) -> None:
    """Where nothing is as near as a place wants it, the place is empty with the graph too."""
    embedder = open_static(built_in_path())
    (found,) = find_each(store, embedder, CODE, [("index/tests", 3)], least={"index/tests": 0.999})
    assert found.hits == ()


def test_namespace_stays_what_was_asked_for(store: Store) -> None:
    """What lies around a namespace helps to order it and is not found in it."""
    hits = find(store, open_static(built_in_path()), CODE, k=40, namespace="index/tests").hits
    assert {hit.memory.namespace for hit in hits} == {"index/tests"}


def test_filtered_search_finds_only_what_fits(store: Store) -> None:
    """A filter holds with the graph on."""
    hits = find(store, open_static(built_in_path()), CODE, k=5, namespace="index/tests", filter={"kind": "module"}).hits
    assert {hit.memory.metadata["kind"] for hit in hits} == {"module"}


@pytest.mark.parametrize("k", [0, 1001, True])
def test_bad_number_of_hits_is_refused(store: Store, k: int) -> None:
    """A number of results that cannot be is refused as without the graph."""
    with pytest.raises(UserError) as refused:
        find(store, open_static(built_in_path()), CODE, k=k, namespace="index/tests")
    assert refused.value.code == "bad-limit"


def test_memories_found_together_become_neighbours(tmp_path: Path) -> None:
    """What searches find together is joined once the store is closed."""
    embedder = open_static(built_in_path())
    with Store.open(tmp_path / "aqe.db") as store:
        store.graph = Graph(store)
        mugs = [NewMemory(f"the mug number {n} is blue", id=f"m{n}", namespace="index/tests") for n in range(3)]
        keep(store, embedder, mugs)
        for question in ("blue mug", "mug that is blue"):
            find(store, embedder, question, k=3, namespace="index/tests")
    with Store.open(tmp_path / "aqe.db") as store:
        assert read_figures(store).kinds == {"co-retrieved": 1}
        assert neighbours(store, "m0", namespace="index/tests")[0].weight == 2.0


def test_shipped_weights_fit_the_attention() -> None:
    """The weights that come with aqe have a number for each part, all finite."""
    weights = built_in_weights()
    assert weights.shape == (SIZE,)
    assert np.isfinite(weights).all()
