"""What a store knows its rows and vectors by: a bit that flips in one is named, put right, or said to be lost."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import numpy as np
import pytest

from aqe.engine.memory import NewMemory, Provenance, Store
from aqe.engine.memory.care import Place, back_up, repair, restore, verify
from aqe.engine.memory.care.correcting import corrected_bytes, corrected_text
from aqe.engine.memory.embeddings import KeptEmbedder
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.file.sums import SEALED, noted_sums, sum_of, sum_of_row
from aqe.engine.memory.growth.access import DAY_US
from aqe.engine.memory.growth.pins import set_pinned
from aqe.engine.memory.meaning.vectors import ensure_table, put
from aqe.engine.memory.tiers.moving import retier
from aqe.engine.memory.tiers.policy import Thresholds
from aqe.engine.memory.transfer import Wanted, export_memories, import_memories, read_file
from aqe.engine.retrieval import find, keep
from tests.engine.care.damage import Lines, flip, flip_in_file

Make = Callable[..., Place]


def packed(*numbers: float) -> bytes:
    return np.array(numbers, np.float32).tobytes()


def not_in_order(place: Place) -> list[str]:
    """The rows that are not as their sums say, or have none."""
    connection = open_connection(place.path, key=place.key)
    rows = connection.execute(f"SELECT {SEALED}, row_sum FROM memories").fetchall()
    connection.close()
    return [str(row[0]) for row in rows if row[-1] != sum_of_row(row[:-1])]


def test_a_flipped_bit_of_a_vector_is_named_and_put_right(make_place: Make) -> None:
    """A bit that flips in a caller's vector and leaves a finite number is found, the memory is named, and the repaired
    vector is the caller's to the last bit."""
    place = make_place()
    flip_in_file(place, packed(7.0, 1.0, 2.0), 21)
    (finding,) = verify(place).findings
    assert (finding.check, "default/7" in finding.what) == ("vectors", True)
    report = repair(place)
    assert (report.sound, report.mended.corrected, report.mended.vectors_lost) == (True, 1, 0)
    with Store.open(place.path) as store:
        assert store.vector("7") == (7.0, 1.0, 2.0)
        assert [hit.memory.id for hit in store.search(vector=[7, 1, 2], k=1, embedder_id="toy").hits] == ["7"]


def test_a_callers_vector_of_which_more_changed_is_dropped_and_counted(make_place: Make) -> None:
    """Where more than one bit changed nobody can make a caller's vector anew: it is left out of searches, and said."""
    place = make_place()
    flip_in_file(place, packed(7.0, 1.0, 2.0), 3, 21, 40)
    report = repair(place)
    lost = (report.mended.corrected, report.mended.vectors_lost, report.mended.vectors_given_lost)
    assert (report.sound, lost) == (True, (0, 1, 1))
    with Store.open(place.path) as store:
        assert store.vector("7") is None
        assert "7" not in {hit.memory.id for hit in store.search(vector=[7, 1, 2], k=20, embedder_id="toy").hits}
        assert store.get("7") is not None


def test_a_vector_of_ours_of_which_more_changed_is_made_anew_from_its_text(tmp_path: Path) -> None:
    """What the engine's embedder made is made again from the text by the search after the repair."""
    place = Place(tmp_path / "aqe.db")
    with Store.open(place.path) as store:
        keep(store, Lines(), [NewMemory(f"note {number}", id=str(number)) for number in range(20)])
        before = store.vector("4")
    assert before is not None
    flip_in_file(place, packed(*before), 2, 10, 35)
    assert verify(place).findings[0].what.endswith("default/4")
    assert repair(place).mended.vectors_lost == 1
    with Store.open(place.path) as store:
        assert find(store, Lines(), "note 4").hits[0].memory.id == "4"
        assert store.vector("4") == before


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_a_flipped_bit_of_a_smaller_form_is_named_and_put_right(tmp_path: Path, tier: int) -> None:
    """The checksum follows a vector into the tiers: of each form a flipped bit is found and put right."""
    clock, place = [1_700_000_000_000_000], Place(tmp_path / "aqe.db")
    with Store.open(place.path, now=lambda: clock[0]) as store:
        for number in range(40):
            clock[0] += DAY_US
            keep(store, Lines(), [NewMemory(f"note{number} of the day", id=str(number))])
        retier(store, Lines(), Thresholds())
        with store.reading() as connection:
            sql = "SELECT vector, id FROM demoted JOIN memories USING (row) WHERE tier = ? LIMIT 1"
            form, id = connection.execute(sql, (tier,)).fetchall()[0]
    assert verify(place).sound
    flip_in_file(place, form, 8 * (len(form) - 1) + 1)
    assert [(one.check, one.what.endswith(f"default/{id}")) for one in verify(place).findings] == [("vectors", True)]
    assert (repair(place).mended.corrected, verify(place).sound) == (1, True)
    connection = open_connection(place.path)
    assert connection.execute("SELECT vector FROM demoted JOIN memories USING (row) WHERE id = ?", (id,)).get == form
    connection.close()


