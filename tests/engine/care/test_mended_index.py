"""A repair makes anew of the text index what the rows that it put right need, and all where that is not enough."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from aqe.engine.errors import Cancelled
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.progress import CancelToken
from tests.engine.care.damage import flip_in_file

Make = Callable[..., Place]
COUNT = 30


@pytest.fixture
def place(make_place: Make) -> Place:
    """A store of some memories."""
    return make_place(COUNT)


def change(place: Place, sql: str) -> None:
    """Change the file as no program of ours does: without a trigger."""
    connection = open_connection(place.path)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.execute(sql)
    connection.close()


def found(place: Place, words: str) -> list[str]:
    with Store.open(place.path) as store:
        return [hit.memory.id for hit in store.search(words, k=COUNT).hits]


def index_of(place: Place) -> str:
    """What tells whether anything of the text index was written."""
    connection = open_connection(place.path)
    held = connection.execute("SELECT id, block FROM texts_data ORDER BY id").fetchall()
    connection.close()
    return hashlib.sha256(repr(held).encode()).hexdigest()


def test_changed_value_leaves_the_text_index_alone(place: Place) -> None:
    """A bit of a date or of metadata that is put right writes nothing to the text index."""
    before = index_of(place)
    change(place, "UPDATE memories SET metadata = '{\"n\":6}' WHERE id = '7'")
    change(place, "UPDATE memories SET created_at = created_at + 1000 WHERE id = '8'")
    report = repair(place)
    assert (report.sound, report.mended.corrected + report.mended.rows, report.mended.indexed) == (True, 2, 0)
    assert index_of(place) == before


def test_text_that_is_put_right_needs_one_entry(place: Place) -> None:
    """After a bit of a word is put right the memory is found by the word, and one entry at most was made anew."""
    flip_in_file(place, b"note 7 says that part 49", 8)
    assert {one.check for one in verify(place).findings} == {"texts", "text index"}
    report = repair(place)
    assert (report.sound, report.mended.corrected, report.mended.indexed) == (True, 1, 1)
    assert found(place, "49") == ["7"]


def test_text_that_stays_changed_is_found_by_its_words(place: Place) -> None:
    """A text of which more changed is kept as it stands: its one entry says so, and no other is made anew."""
    flip_in_file(place, b"note 7 says that part 49", 8, 16, 25)
    report = repair(place)
    assert (report.sound, report.mended.texts, report.mended.indexed) == (True, 1, 1)
    with Store.open(place.path) as store:
        kept = store.get("7")
    assert kept is not None
    assert found(place, kept.text.split()[0])[0] == "7"


def test_revision_that_ends_leaves_the_text_index(place: Place) -> None:
    """A revision that a later one is found to have replaced is found by no word any more, and no entry is made anew."""
    with Store.open(place.path) as store:
        store.update("9", text="quite another matter")
    change(place, "UPDATE memories SET revision = 5, row_sum = NULL WHERE id = '9' AND revision = 1")
    report = repair(place)
    assert (report.sound, report.mended.ended, report.mended.indexed) == (True, 1, 0)
    assert found(place, "matter") == []


def test_damaged_index_is_made_anew(place: Place) -> None:
    """Where an entry is missing all are made, also where a text was put right at the same time."""
    change(place, "DELETE FROM texts WHERE rowid = 3")
    flip_in_file(place, b"note 7 says that part 49", 8)
    report = repair(place)
    assert (report.sound, report.mended.indexed) == (True, COUNT)
    assert found(place, "note") != []


def test_looking_at_rows_can_be_cancelled(place: Place, tmp_path: Path) -> None:
    """A repair that is cancelled while it looks at rows leaves the store as it was, and no copy of it."""
    change(place, "UPDATE memories SET metadata = '{\"n\":6}' WHERE id = '7'")
    token, before = CancelToken(), place.path.read_bytes()

    def cancel(doing: str, *_: object) -> None:
        if doing == "Looking at rows":
            token.cancel()

    with pytest.raises(Cancelled):
        repair(place, progress=cancel, cancel=token)
    assert place.path.read_bytes() == before
    assert list(place.folder.glob("backups/*")) == []
