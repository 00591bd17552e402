"""A process was killed with commits in its log, and a part of that log is damaged: none of them goes untold."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store, open_store
from aqe.engine.memory.care import Place, RepairReport, repair, verify
from aqe.engine.memory.care.holders import holders
from tests.engine.care.conftest import Make, memories
from tests.engine.care.damage import flip

HEAD, FRAME, PAGE = 32, 24, 4096
TENTH = HEAD + 9 * (FRAME + PAGE)
"""Where the tenth frame begins."""

COUNT = 20
KILLED = f"""
import os, signal, sys
from pathlib import Path
from aqe.engine.memory import Store

store = Store.open(Path(sys.argv[1]), key=sys.argv[2] or None)
for number in range({COUNT}):
    text = f"note {{number}} says that part {{number * 7}} is kept"
    store.add(text, id=str(number), vector=[1.0, number], embedder_id="toy")
print("acknowledged", flush=True)
writing = store.writing()
connection = writing.__enter__()
connection.pragma("cache_size", 1)
connection.execute("UPDATE memories SET metadata = '{{}}'")
os.kill(os.getpid(), signal.SIGKILL)
"""

Files = dict[str, bytes]
Copied = Callable[[bytes], Place]


def killed(folder: Path, key: str) -> Files:
    """The files of a process that was killed in a transaction, after additions that it was told are done."""
    path = folder / "aqe.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), key], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "acknowledged\n"), done.stderr
    return {suffix: path.with_name(path.name + suffix).read_bytes() for suffix in ("", "-wal", "-shm")}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return killed(tmp_path_factory.mktemp("killed"), "")


def copies(files: Files, folder: Path, key: str | None = None) -> Copied:
    """Makes a store as the process left it, but for its log."""

    def make(log: bytes) -> Place:
        path = folder / ".aqe" / "aqe.db"
        path.parent.mkdir(exist_ok=True)
        for suffix, data in (files | {"-wal": log}).items():
            path.with_name(path.name + suffix).write_bytes(data)
        return Place(path, key)

    return make


@pytest.fixture
def copied(files: Files, tmp_path: Path) -> Copied:
    return copies(files, tmp_path)


def last_commit(log: bytes) -> int:
    """How many frames stand up to the last commit."""
    frames = range((len(log) - HEAD) // (FRAME + PAGE))
    left = [log[HEAD + place * (FRAME + PAGE) + 4 :][:4] for place in frames]
    return max(place + 1 for place in frames if left[place] != bytes(4))


def notes(place: Place) -> dict[str, str]:
    with Store.open(place.path, key=place.key) as store:
        return {memory.id: memory.text for memory in store.list(limit=100)}


EVERY = {str(number): f"note {number} says that part {number * 7} is kept" for number in range(COUNT)}


def told_and_repaired(place: Place) -> RepairReport:
    """The report of a repair; before it each opening says what is wrong, and leaves the log as it is."""
    log = place.path.with_name("aqe.db-wal").read_bytes()
    for _ in range(2):
        with pytest.raises(UserError, match="of its log is damaged, and SQLite reads none of the") as caught:
            Store.open(place.path, key=place.key)
        assert caught.value.code == "database-broken"
        findings = verify(place).findings
        assert [one.check for one in findings] == ["file"]
        assert "of its log is damaged" in findings[0].what
    assert place.path.with_name("aqe.db-wal").read_bytes() == log
    report = repair(place)
    assert (report.how, report.sound, verify(place).sound) == ("salvaged", True, True)
    assert Path(f"{report.kept}-wal").read_bytes() == log
    return report


WHERE = {"head": 20, "salts": HEAD + 8, "number": HEAD + 3, "sum": HEAD + 16, "page": HEAD + FRAME + 100}


@pytest.mark.parametrize("where", WHERE)
def test_one_flipped_bit_costs_nothing(files: Files, copied: Copied, where: str) -> None:
    """Wherever it is, in the midst and in the last commit, all that was acknowledged is there after a repair."""
    log = files["-wal"]
    ends = last_commit(log)
    for frame in [ends // 2, ends - 1]:
        at = WHERE[where] + (0 if where == "head" else frame * (FRAME + PAGE))
        report = told_and_repaired(place := copied(flip(log, 8 * at + 1)))
        assert (report.lost_count, report.more_lost) == (0, False)
        assert notes(place) == EVERY


@pytest.mark.services
def test_any_flipped_bit_costs_nothing(files: Files, copied: Copied) -> None:
    """The same for bits by chance."""
    log, chance = files["-wal"], random.Random(20)
    bits = 8 * (HEAD + last_commit(log) * (FRAME + PAGE))
    for _ in range(30):
        report = told_and_repaired(place := copied(flip(log, bit := chance.randrange(bits))))
        assert (report.more_lost, notes(place)) == (False, EVERY), bit


@pytest.mark.services
def test_the_log_of_an_encrypted_store_is_mended_too(tmp_path: Path) -> None:
    """What is summed is what stands on the disk; where several bits may have flipped the page itself tells which."""
    files = killed(tmp_path, "a key")
    copied, frame = copies(files, tmp_path, "a key"), HEAD + last_commit(files["-wal"]) // 2 * (FRAME + PAGE)
    for bit in [8 * (frame + FRAME + 500), 8 * (frame + FRAME + 503) + 7, 8 * (frame + 3) + 2]:
        place = copied(flip(files["-wal"], bit))
        assert told_and_repaired(place).lost_count == 0
        assert notes(place) == EVERY


def test_commits_behind_a_lost_page_are_read(files: Files, copied: Copied) -> None:
    """A page of the log is all zeros: what stands in the others is saved, and what is lost is named."""
    log = bytearray(files["-wal"])
    frame = HEAD + last_commit(files["-wal"]) // 2 * (FRAME + PAGE)
    log[frame + FRAME : frame + FRAME + PAGE] = bytes(PAGE)
    report = told_and_repaired(place := copied(bytes(log)))
    found = notes(place)
    assert found.items() <= EVERY.items()
    assert len(found) + report.lost_count >= COUNT


def test_what_nobody_was_told_is_done_is_no_damage(files: Files, copied: Copied) -> None:
    """The transaction that was cut off is gone, and a bit of it that flipped with it."""
    log = files["-wal"]
    after = HEAD + last_commit(log) * (FRAME + PAGE)
    assert len(log) > after + FRAME + PAGE
    for damaged in [log, log[:after], log[: after + 100], flip(log, 8 * (after + FRAME + 7)), log + bytes(9000)]:
        place = copied(damaged)
        assert verify(place).sound
        assert notes(place) == EVERY
        assert repair(place).how == "nothing"


def test_an_open_without_the_key_leaves_the_log(tmp_path: Path) -> None:
    """What cannot be read is not folded in either; neither is what was given up while it was looked at."""
    files = killed(tmp_path, "a key")
    place = copies(files, tmp_path, None)(flip(files["-wal"], 8 * (TENTH + FRAME + 500)))
    log = place.path.with_name("aqe.db-wal").read_bytes()
    with pytest.raises(UserError) as caught:
        Store.open(place.path)
    assert caught.value.code == "database-key"
    assert place.path.with_name("aqe.db-wal").read_bytes() == log


def test_what_is_interrupted_leaves_the_log(files: Files, copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while it is looked at closes the file and folds nothing in."""
    place = copied(flip(files["-wal"], 8 * (TENTH + FRAME + 500)))

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("aqe.engine.memory.file.write_ahead.time.sleep", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Store.open(place.path)
    assert told_and_repaired(place).lost_count == 0


LOST = {"head": (0, 512), "first page": (0, PAGE), "two frames": (TENTH, 2 * PAGE), "frame head": (TENTH, FRAME)}


@pytest.mark.parametrize("what", LOST)
def test_whole_sectors_that_are_lost_are_told(files: Files, copied: Copied, what: str) -> None:
    """All zeros: what stands behind them is saved."""
    log, (at, size) = bytearray(files["-wal"]), LOST[what]
    log[at : at + size] = bytes(size)
    report = told_and_repaired(place := copied(bytes(log)))
    found = notes(place)
    assert found.items() <= EVERY.items()
    assert len(found) + report.lost_count >= COUNT
    assert str(COUNT - 1) in found


def test_a_frame_of_another_number_covers_no_sound_page(files: Files, copied: Copied) -> None:
    """Two bits of its number flipped: what it says is lost, and nothing of the page whose number it says now."""
    log, step = files["-wal"], FRAME + PAGE
    places = range(last_commit(log) - 2 * COUNT)
    numbers = [int.from_bytes(log[HEAD + place * step :][:4], "big") for place in places]
    tried = 0
    for place in [at for at in places if numbers[at] ^ 3 in numbers[:at]][-6:]:
        damaged = flip(log, 8 * (HEAD + place * step + 3), 8 * (HEAD + place * step + 3) + 1)
        assert len(notes_of_a_repair(copied(damaged))) == COUNT, place
        tried += 1
    assert tried


def notes_of_a_repair(place: Place) -> dict[str, str]:
    """The memories that a repair saved."""
    told_and_repaired(place)
    return notes(place)


@pytest.mark.parametrize("longer", [[200], [60, 200]], ids=["once", "twice"])
def test_what_was_overwritten_of_a_cut_off_commit_is_no_damage(
    make_place: Make, tmp_path: Path, longer: list[int]
) -> None:
    """Processes were killed before their commits counted, and others wrote shorter ones over a part of them."""
    place = make_place(2)

    def log_after(count: int) -> bytes:
        """The log, had so many memories been added at once."""
        copy = tmp_path / str(count) / "aqe.db"
        copy.parent.mkdir()
        for suffix in ("", "-wal"):
            path = place.path.with_name(f"aqe.db{suffix}")
            copy.with_name(path.name).write_bytes(path.read_bytes())
        with Store.open(copy) as store:
            store.add_many(memories(count, 100))
            return copy.with_name("aqe.db-wal").read_bytes()

    with Store.open(place.path) as store:
        store.add("acknowledged", id="before")
        log = log_after(1)
        for count in longer:
            overwritten = log_after(count)
            assert len(overwritten) > len(log) + FRAME + PAGE
            log += overwritten[len(log) :]
        kept = place.path.read_bytes()
    place.path.write_bytes(kept)
    place.path.with_name("aqe.db-wal").write_bytes(log)
    assert verify(place).sound
    with Store.open(place.path) as store:
        assert sorted(memory.id for memory in store.list()) == ["0", "1", "100", "before"]


def test_more_than_a_bit_of_the_last_commit_cannot_be_told_from_one_cut_off(files: Files, copied: Copied) -> None:
    """It is not there, and all before it is."""
    log = bytearray(files["-wal"])
    last = HEAD + (last_commit(files["-wal"]) - 1) * (FRAME + PAGE)
    log[last + FRAME : last + FRAME + 512] = bytes(512)
    assert notes(copied(bytes(log))) == {id: text for id, text in EVERY.items() if id != str(COUNT - 1)}


CUT_OFF = """
import os, signal, sys
from pathlib import Path
from aqe.engine.memory.care import Place, exchange, repair, restore

exchange.publish = lambda *given, **more: os.kill(os.getpid(), signal.SIGKILL)
place = Place(Path(sys.argv[1]))
restore(place, Path(sys.argv[2])) if sys.argv[2:] else repair(place)
"""


@pytest.mark.parametrize("damage", ["log", "file", "restored"])
def test_a_repair_that_was_killed_is_taken_up(files: Files, copied: Copied, make_place: Make, damage: str) -> None:
    """Killed when the log is moved aside already, as a restore may be: it is told, and the next repair puts the log
    back."""
    place = copied(files["-wal"] if damage == "file" else flip(files["-wal"], 8 * (TENTH + 99)))
    if damage == "file":
        place.path.write_bytes(b"")
    backup = [str(make_place(2, name="backup").path)] if damage == "restored" else []
    command = [sys.executable, "-c", CUT_OFF, str(place.path), *backup]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not place.path.with_name("aqe.db-wal").exists()
    findings = verify(place).findings
    assert "a repair was cut off when it had moved the log to" in findings[-1].what
    with pytest.raises(UserError, match="a repair was cut off") as caught:
        open_store(place.folder.parent)
    assert caught.value.code == "database-broken"
    command = [sys.executable, "-c", "import sys; file = open(sys.argv[1]); sys.stdin.read()", str(place.path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE)
    while not holders(place.path):
        assert holder.poll() is None
    with pytest.raises(UserError, match="puts its log back needs it alone"):
        repair(place)
    holder.communicate()
    report = repair(place)
    assert (report.sound, report.lost_count, report.everything_lost) == (True, 0, False)
    assert notes(place) == EVERY
    assert verify(place).sound


def test_it_is_told_by_another_name_too(files: Files, copied: Copied, tmp_path: Path) -> None:
    """The log lies where the link leads."""
    place = copied(flip(files["-wal"], 8 * (TENTH + 99)))
    (tmp_path / "linked.db").symlink_to(place.path)
    with pytest.raises(UserError, match="frame 10 of its log is damaged"):
        Store.open(tmp_path / "linked.db")


READ_ONLY = """
import ctypes, os, sys
from pathlib import Path
if os.geteuid() == 0:  # root without its capabilities is bound by the rights of the folder
    ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
from aqe.engine.memory.care import Place, verify
print([one.what for one in verify(Place(Path(sys.argv[1]))).findings])
"""


@pytest.mark.parametrize("damage", [True, False], ids=["damaged", "sound"])
def test_it_is_told_where_nothing_can_be_written(files: Files, copied: Copied, damage: bool) -> None:
    """SQLite says there not even how far it reads."""
    log = files["-wal"]
    place = copied(flip(log, 8 * (TENTH + 99)) if damage else log)
    folder = place.path.parent
    for path in [*folder.iterdir(), folder]:
        path.chmod(path.stat().st_mode & 0o555)
    command = [sys.executable, "-c", READ_ONLY, str(place.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert ("frame 10 of its log is damaged" in done.stdout, done.stdout == "[]\n") == (damage, not damage)


def test_a_log_of_before_is_not_put_over_what_came_since(files: Files, copied: Copied) -> None:
    """Where the file is kept under a second name, what is added is in both, and stays."""
    place = copied(files["-wal"])
    kept = place.folder / "backups" / "damaged-20260101T000000Z.db"
    kept.parent.mkdir()
    kept.hardlink_to(place.path)
    place.path.with_name("aqe.db-wal").rename(f"{kept}-wal")
    place.path.with_name("aqe.db-shm").unlink()
    with Store.open(place.path) as store:
        store.add("came since", id="since")
    assert verify(place).sound
    assert repair(place).how == "nothing"
    assert list(notes(place)) == ["since"]
