"""What `verify` finds: each kind of damage, made by hand, is named by its check, and put right by `repair`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import numpy as np
import pytest

from aqe.engine.errors import Cancelled, UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, back_up, compare, repair, verify
from aqe.engine.memory.file.changelog import read_mark
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.meaning.codefiles import CodeFolder
from aqe.engine.progress import CancelToken
from aqe.engine.sessions.table import SessionTable, new_turn
from aqe.simd import Vectors

Make = Callable[..., Place]
DAMAGE = {
    "references": "PRAGMA foreign_keys = OFF; INSERT INTO accesses VALUES (999, 1, 1, 1.0)",
    "texts": "UPDATE memories SET text = 'note 0 says that part 0 is lost' WHERE id = '0'",
    "revisions": "UPDATE memories SET revision = 5 WHERE row = (SELECT max(row) FROM memories WHERE id = '1')",
    "text index": "DELETE FROM texts WHERE rowid = (SELECT row FROM memories WHERE id = '2' AND valid_to IS NULL)",
    "vectors": "UPDATE vectors_1_vector_chunks00 SET vectors = CAST(x'0000c07f' || substr(vectors, 5) AS BLOB)",
    "snapshots": "INSERT INTO snapshots VALUES ('bad', 1, 0, 3, x'00')",
}


LOOKS: dict[str, Callable[[Place], object]] = {
    "verify": verify,
    "verify a file": lambda place: verify(place, place.path, keys=(place.key,)),
    "diff": lambda place: compare(place, str(place.path), "now"),
    "back up": lambda place: back_up(place, place.path.parents[1] / "b.db"),
    "repair --dry-run": lambda place: repair(place, dry_run=True),
}


def as_it_is(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Each file of a folder with its bytes and when it was written, and the folder itself."""
    files = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    return {**files, ".": (b"", folder.stat().st_mtime_ns)}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", ["v1", "v18", "copy"])
def test_a_look_changes_nothing(make_place: Make, repository: Path, kind: str, look: str) -> None:
    """Whatever only looks at a store of an earlier version, or at a copy in a store's place, leaves the file and its
    folder as they are, to the byte and the date."""
    place = make_place(3)
    copy = place.path.parents[1] / "copy.db"
    back_up(place, copy)
    shutil.copy(copy if kind == "copy" else repository / "tests" / "engine" / "stored" / f"{kind}.db", place.path)
    before = as_it_is(place.folder)
    LOOKS[look](place)
    assert as_it_is(place.folder) == before


@pytest.mark.services
def test_a_look_at_an_encrypted_copy_changes_nothing(make_place: Make) -> None:
    """The same of a file that has a key, whose head says in clear whether it keeps a log."""
    place = make_place(3, key="a key")
    copy = place.path.parents[1] / "copy.db"
    back_up(place, copy)
    shutil.copy(copy, place.path)
    before = as_it_is(place.folder)
    assert verify(place).sound
    assert as_it_is(place.folder) == before


def test_a_look_at_an_earlier_store_waits_for_who_writes_it(make_place: Make, repository: Path) -> None:
    """While another program writes a file without a log, a look waits for it instead of taking half of it for damage;
    it can be brought up to date as soon as nobody looks any more."""
    place = make_place(0)
    shutil.copy(repository / "tests" / "engine" / "stored" / "v18.db", place.path)
    other = apsw.Connection(str(place.path))
    other.execute("BEGIN EXCLUSIVE; UPDATE memories SET line = 7")
    ending = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    ending.start()
    assert verify(place).sound
    ending.join()
    other.close()
    with Store.open(place.path) as store:
        assert {memory.provenance.line for memory in store.list()} == {7}


def test_sound_store_has_no_findings(place: Place) -> None:
    """A store that was worked with is sound, and each check says how much it looked at."""
    with Store.open(place.path, key=place.key) as store:
        store.update("1", text="changed")
        store.delete("2")
        store.delete("3", erase=True)
    report = verify(place)
    assert (report.sound, report.findings, report.memories) == (True, (), 18)
    assert {run.name: run.looked_at for run in report.checks}["vectors"] == 17
    assert {run.state for run in report.checks} == {"sound"}