def test_a_damaged_vector_is_not_carried_on_as_a_sound_one(make_place: Make) -> None:
    """A change of the memory, an equal text, or a move between tiers does not give a damaged vector a checksum of its
    own: it stays named until it is repaired."""
    place = make_place()
    flip_in_file(place, packed(7.0, 1.0, 2.0), 3, 21)
    with Store.open(place.path) as store:
        store.update("7", metadata={"n": 8})
        store.add(store.get("7").text, namespace="other")
        retier(store, None, Thresholds())
    assert "default/7" in verify(place).findings[0].what
    assert repair(place).sound


def test_a_kept_vector_of_a_text_that_changed_is_made_anew(tmp_path: Path) -> None:
    """A vector kept of a text is not used where a bit of it flipped: the text is embedded again."""
    place = Place(tmp_path / "aqe.db")
    with Store.open(place.path) as store:
        KeptEmbedder(Lines(), store, costly=True).embed(["a costly text"])
    flip_in_file(place, Lines().embed(["a costly text"]).tobytes(), 77)
    assert "kept vector" in verify(place).findings[0].what
    with Store.open(place.path) as store:
        assert (
            KeptEmbedder(Lines(), store, costly=True).embed(["a costly text"]) == Lines().embed(["a costly text"])
        ).all()
    assert verify(place).sound


def test_a_flipped_bit_of_a_text_is_put_right(make_place: Make) -> None:
    """A bit that flips in a text is found by its hash, and the text is again what was remembered; nothing is marked."""
    place = make_place()
    flip_in_file(place, b"note 3 says that part 21", 42)
    assert {one.check for one in verify(place).findings} >= {"texts"}
    report = repair(place)
    assert (report.sound, report.mended.corrected, report.mended.texts) == (True, 1, 0)
    with Store.open(place.path) as store:
        assert store.get("3").text == "note 3 says that part 21 is kept"
        assert store.get("3").metadata == {"n": 3}


def test_a_text_that_cannot_be_put_right_is_marked(make_place: Make) -> None:
    """A text of which more changed stays as it stands, and its memory says so wherever its metadata are shown."""
    place = make_place()
    flip_in_file(place, b"note 3 says that part 21", 42, 50)
    report = repair(place)
    assert (report.sound, report.mended.texts) == (True, 1)
    with Store.open(place.path) as store:
        metadata = store.history("3")[-1].metadata
        assert "the text changed on the disk" in metadata["aqe-damaged"]
        assert (metadata["n"], store.get("4").metadata) == (3, {"n": 4})
        assert [memory.id for memory in store.list(limit=100) if "aqe-damaged" in memory.metadata] == ["3"]


@pytest.mark.parametrize(("bits", "mended"), [((34,), (1, 0)), ((34, 35), (0, 1))])
def test_a_changed_word_of_the_metadata_is_found(
    make_place: Make, bits: tuple[int, ...], mended: tuple[int, int]
) -> None:
    """A bit that flips in the metadata of a row is found and put right; of more the row is marked."""
    place = make_place(0)
    with Store.open(place.path) as store:
        store.add("the first", id="a", metadata={"who": "somebody"})
    flip_in_file(place, b'{"who":"somebody"}', 8 * 10 + bits[0] % 8, *(8 * 10 + bit % 8 for bit in bits[1:]))
    assert [(one.check, "default/a" in one.what) for one in verify(place).findings] == [("rows", True)]
    report = repair(place)
    assert (report.sound, report.mended.corrected, report.mended.rows) == (True, *mended)
    with Store.open(place.path) as store:
        found = store.get("a").metadata
    assert (found == {"who": "somebody"}) is (mended == (1, 0))
    assert ("aqe-damaged" in found) is (mended == (0, 1))


