"""Bits that flip in what a page says of its rows: where they begin, how long they are, how their values lie."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apsw
import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.graph import Edge, add_edges
from aqe.engine.requests import Interaction, RequestTable
from aqe.engine.sessions.table import SessionTable, new_turn
from aqe.server.cli.care_text import repair_lines
from tests.engine.care.damage import flip

TABLES = ("memories", "sessions", "turns", "interactions", "edges", "edge_members", "nodes")
PAGE = 4096


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A closed store of memories with revisions and edges, turns and requests."""
    path = tmp_path_factory.mktemp("filled") / "aqe.db"
    with Store.open(path) as store:
        texts = [f"note {number} says that part {number * 7} is kept" for number in range(30)]
        store.add_many(
            NewMemory(text, id=f"m{at}", metadata={"n": at}, vector=[float(at), 1.0], embedder_id="toy")
            for at, text in enumerate(texts)
        )
        store.update("m9", text="another note")
        add_edges(store, [Edge("covers", (("default", f"m{at}"), ("default", f"m{at + 1}"))) for at in range(10, 18)])
        sessions, requests = SessionTable(store), RequestTable(store)
        session = sessions.create("talk")
        asked = [Interaction(requests.new_id(), "query", f"what of {at}?", "that", context=()) for at in range(10)]
        with store.writing() as connection:
            sessions.append(connection, session, [new_turn("user", f"turn {at} asks", 8) for at in range(20)])
            requests.insert(connection, asked)
    return Place(path)


@pytest.fixture
def copied(filled: Place, tmp_path: Path) -> Callable[[bytes], Place]:
    """A project's store of these bytes."""

    def make(data: bytes) -> Place:
        path = tmp_path / ".aqe" / "aqe.db"
        path.parent.mkdir(exist_ok=True)
        for old in path.parent.glob("aqe.db*"):
            old.unlink()
        path.write_bytes(data)
        return Place(path)

    return make


def rows(place: Place) -> dict[str, list[Any]]:
    """Each row of each table, without its number where nothing goes by that."""
    with closing(open_connection(place.path)) as connection:
        found = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}
        keys = {table: next(iter(connection.execute(f"PRAGMA table_info({table})"))) for table in TABLES}
    bare = {table for table in ("sessions", "turns", "interactions") if keys[table][2] == "INTEGER" and keys[table][5]}
    return {table: sorted((row[table in bare :] for row in found[table]), key=repr) for table in TABLES}


def leaves(place: Place, table: str) -> Iterator[int]:
    """Where the leaf pages of a table begin in the file."""
    with closing(apsw.Connection(str(place.path))) as connection:
        sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
        yield from ((number - 1) * PAGE for (number,) in connection.execute(sql, (table,)).fetchall())


def test_a_flipped_bit_of_an_id_takes_no_other_memory_with_it(filled: Place, copied: Callable[[bytes], Place]) -> None:
    """Where one bit makes the id of a memory another's, both are there afterwards, and neither is told as lost."""
    before, data = rows(filled), filled.path.read_bytes()
    for at in (data.find(f"m{number}default".encode()) for number in (2, 14, 24)):
        place = copied(data[:at] + flip(data[at:], 8 * (1 if data[at + 2 : at + 3] == b"d" else 2)))
        report = repair(place)
        assert (report.sound, report.lost_count, report.mended.corrected) == (True, 0, 1)
        assert rows(place) == before


@pytest.mark.parametrize(
    "table",
    ["memories", *(pytest.param(name, marks=pytest.mark.services) for name in ("turns", "interactions", "nodes"))],
)
def test_a_flipped_bit_of_a_place_on_a_page_costs_no_row(
    filled: Place, copied: Callable[[bytes], Place], table: str
) -> None:
    """One bit of where a row begins, of how many there are or of how long one is: each row is there afterwards."""
    before, data, at = rows(filled), filled.path.read_bytes(), next(leaves(filled, table))
    row = int.from_bytes(data[at + 8 : at + 10], "big")
    for bit in (8 * 3 + 7 - 3, 8 * 4 + 2, 8 * 8 + 1, 8 * 9 + 5, 8 * 10 + 3, 8 * row + 1, 8 * row + 3):
        place = copied(data[:at] + flip(data[at:], bit))
        report = repair(place)
        assert (report.how, report.sound, report.broken) == ("salvaged", True, {}), bit
        assert rows(place) == before, bit


