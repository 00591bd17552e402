"""Which vectors an engine's embedder made, and which a caller gave, in stores of every version."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from aqe.engine.memory import Store, spaces
from aqe.engine.memory.file.migrations import MIGRATIONS

STORED = Path(__file__).resolve().parent / "stored"


@pytest.mark.parametrize(
    "version",
    [
        step.number if step.number % 8 == 1 else pytest.param(step.number, marks=pytest.mark.services)
        for step in MIGRATIONS
        if step.number < 18
    ],
)
def test_stored_file_of_each_earlier_version_tells_made_vectors_from_given_ones(tmp_path: Path, version: int) -> None:
    """A store of each earlier version has its caller's space as given, and a space that holds what aqe itself put there
    as one that can be made anew."""
    path = tmp_path / "aqe.db"
    shutil.copy(STORED / f"v{version}.db", path)
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.execute("INSERT INTO embedders (number, embedder_id, dimension) VALUES (2, 'fake', 4), (3, 'other', 4)")
    connection.execute("INSERT INTO embedders (number, embedder_id, dimension) VALUES (4, 'aqe-static-0:old', 4)")
    sql = "UPDATE memories SET embedder = ?, namespace = ? WHERE id = ?"
    connection.execute(sql, (2, "knowledge/smells", "id-0"))
    connection.execute(sql, (3, "default", "id-1"))
    connection.close()
    with Store.open(path) as store, store.reading() as connection:
        assert spaces.given_spaces(connection) == [("toy", 4), ("other", 4)]
        assert spaces.stale_tables(connection, "next", 4) == [2]
        sql = "SELECT embedder_id FROM embedders WHERE derived ORDER BY number"
        assert [name for (name,) in connection.execute(sql)] == ["fake", "aqe-static-0:old"]
