"""What is derived from the rows of a store is made anew: the text index, the tables of vectors, references, the log."""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apsw

from aqe.engine.memory.care.states import unpack_rows
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.terms.text import subtokens
from aqe.engine.memory.tiers.demoted import bad_demoted, drop_demoted
from aqe.engine.progress import CancelToken, Progress, silent

LOOK = 1000
UNIT = 1e-2
"""How far from 1 the length of a vector of aqe's own may be; one that is farther was damaged, and is made anew."""


@dataclass(frozen=True)
class Mended:
    """How many things of each kind were put right: texts that differ from their hash (kept as they stand), revisions
    renumbered after a gap, current memories found ended by a later one, rows that named what is gone, snapshots that
    could not be read, entries of the text index, vectors that are gone, and those of them that only a caller can give
    again."""

    texts: int = 0
    renumbered: int = 0
    ended: int = 0
    dangling: int = 0
    snapshots: int = 0
    indexed: int = 0
    vectors_lost: int = 0
    vectors_given_lost: int = 0


def mend_rows(connection: apsw.Connection) -> dict[str, int]:
    """Put right what rows say of themselves and of each other, in the caller's transaction; counts by `Mended` name."""
    counts = {"texts": _mend_hashes(connection)}
    connection.execute(
        "UPDATE memories AS one SET valid_to = max(valid_from, (SELECT min(valid_from) FROM memories AS other WHERE"
        " other.namespace = one.namespace AND other.id = one.id AND other.revision > one.revision))"
        " WHERE valid_to IS NULL AND EXISTS (SELECT 1 FROM memories AS other WHERE other.namespace = one.namespace"
        " AND other.id = one.id AND other.revision > one.revision)"
    )
    counts["ended"] = connection.changes()
    connection.execute("UPDATE memories SET valid_to = valid_from WHERE valid_to < valid_from")
    counts["ended"] += connection.changes()
    counts["renumbered"] = _close_gaps(connection)
    counts["snapshots"] = _drop_snapshots(connection)
    counts["dangling"] = drop_dangling(connection) + _mend_edges(connection)
    return counts


