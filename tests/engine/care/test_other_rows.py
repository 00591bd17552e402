"""What sessions, requests, feedback and edges are known by: a bit that flips in a row is told and put right exactly."""

from __future__ import annotations

import shutil
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.learning import Feedback, file_feedback
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.care.correcting import corrected_record
from aqe.engine.memory.care.image import read_image
from aqe.engine.memory.care.records import Record, read_record
from aqe.engine.memory.care.salvage import rows_of
from aqe.engine.memory.file import row_sums
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.file.row_sums import GUARDED
from aqe.engine.memory.graph import Edge, add_edges
from aqe.engine.memory.graph.edges import put_edges
from aqe.engine.memory.transfer import export_state, import_state
from aqe.engine.requests import Interaction, RequestTable
from aqe.engine.sessions.conversations import Conversations
from aqe.engine.sessions.table import SessionTable, Summary, new_turn
from tests.engine.care.damage import Lines, flip_in_file

Make = Callable[..., Place]
VECTOR = bytes(range(64, 192))


@pytest.fixture
def talked(make_place: Make) -> Place:
    """A store with a session of three turns, a request, feedback on it and an edge, closed."""
    place = make_place()
    with Store.open(place.path) as store:
        fill(store)
    return place


def fill(store: Store) -> None:
    sessions, requests = SessionTable(store), RequestTable(store)
    session = sessions.create("talk", metadata={"about": "a cart"})
    with store.writing() as connection:
        turns = [new_turn("user", f"turn {n} asks about the totals", 8, vector=VECTOR[n:]) for n in range(3)]
        sessions.append(connection, session, turns)
        one = Interaction("r-1", "query", "how?", "half up", confidence=0.8125, context=(("default", "1"),))
        requests.insert(connection, [one])
    sessions.set_summary(session.id, Summary("they asked of totals", 2, "extractive"))
    file_feedback(store, None, Feedback("r-1", rating=4, metadata={"why": "it was short"}))
    add_edges(store, [Edge("covers", (("default", "1"), ("default", "2")), 0.15625)])


def contents(place: Place) -> dict[str, list[Any]]:
    """Every row of the tables that have sums, and how many rows of each are not as their sum says."""
    with closing(open_connection(place.path)) as connection:
        return {name: connection.execute(f"SELECT rowid, * FROM {name}").fetchall() for name in GUARDED}


def without_sum(place: Place) -> list[str]:
    """The tables of which a row has no sum, or another one than it should."""
    found = []
    with closing(open_connection(place.path)) as connection:
        for name, table in GUARDED.items():
            for *values, noted in connection.execute(f"SELECT {table.listed}, row_sum FROM {name}"):
                found += [name] * (noted != table.sum_of(values))
    return found


def found_wrong(place: Place) -> list[tuple[str, str]]:
    return [(one.check, one.what) for one in verify(place).findings]


FLIPPED = [
    (b"turn 1 asks about", 41, "turn of a session", "/1"),
    (VECTOR[1:40], 99, "turn of a session", "/"),
    (b"they asked of totals", 12, "session", "talk"),
    (b'"about"', 18, "session", "talk"),
    (b"half up", 33, "request", "r-1"),
    (struct.pack(">d", 0.8125), 14, "request", "r-1"),
    (b"it was short", 8, "word of feedback", ""),
    (struct.pack(">d", 0.15625), 9, "edge", "covers/given"),
]


@pytest.mark.parametrize(("known", "bit", "what", "name"), FLIPPED, ids=range(len(FLIPPED)))
def test_a_flipped_bit_is_told_and_put_right(talked: Place, known: bytes, bit: int, what: str, name: str) -> None:
    """A bit that flips in a word, a number or a vector beside the memories is told with the row's name, the repair
    gives the row back as it was, to the last bit, and there is nothing for a second one."""
    before = contents(talked)
    if talked.path.read_bytes().count(known) > 1:  # a vector of three: the first of them
        known = b"1 asks about the totals"
    flip_in_file(talked, known, bit)
    ((check, told),) = found_wrong(talked)
    assert (check, what in told, name in told) == ("other rows", True, True)
    report = repair(talked)
    assert (report.how, report.sound, report.mended.corrected, report.mended.other_rows) == ("mended", True, 1, 0)
    assert contents(talked) == before
    assert repair(talked).how == "nothing"


def bits_of_a_turn(place: Place, every: int) -> Iterator[tuple[int, int]]:
    """Where the bytes of the second turn stand in the file, and some bits of them."""
    with read_image(place.path, None) as image:
        payload = rows_of(image, "turns", {2})[2].payload
    assert place.path.read_bytes().count(payload) == 1
    for bit in range(0, 8 * len(payload), every):
        yield place.path.read_bytes().index(payload), bit


