"""Edges that were measured or said: recorded coverage, meaning, corrections, and what is found together."""

from __future__ import annotations

import zlib
from array import array
from pathlib import Path

import pytest

from aqe.engine.index import index_project
from aqe.engine.learning import Feedback, file_feedback
from aqe.engine.memory import Store
from aqe.engine.memory.entry import NewMemory
from aqe.engine.memory.graph import neighbours, read_figures
from aqe.engine.memory.graph.building import build_graph
from aqe.engine.memory.graph.recorded import link_correction, link_coverage, link_similar
from aqe.engine.memory.graph.searching import Graph
from aqe.engine.memory.graph.together import KEPT, WAITING, Together
from aqe.engine.requests import Interaction, RequestTable


def record(store: Store, test: str, *parts: tuple[str, str]) -> None:
    """Note what a test executed, as a recorded run does."""
    with store.writing() as connection:
        numbers = []
        for file, name in parts:
            connection.execute(
                "INSERT OR IGNORE INTO impact_parts (file, name, digest) VALUES (?, ?, 'd')", (file, name)
            )
            sql = "SELECT number FROM impact_parts WHERE file = ? AND name = ?"
            numbers.append(connection.execute(sql, (file, name)).get)
        blob = zlib.compress(array("I", sorted(numbers)).tobytes())
        row = ("test", test, test.partition("::")[0], blob, "passed", 0.1, "run", 1, "", "")
        connection.execute("INSERT OR REPLACE INTO impact_sets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Store:
    root = tmp_path / "project"
    (root / "tests").mkdir(parents=True)
    (root / "shop.py").write_text(
        "def net():\n    def inner():\n        return 1\n    return inner\n\n\ndef tax():\n    return 2\n"
    )
    (root / "tests/test_shop.py").write_text("class TestNet:\n    def test_it(self, n):\n        assert run(n)\n")
    index_project(store, None, root)
    return store


def test_recorded_run_says_what_a_test_covers(shop: Store) -> None:
    """Each test leads to the functions that it executed, all cases of it together, an inner function as its outer."""
    record(shop, "tests/test_shop.py::TestNet::test_it[1]", ("shop.py", "net.<locals>.inner"), ("shop.py", "<module>"))
    record(shop, "tests/test_shop.py::TestNet::test_it[2]", ("shop.py", "net"), ("shop.py", "tax"))
    assert link_coverage(shop, "index") == (2, 0)
    (test,) = [one.id for one in shop.list(namespace="index/tests") if one.metadata["name"] == "TestNet.test_it"]
    names = {one.id: one.metadata["name"] for one in shop.list(namespace="index/code")}
    around = neighbours(shop, test, namespace="index/tests")
    assert {names[one.id]: one.weight for one in around} == {"net": 1.0, "tax": 0.7071}


def test_new_recording_replaces_the_old(shop: Store) -> None:
    """What a test does not execute any more is covered by it no more."""
    record(shop, "tests/test_shop.py::TestNet::test_it", ("shop.py", "net"), ("shop.py", "tax"))
    link_coverage(shop, "index")
    record(shop, "tests/test_shop.py::TestNet::test_it", ("shop.py", "net"))
    assert link_coverage(shop, "index") == (0, 1)
    assert read_figures(shop).kinds == {"covers": 1}


def add(store: Store, id: str, vector: list[float], namespace: str = "default") -> None:
    store.add_many([NewMemory(f"text {id} {namespace}", namespace, id, vector=vector, embedder_id="toy")])


def test_similar_memories_are_joined_within_their_namespace(store: Store) -> None:
    """Memories whose vectors are near are joined with their cosine; far ones and those elsewhere are not."""
    add(store, "a", [1.0, 0.1, 0.0])
    add(store, "b", [2.0, 0.1, 0.0])
    add(store, "c", [0.0, 0.0, 1.0])
    add(store, "d", [1.0, 0.1, 0.0], namespace="other")
    assert link_similar(store, ["default", "other"]) == 1
    (found,) = neighbours(store, "a")
    assert (found.id, found.kind, found.weight) == ("b", "similar", pytest.approx(0.9988, abs=1e-3))


def test_correction_is_joined_with_what_it_corrects(store: Store) -> None:
    """What an answer rested on leads to its correction, the first most; what has ended meanwhile does not."""
    for id in ("first", "second", "gone", "right"):
        store.add(f"text {id}", id=id)
    store.delete("gone")
    with store.writing() as connection:
        keys = [("default", id) for id in ("first", "second", "gone")]
        assert link_correction(connection, keys, ("default", "right"), now=1) == 2
    assert [(one.id, one.weight, one.outward) for one in neighbours(store, "right")] == [
        ("first", 1.0, False),
        ("second", 0.5, False),
    ]


def test_feedback_joins_a_correction_with_the_answer(store: Store) -> None:
    """Where the graph is on, correcting an answer joins what it rested on with the correction; else it does not."""
    requests = RequestTable(store)
    for id in ("a", "b"):
        store.add(f"text {id}", id=id)
    for name, graph in (("with", Graph(store)), ("without", None)):
        store.graph = graph
        asked = Interaction(requests.new_id(), "query", "when?", "never", context=(("default", "a"), ("default", "b")))
        with store.writing() as connection:
            requests.insert(connection, [asked])
        file_feedback(store, None, Feedback(asked.id, correction=f"Totals are rounded to even, {name} the graph."))
    found = neighbours(store, "a")
    assert [(one.kind, one.namespace, one.weight, one.outward) for one in found] == [
        ("fixed-by", "corrections", 1.0, True)
    ]
    assert neighbours(store, "b")[0].weight == 0.5


def rows_of(store: Store, ids: str) -> list[int]:
    """The rows of new memories of these ids."""
    for id in ids:
        store.add(f"text {id}", id=id)
    with store.reading() as connection:
        return [row for (row,) in connection.execute("SELECT row FROM memories ORDER BY id")]


def test_memories_found_together_are_joined_when_written(store: Store) -> None:
    """Sets of memories are counted in memory, and their counts added to what the file has."""
    rows = rows_of(store, "abcd")
    together = Together(store)
    together.note(rows)
    together.note(rows[:1])
    assert read_figures(store).edges == 0
    assert together.flush() == 1
    together.note([rows[1], rows[0], rows[2]])
    together.close()
    assert [(one.id, one.weight, one.members) for one in neighbours(store, "a")] == [("b", 2.0, 3), ("c", 2.0, 3)]


def test_counting_is_bounded(store: Store) -> None:
    """So many sets wait at most; what ended before it was written is left out."""
    x, y, z = rows_of(store, "xyz")
    together = Together(store)
    together.note([x, y])
    for number in range(40):
        together.note([x, 1000 + number])
    together.note([y, z])
    store.delete("z")
    assert together.flush() == 1
    assert WAITING < KEPT


def test_what_was_counted_is_written_in_the_background(store: Store) -> None:
    """After enough searches the counts are in the file without anybody asking for it."""
    rows = rows_of(store, "ab")
    together = Together(store)
    for _ in range(64):
        together.note(rows)
    together.close()
    assert neighbours(store, "a")[0].weight == 64.0


def test_building_brings_all_sources_and_drops_what_ended(shop: Store, tmp_path: Path) -> None:
    """One run reads files, impact map and vectors; a second one changes nothing."""
    record(shop, "tests/test_shop.py::TestNet::test_it", ("shop.py", "net"))
    add(shop, "a", [1.0, 0.1])
    add(shop, "b", [1.0, 0.2])
    assert build_graph(shop, "index", tmp_path / "project").came == 2
    again = build_graph(shop, "index", tmp_path / "project")
    assert (again.came, again.went, again.ended) == (0, 0, 0)
    assert set(read_figures(shop).origins) == {"impact", "vectors"}
