"""Stores that earlier versions wrote, and that were damaged before this one saw them."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.file.migrations import MIGRATIONS

STORED = Path(__file__).resolve().parent.parent / "stored"
EARLIER = [migration.number for migration in MIGRATIONS[:-1]]
TEXTS = ["parse_header keeps its case", "totals round half up", "the cart is emptied after payment"]


def place_with(folder: Path, data: bytes, sound: bytes, flipped: bytes) -> Place:
    """A store in which one bit flipped where the text `sound` stands."""
    place = Place(folder / "aqe.db")
    assert sum((one ^ other).bit_count() for one, other in zip(sound, flipped, strict=True)) == 1
    assert sound in data
    place.path.write_bytes(data.replace(sound, flipped, 1))
    return place


def texts_of(place: Place) -> list[str]:
    """What a store holds, once it is of this version."""
    with Store.open(place.path) as store:
        return [store.get(f"id-{number}").text for number in range(3)]


@pytest.mark.parametrize("version", EARLIER)
def test_a_row_of_an_earlier_version_is_put_right(version: int, tmp_path: Path) -> None:
    """A repair of a store that no command of this version opened yet brings it to this one first; trying it does
    not."""
    data = (STORED / f"v{version}.db").read_bytes()
    place = place_with(tmp_path, data, b"cart is emptied", b"cart as emptied")
    before = place.path.read_bytes()
    report = repair(place, dry_run=True)
    assert (report.how, report.mended.corrected, report.sound) == ("mended", 1, True)
    connection = apsw.Connection(str(place.path))
    assert (place.path.read_bytes(), connection.pragma("user_version")) == (before, version)
    connection.close()
    report = repair(place)
    assert (report.how, report.mended.corrected, report.sound) == ("mended", 1, True)
    assert Path(report.kept).is_file()
    assert texts_of(place) == TEXTS


@pytest.mark.parametrize(
    ("version", "sound", "flipped"),
    [
        (2, b"memoriesmemories", b"me}oriesmemories"),
        (7, b"    number INTEGER PRIMARY KEY,\n    name TEXT NOT NULL,\n    applied", b""),
        (19, b"memoriesmemories", b"me}oriesmemories"),
    ],
)
def test_an_earlier_version_whose_schema_has_a_flipped_bit_loses_nothing(
    version: int, sound: bytes, flipped: bytes, tmp_path: Path
) -> None:
    """What cannot be opened says that it is damaged, and the first repair, and not the second one, saves all of it."""
    data = (STORED / f"v{version}.db").read_bytes()
    place = place_with(tmp_path, data, sound, flipped or sound.replace(b"number", b"oumber"))
    report = repair(place)
    assert (report.how, report.lost_count, report.sound) == ("salvaged", 0, True)
    assert texts_of(place) == TEXTS
    place = place_with(tmp_path, data, sound, flipped or sound.replace(b"number", b"oumber"))
    with pytest.raises(UserError) as told:
        Store.open(place.path)
    assert told.value.code == "database-broken"


@pytest.mark.parametrize("flipped", [b'{"n"z1}', b'{"\xee":1}'], ids=["no JSON", "no text"])
def test_a_row_that_cannot_be_read_is_found_without_a_checksum(tmp_path: Path, flipped: bytes) -> None:
    """Metadata that are none, of a store from before there were checksums: verify knows of them."""
    place = place_with(tmp_path, (STORED / "v17.db").read_bytes(), b'{"n":1}', flipped)
    (finding,) = [one for one in verify(place).findings if one.check == "rows"]
    assert "default/id-1" in finding.what
    assert repair(place).sound
    assert texts_of(place) == TEXTS


def test_an_index_that_begins_elsewhere_is_told_as_damage(tmp_path: Path) -> None:
    """Values of another index, where moments are read, stop a search as damage of the file."""
    place = Place(tmp_path / "aqe.db")
    with Store.open(place.path) as store:
        for text in TEXTS:
            store.add(text)
    connection = apsw.Connection(str(place.path))
    connection.pragma("writable_schema", True)
    root = "(SELECT rootpage FROM sqlite_schema WHERE name = 'memories_revision')"
    connection.execute(f"UPDATE sqlite_schema SET rootpage = {root} WHERE name = 'memories_expiry'")
    connection.close()
    with pytest.raises(UserError) as told, Store.open(place.path) as store:
        store.list()
    assert told.value.code == "database-broken"
    assert not verify(place).sound
    assert repair(place).sound
    with Store.open(place.path) as store:
        assert len(store.list()) == 3