@pytest.mark.parametrize("check", DAMAGE)
def test_each_damage_is_found_by_its_check(make_place: Make, check: str) -> None:
    """A row that does not fit is named by the check that looks for it, with what it means and what to do."""
    place = make_place()
    with Store.open(place.path) as store:
        store.update("1", text="changed")
    connection = open_connection(place.path)
    connection.execute(DAMAGE[check])
    connection.close()
    report = verify(place)
    assert not report.sound
    assert {finding.check for finding in report.findings} == ({check, "text index"} if check == "texts" else {check})
    assert all(finding.what and finding.meaning and finding.fix for finding in report.findings)


@pytest.mark.services
@pytest.mark.parametrize("kind", DAMAGE)
def test_what_tables_say_wrong_is_put_right_while_others_work(make_place: Make, kind: str) -> None:
    """Each kind of wrong row is put right in one transaction that an open store sees; the file as it was is kept."""
    place = make_place()
    with Store.open(place.path) as other:
        other.update("1", text="changed")
        connection = open_connection(place.path)
        connection.execute(DAMAGE[kind])
        connection.close()
        assert repair(place, dry_run=True).sound
        assert not verify(place).sound
        report = repair(place)
        assert (report.how, report.sound, report.memories) == ("mended", True, 20)
        assert verify(place).sound
        assert not verify(place, Path(report.kept)).sound
        assert other.get("2") is not None
        assert [hit.memory.id for hit in other.search("note 2 says").hits][:1] == ["2"]