VALUES = ("valid_from", "created_at", "metadata", "file", "line", "text_hash", "valid_to", "embedder", "vector_sum")


@pytest.mark.parametrize("column", VALUES)
def test_a_flipped_bit_of_an_ended_row_is_put_right_where_it_was(tmp_path: Path, column: str) -> None:
    """Whichever value of an ended revision lost a bit has it back; none is put right in its place, and no vector, text
    or word of the metadata is taken for damaged."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        store.add("one", id="a", metadata={"n": 1}, vector=[1.0, 2.0, 2.0], provenance=Provenance("a.py", 3))
        store.update("a", text="two", vector=[2.0, 1.0, 2.0])
    sql = "SELECT * FROM memories WHERE revision = 1"
    connection = open_connection(path)
    before = list(connection.execute(sql))
    value = connection.execute(f"SELECT {column} FROM memories WHERE revision = 1").get
    data = value if isinstance(value, bytes) else str(value).encode()
    damaged = (
        value ^ 1
        if isinstance(value, int)
        else type(value)(flip(data, 8 * len(data) - 15), *["utf-8"] * isinstance(value, str))
    )
    sums = connection.execute("SELECT vector_sum, row_sum FROM memories WHERE revision = 1").get
    connection.execute("PRAGMA foreign_keys = off")
    connection.execute(f"UPDATE memories SET {column} = ? WHERE revision = 1", (damaged,))
    connection.execute("UPDATE memories SET vector_sum = NULL, row_sum = NULL WHERE revision = 1")
    kept = damaged if column == "vector_sum" else sums[0]
    connection.execute("UPDATE memories SET vector_sum = ?, row_sum = ? WHERE revision = 1", (kept, sums[1]))
    connection.close()
    report = repair(Place(path))
    assert (report.sound, report.mended.texts, report.mended.rows) == (True, 0, 0)
    connection = open_connection(path)
    assert list(connection.execute(sql)) == before
    assert connection.execute("SELECT count(*) FROM retired_vectors").get == 1
    connection.close()


@pytest.mark.parametrize("bit", [2, 31, 40])
def test_a_flipped_bit_of_a_checksum_marks_nothing(make_place: Make, bit: int) -> None:
    """A row whose checksum alone changed keeps its values without a mark, and the checksum is put right."""
    place = make_place()
    connection = open_connection(place.path)
    noted = connection.execute("SELECT row_sum FROM memories WHERE id = '3'").get
    connection.execute("UPDATE memories SET row_sum = ? WHERE id = '3'", (noted ^ 1 << bit,))
    connection.close()
    assert [one.check for one in verify(place).findings] == ["rows"]
    report = repair(place)
    assert (report.sound, report.mended.corrected, report.mended.rows) == (True, 1, 0)
    with Store.open(place.path) as store, store.reading() as connection:
        assert store.get("3").metadata == {"n": 3}
        assert connection.execute("SELECT row_sum FROM memories WHERE id = '3'").get == noted


@pytest.mark.parametrize("bit", [0, 17, 31])
def test_a_flipped_bit_of_a_vectors_checksum_costs_no_vector(make_place: Make, bit: int) -> None:
    """A vector whose checksum alone changed stays as it is, a caller's too, and the checksum is put right."""
    place = make_place()
    connection = open_connection(place.path)
    noted, sealed = next(connection.execute("SELECT vector_sum, row_sum FROM memories WHERE id = '3'"))
    connection.execute("UPDATE memories SET vector_sum = NULL, row_sum = NULL WHERE id = '3'")
    connection.execute("UPDATE memories SET vector_sum = ?, row_sum = ? WHERE id = '3'", (noted ^ 1 << bit, sealed))
    connection.close()
    assert not verify(place).sound
    report = repair(place)
    assert (report.sound, report.mended.vectors_lost, report.mended.rows) == (True, 0, 0)
    connection = open_connection(place.path)
    assert next(connection.execute("SELECT vector_sum, row_sum FROM memories WHERE id = '3'")) == (noted, sealed)
    connection.close()


