"""Edges between memories: kept, found, refused, and gone with what they join."""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.graph import Edge, add_edges, neighbours, read_figures, remove_edges
from aqe.engine.memory.graph.edges import KINDS, Kind, replace_edges, sweep
from aqe.engine.memory.rows import end_row

START_US = 1_700_000_000_000_000


def key(id: str) -> tuple[str, str]:
    return "default", id


@pytest.fixture
def joined(store: Store) -> Store:
    """Four memories: a test that covers two functions, one of which was fixed by a note."""
    for id in ("test", "price", "tax", "note"):
        store.add(f"what {id} says", id=id)
    add_edges(
        store,
        [
            Edge("covers", (key("test"), key("price"))),
            Edge("covers", (key("test"), key("tax")), 0.5),
            Edge("fixed-by", (key("price"), key("note"))),
        ],
    )
    return store


def ids(store: Store, id: str, **how: int) -> list[str]:
    return [one.id for one in neighbours(store, id, **how)]


def test_neighbours_come_strongest_first_with_their_direction(joined: Store) -> None:
    """A memory's neighbours are told with kind, weight and whether the edge starts there."""
    found = neighbours(joined, "test")
    assert [(one.id, one.kind, one.weight, one.outward) for one in found] == [
        ("price", "covers", 1.0, True),
        ("tax", "covers", 0.5, True),
    ]
    assert [(one.id, one.outward) for one in neighbours(joined, "tax")] == [("test", False)]


def test_depth_follows_edges_further(joined: Store) -> None:
    """Neighbours of neighbours come after the near ones, each with the memory before it on the way."""
    found = neighbours(joined, "note", depth=3)
    assert [(one.id, one.depth, one.via) for one in found] == [
        ("price", 1, "note"),
        ("test", 2, "price"),
        ("tax", 3, "test"),
    ]
    assert ids(joined, "note", depth=3, k=2) == ["price", "test"]


def test_kinds_are_chosen_by_name(joined: Store) -> None:
    """Only edges of the kinds that were asked for are followed."""
    assert [one.id for one in neighbours(joined, "price", kinds=["fixed-by"])] == ["note"]


def test_same_edge_again_takes_the_new_weight(joined: Store) -> None:
    """An edge is kept once; adding it again changes its weight."""
    assert add_edges(joined, [Edge("covers", (key("test"), key("tax")), 2.0)]) == 0
    assert neighbours(joined, "tax")[0].weight == 2.0
    assert read_figures(joined).kinds == {"covers": 2, "fixed-by": 1}


def test_edge_without_direction_is_the_same_from_both_ends(store: Store) -> None:
    """The order of the members of a similarity says nothing."""
    for id in "ab":
        store.add(f"text {id}", id=id)
    assert add_edges(store, [Edge("similar", (key("a"), key("b")))]) == 1
    assert add_edges(store, [Edge("similar", (key("b"), key("a")))]) == 0
    assert neighbours(store, "a")[0].outward is None


def test_edge_of_three_joins_each_with_the_others(store: Store) -> None:
    """What was found together is one edge; each of its memories has the other two as neighbours."""
    for id in "abc":
        store.add(f"text {id}", id=id)
    add_edges(store, [Edge("co-retrieved", (key("a"), key("b"), key("c")), 4.0)])
    assert ids(store, "b") == ["a", "c"]
    assert {one.members for one in neighbours(store, "b")} == {3}


def test_ends_of_a_directed_edge_of_three_are_not_joined_by_it(store: Store) -> None:
    """A directed edge leads from its first member to the others, not between these."""
    for id in "abc":
        store.add(f"text {id}", id=id)
    add_edges(store, [Edge("covers", (key("a"), key("b"), key("c")))])
    assert ids(store, "b") == ["a"]


def test_edges_stay_when_a_memory_is_revised(joined: Store) -> None:
    """A new revision of a memory has the edges of the one before it."""
    joined.update("price", text="prices are rounded now")
    assert ids(joined, "price") == ["note", "test"]
    assert ids(joined, "test") == ["price", "tax"]


@pytest.mark.parametrize("erase", [False, True])
def test_edges_go_with_an_ended_memory(joined: Store, erase: bool) -> None:
    """An ended memory is nobody's neighbour, and has none when its id is taken again."""
    joined.delete("price", erase=erase)
    assert ids(joined, "test") == ["tax"]
    assert ids(joined, "note") == []
    sweeping(joined)
    joined.add("a new price", id="price")
    assert ids(joined, "price") == []


def sweeping(store: Store) -> int:
    with store.writing() as connection:
        return sweep(connection)


def test_memory_that_ended_by_the_way_is_seen_no_more(joined: Store) -> None:
    """Where a row ends without the graph being told, no edge leads to it, and a sweep drops what is left."""
    with joined.writing() as connection:
        end_row(connection, "default", "price", joined.now())
    assert ids(joined, "test") == ["tax"]
    assert sweeping(joined) == 1
    assert read_figures(joined).edges == 1


