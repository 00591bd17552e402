"""Care on a full disk, in a folder that cannot be written, and killed in the middle; and what durability does."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, back_up, restore, take_snapshot, verify

pytestmark = pytest.mark.services
Make = Callable[..., Place]

WORK = """
import ctypes, os, resource, sys
from pathlib import Path
from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, back_up, compare, repair, restore, roll_back, verify
from aqe.engine.memory.care.sealing import seal
what, limit, path, file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
place = Place(path)
if limit > 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
if limit < 0 and os.geteuid() == 0:  # root without its capabilities is bound by the rights of the folder
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
print("ready", flush=True)
try:
    if what == "backup":
        back_up(place, file)
    elif what == "look":
        print(verify(place).sound, compare(place, "now", "now").same, repair(place).how, flush=True)
    elif what == "restore":
        restore(place, file)
    elif what == "repair":
        repair(place)
    elif what == "seal":
        seal(place, "k")
    elif what == "rollback":
        with Store.open(path) as store:
            roll_back(store, "then", kept=20)
except UserError as error:
    print(error.code, flush=True)
    sys.exit(2)
"""

SYNCS = """
import sys
from pathlib import Path
import apsw
count = 0
class Files(apsw.VFSFile):
    def __init__(self, inherit, name, flags):
        super().__init__(inherit, name, flags)
    def xSync(self, flags):
        global count
        count += 1
        super().xSync(flags)
class Counting(apsw.VFS):
    def __init__(self, base):
        self.below = base
        super().__init__("counting", base, makedefault=True)
    def xOpen(self, name, flags):
        return Files(self.below, name, flags)
counting = Counting(apsw.vfs_names()[0])
from aqe.engine.memory import Store
with Store.open(Path(sys.argv[1]), durability=sys.argv[2]) as store:
    count = 0
    for number in range(10):
        store.add(f"note {number}")
    print(count)
"""


def started(what: str, place: Place, file: Path, *, limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORK, what, str(limit), str(place.path), str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The status of a process and what else it printed."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, _ = process.stdout.read(), process.stderr.read()
    status = process.wait(timeout=100)
    process.stdout.close()
    process.stderr.close()
    return status, out


def names(folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    )


@pytest.mark.parametrize("what", ["backup", "restore", "repair", "seal"])
def test_full_disk_leaves_everything_as_it_was(make_place: Make, tmp_path: Path, what: str) -> None:
    """When a file may not grow any more the work ends with disk-full, no part is left, and the store is as it was."""
    place, file = make_place(200), tmp_path / "b.db"
    if what == "restore":
        back_up(place, file)
    if what == "repair":
        data = bytearray(place.path.read_bytes())
        data[4096 * 3 : 4096 * 4] = b"\xa5" * 4096
        place.path.write_bytes(data)
    before, content = names(tmp_path), place.path.read_bytes()
    assert ended(started(what, place, file, limit=150_000)) == (2, "disk-full\n")
    assert [name for name in names(tmp_path) if name not in before] == []
    assert place.path.read_bytes()[100:] == content[100:]
    if what != "repair":
        assert (verify(place).sound, verify(place).memories) == (True, 200)


def test_folder_that_cannot_be_written_is_one_sentence(make_place: Make, tmp_path: Path) -> None:
    """A backup into a folder of somebody else is refused with project-read-only, and nothing is made in it."""
    place, sealed = make_place(3), tmp_path / "sealed"
    sealed.mkdir(mode=0o555)
    assert ended(started("backup", place, sealed / "b.db", limit=-1)) == (2, "project-read-only\n")
    assert list(sealed.iterdir()) == []


def test_project_that_cannot_be_written_can_be_looked_at(make_place: Make, tmp_path: Path) -> None:
    """In a folder of somebody else a store is verified, compared and backed up elsewhere, and stays as it is."""
    place = make_place(3)
    place.path.chmod(0o444)
    place.folder.chmod(0o555)
    try:
        assert ended(started("look", place, tmp_path / "b.db", limit=-1)) == (0, "True 3 nothing\n")
        assert ended(started("backup", place, tmp_path / "b.db", limit=-1)) == (0, "")
    finally:
        place.folder.chmod(0o755)
    assert (verify(place, tmp_path / "b.db").memories, names(place.folder)) == (3, ["aqe.db"])


@pytest.mark.services
@pytest.mark.parametrize("what", ["backup", "restore", "rollback"])
def test_killed_at_any_moment_leaves_one_state_or_the_other(make_place: Make, tmp_path: Path, what: str) -> None:
    """Killed in the middle, a restore or rollback has happened whole or not at all, and a backup is whole or not there;
    the store is sound, and the next call does the work."""
    rng, place, file = random.Random(what), make_place(400), tmp_path / "b.db"
    with Store.open(place.path) as store:
        store.add_many(NewMemory(f"filler {number} " * 300) for number in range(1500))
        back_up(place, file)
        take_snapshot(store, "then", kept=20)
        store.add_many(NewMemory(f"later {number}", id=f"later{number}") for number in range(700))
    states = {1900, 2600}
    for attempt in range(4):
        target = tmp_path / f"b{attempt}.db" if what == "backup" else file
        process = started(what, place, target)
        try:
            process.wait(timeout=rng.random() * 0.8)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        ended(process)
        report = verify(place)
        assert report.sound
        assert report.memories in states
        if what == "backup" and target.exists():
            assert (verify(place, target).sound, verify(place, target).memories) == (True, 2600)
        with Store.open(place.path) as store:
            if report.memories == 1900:
                store.add_many(NewMemory(f"later {number}", id=f"later{number}") for number in range(700))
    if what == "restore":
        assert restore(place, file).memories == 1900


@pytest.mark.parametrize(("durability", "least", "most"), [("normal", 0, 0), ("full", 10, 1000)])
def test_durability_full_syncs_each_commit(tmp_path: Path, durability: str, least: int, most: int) -> None:
    """With durability full every commit is on the disk before it is acknowledged; with normal none waits for that."""
    command = [sys.executable, "-c", SYNCS, str(tmp_path / "aqe.db"), durability]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert least <= int(done.stdout) <= most
