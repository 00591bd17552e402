"""The edges as arrays: what they are of each memory, and how they follow the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aqe.engine.memory import Store
from aqe.engine.memory.file.changelog import read_number
from aqe.engine.memory.graph import Edge, add_edges, remove_edges
from aqe.engine.memory.graph.adjacency import EACH, HeldEdges
from aqe.engine.memory.graph.attention import RELATIONS
from aqe.engine.memory.graph.edges import Key, Kind


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "aqe.db") as opened:
        for id in ("t1", "t2", "t3"):
            opened.add(f"test {id}", id=id, namespace="index/tests")
        opened.add("the function", id="f", namespace="index/code")
        yield opened


def key(id: str) -> Key:
    return "index/tests", id


FUNCTION: Key = ("index/code", "f")


def sides(store: Store, held: HeldEdges, id: str, namespace: str = "index/tests") -> list[tuple[str, str, float]]:
    """What joins a memory, strongest first: the id at the other end, the relation, the weight."""
    with store.reading() as connection:
        edges = held.at_hand(connection, read_number(connection))
        ids = {
            int(row): str(id) for row, id in connection.execute("SELECT row, id FROM memories WHERE valid_to IS NULL")
        }
        found = [row for row, name in ids.items() if name == id]
    (node,) = edges.nodes_of(found)
    if node < 0:
        return []
    return [
        (ids[int(edges.rows[other])], RELATIONS[relation], float(weight))
        for other, relation, weight in zip(edges.other[node], edges.relation[node], edges.weight[node], strict=True)
        if other >= 0 and edges.rows[other] >= 0
    ]


def edge(*members: Key, kind: Kind = "covers", weight: float = 1.0) -> Edge:
    return Edge(kind, members, weight)


def test_each_end_sees_an_edge_from_its_side(store: Store) -> None:
    """A test covers a function; the function is covered by the test; the strongest edge comes first."""
    held = HeldEdges()
    add_edges(store, [edge(key("t1"), FUNCTION, weight=0.5), edge(key("t2"), FUNCTION)])
    assert sides(store, held, "t1") == [("f", "covers out", 0.5)]
    assert sides(store, held, "f") == [("t2", "covers in", 1.0), ("t1", "covers in", 0.5)]


def test_edge_of_three_leads_from_its_start(store: Store) -> None:
    """The ends of a directed edge have their share of it from its start, and none from each other."""
    held = HeldEdges()
    add_edges(store, [edge(key("t1"), FUNCTION, key("t2"), kind="calls", weight=3.0)])
    assert sorted(sides(store, held, "t1")) == [("f", "calls out", 1.5), ("t2", "calls out", 1.5)]
    assert sides(store, held, "t2") == [("t1", "calls in", 1.5)]


def test_kinds_that_no_weights_were_learned_for_are_left_out(store: Store) -> None:
    """What is alike, or was found together, joins no arrays."""
    add_edges(store, [edge(key("t1"), key("t2"), kind="similar"), edge(key("t1"), key("t3"), kind="co-retrieved")])
    assert sides(store, HeldEdges(), "t1") == []


def test_edges_and_memories_are_followed(store: Store) -> None:
    """A new edge, a new weight, a new revision, an end and a dropped edge are seen at the next look."""
    held = HeldEdges()
    add_edges(store, [edge(key("t1"), FUNCTION)])
    assert [name for name, *_ in sides(store, held, "f")] == ["t1"]
    add_edges(store, [edge(key("t1"), FUNCTION, weight=0.25), edge(key("t2"), FUNCTION)])
    assert [(name, weight) for name, _, weight in sides(store, held, "f")] == [("t2", 1.0), ("t1", 0.25)]
    store.update("t2", namespace="index/tests", text="another text of the test")
    store.add("something else", id="new")
    assert [name for name, *_ in sides(store, held, "f")] == ["t2", "t1"]
    store.delete("t2", namespace="index/tests")
    assert [name for name, *_ in sides(store, held, "f")] == ["t1"]
    remove_edges(store, [edge(key("t1"), FUNCTION)])
    assert sides(store, held, "f") == []


def test_strongest_of_many_edges_are_held(store: Store) -> None:
    """Of a node with more edges than are looked at the weakest are left out."""
    for number in range(EACH + 4):
        store.add(f"another test {number}", id=f"n{number}", namespace="index/tests")
    add_edges(store, [edge(key(f"n{number}"), FUNCTION, weight=1.0 + number) for number in range(EACH + 4)])
    found = [name for name, *_ in sides(store, HeldEdges(), "f")]
    assert found == [f"n{number}" for number in range(EACH + 3, 3, -1)]


def test_edges_of_an_origin_can_be_left_out(store: Store) -> None:
    """A trial looks at the edges of all origins but some."""
    add_edges(store, [edge(key("t1"), FUNCTION)])
    add_edges(store, [Edge("covers", (key("t2"), FUNCTION), 1.0, "impact")])
    assert [name for name, *_ in sides(store, HeldEdges(without=("impact",)), "f")] == ["t1"]
