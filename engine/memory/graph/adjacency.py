"""The edges of a store as arrays: what joins a memory is looked up in microseconds, while no edge changes.

Each node has a row of `EACH` places, its strongest edges first, -1 where there are no more: the node at the other end,
what the edge is to the node (`attention.RELATIONS`), and its weight.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apsw
import numpy as np
from numpy.typing import NDArray

from aqe.engine.memory.file.changelog import Mark, read_mark, rows_since
from aqe.engine.memory.graph.attention import ATTENDED

if TYPE_CHECKING:
    from collections.abc import Sequence

Places = NDArray[np.int64]
EACH = 16
"""Edges of a node that are looked at, the strongest."""

_PAIR = 16
"""Bytes of the members of an edge of two."""

_KINDS = {kind: at for at, kind in enumerate(ATTENDED)}
_AMONG = f"kind IN ({', '.join(map(repr, ATTENDED))})"


@dataclass(eq=False)
class Adjacency:
    """The edges of n nodes, which stay: `other`, `relation` and `weight` (n, EACH). `numbers` (n) are the nodes' own in
    the file. What `follow` brings up to date: `rows` (n), the memories, -1 where there is none now, and `places`,
    the node of each row. `slots` (n + 1) are -1, for whoever numbers some of the nodes and puts it back."""

    other: Places
    relation: Places
    weight: NDArray[np.float64]
    numbers: Places
    rows: Places
    places: dict[int, int] = field(repr=False)
    slots: Places = field(repr=False)
    _namespaces: NDArray[np.int64] = field(repr=False)
    _names: tuple[str, ...]
    _inside: dict[tuple[str, ...], NDArray[np.bool_]] = field(init=False, repr=False, default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def nodes_of(self, rows: Sequence[int]) -> list[int]:
        """The node of each row, -1 where no edge joins it."""
        find = self.places.get
        return [find(row, -1) for row in rows]

    def ends_of(self, nodes: Sequence[int], among: NDArray[np.bool_]) -> list[int]:
        """The nodes at the other ends of the edges of nodes, in their order, each once: those that are `among`."""
        ends = self.other[list(nodes)].ravel()
        return [*dict.fromkeys(ends[among[ends]].tolist())]

    def follow(self, connection: apsw.Connection, changed: Sequence[int]) -> None:
        """Look up anew which node each of these rows of `memories` is, if any."""
        self._inside.clear()
        for row in changed:
            node = self.places.pop(row, None)
            if node is not None and self.rows[node] == row:
                self.rows[node] = -1
        sql = (
            "SELECT row, nodes.number FROM memories JOIN nodes ON nodes.namespace = memories.namespace"
            " AND nodes.id = memories.id WHERE valid_to IS NULL AND row IN (SELECT value FROM json_each(?))"
        )
        for row, number in connection.execute(sql, (json.dumps(changed),)):
            node = int(np.searchsorted(self.numbers, number))
            self.places[row], self.rows[node] = node, row

    def inside(self, namespaces: tuple[str, ...]) -> NDArray[np.bool_]:
        """Which nodes are memories of some namespaces now (n), and False at the end for what is no node (n + 1)."""
        known = self._inside.get(namespaces)
        if known is None:
            known = self._inside[namespaces] = np.zeros(len(self) + 1, np.bool_)
            numbers = [number for number, name in enumerate(self._names) if name in namespaces]
            known[:-1] = np.isin(self._namespaces, numbers) & (self.rows >= 0)
        return known


class HeldEdges:
    """The adjacency of one store, as of the caller's read transaction; whoever calls holds the store's lock."""

    def __init__(self, without: Sequence[str] = ()) -> None:
        self._without = without
        self.number = -1
        self._mark: Mark | None = None
        self._held: Adjacency | None = None

    def at_hand(self, connection: apsw.Connection, moment: int) -> Adjacency:
        """The edges that the transaction sees, whose last change of a memory has the number `moment`."""
        number = read_edge_number(connection)
        if self._held is not None and self._mark is not None and number == self.number:
            if self._mark.number == moment:
                return self._held
            changed = rows_since(connection, self._mark)
            if changed is not None:
                self._held.follow(connection, changed)
                self._mark = read_mark(connection)
                return self._held
        held = read_adjacency(connection, self._without)
        self._held, self.number, self._mark = held, number, read_mark(connection)
        return self._held


def read_edge_number(connection: apsw.Connection) -> int:
    """A number that grows with every change of an edge by anybody."""
    return int(connection.execute("SELECT number FROM edge_changes").get)


def read_adjacency(connection: apsw.Connection, without: Sequence[str] = ()) -> Adjacency:
    """All edges of a store that are looked at, but those `without` whose origins it shall be."""
    numbers, rows, namespace, names = _read_nodes(connection)
    here, there, kind, weight, is_out = _read_pairs(connection, without)
    ends = np.stack([here, there])
    is_known = np.isin(ends, numbers).all(axis=0)  # of a damaged file some are not
    kind, weight, is_out = kind[is_known], weight[is_known], is_out[is_known]
    places = np.searchsorted(numbers, ends[:, is_known])
    relation = 1 + 2 * kind + ~is_out  # as `RELATIONS` has them: each kind outward, then inward
    order = np.lexsort((-weight, relation, places[1], places[0]))
    here, there, relation, weight = places[0][order], places[1][order], relation[order], weight[order]
    is_first = np.ones(len(here), np.bool_)  # of equal edges from several origins the strongest
    is_first[1:] = (np.diff(here) != 0) | (np.diff(there) != 0) | (np.diff(relation) != 0)
    here, there, relation, weight = here[is_first], there[is_first], relation[is_first], weight[is_first]
    order = np.lexsort((there, -weight, here))
    here, there, relation, weight = here[order], there[order], relation[order], weight[order]
    place = np.arange(len(here)) - np.searchsorted(here, here)
    here, there, relation, weight, place = (one[place < EACH] for one in (here, there, relation, weight, place))
    other, of, strong = (np.full((len(numbers), EACH), empty) for empty in (-1, 0, 1.0))
    other[here, place], of[here, place], strong[here, place] = there, relation, weight
    held = {int(row): at for at, row in enumerate(rows.tolist()) if row >= 0}
    slots = np.full(len(numbers) + 1, -1)
    return Adjacency(other, of, strong, numbers, rows, held, slots, namespace, names)


def _read_nodes(connection: apsw.Connection) -> tuple[Places, Places, Places, tuple[str, ...]]:
    sql = (
        "SELECT nodes.number, coalesce(row, -1), nodes.namespace FROM nodes LEFT JOIN memories"
        " ON memories.namespace = nodes.namespace AND memories.id = nodes.id AND valid_to IS NULL ORDER BY nodes.number"
    )
    found: list[Any] = connection.execute(sql).fetchall()
    names: dict[str, int] = {}
    namespace = [names.setdefault(name, len(names)) for _, _, name in found]
    numbers = np.array([one[0] for one in found], np.int64)
    return numbers, np.array([one[1] for one in found], np.int64), np.array(namespace, np.int64), tuple(names)


def _read_pairs(
    connection: apsw.Connection, without: Sequence[str]
) -> tuple[Places, Places, Places, NDArray[np.float64], NDArray[np.bool_]]:
    """Both sides of each pair that edges make: here, there, the kind, its weight, whether the edge starts here."""
    sql = f"SELECT kind, weight, members FROM edges WHERE length(members) = {_PAIR} AND {_AMONG}"
    found: list[Any] = connection.execute(sql + _but(without), without).fetchall()
    ends = np.frombuffer(b"".join([one[2] for one in found]), "<i8").reshape(-1, 2)
    kind = np.array([_KINDS[one[0]] for one in found], np.int64)
    weight = np.array([one[1] for one in found], np.float64)
    wider = _read_wider(connection, without)
    ends = np.concatenate([ends, np.array([pair for *pair, _, _ in wider], np.int64).reshape(-1, 2)])
    kind = np.concatenate([kind, np.array([one[2] for one in wider], np.int64)])
    weight = np.concatenate([weight, np.array([one[3] for one in wider], np.float64)])
    outward = np.repeat([True, False], len(ends))
    here, there = np.concatenate([ends[:, 0], ends[:, 1]]), np.concatenate([ends[:, 1], ends[:, 0]])
    return here, there, np.tile(kind, 2), np.tile(weight, 2), outward


def _read_wider(connection: apsw.Connection, without: Sequence[str]) -> list[tuple[int, int, int, float]]:
    """The pairs of edges of three members and more: where such an edge starts with each of its ends, of which each has
    its share of the weight."""
    sql = (
        "SELECT number, kind, weight, node FROM edges JOIN edge_members ON edge = number"
        f" WHERE length(members) > {_PAIR} AND {_AMONG}{_but(without)} ORDER BY number, place"
    )
    members: dict[int, tuple[str, float, list[int]]] = {}
    for number, kind, weight, node in connection.execute(sql, without):
        members.setdefault(number, (kind, weight, []))[2].append(node)
    found = []
    for kind, weight, (here, *ends) in members.values():
        found += [(here, there, _KINDS[kind], weight / len(ends)) for there in ends]
    return found


def _but(origins: Sequence[str]) -> str:
    return f" AND origin NOT IN ({','.join('?' * len(origins))})" if origins else ""
