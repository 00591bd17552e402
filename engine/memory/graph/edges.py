"""Typed edges between memories: each of one kind, from one origin, with two members or more.

An edge joins memories by namespace and id, so it stays when a memory is revised. It is seen only while all that it is
read through is current, and goes when the memory that it starts from, or all but one of its members, has ended. In a
directed kind the first member is where the edge starts (`covers`: the test, `imports` and `calls`: the user of a name,
`fixed-by`: what was wrong); in the other kinds all members are alike.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.adding import unknown
from aqe.engine.memory.entry import check_id, check_namespace
from aqe.engine.memory.file.row_sums import DAMAGED, EDGES, insert_sql, seal, sealed
from aqe.engine.memory.growth.expiry import ALIVE

if TYPE_CHECKING:
    from aqe.engine.memory.store import Store

Kind = Literal["covers", "imports", "calls", "fixed-by", "co-retrieved", "similar"]
Origin = Literal["given", "index", "impact", "feedback", "recall", "vectors"]
Key = tuple[str, str]
"""A memory: namespace and id."""

KINDS: tuple[Kind, ...] = get_args(Kind)
DIRECTED: frozenset[str] = frozenset(("covers", "imports", "calls", "fixed-by"))
MOST_MEMBERS = 32
MOST_DEPTH = 3
MOST_NEIGHBOURS = 1000
LOWEST_WEIGHT, HIGHEST_WEIGHT = 1e-6, 1e6


@dataclass(frozen=True)
class Edge:
    """One edge: its kind, its members (namespace and id; of a directed kind the first is where it starts), how strong
    it is (above 0) and what said so."""

    kind: Kind
    members: tuple[Key, ...]
    weight: float = 1.0
    origin: Origin = "given"


@dataclass(frozen=True)
class Neighbour:
    """A memory that edges lead to. `outward` says that the edge starts at the memory that was asked about (None: the
    kind has no direction); `members` counts the memories of the edge; `via` is the id of the memory before it on the
    way, and `depth` how many edges the way has."""

    namespace: str
    id: str
    kind: Kind
    outward: bool | None
    weight: float
    origin: Origin
    members: int
    depth: int
    via: str


@dataclass(frozen=True)
class GraphFigures:
    """Edges by kind and by origin, and how many memories have any."""

    edges: int
    memories: int
    kinds: dict[str, int]
    origins: dict[str, int]


def add_edges(store: Store, edges: Iterable[Edge]) -> int:
    """Keep all edges or, when one is refused, none; returns how many were new.

    An edge that is there already gets the new weight. Raises `UserError` (bad-edge; unknown-id where a member is no
    current memory).
    """
    checked = [check_edge(edge) for edge in edges]
    with store.writing() as connection:
        for key in {key for edge in checked for key in edge.members}:
            if not is_current(connection, key):
                raise unknown(connection, key[1], key[0])
        return put_edges(connection, checked, now=store.now())


def neighbours(
    store: Store,
    id: str,
    *,
    namespace: str = "default",
    kinds: Sequence[Kind] | None = None,
    depth: int = 1,
    k: int = 50,
) -> list[Neighbour]:
    """The memories that edges (of some `kinds`) lead to from a memory, nearest first and the strongest of these first,
    each once for a kind and direction.

    Raises `UserError` (unknown-id, bad-edge, bad-limit).
    """
    wanted = KINDS if kinds is None else tuple(check_kind(kind) for kind in kinds)
    _check_number(depth, MOST_DEPTH, "depth")
    _check_number(k, MOST_NEIGHBOURS, "number of neighbours")
    start = (check_namespace(namespace), check_id(id))
    with store.reading() as connection:
        if not is_current(connection, start):
            raise unknown(connection, id, namespace)
        found: list[Neighbour] = []
        seen, border = {start}, [start]
        for level in range(1, depth + 1):
            around = [one for key in border for one in _step(connection, key, wanted, level, store.now())]
            step = [one for one in around if _key(one) not in seen]
            found += sorted(step, key=lambda one: (-one.weight, one.namespace, one.id))
            border = list(dict.fromkeys(_key(one) for one in step))
            seen.update(border)
            if len(found) >= k:
                break
    return found[:k]


def remove_edges(store: Store, edges: Iterable[Edge]) -> int:
    """Drop edges by kind, members and origin, whatever their weight; returns how many were there. Of an edge that has
    lost members since, all that it was made of or all that are left may be named.

    Raises `UserError` (bad-edge).
    """
    checked = [check_edge(edge) for edge in edges]
    with store.writing() as connection:
        gone = [(number,) for edge in checked for number in _edges_like(connection, edge)]
        connection.executemany("DELETE FROM edges WHERE number = ?", gone)
        _drop_lonely(connection)
        return len(set(gone))


def read_figures(store: Store) -> GraphFigures:
    """What the graph holds."""
    with store.reading() as connection:
        kinds = dict(connection.execute("SELECT kind, count(*) FROM edges GROUP BY 1 ORDER BY 1"))
        origins = dict(connection.execute("SELECT origin, count(*) FROM edges GROUP BY 1 ORDER BY 1"))
        joined = int(connection.execute("SELECT count(DISTINCT node) FROM edge_members").get)
    return GraphFigures(sum(kinds.values()), joined, kinds, origins)


def put_edges(
    connection: apsw.Connection, edges: Iterable[Edge], *, now: int, scope: str = "", adding: bool = False
) -> int:
    """Write edges whose members are known to be current, within a transaction; returns how many were new.

    `adding` puts the weight on top of the one that is there. `scope` is what `replace_edges` replaces.
    """
    new, known = 0, dict[Key, int]()
    weight = "min(edges.weight + excluded.weight, 1e6)" if adding else "excluded.weight"
    sql = (
        f"{insert_sql(EDGES)} ON CONFLICT DO UPDATE SET weight = {weight}, changed_at = excluded.changed_at,"
        f" row_sum = CASE WHEN {weight} = excluded.weight AND scope = excluded.scope THEN excluded.row_sum END"
        " RETURNING number, row_sum"
    )
    for edge in edges:
        numbers = [_ensured(connection, key, known) for key in edge.members]
        row = (edge.kind, edge.origin, scope, float(edge.weight), now, _packed(edge.kind, numbers))
        is_damaged = adding and _is_damaged(connection, row)
        found: Any = connection.execute(sql, sealed(EDGES, row)).fetchone()
        number, sealed_as = found
        if is_damaged:
            connection.execute("UPDATE edges SET row_sum = ? WHERE number = ?", (DAMAGED, number))
        elif sealed_as is None:
            seal(connection, EDGES, number)
        if connection.execute("SELECT 1 FROM edge_members WHERE edge = ?", (number,)).fetchone() is not None:
            continue
        first = 0 if edge.kind in DIRECTED else 1
        connection.executemany(
            "INSERT INTO edge_members (node, edge, place) VALUES (?, ?, ?)",
            [(node, number, first + place) for place, node in enumerate(numbers)],
        )
        new += 1
    return new


def _is_damaged(connection: apsw.Connection, row: Sequence[Any]) -> bool:
    """Whether the edge that a new one is added to is not what its sum says."""
    sql = f"SELECT {EDGES.listed}, row_sum FROM edges WHERE kind = ? AND origin = ? AND members = ?"
    found: Any = connection.execute(sql, (row[0], row[1], row[-1])).fetchone()
    return found is not None and found[-1] is not None and found[-1] != EDGES.sum_if_any(found[:-1])


def replace_edges(
    connection: apsw.Connection, edges: Iterable[Edge], *, origin: Origin, scope: str, now: int
) -> tuple[int, int]:
    """Make `edges` all that an origin says in a scope; returns how many came and how many went."""
    sql = "SELECT number, kind, members, weight FROM edges WHERE origin = ? AND scope = ?"
    before = {(row[1], bytes(row[2])): (row[0], row[3]) for row in connection.execute(sql, (origin, scope))}
    known: dict[Key, int] = {}
    fresh: list[Edge] = []
    for edge in edges:
        numbers = [_ensured(connection, key, known) for key in edge.members]
        there = before.pop((edge.kind, _packed(edge.kind, numbers)), None)
        if there is None or there[1] != edge.weight:
            fresh.append(edge)
    connection.executemany("DELETE FROM edges WHERE number = ?", [(number,) for number, _ in before.values()])
    came = put_edges(connection, fresh, now=now, scope=scope)
    _drop_lonely(connection)
    return came, len(before)


def unlink(connection: apsw.Connection, namespace: str, id: str) -> None:
    """Drop what joins a memory that has ended, within the transaction that ends it."""
    connection.execute("DELETE FROM nodes WHERE namespace = ? AND id = ?", (namespace, id))


def sweep(connection: apsw.Connection) -> int:
    """Drop what joins memories that have ended by a way that does not say so; returns how many they were."""
    connection.execute(
        "DELETE FROM nodes WHERE NOT EXISTS (SELECT 1 FROM memories WHERE memories.namespace = nodes.namespace"
        " AND memories.id = nodes.id AND valid_to IS NULL)"
    )
    return int(connection.changes())


def check_edge(edge: Edge) -> Edge:
    """`edge` if it can be kept; raises `UserError` (bad-edge)."""
    check_kind(edge.kind)
    for namespace, id in edge.members:
        check_namespace(namespace)
        check_id(id)
    count = len(set(edge.members))
    if count != len(edge.members) or not 2 <= count <= MOST_MEMBERS:
        many = "member" if count == 1 else "members"
        raise _bad(f"The edge has {count} different {many}.", f"Name 2 to {MOST_MEMBERS} memories.")
    is_number = isinstance(edge.weight, (int, float)) and not isinstance(edge.weight, bool)
    if not is_number or not math.isfinite(edge.weight) or not LOWEST_WEIGHT <= edge.weight <= HIGHEST_WEIGHT:
        raise _bad(f"The edge's weight is {edge.weight!r:.40}.", "Give a number above 0, up to a million.")
    return edge


def check_kind(kind: str) -> Kind:
    """`kind` if it is one; raises `UserError` (bad-edge)."""
    for known in KINDS:
        if kind == known:
            return known
    raise _bad(f"{kind!r:.40} is no kind of edge.", f"Use {', '.join(KINDS)}.")


def is_current(connection: apsw.Connection, key: Key) -> bool:
    """Whether there is such a memory now."""
    sql = "SELECT 1 FROM memories WHERE namespace = ? AND id = ? AND valid_to IS NULL"
    return connection.execute(sql, key).fetchone() is not None


def _step(connection: apsw.Connection, key: Key, kinds: Sequence[Kind], depth: int, now: int) -> list[Neighbour]:
    sql = f"""
        SELECT end.namespace, end.id, edges.kind, mine.place, other.place, max(edges.weight), edges.origin,
            (SELECT count(*) FROM edge_members WHERE edge = edges.number)
        FROM nodes
        JOIN edge_members AS mine ON mine.node = nodes.number
        JOIN edges ON edges.number = mine.edge
        JOIN edge_members AS other ON other.edge = edges.number AND other.node != mine.node
        JOIN nodes AS end ON end.number = other.node
        JOIN memories ON memories.namespace = end.namespace AND memories.id = end.id AND memories.valid_to IS NULL
        WHERE nodes.namespace = ? AND nodes.id = ? AND {ALIVE}
        GROUP BY end.number, edges.kind, mine.place = 0, other.place = 0"""
    found = []
    for namespace, id, kind, mine, other, weight, origin, members in connection.execute(sql, (*key, now)):
        if kind not in kinds or (kind in DIRECTED and 0 not in (mine, other)):
            continue
        outward = mine == 0 if kind in DIRECTED else None
        found.append(Neighbour(namespace, id, kind, outward, weight, origin, members, depth, key[1]))
    return found


def _key(one: Neighbour) -> Key:
    return one.namespace, one.id


def _edges_like(connection: apsw.Connection, edge: Edge) -> list[int]:
    """The numbers of the edges that have the members of `edge`; where there is none, those of which just these are
    left."""
    numbers = [_number(connection, key) for key in edge.members]
    known = [number for number in numbers if number is not None]
    missing = [key for key, number in zip(edge.members, numbers, strict=True) if number is None]
    if not missing:
        sql = "SELECT number FROM edges WHERE kind = ? AND origin = ? AND members = ?"
        if same := [row[0] for row in connection.execute(sql, (edge.kind, edge.origin, _packed(edge.kind, known)))]:
            return same
    if not known or any(is_current(connection, key) for key in missing):
        return []
    sql = """
        SELECT number, length(members) / 8, json_group_array(node), max(node * (place = 0))
        FROM edges JOIN edge_members ON edge = number
        WHERE kind = ? AND origin = ? AND number IN (SELECT edge FROM edge_members WHERE node = ?)
        GROUP BY number"""
    return [
        number
        for number, made_of, left, start in connection.execute(sql, (edge.kind, edge.origin, known[0]))
        if sorted(json.loads(left)) == sorted(known)
        and (not missing or made_of == len(numbers))
        and (edge.kind not in DIRECTED or start == numbers[0])
    ]


def _ensured(connection: apsw.Connection, key: Key, known: dict[Key, int]) -> int:
    number = known.get(key)
    if number is None:
        number = _number(connection, key)
    if number is None:
        connection.execute("INSERT INTO nodes (namespace, id) VALUES (?, ?)", key)
        number = connection.last_insert_rowid()
    known[key] = number
    return number


def _number(connection: apsw.Connection, key: Key) -> int | None:
    found = connection.execute("SELECT number FROM nodes WHERE namespace = ? AND id = ?", key).fetchone()
    return None if found is None else int(found[0])


def _packed(kind: str, numbers: Sequence[int]) -> bytes:
    """The members as a key: where the edge starts first, the others by number, so that their order says nothing."""
    ordered = [numbers[0], *sorted(numbers[1:])] if kind in DIRECTED else sorted(numbers)
    return struct.pack(f"<{len(ordered)}q", *ordered)


def _drop_lonely(connection: apsw.Connection) -> None:
    connection.execute("DELETE FROM nodes WHERE NOT EXISTS (SELECT 1 FROM edge_members WHERE node = number)")


def _check_number(number: int, most: int, what: str) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise UserError(f"{number!r:.40} is no {what}.", code="bad-limit", fix=f"Give 1 to {most}.")


def _bad(message: str, fix: str) -> UserError:
    return UserError(message, code="bad-edge", fix=fix)
