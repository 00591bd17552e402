"""A damaged vector, or row, goes no further: whatever would carry it on as a sound one looks at its checksum first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, roll_back, take_snapshot, verify
from aqe.engine.memory.care.correcting import corrected_row
from aqe.engine.memory.file.sums import SEALED, seal, sum_of_row
from aqe.engine.memory.rows import end_row
from aqe.engine.memory.tiers.moving import retier
from aqe.engine.memory.tiers.policy import Thresholds
from aqe.engine.memory.transfer import Wanted, export_memories, export_state, import_memories, import_state, read_file
from tests.engine.care.damage import flip_in_file

Make = Callable[..., Place]
COUNT = 60


def vector_of(number: int) -> bytes:
    return np.array([float(number), 1.0, 2.0], np.float32).tobytes()


def named(place: Place) -> str:
    """The one memory that `verify` says is damaged."""
    (finding,) = verify(place).findings
    return finding.what.rpartition(" ")[2]


def test_equal_text_takes_no_damaged_vector(make_place: Make) -> None:
    """A text that is there with a damaged vector is kept without it, and with the vector where that is sound."""
    place = make_place()
    flip_in_file(place, vector_of(7), 3, 21)
    with Store.open(place.path) as store:
        texts = {id: memory.text for id in ("7", "8") if (memory := store.get(id))}
        for id, text in texts.items():
            store.add(text, namespace="other", id=id)
        assert [store.vector(id, namespace="other") for id in ("7", "8")] == [None, (8.0, 1.0, 2.0)]


@pytest.mark.parametrize("shares", [Thresholds(0, 100, 0), Thresholds(0, 0, 100)], ids=["warm", "int8"])
def test_damaged_vector_stays_in_its_tier(make_place: Make, shares: Thresholds) -> None:
    """Where all vectors around it move to a smaller form a damaged one stays, and is named and put right after."""
    place = make_place(COUNT)
    flip_in_file(place, vector_of(30), 21)
    with Store.open(place.path) as store:
        retier(store, None, shares)
        with store.reading() as connection:
            sql = "SELECT id FROM memories LEFT JOIN demoted USING (row) WHERE tier IS NULL"
            stayed = {id for (id,) in connection.execute(sql)}
    assert stayed & {str(number) for number in range(20, 40)} == {"30"}
    assert named(place) == "default/30"
    assert repair(place).mended.corrected == 1
    with Store.open(place.path) as store:
        assert store.vector("30") == (30.0, 1.0, 2.0)


def test_damaged_vector_is_not_brought_back(make_place: Make) -> None:
    """A rollback brings a memory back without a vector that was damaged while it lay aside, and others with theirs."""
    place = make_place()
    with Store.open(place.path) as store:
        take_snapshot(store, "good", kept=20)
        store.delete_many(["7", "8"])
    flip_in_file(place, vector_of(7), 3, 21)
    with Store.open(place.path) as store:
        assert roll_back(store, "good", kept=20).brought_back == 2
        assert [store.vector(id) for id in ("7", "8")] == [None, (8.0, 1.0, 2.0)]
        assert [memory.id for memory in store.list(limit=100) if memory.id == "7"] == ["7"]


@pytest.mark.parametrize("way", ["state", "lines"])
def test_damaged_vector_is_not_exported(make_place: Make, tmp_path: Path, way: str) -> None:
    """Another store gets every memory, and every vector but the damaged one."""
    place, other = make_place(), tmp_path / "other.db"
    flip_in_file(place, vector_of(7), 3, 21)
    out, beside = tmp_path / "out.jsonl", tmp_path / "out.safetensors"
    with Store.open(place.path) as store, Store.open(other) as target:
        if way == "state":
            export_state(store, tmp_path / "out.aqe")
            import_state(target, tmp_path / "out.aqe")
        else:
            export_memories(store, out, form="jsonl", wanted=Wanted(), vectors=beside)
            import_memories(target, read_file(out, vectors=beside, now=store.now()))
        ids = [str(number) for number in range(20)]
        assert [id for id in ids if target.get(id) is None] == []
        assert [id for id in ids if target.vector(id) is None] == ["7"]


NOTE = "merged into a memory of a name that is as long as this"


def test_row_is_put_right_only_where_one_value_can_be_meant(make_place: Make) -> None:
    """Where a flipped bit of the note why a memory ended has the sum of one of its file's digest, neither is changed:
    the digest stays, and so does the rest of the row."""
    place = make_place()
    with Store.open(place.path) as store, store.writing() as connection:
        connection.execute("UPDATE memories SET file = 'a.py', file_digest = ? WHERE id = '7'", ("0" * 32,))
        end_row(connection, "default", "7", store.now(), note=NOTE)
        seal(connection, int(connection.execute("SELECT row FROM memories WHERE id = '7'").get))
    values = row_of(place)
    flip_in_file(place, NOTE.encode(), 8 * (len(NOTE) - 40))
    assert "default/7" in verify(place).findings[0].what
    repair(place)
    found, places = row_of(place), SEALED.replace('"', "").split(", ")
    differs = {name for name, before, now in zip(places, values, found, strict=True) if before != now}
    assert differs <= {"end_note", "metadata"}


def test_values_that_could_both_have_changed_are_left(make_place: Make) -> None:
    """A row whose sum two different bits would explain is not corrected, and is where one of them is known as sound."""
    values = row_of(make_place())
    values[14:18] = ["0" * 32, b"\1" * 32, 5, "x" * 60]
    noted = sum_of_row(values)
    damaged = [*values[:17], "x" * 19 + "y" + "x" * 40, *values[18:]]
    assert corrected_row(damaged, noted) is None
    assert corrected_row(damaged, noted, sound=(14, 15)) == values


def row_of(place: Place) -> list[object]:
    """What the checksum of memory 7 is of."""
    with Store.open(place.path) as store, store.reading() as connection:
        return list(connection.execute(f"SELECT {SEALED} FROM memories WHERE id = '7'").fetchall()[0])
