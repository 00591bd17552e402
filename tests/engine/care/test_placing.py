"""A bit that flips in what says where a vector lies, or whose it is, costs no vector: a second place still tells it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.file.sums import note_vector, read_noted
from aqe.engine.memory.meaning import vectors
from aqe.engine.memory.tiers.forms import pack

COUNT, SMALL, ENDED = 24, 6, 4
"""Memories of each of two spaces; of the first so many are of smaller tiers, and so many revisions ended."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the vectors of a caller in two spaces, some of them in smaller tiers, some of ended revisions."""
    path = tmp_path_factory.mktemp("filled") / "aqe.db"
    chance = np.random.default_rng(3)
    with Store.open(path) as store:
        for size, name in ((32, "mine"), (12, "other")):
            made = [
                NewMemory(f"{name} {at}", "ab"[at % 2], f"{name}-{at}", {"t": "xy"}, chance.normal(size=size), name)
                for at in range(COUNT)
            ]
            store.add_many(made)
        for at in range(ENDED):
            vector = chance.normal(size=32)
            store.update(f"mine-{at}", namespace="ab"[at % 2], text=f"other {at}", vector=vector, embedder_id="mine")
        with store.writing() as connection:
            for at in range(10, 10 + SMALL):
                sql = "SELECT row, embedder FROM memories WHERE id = ?"
                row, table = map(int, connection.execute(sql, (f"mine-{at}",)).fetchall()[0])
                vector, noted = vectors.read(connection, table, row), read_noted(connection, row)
                vectors.drop(connection, table, row)
                smaller = pack(vector, 1 + at % 3)
                connection.execute("INSERT INTO demoted VALUES (?, ?, ?)", (row, 1 + at % 3, smaller))
                note_vector(connection, row, smaller, noted)
    assert verify(Place(path)).sound
    return path


def opened(path: Path) -> apsw.Connection:
    """A connection that writes whatever it is told."""
    connection = open_connection(path)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    connection.pragma("ignore_check_constraints", True)
    connection.pragma("foreign_keys", False)
    return connection


def told(path: Path) -> dict[Any, Any]:
    """Every vector of the file by the memory that it is of, and what else the memory says."""
    connection = open_connection(path)
    names = "namespace, id, revision, text, metadata, id_given, pinned, valid_from, valid_to, file, line, embedder"
    said = {row[1:4]: row for row in connection.execute(f"SELECT {names} FROM memories")}
    of = {row[0]: row[1:] for row in connection.execute("SELECT row, id, revision FROM memories")}
    for number in (1, 2):
        rows = connection.execute(f"SELECT row, vector FROM vectors_{number}")
        said |= {("whole", *of[row]): bytes(vector) for row, vector in rows}
    for table in ("demoted", "retired_vectors"):
        rows = connection.execute(f"SELECT row, vector FROM {table}")
        said |= {(table, *of[row]): bytes(vector) for row, vector in rows}
    connection.close()
    return said


FLIPS = [
    *[("vectors_1_rowids", "chunk_offset", bit) for bit in (1, 5)],
    ("vectors_1_rowids", "chunk_id", 0),
    ("vectors_2_rowids", "rowid", 1),
    *[("vectors_1_chunks", "validity", bit) for bit in (1, 60)],
    *[("vectors_1_chunks", "rowids", bit) for bit in (0, 9)],
    ("vectors_1_vector_chunks00", "vectors", 30),
    *[("demoted", "row", bit) for bit in (3, 9)],
    *[("demoted", "tier", bit) for bit in (0, 2)],
    ("retired_vectors", "row", 3),
    ("embedders", "number", 2),
    *[("embedders", "dimension", bit) for bit in (0, 5)],
    *[("embedders", "derived", bit) for bit in (1, 3)],
    ("memories", "id_given", 1),
    ("memories", "revision", 0),
    ("memories", "metadata", 1),
]
"""Table, column and which bit of its first, or for blocks only, value flips."""


@pytest.mark.parametrize(
    ("table", "column", "bit"),
    [*FLIPS[::2], *(pytest.param(*flip, marks=pytest.mark.services) for flip in FLIPS[1::2])],
)
def test_nothing_is_lost_where_a_bit_flips(filled: Path, tmp_path: Path, table: str, column: str, bit: int) -> None:
    """A bit that flips in a table that says where vectors lie, whose they are, or in a value that the table refuses, is
    found and put right: every vector and memory is what it was, and a second repair finds nothing."""
    place = Place(Path(shutil.copy(filled, tmp_path / "aqe.db")))
    before = told(place.path)
    connection = opened(place.path)
    at = connection.execute(
        f"SELECT rowid FROM {table} WHERE {column} IS NOT NULL LIMIT 1 OFFSET {0 if table == 'embedders' else 1}"
    ).get
    at = 1 if at is None else at
    value: Any = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (at,)).get
    if isinstance(value, int):
        changed: Any = value ^ 1 << bit
    else:
        raw = bytearray(value.encode() if isinstance(value, str) else value)
        raw[bit // 8] ^= 1 << bit % 8
        changed = raw.decode() if isinstance(value, str) else bytes(raw)
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, at))
    connection.close()
    assert not verify(place).sound
    report = repair(place)
    assert (report.sound, report.mended.vectors_lost, report.mended.vectors_ended_lost) == (True, 0, 0)
    assert (report.lost_count, report.how == "salvaged" or report.mended.corrected > 0) == (0, True)
    assert told(place.path) == before
    assert repair(place).how == "nothing"
