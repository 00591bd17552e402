"""The store on broken, locked, foreign, newer and unwritable files, and on a full disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import numpy as np
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.transfer import Wanted, export_memories

FULL = """
import resource, sys
from pathlib import Path
from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
path = Path(sys.argv[1])
with Store.open(path) as store:
    store.add("kept", id="kept", vector=[1.0, 2.0])
    limit = sum(file.stat().st_size for file in path.parent.glob("aqe.db*")) + 30_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    stored = 0
    try:
        for number in range(10_000):
            store.add(f"{number} " * 400, id=str(number), vector=[1.0] * 500, embedder_id="wide")
            stored += 1
    except UserError as error:
        print(stored, error.code)
        sys.exit(error.exit_status)
"""

WITHOUT_POWERS = """
import ctypes, os, sys
from pathlib import Path
from aqe.engine.errors import UserError
from aqe.engine.memory import Store
if os.geteuid() == 0:  # root without its capabilities is bound by the rights of the folder
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
try:
    Store.open(Path(sys.argv[1]))
except UserError as error:
    print(error.code)
"""


def refused(path: Path, busy_timeout_s: float = 5.0) -> UserError:
    with pytest.raises(UserError) as caught:
        Store.open(path, busy_timeout_s=busy_timeout_s)
    assert repr(str(path)) in caught.value.message
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("content", [b"this is no database at all\n" * 300, b"SQLite format 3\0" + b"\xff" * 8000])
def test_broken_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """A file that is no database is refused with its name and keeps its bytes."""
    path = tmp_path / "aqe.db"
    path.write_bytes(content)
    assert refused(path).code == "database-broken"
    assert path.read_bytes() == content


def test_damaged_page_is_named_when_it_is_read(tmp_path: Path) -> None:
    """A store with a page overwritten answers with database-broken, not with wrong rows."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        for number in range(200):
            store.add(f"row {number} " * 50)
    data = bytearray(path.read_bytes())
    for page in range(3, len(data) // 4096):
        data[page * 4096 : page * 4096 + 2000] = b"\xa5" * 2000
    path.write_bytes(data)
    with pytest.raises(UserError) as caught, Store.open(path) as store:
        store.list(limit=1000)
    assert caught.value.code == "database-broken"


def test_damage_that_sqlite_calls_otherwise_is_named_too(tmp_path: Path) -> None:
    """A head of an impossible format, and a lost page of vectors, are database-broken with the way to repair."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        for number in range(300):
            store.add(f"row {number}", vector=[float(number), 1.0, 0.0, 0.0] * 96, embedder_id="toy")
        found = store.search(vector=[1.0, 0.0, 0.0, 0.0] * 96, k=3, embedder_id="toy")
        assert len(found.hits) == 3
    whole = path.read_bytes()
    path.write_bytes(whole[:44] + b"\x00\x00\x00\x09" + whole[48:])
    assert refused(path).code == "database-broken"
    vector = np.array([200.0, 1.0, 0.0, 0.0] * 8, "<f4").tobytes()
    page = whole.index(vector) // 4096
    path.write_bytes(whole[: page * 4096] + b"\xa5" * 4096 + whole[page * 4096 + 4096 :])
    with pytest.raises(UserError) as caught, Store.open(path) as store:
        store.search(vector=[1.0, 0.0, 0.0, 0.0] * 96, k=3, embedder_id="toy")
    assert caught.value.code == "database-broken"
    with pytest.raises(UserError) as caught, Store.open(path) as store:
        export_memories(store, tmp_path / "all.jsonl", form="jsonl", wanted=Wanted())
    assert (caught.value.code, "aqe memory repair" in caught.value.fix) == ("database-broken", True)
    assert not (tmp_path / "all.jsonl").exists()


def test_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """A SQLite file that aqe did not make is neither migrated nor changed."""
    path = tmp_path / "aqe.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
    other.close()
    assert refused(path).code == "database-broken"
    other = apsw.Connection(str(path))
    assert other.execute("SELECT count(*) FROM sqlite_schema").get == 1
    other.close()


def test_newer_database_is_refused(tmp_path: Path) -> None:
    """A file with a version that this aqe does not know is refused and stays at its version."""
    path = tmp_path / "aqe.db"
    Store.open(path).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 999)
    connection.close()
    error = refused(path)
    assert error.code == "database-newer"
    assert "999" in error.message
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == 999
    connection.close()


def test_locked_database_is_one_sentence(tmp_path: Path) -> None:
    """While another program holds the file for itself, opening ends after the busy timeout with database-locked."""
    path = tmp_path / "aqe.db"
    Store.open(path).close()
    other = apsw.Connection(str(path))
    other.pragma("locking_mode", "exclusive")
    other.execute("BEGIN EXCLUSIVE; INSERT INTO spool_files VALUES ('x', 0, 0)")
    try:
        assert refused(path, busy_timeout_s=0.1).code == "database-locked"
    finally:
        other.close()
    Store.open(path).close()


def test_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    """A database in a folder that is not there cannot be opened, and says so."""
    assert refused(tmp_path / "nowhere" / "aqe.db").code == "project-read-only"


def test_read_only_folder_is_one_sentence(tmp_path: Path) -> None:
    """A user who may not write the folder gets project-read-only, and nothing is made in it."""
    folder = tmp_path / "sealed"
    folder.mkdir(mode=0o555)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POWERS, str(folder / "aqe.db")], capture_output=True, text=True, check=False
    )
    assert done.stdout == "project-read-only\n", done.stderr
    assert list(folder.iterdir()) == []


def test_full_disk_loses_nothing(tmp_path: Path) -> None:
    """When the file may not grow the write fails with disk-full, and all that was acknowledged is there and whole."""
    path = tmp_path / "aqe.db"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    stored, code = done.stdout.split()
    assert code == "disk-full"
    with Store.open(path) as store:
        assert store.stats().memories == int(stored) + 1
        assert store.vector("kept") == (1.0, 2.0)
        with store.reading() as connection:
            assert connection.pragma("integrity_check") == "ok"
        store.add("goes on", vector=[1.0] * 500, embedder_id="wide")
        assert len(store.search(vector=[1.0] * 500, embedder_id="wide", k=1000).hits) == int(stored) + 1