def test_memory_that_is_over_is_nobodys_neighbour(tmp_path: Path) -> None:
    """From the moment on that a memory is kept until, no edge leads to it."""
    now = [START_US]
    with Store.open(tmp_path / "aqe.db", now=lambda: now[0]) as store:
        store.add_many([NewMemory("a fix", id="fix", ttl_s=60.0), NewMemory("a crash", id="crash")])
        add_edges(store, [Edge("fixed-by", (key("crash"), key("fix")))])
        assert ids(store, "crash") == ["fix"]
        now[0] += 61_000_000
        assert ids(store, "crash") == []


def test_edge_of_three_outlives_one_member_but_not_two(store: Store) -> None:
    """An edge of many loses the members that end, and goes when one is left."""
    for id in "abc":
        store.add(f"text {id}", id=id)
    add_edges(store, [Edge("co-retrieved", (key("a"), key("b"), key("c")))])
    store.delete("a", erase=True)
    assert ids(store, "b") == ["c"]
    store.delete("b", erase=True)
    assert read_figures(store).edges == 0


def test_removed_edge_is_gone_and_the_rest_stays(joined: Store) -> None:
    """`remove_edges` says how many were there; other edges of the same memories stay."""
    edge = Edge("covers", (key("test"), key("price")))
    assert remove_edges(joined, [edge]) == 1
    assert remove_edges(joined, [edge]) == 0
    assert ids(joined, "test") == ["tax"]
    assert ids(joined, "price") == ["note"]


@pytest.mark.parametrize("named", ["acd", "abcd", "dca"])
def test_an_edge_that_lost_a_member_can_be_removed(store: Store, named: str) -> None:
    """Whoever names all that it was made of, or all that are left of it, takes it away; another set of names, or a
    start at another memory, does not."""
    for id in "abcde":
        store.add(f"what {id} says", id=id)
    add_edges(store, [Edge("similar", tuple(map(key, "abcd"))), Edge("covers", tuple(map(key, "abcd")))])
    store.delete("b", erase=True)
    for wrong in ("ac", "acde", "axyz"):
        assert remove_edges(store, [Edge("similar", tuple(map(key, wrong)))]) == 0
    assert remove_edges(store, [Edge("covers", tuple(map(key, "cad")))]) == 0
    assert remove_edges(store, [Edge("similar", tuple(map(key, named)))]) == 1
    assert {one.kind for one in neighbours(store, "a")} == {"covers"}
    assert remove_edges(store, [Edge("covers", tuple(map(key, "acd")))]) == 1
    assert read_figures(store).edges == 0


def test_replacing_changes_what_one_origin_says(joined: Store) -> None:
    """What an origin says in a scope is replaced as a whole; edges of others stay."""

    def replaced(*ends: str) -> tuple[int, int]:
        edges = [Edge("covers", (key("note"), key(end)), 1.0, "index") for end in ends]
        with joined.writing() as connection:
            return replace_edges(connection, edges, origin="index", scope="index", now=1)

    assert replaced("price", "tax") == (2, 0)
    assert replaced("tax") == (0, 1)
    assert read_figures(joined).origins == {"given": 3, "index": 1}


@pytest.mark.parametrize(
    "edge",
    [
        Edge(cast("Kind", "knows"), (key("test"), key("price"))),
        Edge("covers", (key("test"),)),
        Edge("covers", (key("test"), key("test"))),
        Edge("covers", tuple(key(str(n)) for n in range(33))),
        Edge("covers", (key("test"), key("price")), 0.0),
        Edge("covers", (key("test"), key("price")), math.nan),
        Edge("covers", (key("test"), key("price")), -1.0),
        Edge("covers", (key("test"), key("price")), True),
    ],
)
def test_bad_edge_is_refused_and_nothing_is_kept(joined: Store, edge: Edge) -> None:
    """Of edges one of which cannot be, none is kept."""
    fine = Edge("similar", (key("tax"), key("note")))
    with pytest.raises(UserError) as refused:
        add_edges(joined, [fine, edge])
    assert refused.value.code == "bad-edge"
    assert read_figures(joined).edges == 3


def test_edge_to_nothing_is_refused(joined: Store) -> None:
    """A member that is no current memory is named."""
    with pytest.raises(UserError, match="'gone'") as refused:
        add_edges(joined, [Edge("covers", (key("test"), key("gone")))])
    assert refused.value.code == "unknown-id"
    with pytest.raises(UserError) as refused:
        neighbours(joined, "gone")
    assert refused.value.code == "unknown-id"


@pytest.mark.parametrize("how", [{"depth": 0}, {"depth": 4}, {"k": 0}, {"k": True}, {"depth": 1.5}])
def test_bad_reach_is_refused(joined: Store, how: dict[str, int]) -> None:
    """A depth or a number of neighbours that cannot be is refused."""
    with pytest.raises(UserError) as refused:
        neighbours(joined, "test", **how)
    assert refused.value.code == "bad-limit"


def test_every_kind_can_be_kept(joined: Store) -> None:
    """Each kind that is announced is accepted."""
    add_edges(joined, [Edge(kind, (key("tax"), key("note"))) for kind in KINDS])
    assert {one.kind for one in neighbours(joined, "tax")} == set(KINDS)