def test_every_way_to_change_a_memory_leaves_its_sums_in_order(tmp_path: Path, make_place: Make) -> None:
    """Additions, changes, ends, pins, merges of the same text, tiers, an import, a rollback's vectors: each leaves row
    and vector with the checksums of what is stored."""
    place = make_place(30)
    with Store.open(place.path) as store:
        store.update("1", text="changed")
        store.update("2", metadata={"n": 99})
        store.delete("3")
        store.delete("4", erase=True)
        set_pinned(store, "5", True)
        first = store.add("a text of its own", metadata={"a": 1})
        assert store.add("a text of its own", metadata={"b": 2}) == first
        keep(store, Lines(), [NewMemory(f"later {number}", id=f"l{number}") for number in range(20)])
        retier(store, Lines(), Thresholds())
        store.delete("l3")
        store.update("l4", metadata={"x": 1})
        export_memories(store, tmp_path / "all.jsonl", form="jsonl", wanted=Wanted(history=True))
    back_up(place, tmp_path / "b.db")
    assert (verify(place).sound, not_in_order(place)) == (True, [])
    other = Place(tmp_path / "other.db")
    with Store.open(other.path) as store:
        import_memories(store, read_file(tmp_path / "all.jsonl", now=store.now()))
    assert (verify(other).sound, not_in_order(other)) == (True, [])
    assert restore(place, tmp_path / "b.db").memories > 0
    assert (verify(place).sound, not_in_order(place)) == (True, [])


def test_an_earlier_store_gets_its_sums_when_it_is_brought_up_to_date(tmp_path: Path, repository: Path) -> None:
    """A store of the version before has a checksum for every row and vector once it was opened."""
    place = Place(tmp_path / "aqe.db")
    shutil.copy(repository / "tests" / "engine" / "stored" / "v18.db", place.path)
    Store.open(place.path).close()
    assert not_in_order(place) == []
    connection = open_connection(place.path)
    stored = {row: sum_of(vector) for row, vector in connection.execute("SELECT row, vector FROM vectors_1")}
    assert noted_sums(connection) == stored
    connection.close()


def test_what_another_program_changes_is_not_called_damaged(make_place: Make) -> None:
    """A program that knows no checksums, as an earlier aqe that still runs, leaves a row without one; a repair or the
    next change of it makes one."""
    place = make_place()
    other = apsw.Connection(str(place.path))
    other.execute("UPDATE memories SET pinned = 1 WHERE id = '3'")
    row = other.execute("SELECT row FROM memories WHERE id = '4'").get
    other.execute("INSERT INTO demoted VALUES (?, 1, ?)", (row, np.array([4, 1, 2], np.float16).tobytes()))
    other.close()
    connection = open_connection(place.path)
    connection.execute("DELETE FROM vectors_1 WHERE row = ?", (row,))
    connection.close()
    assert (verify(place).sound, not_in_order(place)) == (True, ["3", "4"])


def test_a_vector_that_another_program_moved_is_not_called_damaged(make_place: Make) -> None:
    """A row that gets a vector of another embedder from a program that knows no checksums is left without one."""
    place = make_place()
    connection = open_connection(place.path)
    row = connection.execute("SELECT row FROM memories WHERE id = '4'").get
    table = ensure_table(connection, "another", 3)
    connection.execute("DELETE FROM vectors_1 WHERE row = ?", (row,))
    put(connection, table, row, "default", np.array([1, 0, 0], np.float32).tobytes())
    connection.execute("UPDATE memories SET embedder = ? WHERE row = ?", (table, row))
    connection.close()
    assert (verify(place).sound, not_in_order(place)) == (True, ["4"])


def test_one_bit_of_any_bytes_is_found() -> None:
    """Of bytes of any length the one bit that flipped is found by the checksum; of two none is."""
    chance = np.random.default_rng(5)
    for size in (1, 2, 7, 64, 1536, 5000):
        data = chance.bytes(size)
        for bit in {0, 8 * size - 1, int(chance.integers(8 * size))}:
            assert corrected_bytes(flip(data, bit), sum_of(data)) == data
        assert corrected_bytes(flip(data, 0, 8 * size - 1), sum_of(data)) is None
    text = "Zwölf Bären"
    raw = text.encode()
    assert corrected_text(flip(raw, 13), hashlib.sha256(raw).digest()) == text
    assert corrected_text(flip(raw, 13, 60), hashlib.sha256(raw).digest()) is None
