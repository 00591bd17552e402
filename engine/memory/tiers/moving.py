"""Moves vectors between tiers, batch by batch in short transactions, while searches and writers go on.

A vector goes cold only where it can be had again: its text is embedded anew first, and what comes out must be what is
stored. Vectors of callers, corrections, and what differs stay int8 at least. On the way up a vector is made anew from
its text too where that is possible, else it is what its form gave back.

vec0 keeps vectors in blocks and frees only whole ones, so the rows that stay in a block of which most went are put into
other blocks afterwards. The pages that this frees are used by what comes next; the file itself shrinks by VACUUM alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import apsw

from aqe.engine.lease import holding
from aqe.engine.memory.file.failures import speaking
from aqe.engine.memory.file.sums import note_vector, noted_sums, read_noted, sum_of
from aqe.engine.memory.file.watching import watch_connection
from aqe.engine.memory.growth.access import DAY_US, HALF_LIFE_DAYS
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.search.ranking import CORRECTIONS
from aqe.engine.memory.store import Store
from aqe.engine.memory.tiers.forms import COLD, HOT, SMALL, pack, unpack
from aqe.engine.memory.tiers.policy import Thresholds, assign
from aqe.engine.progress import CancelToken, Progress, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder

LEASE = "tiers"
BATCH = 500
SAME = 0.999
"""The cosine from which a vector made anew from its text is the one that is stored."""

SPARSE = 0.6
"""A block of vec0 that is less full than this is emptied."""


@dataclass(frozen=True)
class Moved:
    """How many rows went to each tier (hot, warm, int8, cold), how many would have gone cold but cannot be made anew,
    and how many vectors were put together in fuller blocks."""

    to: dict[str, int] = field(default_factory=dict)
    kept_int8: int = 0
    packed: int = 0


@dataclass(frozen=True)
class _Row:
    row: int
    table: int
    tier: int
    wanted: int


NAMES = ("hot", "warm", "int8", "cold")


def retier(
    store: Store,
    embedder: Embedder | None,
    thresholds: Thresholds,
    *,
    half_life_days: float = HALF_LIFE_DAYS,
    progress: Progress = silent,
    cancel: CancelToken | None = None,
) -> Moved:
    """Move every vector to the tier that its accesses say. Raises `Cancelled`; what was moved stays moved."""
    to = dict.fromkeys(NAMES, 0)
    kept = packed = 0
    with holding(store, LEASE, progress=progress, cancel=cancel) as lease:
        moves = _moves(store, thresholds, half_life_days)
        own = None if embedder is None else _table_of(store, embedder)
        for start in range(0, len(moves), BATCH):
            if cancel is not None:
                cancel.check()
            progress("Moving vectors between tiers", start, len(moves))
            with store.writing() as connection:
                done = _move(connection, moves[start : start + BATCH], embedder, own)
                if start == 0:
                    _mark(connection)
                elif done.get(NAMES[COLD]):
                    _note_cold(connection, 1)  # so much is known without counting; the end counts them
            for name, count in done.items():
                if name == "kept":
                    kept += count
                else:
                    to[name] += count
            lease.renew()
        if any(to.values()):
            packed = _pack_blocks(store, progress, cancel)
            with store.writing() as connection:
                _mark(connection)
    return Moved(to, kept, packed)


def compact_file(store: Store) -> int:
    """Write the file anew without its free pages; returns by how many bytes it got smaller. Raises `UserError`
    (database-locked, disk-full): then the file is as it was."""
    connection = watch_connection(store.path)
    try:
        with speaking(store.path):
            before = int(connection.pragma("page_count"))
            connection.execute("VACUUM")
            connection.pragma("wal_checkpoint", "truncate")
            return (before - int(connection.pragma("page_count"))) * int(connection.pragma("page_size"))
    finally:
        connection.close()


def _moves(store: Store, thresholds: Thresholds, half_life_days: float) -> list[_Row]:
    """The rows whose tier is another one than it should be."""
    import numpy as np

    sql = (
        "SELECT memories.row, memories.embedder, coalesce(tier, 0), pinned, created_at, coalesce(score, 0.0),"
        " coalesce(last_at, 0), namespace = ? OR namespace LIKE ? FROM memories LEFT JOIN accesses USING (row)"
        " LEFT JOIN demoted USING (row) WHERE valid_to IS NULL AND embedder IS NOT NULL ORDER BY created_at, row"
    )
    with store.looking() as connection:
        found: list[Any] = connection.execute(sql, (CORRECTIONS, f"{CORRECTIONS}/%")).fetchall()
        spaces: list[Any] = connection.execute("SELECT number FROM embedders WHERE NOT derived").fetchall()
    if not found:
        return []
    given = {int(number) for (number,) in spaces}
    rows, tables, tiers, pinned, made, score, last, apart = (np.array(column) for column in zip(*found, strict=True))
    life = half_life_days * DAY_US
    newest = float(max(made.max(), last.max()))
    scores = np.exp2((made - newest) / life) + score * np.exp2((last - newest) / life)
    wanted = assign(scores, tiers.astype(np.int8), pinned.astype(bool), thresholds)
    never_cold = np.isin(tables, list(given)) | apart.astype(bool)
    wanted = np.where(never_cold & (wanted == COLD), SMALL, wanted)
    return [
        _Row(int(rows[at]), int(tables[at]), int(tiers[at]), int(wanted[at])) for at in np.flatnonzero(wanted != tiers)
    ]


def _move(
    connection: apsw.Connection, moves: Sequence[_Row], embedder: Embedder | None, own: int | None
) -> dict[str, int]:
    done: dict[str, int] = {}
    current = _still(connection, moves)
    held = _held(connection, current)
    made = _made_anew(connection, current, embedder, own)
    promoted: list[int] = []
    for one in current:
        vector, anew = held.get(one.row), made.get(one.row)
        if vector is None:
            continue
        same = anew is not None and _cosine(vector, anew) >= (SAME if one.tier != COLD else 0.5)
        wanted = one.wanted
        if wanted == COLD and not same:
            wanted = SMALL
            done["kept"] = done.get("kept", 0) + 1
        if wanted == one.tier or (one.tier == COLD and not same):
            continue
        best = anew if same and anew is not None and one.tier >= SMALL else vector
        _put(connection, one, wanted, best)
        done[NAMES[wanted]] = done.get(NAMES[wanted], 0) + 1
        if wanted < one.tier:
            promoted.append(one.row)
    _tell(connection, promoted)
    return done


def _put(connection: apsw.Connection, one: _Row, tier: int, vector: NDArray[np.float32]) -> None:
    namespace = str(connection.execute("SELECT namespace FROM memories WHERE row = ?", (one.row,)).get)
    noted = read_noted(connection, one.row)
    vectors.drop(connection, one.table, one.row)
    if tier == HOT:
        vectors.put(connection, one.table, one.row, namespace, vector.tobytes())
        note_vector(connection, one.row, vector.tobytes(), noted)
    else:
        packed = pack(vector.tobytes(), tier)
        connection.execute("INSERT INTO demoted VALUES (?, ?, ?)", (one.row, tier, packed))
        note_vector(connection, one.row, packed, noted)


def _still(connection: apsw.Connection, moves: Sequence[_Row]) -> list[_Row]:
    """Those of the moves whose row is still current, in its space and tier."""
    sql = (
        "SELECT memories.row, embedder, coalesce(tier, 0) FROM memories LEFT JOIN demoted USING (row)"
        " WHERE valid_to IS NULL AND memories.row IN (SELECT value FROM json_each(?))"
    )
    rows = json.dumps([one.row for one in moves])
    now = {row: (table, tier) for row, table, tier in connection.execute(sql, (rows,))}
    return [one for one in moves if now.get(one.row) == (one.table, one.tier)]


def _held(connection: apsw.Connection, moves: Sequence[_Row]) -> dict[int, NDArray[np.float32]]:
    """The vector of each row as its tier gives it back, the cold ones roughly; none of one that is damaged, which stays
    where it is until it is repaired."""
    stored: dict[int, tuple[int, bytes]] = {}
    for table in {one.table for one in moves}:
        rows = [one.row for one in moves if one.table == table and one.tier == HOT]
        stored |= {row: (HOT, held) for row, held in vectors.read_each(connection, table, rows).items()}
    small = json.dumps([one.row for one in moves if one.tier != HOT])
    sql = "SELECT row, tier, vector FROM demoted WHERE row IN (SELECT value FROM json_each(?))"
    held: list[Any] = connection.execute(sql, (small,)).fetchall()
    stored |= {int(row): (int(tier), bytes(packed)) for row, tier, packed in held}
    sums = noted_sums(connection, [one.row for one in moves])
    is_sound = {row: sums.get(row) in (None, sum_of(packed)) for row, (_, packed) in stored.items()}
    return {row: unpack(packed, tier) for row, (tier, packed) in stored.items() if is_sound[row]}


def _made_anew(
    connection: apsw.Connection, moves: Sequence[_Row], embedder: Embedder | None, own: int | None
) -> dict[int, NDArray[np.float32]]:
    """The vectors of the rows that go cold, or come up from int8 or below, made anew from their texts."""
    wanted = [one.row for one in moves if one.table == own and (one.wanted == COLD or one.tier >= SMALL)]
    if embedder is None or not wanted:
        return {}
    sql = "SELECT row, text FROM memories WHERE row IN (SELECT value FROM json_each(?))"
    texts: list[Any] = connection.execute(sql, (json.dumps(wanted),)).fetchall()
    made = embedder.embed([str(text) for _, text in texts])
    return {int(row): numbers for (row, _), numbers in zip(texts, made, strict=True) if numbers.any()}


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    import numpy as np

    return float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30)


def _table_of(store: Store, embedder: Embedder) -> int | None:
    with store.reading() as connection:
        return vectors.find_table(connection, embedder.id, embedder.dimension)


def _tell(connection: apsw.Connection, rows: Sequence[int]) -> None:
    """Log rows as changed, so that who holds their vectors in memory reads them again."""
    sql = "INSERT INTO change_log (row, stamp) VALUES (?, random() & 0x7fffffff)"
    connection.executemany(sql, [(row,) for row in rows])


def _mark(connection: apsw.Connection) -> None:
    """Say that tiers moved: the log gets an entry of no row, and its number is noted."""
    _tell(connection, [0])
    number = connection.execute("SELECT max(number) FROM change_log").get
    connection.execute("INSERT OR REPLACE INTO growth_marks VALUES ('tiered', ?)", (number,))
    _note_cold(connection, int(connection.execute("SELECT count(*) FROM demoted WHERE tier = ?", (COLD,)).get))


def _note_cold(connection: apsw.Connection, rows: int) -> None:
    connection.execute("INSERT OR REPLACE INTO growth_marks VALUES ('cold', ?)", (rows,))


def _pack_blocks(store: Store, progress: Progress, cancel: CancelToken | None) -> int:
    """Empty the sparse blocks of vec0 into fuller ones; returns how many vectors were put elsewhere."""
    done = 0
    with store.reading() as connection:
        tables = [int(number) for (number,) in connection.execute("SELECT number FROM embedders")]
    for table in tables:
        rows = _scattered(store, table)
        for start in range(0, len(rows), BATCH):
            if cancel is not None:
                cancel.check()
            progress("Packing the vectors that stay", start, len(rows))
            with store.writing() as connection:
                done += sum(_put_elsewhere(connection, table, row) for row in rows[start : start + BATCH])
    return done


def _scattered(store: Store, table: int) -> list[int]:
    """The rows in blocks that are mostly empty; none where this sqlite-vec lays its blocks out in another way."""
    import numpy as np

    with store.looking() as connection:
        try:
            sql = f"SELECT size, validity, rowids FROM vectors_{table}_chunks ORDER BY chunk_id"
            blocks: list[Any] = connection.execute(sql).fetchall()
        except apsw.SQLError:
            return []
    found: list[int] = []
    for size, validity, rows in blocks:
        used = np.flatnonzero(np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little"))
        if 0 < len(used) < SPARSE * size:
            found += np.frombuffer(rows, np.int64)[used].tolist()
    return found


def _put_elsewhere(connection: apsw.Connection, table: int, row: int) -> bool:
    sql = f"SELECT namespace, vector FROM vectors_{table} WHERE row = ?"
    found: Any = connection.execute(sql, (row,)).fetchone()
    if found is None:
        return False
    connection.execute(f"DELETE FROM vectors_{table} WHERE row = ?", (row,))
    vectors.put(connection, table, row, str(found[0]), bytes(found[1]))
    return True
