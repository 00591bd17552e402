"""What the rows of a store say of themselves and of each other is put right, and the text index made anew."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import apsw

from aqe.engine.memory.care.correcting import corrected_row, corrected_text, is_sum_alone
from aqe.engine.memory.care.states import unpack_rows
from aqe.engine.memory.entry import metadata_json, rfc3339
from aqe.engine.memory.file.sums import SEALED, sum_of_row
from aqe.engine.memory.graph.edges import DIRECTED
from aqe.engine.memory.terms.text import index_text
from aqe.engine.progress import CancelToken, Progress, silent

LOOK = 1000
MARK = "aqe-damaged"
"""The key of a memory's metadata under which a repair says what of it changed on the disk."""

HASH = SEALED.split(", ").index("text_hash")
"""Where that stands among the values of a row."""


@dataclass(frozen=True)
class Mended:
    """How many things of each kind were put right: rows, texts and vectors of which one bit had flipped, which are
    again what was written; texts that differ from their hash and rows that differ from their checksum (kept as they
    stand, with a mark in their metadata), revisions renumbered after a gap, current memories found ended by a later
    one, rows beside the memories that differ from their checksum (kept as they stand), rows that named what is gone,
    snapshots that could not be read, entries of the text index, vectors that are gone, those of them that only a caller
    can give again, and those of ended revisions."""

    corrected: int = 0
    texts: int = 0
    rows: int = 0
    other_rows: int = 0
    renumbered: int = 0
    ended: int = 0
    dangling: int = 0
    snapshots: int = 0
    indexed: int = 0
    vectors_lost: int = 0
    vectors_given_lost: int = 0
    vectors_ended_lost: int = 0


def mend_rows(
    connection: apsw.Connection, now: int, *, progress: Progress = silent, cancel: CancelToken | None = None
) -> tuple[dict[str, int], set[int]]:
    """Put right what rows say of themselves and of each other, in the caller's transaction; counts by `Mended` name,
    and the rows of which the text index may say something else now."""
    counts, touched = _mend_values(connection, now, progress, cancel)
    ended = (
        "UPDATE memories AS one SET valid_to = max(valid_from, (SELECT min(valid_from) FROM memories AS other WHERE"
        " other.namespace = one.namespace AND other.id = one.id AND other.revision > one.revision))"
        " WHERE valid_to IS NULL AND EXISTS (SELECT 1 FROM memories AS other WHERE other.namespace = one.namespace"
        " AND other.id = one.id AND other.revision > one.revision) RETURNING row"
    )
    found = {row for (row,) in list[Any](connection.execute(ended))}
    connection.execute("UPDATE memories SET valid_to = valid_from WHERE valid_to < valid_from")
    counts["ended"] = len(found) + connection.changes()
    counts["renumbered"] = _close_gaps(connection)
    counts["snapshots"] = _drop_snapshots(connection)
    counts["dangling"] = drop_dangling(connection) + _mend_edges(connection)
    return counts, touched | found