def rebuild_text_index(
    connection: apsw.Connection, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> int:
    """Make the text index anew from the current memories; returns how many entries it has."""
    connection.execute("INSERT INTO texts (texts) VALUES ('delete-all')")
    rows: list[Any] = connection.execute("SELECT row FROM memories WHERE valid_to IS NULL ORDER BY row").fetchall()
    for at, (row,) in enumerate(rows):
        if at % LOOK == 0:
            progress("Making the text index", at, len(rows))
            if cancel is not None:
                cancel.check()
        text = str(connection.execute("SELECT text FROM memories WHERE row = ?", (row,)).get)
        connection.execute("INSERT INTO texts (rowid, subtokens) VALUES (?, ?)", (row, " ".join(subtokens(text))))
    return len(rows)


def rebuild_vectors(connection: apsw.Connection, found: Mapping[int, Mapping[int, bytes]]) -> tuple[int, int]:
    """Make the tables of vectors anew from the vectors that were `found`, by space and row; returns how many current
    memories lost theirs, and how many of those are vectors that a caller gave."""
    lost = given = 0
    spaces: list[Any] = connection.execute("SELECT number, embedder_id, dimension, derived FROM embedders").fetchall()
    for number, name, dimension, derived in spaces:
        connection.execute(f"DROP TABLE IF EXISTS vectors_{number}")
        vectors.make_table(connection, number, dimension)
        here = found.get(number, {})
        rows: list[Any] = connection.execute(
            "SELECT row, namespace FROM memories WHERE embedder = ? AND valid_to IS NULL"
            " AND row NOT IN (SELECT row FROM demoted) ORDER BY row",
            (number,),
        ).fetchall()
        for row, namespace in rows:
            vector = here.get(row)
            if vector is not None and _is_sound(vector, dimension, own=vectors.is_own(name)):
                vectors.put(connection, number, row, namespace, vector)
            else:
                lost, given = lost + 1, given + (not derived)
                connection.execute("UPDATE memories SET embedder = NULL WHERE row = ?", (row,))
    return lost, given


def drop_bad_vectors(connection: apsw.Connection) -> tuple[int, int]:
    """Remove vectors that belong to no current memory of their space and namespace, or are no such numbers; returns how
    many current memories lost theirs, and how many of those are vectors that a caller gave."""
    lost = given = 0
    spaces: list[Any] = connection.execute("SELECT number, embedder_id, dimension, derived FROM embedders").fetchall()
    for number, _, dimension, derived in spaces:
        bad = []
        for row, place, vector in connection.execute(f"SELECT row, namespace, vector FROM vectors_{number}"):
            sql = "SELECT namespace FROM memories WHERE row = ? AND embedder = ? AND valid_to IS NULL"
            owner = connection.execute(sql, (row, number)).fetchone()
            if owner != (place,) or not _is_sound(bytes(vector), dimension, own=False):
                bad.append((int(row), owner is not None))
        for row, is_current in bad:
            vectors.drop(connection, number, row)
            if is_current:
                lost, given = lost + 1, given + (not derived)
                connection.execute("UPDATE memories SET embedder = NULL WHERE row = ?", (row,))
    made_here = {name for _, name, _, derived in spaces if derived}
    for row, _, embedder in bad_demoted(connection):
        drop_demoted(connection, row)
        if embedder is not None:
            lost, given = lost + 1, given + (embedder not in made_here)
            connection.execute("UPDATE memories SET embedder = NULL WHERE row = ?", (row,))
    return lost, given


def drop_dangling(connection: apsw.Connection) -> int:
    """Remove rows that name another which is gone, or set the name to nothing where it may be; returns how many."""
    gone = 0
    while True:
        found: list[Any] = connection.execute("PRAGMA foreign_key_check").fetchall()
        if not found:
            return gone
        for table, row, parent, _ in found:
            gone += 1
            if table == "memories" and parent == "embedders":
                connection.execute("UPDATE memories SET embedder = NULL WHERE row = ?", (row,))
            elif row is not None:
                connection.execute(f'DELETE FROM "{table}" WHERE _rowid_ = ?', (row,))
            else:
                gone += _drop_keyed(connection, str(table), str(parent)) - 1
                break


def _drop_keyed(connection: apsw.Connection, table: str, parent: str) -> int:
    """Remove the rows of a table without row numbers that name no row of `parent`."""
    links: list[Any] = connection.execute(f'PRAGMA foreign_key_list("{table}")').fetchall()
    for link in links:
        if link[2] == parent:
            connection.execute(
                f'DELETE FROM "{table}" WHERE "{link[3]}" IS NOT NULL AND "{link[3]}" NOT IN'
                f' (SELECT "{link[4]}" FROM "{parent}")'
            )
            return connection.changes()
    return 0


def _mend_edges(connection: apsw.Connection) -> int:
    """Remove edges with a member that is gone, and give the others back the rows of members that their keys still name;
    returns how many edges it took."""
    known = {int(number) for (number,) in connection.execute("SELECT number FROM nodes")}
    sql = (
        "SELECT number, members FROM edges"
        " WHERE length(members) != 8 * (SELECT count(*) FROM edge_members WHERE edge = edges.number)"
    )
    found: list[Any] = connection.execute(sql).fetchall()
    for edge, key in found:
        members = [node for (node,) in struct.iter_unpack("<q", key[: len(key) // 8 * 8])]
        connection.execute("DELETE FROM edge_members WHERE edge = ?", (edge,))
        if len(key) % 8 or not known.issuperset(members):
            connection.execute("DELETE FROM edges WHERE number = ?", (edge,))
            continue
        rows = [(node, edge, place) for place, node in enumerate(members)]
        connection.executemany("INSERT INTO edge_members (node, edge, place) VALUES (?, ?, ?)", rows)
    return len(found)


def _mend_hashes(connection: apsw.Connection) -> int:
    changed = []
    for row, text, digest in connection.execute("SELECT row, text, text_hash FROM memories"):
        right = hashlib.sha256(str(text).encode("utf-8")).digest()
        if right != digest:
            changed.append((right, row))
    connection.executemany("UPDATE memories SET text_hash = ? WHERE row = ?", changed)
    return len(changed)


def _close_gaps(connection: apsw.Connection) -> int:
    """Number revisions so that they follow each other; returns how many got another number."""
    wanted: list[Any] = connection.execute(
        "SELECT row, first + place FROM (SELECT row, revision, min(revision) OVER one AS first,"
        " row_number() OVER (one ORDER BY revision) - 1 AS place FROM memories"
        " WINDOW one AS (PARTITION BY namespace, id)) WHERE revision != first + place ORDER BY 2"
    ).fetchall()
    connection.executemany("UPDATE memories SET revision = ? WHERE row = ?", [(number, row) for row, number in wanted])
    return len(wanted)


def _drop_snapshots(connection: apsw.Connection) -> int:
    broken = []
    for name, rows, memories in connection.execute("SELECT name, rows, memories FROM snapshots"):
        try:
            is_whole = sum(1 for _ in unpack_rows(bytes(rows))) == memories
        except Exception:  # any bytes may stand there
            is_whole = False
        if not is_whole:
            broken.append((name,))
    connection.executemany("DELETE FROM snapshots WHERE name = ?", broken)
    return len(broken)


def _is_sound(vector: bytes, dimension: int, *, own: bool) -> bool:
    """Whether these can be the numbers of a vector; one of aqe's own also has length 1."""
    if len(vector) != 4 * dimension:
        return False
    square = sum(number * number for number in array("f", vector))
    return square < float("inf") and (not own or abs(square - 1) < UNIT)
