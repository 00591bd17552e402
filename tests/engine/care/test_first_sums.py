"""A store of before there were checksums gets them where it can be read, however damaged it is."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import apsw
import numpy as np
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.file import sums
from aqe.engine.memory.file.connection import open_connection, transaction
from aqe.engine.memory.file.sums import SEALED, sum_of, sum_of_row

ROWS = 3000
ODD = "a-file-of-its-own.py"


@pytest.fixture
def old(tmp_path: Path, repository: Path) -> Place:
    """A store of the version before checksums with rows on some hundred pages, one in two with a vector."""
    place = Place(tmp_path / "aqe.db")
    shutil.copy(repository / "tests" / "engine" / "stored" / "v18.db", place.path)
    connection = open_connection(place.path)
    names = [name for _, name, *_ in connection.execute("PRAGMA table_info(memories)")]
    first = dict(zip(names, connection.execute("SELECT * FROM memories").fetchone() or (), strict=True))
    marks = ",".join("?" * len(names))
    with transaction(connection, place.path):
        for number in range(10, ROWS):
            text = f"note {number} " * 20
            made = {"row": number, "id": f"n{number}", "text": text, "file": ODD if number == 700 else "a.py"}
            made |= {"text_hash": hashlib.sha256(text.encode()).digest(), "embedder": 1 if number % 2 else None}
            connection.execute(f"INSERT INTO memories VALUES ({marks})", tuple((first | made).values()))
            if number % 2:
                sql = "INSERT INTO vectors_1 (row, namespace, vector) VALUES (?, 'default', ?)"
                connection.execute(sql, (number, np.array([number, 1, 2, 3], np.float32).tobytes()))
        connection.execute("DELETE FROM memories WHERE row BETWEEN 1000 AND 1999")
        connection.execute("DELETE FROM vectors_1 WHERE row BETWEEN 1000 AND 1999")
    connection.close()
    return place


def pages(place: Place, table: str, kind: str = "leaf") -> list[int]:
    """The pages of a table in their order."""
    sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY path"
    with closing(open_connection(place.path)) as connection:
        return [int(page) for (page,) in connection.execute(sql, (table, kind))]


def overwrite(place: Place, *numbers: int) -> None:
    data = bytearray(place.path.read_bytes())
    for page in numbers:
        data[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    place.path.write_bytes(data)


def spoil(place: Place, old: bytes, new: bytes) -> bytes:
    """Change bytes of a closed store's file wherever they stand, also in an index; gives all of its bytes."""
    data = place.path.read_bytes()
    assert old in data
    place.path.write_bytes(data.replace(old, new))
    return place.path.read_bytes()


def readable(place: Place) -> Iterator[tuple[int, bool, bool]]:
    """The number of each row that can be read, whether it has the sum that it should, and one of a vector."""
    with closing(open_connection(place.path)) as connection:
        for row in range(ROWS):
            try:
                found = connection.execute(f"SELECT {SEALED}, row_sum FROM memories WHERE row = ?", (row,)).fetchone()
            except (apsw.CorruptError, UnicodeDecodeError):
                continue
            if found is not None:
                *values, noted = found
                yield row, noted == sum_of_row(values), values[-1] is not None


@pytest.mark.services
def test_rows_behind_one_that_cannot_be_read_get_their_sums(old: Place) -> None:
    """Of a store of the version before, in which one word is no UTF-8, each other row has its sum once it was opened,
    `verify` names the memory, and a repair leaves every row with its sum."""
    spoil(old, ODD.encode(), b"\x9b" + ODD.encode()[1:])
    Store.open(old.path).close()
    found = {row: is_right for row, is_right, _ in readable(old)}
    assert (len(found), 700 in found, all(found.values())) == (ROWS - 10 - 1000 + 3 - 1, False, True)
    (finding,) = [one for one in verify(old).findings if one.check == "rows"]
    assert "default/n700" in finding.what
    assert "aqe memory repair" in finding.fix
    assert repair(old).sound
    assert len(found) + 1 == sum(is_right for _, is_right, _ in readable(old))


@pytest.mark.services
def test_a_row_that_its_table_does_not_allow_is_named(old: Place) -> None:
    """A store of the version before in which metadata are no JSON any more is not brought up to date: the memory is
    named with the way to repair, which keeps what else there is."""
    with closing(open_connection(old.path)) as connection:
        connection.execute('UPDATE memories SET metadata = \'{"kind":"of its own"}\' WHERE row = 700')
    before = spoil(old, b'"of its own"}', b'"of its own"=')
    with pytest.raises(UserError) as caught:
        Store.open(old.path)
    assert (caught.value.code, "default/n700" in caught.value.message) == ("database-broken", True)
    assert old.path.read_bytes() == before
    assert repair(old).sound
    with Store.open(old.path) as store:
        assert store.get("n700").text.startswith("note 700 ")


@pytest.mark.services
@pytest.mark.parametrize("table", ["memories", "vectors_1_vector_chunks00"])
def test_a_store_that_lost_a_page_is_repaired_before_it_gets_its_sums(old: Place, table: str) -> None:
    """A store of the version before that lost a page is refused with the way to repair and stays as it is; the repair
    brings it up to date, with a sum for every row and every vector that is left."""
    there = pages(old, table)
    overwrite(old, there[len(there) // 2])
    before = old.path.read_bytes()
    with pytest.raises(UserError) as caught:
        Store.open(old.path)
    assert (caught.value.code, "aqe memory repair" in caught.value.fix) == ("database-broken", True)
    assert old.path.read_bytes() == before
    assert repair(old).sound
    found = list(readable(old))
    assert len(found) > 1900
    assert all(is_right for _, is_right, _ in found)
    assert sum(has for _, _, has in found) > 700


def test_few_rows_are_in_memory_at_a_time(old: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are made some rows at a time, and come out the same however many that are."""
    monkeypatch.setattr(sums, "BATCH", 7)
    seen: list[float] = []
    with Store.open(old.path) as store, store.writing() as connection:
        before = connection.execute("SELECT row, vector_sum, row_sum FROM memories").fetchall()
        connection.execute("UPDATE memories SET vector_sum = NULL, row_sum = NULL")
        done = sums.fill(connection, lambda text, done=0.0, total=None: seen.append(done))
        assert connection.execute("SELECT row, vector_sum, row_sum FROM memories").fetchall() == before
    assert done == len(before)
    assert all(later - one >= 7 for one, later in pairwise(seen))


def test_kept_vectors_of_texts_get_their_sums(old: Place) -> None:
    """Each vector that is kept of a text has its sum, also of a store of the version before."""
    with closing(open_connection(old.path)) as connection, transaction(connection, old.path):
        for number in range(600):
            row = ("toy", hashlib.sha256(b"%d" % number).digest(), number, np.full(64, number, np.float32).tobytes())
            connection.execute("INSERT INTO embeddings VALUES (?, ?, ?, ?)", row)
    Store.open(old.path).close()
    with closing(open_connection(old.path)) as connection:
        found = connection.execute("SELECT vector, sum FROM embeddings").fetchall()
    assert len(found) == 600
    assert all(noted == sum_of(vector) for vector, noted in found)
