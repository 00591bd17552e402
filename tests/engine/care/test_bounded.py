"""What a look at a store and its repair hold in memory is a part of the store, however large that is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.care.side_files import check_side_files
from aqe.engine.memory.file.changelog import read_mark
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.meaning.codefiles import CodeFolder
from aqe.engine.progress import Cancelled, CancelToken
from aqe.simd import Vectors

pytestmark = pytest.mark.services
COUNT, NUMBERS = 3000, 2048


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a store with 25 MB of vectors that a caller gave."""
    path = tmp_path_factory.mktemp("large") / "aqe.db"
    rng = np.random.default_rng(1)
    with Store.open(path) as store:
        for first in range(0, COUNT, 500):
            store.add_many(
                NewMemory(f"note {number}", id=str(number), vector=rng.standard_normal(NUMBERS).astype(np.float32))
                for number in range(first, first + 500)
            )
    return path.read_bytes()


def move_a_place(place: Place) -> None:
    """Have the table of vectors name another place for one."""
    with closing(open_connection(place.path, key=None)) as connection:
        connection.execute("UPDATE vectors_1_rowids SET chunk_offset = chunk_offset + 1 WHERE rowid = 7")


def lose_a_page(place: Place) -> None:
    """Overwrite a page of memories."""
    sql = "SELECT max(pageno) FROM dbstat WHERE name = 'memories' AND pagetype = 'leaf'"
    with closing(open_connection(place.path, key=None)) as connection:
        page = int(connection.execute(sql).get)
        connection.pragma("wal_checkpoint", "truncate")
    data = bytearray(place.path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    place.path.write_bytes(data)


@pytest.mark.parametrize("damage", [move_a_place, lose_a_page])
def test_a_repair_holds_a_part_of_the_file(large: bytes, tmp_path: Path, damage: Callable[[Place], None]) -> None:
    """Vectors and pages are read some at a time, looked at, and let go again."""
    place = Place(tmp_path / "aqe.db")
    place.path.write_bytes(large)
    damage(place)
    tracemalloc.start()
    try:
        verify(place)
        looked = tracemalloc.get_traced_memory()[1]
        done = repair(place)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (done.sound, done.mended.vectors_lost) == (True, 0)
    assert max(2 * looked, peak) < 0.7 * len(large)


def test_a_repair_of_vectors_can_be_cancelled(large: bytes, tmp_path: Path) -> None:
    """One that is cancelled while it looks at vectors leaves the store as it was."""
    place, cancel = Place(tmp_path / "aqe.db"), CancelToken()
    place.path.write_bytes(large)
    move_a_place(place)

    def tell(text: str, done: int, total: int | None = None) -> None:
        if text == "Looking at vectors" and done:
            cancel.cancel()

    before = verify(place).findings
    with pytest.raises(Cancelled):
        repair(place, progress=tell, cancel=cancel)
    assert verify(place).findings == before


def test_a_look_at_a_side_file_holds_a_part_of_it(large: bytes, tmp_path: Path) -> None:
    """The vectors beside the store are compared with it some at a time; each that differs is counted."""
    place = Place(tmp_path / "aqe.db")
    place.path.write_bytes(large)
    with Store.open(place.path) as store, store.reading() as connection:
        mark = read_mark(connection)
        rows = connection.execute("SELECT row, vector FROM vectors_1").fetchall()
    held = Vectors(NUMBERS)
    array = np.frombuffer(b"".join(vector for _, vector in rows), np.float32).reshape(COUNT, NUMBERS).copy()
    array[2900:] *= -1.0
    held.add(np.array([row for row, _ in rows]), array)
    CodeFolder(place.path).write(1, "default", mark, held)
    del held, array, rows
    with closing(open_connection(place.path, key=None)) as connection:
        tracemalloc.start()
        try:
            looked_at, (found,) = check_side_files(connection, place.path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert looked_at == 1
    assert "lacks 0 vectors, has 0 of no memory, 100 others" in found.what
    assert peak < 0.7 * len(large)
