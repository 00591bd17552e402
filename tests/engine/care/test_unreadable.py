"""A row that a damaged page made unreadable: whoever reads it is told which memory it is, and how to save the rest."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import apsw
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, back_up, compare, repair
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.transfer import Wanted, export_memories
from aqe.engine.sessions.table import SessionTable, new_turn
from aqe.server.cli.care_text import repair_lines
from tests.engine.care.damage import flip_in_file

Make = Callable[..., Place]

READERS: dict[str, Callable[[Store, Place], object]] = {
    "get": lambda store, _: store.get("3"),
    "history": lambda store, _: store.history("3"),
    "list": lambda store, _: store.list(limit=100),
    "search": lambda store, _: store.search("note", k=100),
    "search by meaning": lambda store, _: store.search(vector=[3.0, 1.0, 2.0], embedder_id="toy", k=100),
    "at hand": lambda store, _: store.at_hand.search([3.0, 1.0, 2.0], embedder_id="toy", k=100),
    "update": lambda store, _: store.update("3", metadata={"n": 0}),
    "export": lambda store, _: export_memories(store, io.StringIO(), form="jsonl", wanted=Wanted()),
}


def damage(place: Place, old: bytes, new: bytes) -> None:
    """Change bytes of the file as a bad disk does."""
    data = place.path.read_bytes()
    assert data.count(old) == 1
    place.path.write_bytes(data.replace(old, new))


def spoil(place: Place, value: str) -> None:
    """Put a value of another kind into a row, which a damaged page alone can do."""
    connection = open_connection(place.path)
    connection.pragma("writable_schema", True)
    sql = "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'memories'"
    connection.execute(sql)
    connection.close()
    loose = apsw.Connection(str(place.path))
    loose.pragma("ignore_check_constraints", True)
    loose.execute(f"UPDATE memories SET {value} WHERE id = '3'")
    loose.close()


@pytest.mark.parametrize("reader", READERS)
def test_a_text_that_is_none_is_named_wherever_it_is_read(make_place: Make, reader: str) -> None:
    """Bytes that are no UTF-8 end a reading with one sentence: the file, the memory, and what to do."""
    place = make_place()
    damage(place, b"note 3 says that part 21 is kept", b"note 3 says that part \x9b1 is kept")
    with Store.open(place.path) as store:
        if reader == "at hand":
            assert READERS[reader](store, place) is None
            return
        with pytest.raises(UserError) as caught:
            READERS[reader](store, place)
        assert [memory.id for memory in store.list(limit=16)][-1] == "4"
    assert caught.value.code == "database-broken"
    assert "a text of the memory default/3 is no UTF-8" in caught.value.message
    assert "aqe memory repair" in caught.value.fix


KINDS = [
    "metadata = x'37'",
    "metadata = '{'",
    "created_at = 'then'",
    "text = x'35'",
    "file = x'35'",
    "expires_at = 'never'",
]


@pytest.mark.parametrize("value", KINDS)
def test_a_value_of_another_kind_is_named_wherever_it_is_read(make_place: Make, value: str) -> None:
    """A number where a text should be, or the other way round, is told like a text that is none."""
    place = make_place()
    back_up(place, place.path.parents[1] / "before.db")
    spoil(place, value)
    with Store.open(place.path) as store:
        for reader in ("get", "history", "list"):
            with pytest.raises(UserError) as caught:
                READERS[reader](store, place)
            assert caught.value.code == "database-broken", reader
            assert "default/3" in caught.value.message, reader
        with contextlib.suppress(UserError):
            export_memories(store, io.StringIO(), form="jsonl", wanted=Wanted())
    with contextlib.suppress(UserError):
        compare(place, str(place.path.parents[1] / "before.db"), "now")
    assert repair(place).sound


def test_a_mistake_within_a_reading_stays_what_it_is(make_place: Make) -> None:
    """An error of a caller's own while a sound store is read is not taken for damage."""
    with Store.open(make_place().path) as store, pytest.raises(KeyError), store.reading():
        raise KeyError("mine")


def test_a_file_without_memories_that_cannot_be_read_is_told_too(make_place: Make) -> None:
    """Where no memory is to blame the sentence names the file alone."""
    place = make_place()
    wrong = pytest.raises(UserError, match="a text in it is no UTF-8")
    with Store.open(place.path) as store, wrong as caught, store.reading() as connection:
        connection.execute("SELECT CAST(x'ff' AS TEXT)").fetchall()
    assert caught.value.code == "database-broken"


@pytest.mark.parametrize(("known", "bit"), [(b'"n":3', 15), (b"13default", 7)], ids=["metadata", "id"])
def test_a_bit_that_leaves_a_word_of_a_row_no_text_is_put_right(make_place: Make, known: bytes, bit: int) -> None:
    """One flipped bit of metadata or of a name beside a memory's text is put right exactly, also where it leaves bytes
    that are no UTF-8."""
    place = make_place()
    with Store.open(place.path) as store:
        before = store.list(limit=20)
    flip_in_file(place, known, bit)
    report = repair(place)
    assert (report.sound, report.lost_count) == (True, 0)
    with Store.open(place.path) as store:
        assert store.list(limit=20) == before


def test_a_text_beside_the_memories_that_lost_bytes_is_told(make_place: Make) -> None:
    """What is saved of a session with U+FFFD in place of bytes is named by the repair as what it lost."""
    place = make_place(3)
    with Store.open(place.path) as store:
        sessions = SessionTable(store)
        session = sessions.create("talk")
        with sessions.writing() as connection:
            sessions.append(connection, session, [new_turn("user", "how are quinces rounded?", 8)])
    flip_in_file(place, b"quinces", 23, 31)
    report = repair(place)
    assert (report.sound, report.replaced, report.broken) == (True, {"turns": 1}, {})
    assert "1 row of turns has lost bytes of a text: U+FFFD stands in their place" in repair_lines(report)


def test_rows_whose_page_lies_in_the_place_of_another_are_found(make_place: Make) -> None:
    """A page of turns and one of the text index that a disk wrote in each other's places cost no turn."""
    place = make_place(60)
    with Store.open(place.path) as store:
        sessions = SessionTable(store)
        session = sessions.create("talk")
        with sessions.writing() as connection:
            said = [new_turn("user", f"how are {number} quinces rounded?", 8) for number in range(90)]
            sessions.append(connection, session, said)
    sql = "SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
    with contextlib.closing(open_connection(place.path)) as connection:
        before = connection.execute("SELECT text FROM turns ORDER BY rowid").fetchall()
        ends = [4096 * int(connection.execute(sql, (name,)).get) for name in ("turns", "texts_data")]
        connection.pragma("wal_checkpoint", "truncate")
    data = bytearray(place.path.read_bytes())
    one, other = (slice(end - 4096, end) for end in ends)
    data[one], data[other] = data[other], data[one]
    place.path.write_bytes(data)
    assert repair(place).sound
    with contextlib.closing(open_connection(place.path)) as connection:
        assert connection.execute("SELECT text FROM turns ORDER BY rowid").fetchall() == before
