"""A store that lost a page of its vectors answers by words, says that it does, and is whole again after a repair."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from aqe.engine import sync
from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, repair
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.meaning.codefiles import CodeFolder
from aqe.engine.retrieval import find, find_as_of, find_each, keep
from tests.engine.care.damage import Lines

Make = Callable[..., Place]
ASKED = "note7 of the shop"


def notes(count: int) -> list[NewMemory]:
    return [NewMemory(f"note{number} of the shop", id=f"m{number}") for number in range(count)]


def lose(place: Place, table: str) -> None:
    """Overwrite a page of a closed store's file that holds rows of a table, and remove what was made of it beside."""
    sql = "SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
    with closing(open_connection(place.path, key=place.key)) as connection:
        connection.pragma("wal_checkpoint", "truncate")
        page = int(connection.execute(sql, (table,)).get)
    data = bytearray(place.path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    place.path.write_bytes(data)
    CodeFolder(place.path).clear()


@pytest.fixture(params=["vectors_1_vector_chunks00", "vectors_1_chunks"])
def lost(request: pytest.FixtureRequest, make_place: Make) -> Place:
    """A store that lost a page of what its vectors lie in."""
    place = make_place(0)
    with Store.open(place.path) as store:
        keep(store, Lines(), notes(100))
    lose(place, request.param)
    return place


def test_a_search_by_words_is_answered_and_says_that_meaning_is_missing(lost: Place) -> None:
    """What words alone find is found, with a note that names the way to repair; after it words and meaning answer."""
    with Store.open(lost.path) as store:
        alone = store.search(ASKED, k=5)
        found = find(store, Lines(), ASKED, k=5)
        (each, others) = find_each(store, Lines(), ASKED, [(None, 5), ("default", 3)])
    assert (alone.note, found.mode, found.hits[0].memory.id) == ("", "text", "m7")
    assert (found.hits, each.hits, len(others.hits)) == (alone.hits, alone.hits, 3)
    assert all("aqe memory repair" in one.note for one in (found, each, others))
    assert repair(lost).sound
    with Store.open(lost.path) as store:
        found = find(store, Lines(), ASKED, k=5)
    assert (found.mode, found.note, found.hits[0].memory.id) == ("hybrid", "", "m7")


def test_a_search_of_the_past_is_answered_too(make_place: Make) -> None:
    """A search as of a moment, which reads the vectors themselves, does without them like one of today."""
    place = make_place(0)
    with Store.open(place.path) as store:
        keep(store, Lines(), notes(100))
        at = store.now()
        assert find_as_of(store, Lines(), ASKED, at).mode == "hybrid"
    lose(place, "vectors_1_vector_chunks00")
    with Store.open(place.path) as store:
        found = find_as_of(store, Lines(), ASKED, at)
    assert (found.mode, found.hits[0].memory.id, "aqe memory repair" in found.note) == ("text", "m7", True)


def test_what_waits_for_a_vector_keeps_no_search_from_its_answer(lost: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A memory whose vector cannot be written into the damaged table is found by its words, and the log says why."""
    with Store.open(lost.path) as store, caplog.at_level(logging.WARNING):
        store.add("an unusual word: quince", id="waits")
        found = find(store, Lines(), "quince")
    assert [hit.memory.id for hit in found.hits][:1] == ["waits"]
    assert "found by their words alone for now" in caplog.text


def test_a_search_by_a_vector_alone_is_refused(lost: Place) -> None:
    """Where there are no words to fall back on the damage is told, with the way to repair."""
    with Store.open(lost.path) as store, pytest.raises(UserError) as caught:
        store.search(vector=Lines().embed([ASKED])[0], embedder_id=Lines.id)
    assert caught.value.code == "database-broken"


def test_a_lost_page_of_texts_is_told_and_not_passed_over(make_place: Make) -> None:
    """Where the words cannot be read either nothing is made up: the search is refused."""
    place = make_place(0)
    with Store.open(place.path) as store:
        keep(store, Lines(), [replace(one, text=one.text * 20) for one in notes(300)])
    lose(place, "vectors_1_vector_chunks00")
    lose(place, "memories")
    with Store.open(place.path) as store, pytest.raises(UserError) as caught:
        find(store, Lines(), "shop", k=300)
    assert caught.value.code == "database-broken"


@pytest.mark.services
def test_an_encrypted_store_is_answered_by_words_too(make_place: Make) -> None:
    """A page that fails its own checksum ends the reading under way; the words are asked in another one."""
    place = make_place(0, key="a key")
    with Store.open(place.path, key=place.key) as store:
        keep(store, Lines(), notes(100))
    lose(place, "vectors_1_vector_chunks00")
    with Store.open(place.path, key=place.key) as store:
        found = find(store, Lines(), ASKED, k=5)
    assert (found.mode, found.hits[0].memory.id, "aqe memory repair" in found.note) == ("text", "m7", True)


def test_questions_and_follow_ups_are_answered_from_what_words_find(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine answers a question, and one that follows it in a session, from passages that it finds by words; the log
    says that the vectors are missing and how they are mended."""
    (tmp_path / "pyproject.toml").touch()
    with sync.Engine.open(tmp_path) as engine:
        for note in notes(100):
            engine.remember(f"{note.text} rounds its totals half up, as the accountants of the town asked for")
        database = engine.database
    lose(Place(database), "vectors_1_vector_chunks00")
    with sync.Engine.open(tmp_path) as engine, caplog.at_level(logging.WARNING):
        first = engine.query("How does note7 of the shop round its totals?", session="s")
        second = engine.query("Who asked that note7 rounds half up?", session="s")
    assert ("half up" in first.text, len(first.context) > 0, len(second.context) > 0) == (True, True, True)
    assert "aqe memory repair" in caplog.text


def test_a_block_cut_short_costs_no_other_its_vectors(make_place: Make) -> None:
    """Where the first block of vectors is not as long as it should be the others tell how many numbers a vector has, so
    that a repair keeps theirs."""
    place = make_place(0)
    with Store.open(place.path) as store:
        store.add_many(NewMemory(f"note{n}", id=str(n), vector=[float(n), 1.0], embedder_id="toy") for n in range(300))
    with closing(open_connection(place.path)) as connection:
        first = connection.execute("SELECT min(rowid) FROM vectors_1_vector_chunks00").get
        connection.execute("UPDATE vectors_1_vector_chunks00 SET vectors = zeroblob(256) WHERE rowid = ?", (first,))
    assert repair(place).sound
    with Store.open(place.path) as store:
        kept = [n for n in range(300) if store.vector(str(n)) == (float(n), 1.0)]
    assert len(kept) == 300 - 64
