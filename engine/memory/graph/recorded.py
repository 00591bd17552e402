"""Edges that were measured or said: what a recorded test run executed, what was found near, what was corrected."""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.memory.graph.edges import Edge, Key, is_current, put_edges, replace_edges, sweep
from aqe.engine.memory.graph.linking import Place, read_places
from aqe.engine.memory.meaning import vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.memory.store import Store

NEAREST = 3
"""Neighbours by meaning that a memory is linked to at most."""

LEAST_COSINE = 0.8
MOST_ROWS = 20_000
"""Vectors of one namespace that are compared with each other; of more, the newest."""

_BLOCK = 512


def link_coverage(store: Store, root: str) -> tuple[int, int]:
    """Bring the `covers` edges of an index up to date with the impact map that was recorded; returns how many came and
    how many went. A test weighs on a function by 1 over the square root of how many functions it executed."""
    places = read_places(store, root)
    with store.reading() as connection:
        edges = list(executed(connection, places))
    with store.writing() as connection:
        return replace_edges(connection, edges, origin="impact", scope=root, now=store.now())


def executed(connection: apsw.Connection, places: dict[str, Place]) -> Iterator[Edge]:
    """Which test executed which function, as the recorded impact map has it."""
    parts: dict[int, Key] = {}
    for number, file, name in connection.execute("SELECT number, file, name FROM impact_parts"):
        place = places.get(file)
        found = None if place is None or place.is_test else _named(place, name)
        if found is not None:
            parts[number] = found
    weights: dict[tuple[Key, Key], float] = {}
    for nodeid, file, blob in connection.execute("SELECT name, file, parts FROM impact_sets WHERE kind = 'test'"):
        place = places.get(file)
        test = None if place is None else _named(place, ".".join(nodeid.partition("[")[0].split("::")[1:]))
        ends = {parts[number] for number in _unpacked(blob) if number in parts} if test is not None else set()
        for end in ends:
            if test is not None:
                weights[test, end] = max(weights.get((test, end), 0.0), round(len(ends) ** -0.5, 4))
    for (test, end), weight in weights.items():
        yield Edge("covers", (test, end), weight, "impact")


def _named(place: Place, name: str) -> Key | None:
    """The passage of a definition by its qualified name, or of what it stands in."""
    parts = name.split(".<locals>")[0].split(".")
    return place.names.get(".".join(parts)) if parts != [""] else None


def _unpacked(blob: bytes) -> array[int]:
    found = array("I")
    found.frombytes(zlib.decompress(blob) if blob else b"")
    if sys.byteorder == "big":
        found.byteswap()
    return found


def link_similar(store: Store, namespaces: Iterable[str]) -> int:
    """Link the memories of each namespace to their nearest by meaning, from a cosine of `LEAST_COSINE` on, all anew;
    returns how many edges were new."""
    came = 0
    for namespace in namespaces:
        with store.reading() as connection:
            tables: list[Any] = connection.execute(
                "SELECT DISTINCT embedder FROM memories WHERE namespace = ? AND valid_to IS NULL AND embedder NOT NULL",
                (namespace,),
            ).fetchall()
            edges = [edge for (table,) in tables for edge in _alike(connection, int(table), namespace)]
        with store.writing() as connection:
            scope = f"vectors {namespace}"
            still = [edge for edge in edges if all(is_current(connection, key) for key in edge.members)]
            came += replace_edges(connection, still, origin="vectors", scope=scope, now=store.now())[0]
    return came


def _alike(connection: apsw.Connection, table: int, namespace: str) -> Iterator[Edge]:
    import numpy as np

    sql = (
        "SELECT id, row FROM memories WHERE +embedder = ? AND namespace = ? AND valid_to IS NULL"
        " ORDER BY row DESC LIMIT ?"
    )
    rows: list[Any] = connection.execute(sql, (table, namespace, MOST_ROWS)).fetchall()
    held: dict[int, bytes] = {}
    for first in range(0, len(rows), _BLOCK):
        held |= vectors.read_each(connection, table, [row for _, row in rows[first : first + _BLOCK]])
    found = [row for row in rows if row[1] in held]
    if len(found) < 2:
        return
    units = np.frombuffer(b"".join(held[row[1]] for row in found), np.float32).reshape(len(found), -1).copy()
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    np.divide(units, lengths, out=units, where=lengths > 0)
    seen: set[tuple[int, int]] = set()
    for first in range(0, len(found), _BLOCK):
        for at, other, cosine in _pairs(units, range(first, min(first + _BLOCK, len(found)))):
            pair = (min(at, other), max(at, other))
            if pair not in seen:
                seen.add(pair)
                members = ((namespace, str(found[at][0])), (namespace, str(found[other][0])))
                yield Edge("similar", members, round(cosine, 4), "vectors")


def _pairs(units: NDArray[np.float32], block: Sequence[int]) -> Iterator[tuple[int, int, float]]:
    """The nearest of each row of a block, by cosine."""
    import numpy as np

    near = units[list(block)] @ units.T
    near[np.arange(len(block)), list(block)] = -2.0
    most = min(NEAREST, near.shape[1] - 1)
    best = np.argpartition(-near, most - 1, axis=1)[:, :most]
    for place, at in enumerate(block):
        for other in best[place]:
            cosine = float(near[place, other])
            if cosine >= LEAST_COSINE:
                yield at, int(other), cosine


def link_correction(connection: apsw.Connection, wrong: Sequence[Key], right: Key, *, now: int) -> int:
    """Say, within a transaction, that the memories an answer rested on were `fixed-by` a correction, the first of them
    most; returns how many edges were new."""
    edges = [
        Edge("fixed-by", (key, right), 1.0 / rank, "feedback")
        for rank, key in enumerate(wrong, 1)
        if key != right and is_current(connection, key)
    ]
    return put_edges(connection, edges, now=now)


def tidy(store: Store) -> int:
    """Drop what joins memories that have ended without a word of it; returns how many there were."""
    with store.writing() as connection:
        return sweep(connection)