@pytest.mark.services
def test_damaged_pages_are_findings(place: Place) -> None:
    """A file with overwritten pages is looked at as far as it can be read, and is not sound."""
    data = bytearray(place.path.read_bytes())
    for page in range(6, len(data) // 4096, 3):
        data[page * 4096 : page * 4096 + 3000] = b"\xa5" * 3000
    place.path.write_bytes(data)
    report = verify(place)
    assert not report.sound
    assert report.findings[0].check in ("pages", "file")


def test_damaged_page_of_an_encrypted_store_is_not_all_of_it(make_place: Make) -> None:
    """One page that fails its checksum is one finding; what can still be read is counted, and not said to be lost."""
    place = make_place(200, key="a key")
    data = bytearray(place.path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    place.path.write_bytes(data)
    report = verify(place)
    assert [one.check for one in report.findings] == ["pages"]
    assert "nothing" not in report.findings[0].meaning
    assert report.memories == 200
    assert {run.state for run in report.checks if run.name == "texts"} == {"not-run"}


def test_file_that_is_no_database_is_a_finding(make_place: Make) -> None:
    """A file without a single readable page is one finding, not a failure."""
    place = make_place(1)
    place.path.write_bytes(b"\0" * 9000)
    report = verify(place)
    assert [finding.check for finding in report.findings] == ["file"]


@pytest.mark.services
def test_wrong_key_is_an_error_and_no_finding(make_place: Make) -> None:
    """With another key nothing is said about the file but that the key does not fit."""
    place = make_place(1, key="k")
    with pytest.raises(UserError) as caught:
        verify(Place(place.path, "other"))
    assert caught.value.code == "database-key"


def test_earlier_version_is_looked_at_as_it_is(make_place: Make, repository: Path) -> None:
    """A file of the first version is verified without being migrated; checks of later tables are not run."""
    report = verify(make_place(1), repository / "tests" / "engine" / "stored" / "v1.db")
    assert (report.sound, report.version, report.memories) == (True, 1, 3)
    assert [run.name for run in report.checks if run.state == "not-run"] == ["snapshots"]


@pytest.mark.services
def test_cancelled_verification_ends(make_place: Make) -> None:
    """A cancelled verification raises at its next step."""
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        verify(make_place(1), cancel=cancel)


def side_file(place: Place, factor: float = 1.0) -> Path:
    """Write the file of vectors beside the store as searches of a large one do; `factor` bends what it holds."""
    connection = open_connection(place.path, key=place.key)
    rows = connection.execute("SELECT row, vector FROM vectors_1 ORDER BY row").fetchall()
    mark = read_mark(connection)
    connection.close()
    held = Vectors(3)
    array = np.frombuffer(b"".join(vector for _, vector in rows), np.float32).reshape(len(rows), 3)
    held.add(np.array([row for row, _ in rows]), array * np.float32(factor))
    return CodeFolder(place.path).write(1, "default", mark, held)


def test_side_files_are_compared_with_the_store_and_made_anew(make_place: Make) -> None:
    """A sound side file is counted; one whose bytes changed is a finding, and a repair has it made anew."""
    place = make_place()
    file = side_file(place)
    assert (verify(place).sound, verify(place).checks[-1].looked_at) == (True, 1)
    data = bytearray(file.read_bytes())
    for at in range(len(data) // 2, len(data), 16):
        data[at] ^= 0xFF
    file.write_bytes(data)
    assert {finding.check for finding in verify(place).findings} == {"side files"}
    report = repair(place)
    assert (report.how, report.sound, report.memories) == ("mended", True, 20)
    assert not file.exists()


def test_side_file_that_holds_other_vectors_is_found(make_place: Make) -> None:
    """A whole side file that says something else than the store is a finding; one of an earlier moment is not."""
    place = make_place()
    file = side_file(place, factor=-1.0)
    findings = verify(place).findings
    assert [finding.check for finding in findings] == ["side files"]
    assert findings[0].what == f"{file.name} lacks 0 vectors, has 0 of no memory, 20 others"
    with Store.open(place.path) as store:
        store.add("later")
    assert verify(place).sound


STRANGE = {
    "a text that is none": "UPDATE memories SET text = x'ff00' WHERE id = '3'",
    "no text": "UPDATE memories SET text = NULL WHERE id = '3'",
    "no size": "UPDATE texts_docsize SET sz = NULL WHERE id = 4",
    "no name": "UPDATE embedders SET dimension = 'wide'",
}


@pytest.mark.parametrize("kind", STRANGE)
def test_value_of_another_kind_is_a_finding_and_repaired(make_place: Make, kind: str) -> None:
    """A changed byte that makes a value one of another kind is found, and every other memory is saved."""
    place = make_place()
    connection = open_connection(place.path)
    connection.pragma("writable_schema", True)
    loose = "replace(replace(replace(sql, ' NOT NULL', ''), ') STRICT', ')'), 'STRICT,', '')"
    names = "('memories', 'embedders', 'texts_docsize')"
    connection.execute(f"UPDATE sqlite_schema SET sql = {loose} WHERE name IN {names} AND type = 'table'")
    connection.close()
    damaged = apsw.Connection(str(place.path))
    damaged.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    damaged.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    before = damaged.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    assert before
    damaged.execute(STRANGE[kind])
    damaged.close()
    assert not verify(place).sound
    report = repair(place)
    assert report.sound
    with Store.open(place.path) as store:
        assert {memory.id for memory in store.list(limit=100)} >= {str(number) for number in range(20) if number != 3}


def test_damaged_backup_is_not_for_repair(make_place: Make, tmp_path: Path) -> None:
    """What is wrong with a backup comes with a way that helps: `repair` is for the store."""
    place = make_place()
    back_up(place, tmp_path / "b.db")
    copy = apsw.Connection(str(tmp_path / "b.db"))
    copy.execute("UPDATE memories SET text_hash = x'00' WHERE id = '3'")
    copy.close()
    findings = verify(place, tmp_path / "b.db").findings
    assert findings
    assert [one.fix for one in findings if "repair" in one.fix] == []


def test_verify_leaves_a_log_as_it_is(make_place: Make) -> None:
    """The log that a killed process left is read, and file and log keep their bytes."""
    place = make_place(3)
    script = (
        "import os, sys; from pathlib import Path; from aqe.engine.memory import Store\n"
        "Store.open(Path(sys.argv[1])).add('late', id='late'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(place.path)], check=True)
    files = [place.path, place.path.with_name("aqe.db-wal")]
    before = [file.read_bytes() for file in files]
    report = verify(place)
    assert (report.sound, report.memories) == (True, 4)
    assert [file.read_bytes() for file in files] == before


def test_a_text_beside_the_memories_that_is_none_is_told(make_place: Make) -> None:
    """A turn of a session whose text is no UTF-8 any more, which ends whoever reads the session, is found by `verify`;
    after a repair it stands as it was written, since one bit alone had flipped."""
    place = make_place(3)
    with Store.open(place.path) as store:
        sessions = SessionTable(store)
        session = sessions.create("talk")
        with sessions.writing() as connection:
            sessions.append(connection, session, [new_turn("user", "how are quinces rounded?", 8)])
    data = place.path.read_bytes()
    assert data.count(b"quinces") == 1
    place.path.write_bytes(data.replace(b"quinces", b"qu\xe9nces"))
    (finding,) = verify(place).findings
    assert (finding.check, "turns" in finding.what, "aqe memory repair" in finding.fix) == ("other texts", True, True)
    assert repair(place).sound
    with Store.open(place.path) as store, store.reading() as connection:
        assert connection.execute("SELECT text FROM turns").get == "how are quinces rounded?"