def check_each(place: Place, folder: Path, every: int) -> int:
    before, count = contents(place), 0
    data = place.path.read_bytes()
    for at, bit in bits_of_a_turn(place, every):
        home = folder / str(bit)
        home.mkdir()
        flipped = bytearray(data)
        flipped[at + bit // 8] ^= 1 << bit % 8
        (home / "aqe.db").write_bytes(flipped)
        damaged = Place(home / "aqe.db")
        assert not verify(damaged).sound, bit
        assert repair(damaged).sound, bit
        assert contents(damaged) == before, bit
        assert verify(damaged).sound, bit
        count += 1
    return count


@pytest.mark.services
def test_any_bit_of_a_row_is_put_right(talked: Place, tmp_path: Path) -> None:
    """Whichever bit of a row flips, also one of its checksum or of what says how long its values are, the row is again
    as it was written."""
    assert check_each(talked, tmp_path, 271) >= 5


@pytest.mark.services
def test_each_bit_of_the_head_of_a_row_is_put_right(talked: Place, tmp_path: Path) -> None:
    """The same of many more bits of a row."""
    assert check_each(talked, tmp_path, 61) > 15


def row_with(place: Place, text: str) -> tuple[Record, list[str]]:
    """The row of a new turn with this text, and the columns of its table."""
    with Store.open(place.path) as store:
        session = SessionTable(store).get("talk")
        with store.writing() as connection:
            SessionTable(store).append(connection, session, [new_turn("user", text, 8, vector=VECTOR)])
    with closing(open_connection(place.path)) as connection:
        connection.pragma("wal_checkpoint", "truncate")
        names = [str(row[1]) for row in connection.execute("PRAGMA table_info(turns)")]
    with read_image(place.path, None) as image:
        return rows_of(image, "turns", {4})[4], names


def flipped_in(record: Record, *bits: int) -> Record:
    data = bytearray(record.payload)
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    return next(read_record(record.row, bytes(data), True), replace(record, payload=bytes(data), is_whole=False))


def test_each_bit_of_the_bytes_of_a_row_is_found(talked: Place) -> None:
    """Whichever bit flips in the head, the texts, the numbers or the bytes of a row, its bytes are found again; where
    two did nothing is."""
    whole, names = row_with(talked, "sum up\u2026 the t\u00f6tals, and say\nwhat they are of")
    noted = range(8 * whole.payload.rindex(VECTOR) + 8 * len(VECTOR), 8 * len(whole.payload))
    tried = [bit for bit in range(0, 8 * len(whole.payload), 5) if bit not in noted]
    assert len(tried) > 300
    for bit in tried:
        found = corrected_record(flipped_in(whole, bit), names, GUARDED["turns"])
        assert found is not None, bit
        assert found.payload == whole.payload, bit
    assert corrected_record(flipped_in(whole, 800, 1100), names, GUARDED["turns"]) is None


def test_a_long_row_is_put_right_without_trying_each_bit(talked: Place) -> None:
    """A bit of a row of 16 kB takes fewer calls than it has bits, and so does seeing that no one bit is meant."""
    whole, names = row_with(talked, "say what they are of " * 760)
    size = len(whole.payload)
    assert 15_000 < size <= 16_384
    calls: Counter[str] = Counter()
    sys.setprofile(lambda frame, event, _: calls.update([event]))
    try:
        found = corrected_record(flipped_in(whole, 8 * size // 2), names, GUARDED["turns"])
        none = corrected_record(flipped_in(whole, 8 * size // 2, 8 * size // 2 + 9), names, GUARDED["turns"])
    finally:
        sys.setprofile(None)
    assert (found and found.payload, none) == (whole.payload, None)
    assert 0 < calls["call"] < 8 * size


def test_a_turn_of_which_more_changed_is_kept_and_said(talked: Place) -> None:
    """Where two bits of a turn flipped it stays as it stands; the repair counts it, its session's metadata say so, and
    nothing is left to be told."""
    flip_in_file(talked, b"turn 1 asks about", 41, 51)
    assert [check for check, _ in found_wrong(talked)] == ["other rows"]
    report = repair(talked)
    assert (report.sound, report.mended.corrected, report.mended.other_rows) == (True, 0, 1)
    with Store.open(talked.path) as store:
        session = SessionTable(store).get("talk")
        assert "turn 1 changed on the disk" in session.metadata["aqe-damaged"]
        assert session.metadata["about"] == "a cart"
        assert len(SessionTable(store).turns("talk")) == 3
    assert (without_sum(talked), verify(talked).sound) == ([], True)


def test_two_turns_of_which_more_changed_are_both_named(talked: Place) -> None:
    """The metadata of a session name each turn of it that could not be put right."""
    flip_in_file(talked, b"turn 0 asks about", 41, 51)
    flip_in_file(talked, b"turn 1 asks about", 41, 51)
    assert repair(talked).mended.other_rows == 2
    with Store.open(talked.path) as store:
        said = SessionTable(store).get("talk").metadata["aqe-damaged"]
    assert ("turn 0 changed" in said, "turn 1 changed" in said) == (True, True)


def test_a_session_whose_metadata_are_lost_keeps_its_turns(talked: Place) -> None:
    """Where two bits flipped so that the metadata of a session are no JSON, it is kept with all its turns; it is
    counted, and its metadata say so."""
    flip_in_file(talked, b'{"about"', 0, 8)
    report = repair(talked)
    assert (report.sound, report.mended.other_rows, report.mended.dangling) == (True, 1, 0)
    with Store.open(talked.path) as store:
        sessions = SessionTable(store)
        assert "the session changed on the disk" in sessions.get("talk").metadata["aqe-damaged"]
        assert [turn.position for turn in sessions.turns("talk")] == [0, 1, 2]
    assert (without_sum(talked), verify(talked).sound) == ([], True)


def test_a_session_of_an_earlier_version_keeps_its_turns_too(tmp_path: Path, repository: Path) -> None:
    """Where rows had no sums yet a session whose metadata are no JSON is kept without them, and named as in part."""
    place = Place(tmp_path / "aqe.db")
    shutil.copy(repository / "tests" / "engine" / "stored" / "v19.db", place.path)
    with closing(open_connection(place.path)) as connection:
        connection.execute(
            "INSERT INTO sessions (id, name, turns, tokens, bytes, token_budget, created_at, used_at, metadata,"
            ' worktree, "commit", summary, summarised, summary_method)'
            " VALUES ('s', 'talk', 1, 1, 5, 4000, 1, 1, '{\"about\": \"a cart\"}', '', '', '', 0, '')"
        )
        connection.execute(
            "INSERT INTO turns (session, position, role, text, tokens, created_at)"
            " VALUES ('s', 0, 'user', 'hello', 1, 1)"
        )
        connection.pragma("wal_checkpoint", "truncate")
    flip_in_file(place, b'{"about"', 0, 8)
    assert repair(place).broken == {"sessions": 1}
    with Store.open(place.path) as store:
        assert [turn.text for turn in SessionTable(store).turns("talk")] == ["hello"]


def test_a_damaged_session_that_is_talked_to_is_put_right(talked: Place) -> None:
    """A session of which a bit flipped on the disk is still told after it was talked to, and put right."""
    flip_in_file(talked, b"they asked of totals", 12)
    with Store.open(talked.path) as store:
        sessions = SessionTable(store)
        session = sessions.get("talk")
        with store.writing() as connection:
            sessions.append(connection, session, [new_turn("user", "and then?", 3)])
    assert [check for check, _ in found_wrong(talked)] == ["other rows"]
    assert (repair(talked).mended.corrected, verify(talked).sound) == (1, True)
    with Store.open(talked.path) as store:
        assert SessionTable(store).get("talk").summary == "they asked of totals"
        assert SessionTable(store).get("talk").turns == 4


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_a_damaged_row_that_changes_stays_told(talked: Place, times: int) -> None:
    """A session of which a word changed on the disk is still told after other words of it were changed, how often
    ever."""
    flip_in_file(talked, b"they asked of totals", 12)
    with Store.open(talked.path) as store:
        for number in range(times):
            SessionTable(store).set_metadata("talk", {"n": number})
    assert [check for check, _ in found_wrong(talked)] == ["other rows"]
    assert (repair(talked).mended.other_rows, verify(talked).sound) == (1, True)


def test_a_session_that_changed_since_it_was_read_is_not_called_damaged(talked: Place) -> None:
    """Turns that are put to a session as it was before somebody resumed it leave no wrong checksum."""
    with Store.open(talked.path, now=lambda: 1_700_000_000_000_000) as store:
        session = SessionTable(store).get("talk")
        SessionTable(store).resume("talk")
        with store.writing() as connection:
            SessionTable(store).append(connection, session, [new_turn("user", "and then?", 3)])
    assert verify(talked).sound


def test_every_way_to_write_leaves_its_sum(talked: Place, tmp_path: Path) -> None:
    """Whatever is done with sessions, requests, feedback and edges leaves each row with the checksum of what stands in
    it, in another store that takes the whole state in too."""
    with Store.open(talked.path) as store:
        sessions, requests = SessionTable(store), RequestTable(store)
        talk = Conversations(store, Lines())
        talk.add("talk", "assistant", "half up")
        talk.import_session(talk.export("talk"), name="again")
        assert talk.search("totals")
        sessions.set_metadata("talk", {"n": 1})
        sessions.end("again")
        sessions.end("again")
        sessions.resume("again")
        requests.set_verdict("r-1", True)
        with store.writing() as connection:
            row = Interaction("r-2", "query", "?", "!", confidence=1, latency_ms=3, cost_usd=-0.0, input_tokens=True)
            requests.insert(connection, [row])
        file_feedback(store, None, Feedback("r-1", rating=5.0, task_success=True))  # type: ignore[arg-type]
        for weight in (0.5, 0.5, 2):
            add_edges(store, [Edge("covers", (("default", "1"), ("default", "2")), weight)])
        export_state(store, tmp_path / "all.aqe")
    assert (without_sum(talked), verify(talked).sound) == ([], True)
    other = Place(tmp_path / "other.db")
    with Store.open(other.path) as store:
        import_state(store, tmp_path / "all.aqe")
    assert (without_sum(other), len(contents(other)["turns"]), len(contents(other)["marks"])) == ([], 8, 1)


def test_what_another_program_changes_is_not_called_damaged(talked: Place) -> None:
    """A program that knows no sums leaves a row that it changes without one; it is not called damaged."""
    with closing(open_connection(talked.path)) as connection:
        connection.execute("UPDATE turns SET tokens = 9 WHERE position = 1")
        connection.execute("UPDATE turns SET tokens = tokens WHERE position = 2")
        connection.execute(
            "INSERT INTO turns (session, position, role, text, tokens, created_at)"
            " SELECT session, 3, role, 'and?', 1, 5 FROM turns WHERE position = 2"
        )
        found = connection.execute("SELECT row_sum IS NULL FROM turns ORDER BY position").fetchall()
    assert found == [(0,), (1,), (0,), (1,)]
    assert verify(talked).sound


def test_an_earlier_store_gets_its_sums_in_portions(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store of the version before gets a sum for each row as it is brought up to date, few rows in memory at a time;
    one that cannot be read is passed over and told."""
    monkeypatch.setattr(row_sums, "BATCH", 7)
    place = Place(tmp_path / "aqe.db")
    shutil.copy(repository / "tests" / "engine" / "stored" / "v19.db", place.path)
    with closing(open_connection(place.path)) as connection:
        names = 'id, name, turns, tokens, bytes, token_budget, created_at, used_at, metadata, worktree, "commit",'
        values = "'s', 'talk', 40, 1, 1, 100, 1, 1, '{}', '', '', '', 0, ''"
        connection.execute(f"INSERT INTO sessions ({names} summary, summarised, summary_method) VALUES ({values})")
        for n in range(40):
            sql = (
                "INSERT INTO turns (session, position, role, text, tokens, created_at) VALUES ('s', ?, 'user', ?, 1, 2)"
            )
            connection.execute(sql, (n, f"number{n} asked"))
    data = place.path.read_bytes()
    assert data.count(b"number20 ") == 1
    place.path.write_bytes(data.replace(b"number20 ", b"\xeeumber20 "))
    Store.open(place.path).close()
    with closing(open_connection(place.path)) as connection:
        sums = connection.execute("SELECT position FROM turns WHERE row_sum IS NULL").fetchall()
        assert connection.execute("SELECT count(*) FROM sessions WHERE row_sum IS NOT NULL").get == 1
    assert sums == [(20,)]
    assert [check for check, _ in found_wrong(place)] == ["other texts"]
    assert (repair(place).sound, without_sum(place)) == (True, [])


def test_a_damaged_edge_that_grows_stays_told(talked: Place) -> None:
    """Weight that is put on top of a damaged one does not make it sound."""
    members = (("default", "1"), ("default", "2"))
    with Store.open(talked.path) as store:
        with store.writing() as connection:
            put_edges(connection, [Edge("similar", members, 1.0, "recall")], now=1)
        with closing(open_connection(talked.path)) as connection:
            sums = connection.execute("SELECT number, row_sum FROM edges").fetchall()
            connection.execute("UPDATE edges SET weight = 64.0 WHERE kind = 'similar'")
            connection.executemany("UPDATE edges SET row_sum = ?2 WHERE number = ?1", sums)
        for _ in range(2):
            assert any("edge" in finding.what for finding in verify(talked).findings)
            with store.writing() as connection:
                put_edges(connection, [Edge("similar", members, 1.0, "recall")], now=2, adding=True)