def mend_text_index(connection: apsw.Connection, rows: Collection[int]) -> int:
    """Have the text index say of some rows what they say, whether they are current or not; returns how many entries it
    has of them."""
    entries = 0
    for row in sorted(rows):
        connection.execute("DELETE FROM texts WHERE rowid = ?", (row,))
        text = connection.execute("SELECT text FROM memories WHERE row = ? AND valid_to IS NULL", (row,)).get
        if text is not None:
            connection.execute("INSERT INTO texts (rowid, subtokens) VALUES (?, ?)", (row, index_text(str(text))))
            entries += 1
    return entries


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
        connection.execute("INSERT INTO texts (rowid, subtokens) VALUES (?, ?)", (row, index_text(text)))
    return len(rows)


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
                connection.execute(
                    "UPDATE memories SET embedder = NULL, vector_sum = NULL, row_sum = NULL WHERE row = ?", (row,)
                )
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
    """Remove edges with a member that is gone, and give the others the members that their keys name; returns how
    many edges were removed."""
    known = {int(number) for (number,) in connection.execute("SELECT number FROM nodes")}
    joined: dict[int, set[tuple[int, int]]] = {}
    for node, edge, place in connection.execute("SELECT node, edge, place FROM edge_members"):
        joined.setdefault(edge, set()).add((node, place))
    gone = 0
    edges: list[Any] = connection.execute("SELECT number, kind, members FROM edges").fetchall()
    for edge, kind, key in edges:
        members = [node for (node,) in struct.iter_unpack("<q", key[: len(key) // 8 * 8])]
        if len(key) % 8 or not known.issuperset(members):
            connection.execute("DELETE FROM edge_members WHERE edge = ?", (edge,))
            connection.execute("DELETE FROM edges WHERE number = ?", (edge,))
            gone += 1
            continue
        first, there = 0 if kind in DIRECTED else 1, joined.get(edge, set())
        begins = {node for node, place in there if place == 0}
        if {node for node, _ in there} != {*members} or begins != {*members[: 1 - first]}:
            _join(connection, edge, [(node, first + place) for place, node in enumerate(members)])
    return gone


def _join(connection: apsw.Connection, edge: int, members: Sequence[tuple[int, int]]) -> None:
    """Have an edge these members (node, place), and no other: none that goes may be its first, or it would go too."""
    sql = (
        "INSERT INTO edge_members (node, edge, place) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET place = excluded.place"
    )
    connection.executemany(sql, [(node, edge, place) for node, place in members])
    nodes = json.dumps([node for node, _ in members])
    others = "edge = ? AND node NOT IN (SELECT value FROM json_each(?))"
    connection.execute(f"UPDATE edge_members SET place = 1 WHERE {others}", (edge, nodes))
    connection.execute(f"DELETE FROM edge_members WHERE {others}", (edge, nodes))


def _mend_values(
    connection: apsw.Connection, now: int, progress: Progress, cancel: CancelToken | None
) -> tuple[dict[str, int], set[int]]:
    """Put right the values and texts of rows that are not what their checksum and hash were made of, where one bit
    flipped; what more was changed in stays, and the memory's metadata say so. Returns counts by `Mended` name, and the
    rows whose text is another now, or was."""
    counts, touched = dict.fromkeys(("corrected", "texts", "rows"), 0), set[int]()
    names = SEALED.split(", ")
    sql = f"SELECT row_sum, CAST(text AS BLOB), {SEALED} FROM memories WHERE row = ?"
    for at, row in enumerate(_numbers(connection)):
        if at % LOOK == 0:
            progress("Looking at rows", at)
            if cancel is not None:
                cancel.check()
        noted, raw, *values = cast("tuple[Any, ...]", connection.execute(sql, (row,)).fetchone())
        sound, text, wrong = soundest(raw, values, noted)
        if not wrong and text is None and sound == values and noted in (None, sum_of_row(sound)):
            continue
        for what in wrong:
            counts[what] += 1
        counts["corrected"] += not wrong
        if text is not None or "texts" in wrong:
            touched.add(row)
        if wrong:
            sound[6] = _marked(sound[6], wrong, now)
        changed = {name: one for name, one, was in zip(names, sound, values, strict=True) if one != was}
        changed |= {} if text is None else {"text": text}
        if changed:
            sets = ", ".join(f"{name} = ?" for name in changed)
            connection.execute(f"UPDATE memories SET {sets} WHERE row = ?", (*changed.values(), row))
        sums = (sound[-1], sum_of_row(sound), row)
        connection.execute("UPDATE memories SET vector_sum = ?, row_sum = ? WHERE row = ?", sums)
    return counts, touched


def _numbers(connection: apsw.Connection) -> Iterator[int]:
    """The number of every row, some at a time, so that each may be changed meanwhile."""
    sql = "SELECT row FROM memories WHERE row > ? ORDER BY row LIMIT ?"
    last = -(1 << 63)
    while rows := [row for (row,) in list[Any](connection.execute(sql, (last, LOOK)))]:
        yield from rows
        last = rows[-1]


def soundest(raw: bytes, values: list[Any], noted: int | None) -> tuple[list[Any], str | None, list[str]]:
    """The values of a row and its text (None: as it stands) as they were written, as far as that can be told, and which
    of the two cannot be."""
    digest, wrong = hashlib.sha256(raw).digest(), list[str]()
    made = sum_of_row(values)
    if noted is not None and made != noted and not is_sum_alone(made, noted):
        with_hash = [*values[:HASH], digest, *values[HASH + 1 :]]
        is_hash_sound = digest == values[HASH]
        found = (
            with_hash
            if sum_of_row(with_hash) == noted
            else corrected_row(values, noted, sound=(HASH,) if is_hash_sound else ())
        )
        values, wrong = (values, ["rows"]) if found is None else (found, wrong)
    if digest == values[HASH]:
        return list(values), None, wrong
    text = corrected_text(raw, values[HASH])
    if text is None:
        told = raw.decode("utf-8", "replace")
        digest = hashlib.sha256(told.encode("utf-8")).digest()
        return [*values[:HASH], digest, *values[HASH + 1 :]], told, [*wrong, "texts"]
    return list(values), text, wrong


def _marked(metadata: str, wrong: Sequence[str], now: int) -> str:
    """Metadata that say what of their memory changed on the disk."""
    try:
        held = json.loads(metadata)
    except ValueError:
        held = {}
    what = " and ".join({"texts": "the text", "rows": "the metadata, a date or the origin"}[one] for one in wrong)
    told = f"{what} changed on the disk and could not be put right ({rfc3339(now)[:10]}, aqe memory repair)"
    return metadata_json({**(held if isinstance(held, dict) else {}), MARK: told})


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
