"""Edges between memories, out of a store and into one; those that the project's files say are made there anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apsw

from aqe.engine.errors import UserError
from aqe.engine.memory.graph.edges import Edge, Key, check_edge, is_current, put_edges

CARRIED = ("given", "feedback", "recall")
"""The origins whose edges nothing else would bring back."""


def read_edges(connection: apsw.Connection) -> Iterator[dict[str, Any]]:
    """The edges of these origins as JSON types, oldest first."""
    marks = ",".join("?" * len(CARRIED))
    sql = f"SELECT number, kind, origin, scope, weight FROM edges WHERE origin IN ({marks}) ORDER BY number"
    members = (
        "SELECT namespace, id FROM edge_members JOIN nodes ON nodes.number = node WHERE edge = ? ORDER BY place, node"
    )
    for number, kind, origin, scope, weight in connection.execute(sql, CARRIED).fetchall():
        joined = [list(key) for key in connection.execute(members, (number,))]
        yield {"kind": kind, "origin": origin, "scope": scope, "weight": weight, "members": joined}


def check_read(found: Sequence[Mapping[str, Any]]) -> list[tuple[Edge, str]]:
    """The edges of an archive with the scope of each. Raises `UserError` (state-broken)."""
    checked = []
    for row in found:
        try:
            keys: tuple[Key, ...] = tuple((str(namespace), str(id)) for namespace, id in row["members"])
            edge = check_edge(Edge(row["kind"], keys, float(row["weight"]), row["origin"]))
            if edge.origin not in CARRIED:
                raise ValueError(f"its origin is {edge.origin!r:.40}")
        except (UserError, KeyError, TypeError, ValueError, OverflowError) as error:
            why = f"An edge of the archive is none: {error}"
            raise UserError(why, code="state-broken", fix="Export it again.") from None
        checked.append((edge, str(row.get("scope", ""))))
    return checked


def put_read(
    connection: apsw.Connection, found: Sequence[tuple[Edge, str]], *, now: int, dry_run: bool
) -> tuple[int, int]:
    """Put in the edges that are not there and whose memories are; returns how many, and how many stayed out because one
    of their memories is not here."""
    there = {_identity(row["kind"], row["origin"], row["members"]) for row in read_edges(connection)}
    new = left_out = 0
    for edge, scope in found:
        if _identity(edge.kind, edge.origin, edge.members) in there:
            continue
        if not all(is_current(connection, key) for key in edge.members):
            left_out += 1
            continue
        new += 1
        if not dry_run:
            put_edges(connection, [edge], now=now, scope=scope)
    return new, left_out


def _identity(kind: str, origin: str, members: Sequence[Sequence[str]]) -> tuple[str, str, frozenset[tuple[str, ...]]]:
    return kind, origin, frozenset(tuple(key) for key in members)