def test_a_place_that_one_bit_makes_another_rows_costs_no_row(filled: Place, copied: Callable[[bytes], Place]) -> None:
    """Where two of the places that a page names are one, the row that is named no more is there afterwards."""
    before, data, seen = rows(filled), filled.path.read_bytes(), 0
    for page in (page for table in TABLES for page in leaves(filled, table)):
        count = int.from_bytes(data[page + 3 : page + 5], "big")
        places = [int.from_bytes(data[at : at + 2], "big") for at in range(page + 8, page + 8 + 2 * count, 2)]
        same = [(at, bit) for at in range(count) for bit in range(16) if places[at] ^ 1 << bit in places]
        for at, bit in same[:1]:
            place = copied(data[:page] + flip(data[page:], 8 * (8 + 2 * at + (bit < 8)) + bit % 8))
            report = repair(place)
            assert (report.how, report.sound, report.broken, report.lost_count) == ("salvaged", True, {}, 0), (page, at)
            assert rows(place) == before, (page, at)
            seen += 1
    assert seen >= 2


@pytest.mark.parametrize("table", ["memories", "turns", "interactions"])
def test_a_flipped_bit_of_the_kind_of_a_page_costs_no_row(
    filled: Place, copied: Callable[[bytes], Place], table: str
) -> None:
    """What is no leaf any more, or one of no kind, is read as the leaf that its rows fill."""
    before, data = rows(filled), filled.path.read_bytes()
    page = list(leaves(filled, table))[-1]
    for bit in (0, 3, 7):
        place = copied(data[:page] + flip(data[page:], bit))
        assert not verify(place).sound
        report = repair(place)
        assert (report.how, report.sound, report.lost_pages, report.lost_count) == ("salvaged", True, {}, 0), bit
        assert rows(place) == before, bit


def test_a_page_that_was_overwritten_is_told(filled: Place, copied: Callable[[bytes], Place]) -> None:
    """Of a table whose rows nothing else names the report says that a page of it is lost."""
    before, data = rows(filled), filled.path.read_bytes()
    page = list(leaves(filled, "turns"))[-1]
    place = copied(data[:page] + bytes(PAGE) + data[page + PAGE :])
    report = repair(place)
    assert (report.sound, report.lost_pages, report.everything_lost) == (True, {"turns": 1}, False)
    assert "1 page of turns lost, with the rows on it" in list(repair_lines(report))
    assert len(rows(place)["turns"]) < len(before["turns"])


@pytest.mark.parametrize("bit", [0, 3], ids=["another node's", "no memory's"])
def test_the_name_of_a_node_is_taken_from_its_index(filled: Place, copied: Callable[[bytes], Place], bit: int) -> None:
    """An edge joins the memories that it did, though one bit of the name of its end flipped."""
    before, data = rows(filled), filled.path.read_bytes()
    (page,) = leaves(filled, "nodes")
    at = data.find(b"m12", page, page + PAGE) + 2
    place = copied(data[:at] + flip(data[at:], bit))
    report = repair(place)
    assert (report.sound, report.broken, report.mended.corrected) == (True, {}, 1)
    assert rows(place) == before


@pytest.mark.services
@pytest.mark.parametrize("seed", range(8))
def test_any_flipped_bit_is_put_right_or_told(filled: Place, copied: Callable[[bytes], Place], seed: int) -> None:
    """Wherever a bit flips on a page of rows, nothing is missing afterwards that the report does not tell, and hardly
    ever is anything."""
    before, data, chance = rows(filled), filled.path.read_bytes(), random.Random(seed)
    pages = [page for table in TABLES for page in leaves(filled, table)]
    exact = 0
    for _ in range(15):
        page = chance.choice(pages)
        at = chance.choice([at for at in range(page, page + PAGE) if data[at]])
        place = copied(data[:at] + flip(data[at:], chance.randrange(8)))
        if verify(place).sound:
            exact += 1
            assert rows(place) == before
            continue
        report = repair(place)
        assert report.sound
        told = {name: count for name, count in asdict(report.mended).items() if name not in ("corrected", "indexed")}
        is_told = bool(report.broken or report.lost_count or any(told.values()))
        exact += (is_same := rows(place) == before)
        assert is_same or is_told, (at, report)
    assert exact >= 10
