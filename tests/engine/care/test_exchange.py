"""Nothing that was acknowledged is lost while the content of a store is replaced, and no file of somebody else goes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from aqe.engine.errors import Cancelled, UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, back_up, repair, restore
from aqe.engine.progress import CancelToken

Make = Callable[..., Place]
AUDIT = (
    "INSERT INTO audit (at, event, recipient, purpose, mode, spans, bytes, payload_sha256, previous, hash)"
    " VALUES (1, 'sent', 'r', 'p', 'm', '[]', 1, 'x', 'y', 'z')"
)

WRITER = """
import sys
from pathlib import Path
from aqe.engine.memory import Store
with Store.open(Path(sys.argv[1])) as store:
    print("ready", flush=True)
    number = 0
    while not Path(sys.argv[2]).exists():
        store.add(f"written meanwhile {number}", id=f"w{number}")
        print(f"w{number}", flush=True)
        number += 1
"""


class Meanwhile:
    """Writes to the store at every sign of progress, as another process would that does not wait; `texts` are the
    signs, `numbers` of audit rows and the metadata `n` of memory 1 are what was acknowledged."""

    def __init__(self, place: Place) -> None:
        self.connection = apsw.Connection(str(place.path))
        self.texts: list[str] = []
        self.numbers: list[int] = []
        self.n = 1

    def __call__(self, text: str, done: float = 0, total: float | None = None) -> None:
        self.texts.append(text)
        try:
            with self.connection:
                self.connection.execute(AUDIT)
                number = self.connection.last_insert_rowid()
                sql = "UPDATE memories SET metadata = json_set(metadata, '$.n', ?) WHERE id = '1'"
                self.connection.execute(sql, (number + 1000,))
        except (apsw.BusyError, apsw.CorruptError):
            return
        self.numbers.append(number)
        self.n = number + 1000


def asked(path: Path, sql: str) -> list[object]:
    connection = apsw.Connection(str(path))
    try:
        return [row[0] for row in connection.execute(sql)]
    finally:
        connection.close()


def n_of(path: Path) -> int:
    return int(json.loads(str(asked(path, "SELECT metadata FROM memories WHERE id = '1'")[0]))["n"])


def test_what_is_written_during_a_restore_is_kept_or_restored(make_place: Make, tmp_path: Path) -> None:
    """Every write that was acknowledged before the new content came is in the kept copy, and the audit log has all its
    rows, each number once."""
    place = make_place()
    back_up(place, tmp_path / "b.db")
    other = Meanwhile(place)
    report = restore(place, tmp_path / "b.db", progress=other)
    assert {"Copying", "Restoring"} <= set(other.texts)
    last = other.numbers[-1]
    after = asked(place.path, "SELECT number FROM audit ORDER BY number")
    assert (after, len(set(other.numbers))) == (other.numbers, len(other.numbers))
    assert last + 1000 in (n_of(Path(report.kept)), n_of(place.path))


def test_what_is_written_during_a_salvage_is_saved(make_place: Make) -> None:
    """Every write that was acknowledged while rows are read page by page is in the repaired store."""
    place = make_place(600)
    data = bytearray(place.path.read_bytes())
    at = data.rfind(b"note 550 says") // 4096 * 4096
    data[at : at + 4096] = b"\xff" * 4096
    place.path.write_bytes(data)
    other = Meanwhile(place)
    report = repair(place, progress=other)
    assert (report.how, report.sound) == ("salvaged", True)
    assert "Saving rows" in other.texts
    assert other.numbers
    assert n_of(place.path) == other.n
    assert asked(place.path, "SELECT number FROM audit ORDER BY number") == other.numbers


@pytest.mark.services
@pytest.mark.parametrize("what", ["restore", "repair"])
def test_process_that_writes_without_a_pause_loses_nothing(make_place: Make, tmp_path: Path, what: str) -> None:
    """Each memory that another process was told is kept is in the store or in the kept file afterwards."""
    place, stop = make_place(300), tmp_path / "stop"
    with Store.open(place.path) as store:
        store.add_many(NewMemory(f"filler {number} " * 100, id=f"f{number}") for number in range(2000))
    back_up(place, tmp_path / "b.db")
    if what == "repair":
        data = bytearray(place.path.read_bytes())
        at = data.rfind(b"filler 100 filler") // 4096 * 4096
        data[at : at + 4096] = b"\xff" * 4096
        place.path.write_bytes(data)
    command = [sys.executable, "-c", WRITER, str(place.path), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        try:
            kept = restore(place, tmp_path / "b.db").kept if what == "restore" else repair(place).kept
        finally:
            stop.touch()
        told = writer.stdout.read().split()
    there = set(asked(place.path, "SELECT id FROM memories"))
    if what == "restore":
        there |= set(asked(Path(kept), "SELECT id FROM memories"))
    assert told
    assert [id for id in told if id not in there] == []


def test_copy_just_made_is_kept_though_a_clock_was_once_ahead(make_place: Make, tmp_path: Path) -> None:
    """Of the kept files those of a clock that was ahead go before the one that the restore has just made."""
    place = make_place(2)
    back_up(place, tmp_path / "b.db")
    for moment in (4_000_000_000_000_000, 4_000_000_000_000_001):
        restore(place, tmp_path / "b.db", now=iter([moment] * 100).__next__)
    with Store.open(place.path) as store:
        store.add("later", id="later")
    kept = Path(restore(place, tmp_path / "b.db", copies=1).kept)
    assert asked(kept, "SELECT id FROM memories WHERE id = 'later'") == ["later"]
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_files_of_somebody_else_in_the_folder_stay(make_place: Make, tmp_path: Path) -> None:
    """A file in the folder of kept files whose name aqe did not give is not removed."""
    place = make_place(2)
    back_up(place, tmp_path / "b.db")
    own = place.folder / "backups" / "before-my-holiday.db"
    own.parent.mkdir()
    back_up(place, own)
    for _ in range(2):
        restore(place, tmp_path / "b.db", copies=1)
    assert own.exists()
    assert len(list(own.parent.iterdir())) == 2


def test_restore_that_is_cut_off_leaves_no_copy(make_place: Make, tmp_path: Path) -> None:
    """Cancelled while the new content comes, a restore leaves the store as it was and no copy of it."""
    place, cancel, stages = make_place(3), CancelToken(), list[str]()
    back_up(place, tmp_path / "b.db")
    with Store.open(place.path) as store:
        store.add("later", id="later")

    def stop(text: str, done: float = 0, total: float | None = None) -> None:
        stages.append(text)
        if stages.count("Copying") == 2:  # of the backup, then of what is to be replaced
            cancel.cancel()

    with pytest.raises(Cancelled):
        restore(place, tmp_path / "b.db", progress=stop, cancel=cancel)
    assert "Restoring" not in stages
    assert [path.name for path in place.folder.rglob("*.db")] == ["aqe.db"]
    assert asked(place.path, "SELECT id FROM memories WHERE id = 'later'") == ["later"]


@pytest.mark.services
def test_damaged_file_that_another_process_holds_is_not_replaced(make_place: Make, tmp_path: Path) -> None:
    """A file that cannot be opened any more is not salvaged under a process that has it open."""
    place = make_place(2)
    place.path.write_bytes(b"\0" * 20_000)
    command = [sys.executable, "-c", f"f = open({str(place.path)!r}, 'rb'); print(1, flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UserError) as caught:
            repair(place)
        other.communicate("\n")
    assert caught.value.code == "database-locked"
    assert place.path.read_bytes() == b"\0" * 20_000
