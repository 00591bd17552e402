"""Backups and their way back, on real files with other processes at work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from aqe.engine.errors import Cancelled, UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, back_up, repair, restore, verify
from aqe.engine.memory.graph import Edge, add_edges
from aqe.engine.memory.graph.adjacency import read_edge_number
from aqe.engine.privacy import audit
from aqe.engine.progress import CancelToken

Make = Callable[..., Place]
SLOW = pytest.mark.services

WRITER = """
import sys
from pathlib import Path
from aqe.engine.memory import Store
with Store.open(Path(sys.argv[1])) as store:
    number = 0
    print("ready", flush=True)
    while not Path(sys.argv[2]).exists():
        store.add(f"written meanwhile {number} " * 40, id=f"w{number}")
        number += 1
    print(number)
"""

SERVER = """
import sys
from pathlib import Path
from aqe.engine.memory import Store
with Store.open(Path(sys.argv[1]), key=sys.argv[2] or None) as store:
    for _ in sys.stdin:
        found = store.search("note", k=1000).hits
        near = store.search(vector=[3.0, 1.0, 2.0], embedder_id="toy", k=1).hits
        print(len(found), store.stats().memories, near[0].memory.id if near else "-", store.changes(), flush=True)
"""


def opened(place: Place) -> Store:
    return Store.open(place.path, key=place.key)


def refused(code: str, function: Callable[..., object], *given: object, **options: object) -> UserError:
    with pytest.raises(UserError) as caught:
        function(*given, **options)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)
    return caught.value


def asked(server: subprocess.Popen[str]) -> list[str]:
    """What `SERVER` finds now."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    return server.stdout.readline().split()


def test_backup_is_one_file_that_holds_everything(place: Place, tmp_path: Path) -> None:
    """A backup opens by itself under the store's key with all memories, and nothing lies beside it."""
    target = tmp_path / "out" / "b.db"
    target.parent.mkdir()
    report = back_up(place, target)
    assert (report.memories, report.encrypted, report.bytes) == (20, place.key is not None, target.stat().st_size)
    assert [path.name for path in target.parent.iterdir()] == ["b.db"]
    assert (target.read_bytes()[:15] == b"SQLite format 3") == (place.key is None)
    with Store.open(target, key=place.key) as copy:
        assert copy.vector("7") == (7.0, 1.0, 2.0)
        assert len(copy.search("note", k=100).hits) == 20


@pytest.mark.services
def test_backup_while_another_process_writes_is_of_one_moment(make_place: Make, tmp_path: Path) -> None:
    """A backup taken during another process's writes is sound, and that process writes on."""
    place, stop = make_place(), tmp_path / "stop"
    command = [sys.executable, "-c", WRITER, str(place.path), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        try:
            reports = [back_up(place, tmp_path / f"b{number}.db") for number in range(3)]
        finally:
            stop.touch()
        written = int(writer.stdout.read())
    assert all(verify(place, tmp_path / f"b{number}.db").sound for number in range(3))
    assert [20 <= report.memories <= 20 + written for report in reports] == [True] * 3
    with opened(place) as store:
        assert store.stats().memories == 20 + written


def test_dry_run_writes_nothing(make_place: Make, tmp_path: Path) -> None:
    """A dry run says what the backup would hold and makes no file."""
    place = make_place()
    before = sorted(path.name for path in tmp_path.rglob("*") if "-" not in path.name)
    assert back_up(place, tmp_path / "b.db", dry_run=True).memories == 20
    assert sorted(path.name for path in tmp_path.rglob("*") if "-" not in path.name) == before


def test_file_that_is_there_is_replaced_only_on_request(make_place: Make, tmp_path: Path) -> None:
    """An existing target, a folder and a missing folder are refused; --force replaces a file."""
    place, target = make_place(), tmp_path / "b.db"
    target.write_text("mine")
    refused("bad-output", back_up, place, target)
    refused("bad-output", back_up, place, tmp_path)
    refused("bad-output", back_up, place, tmp_path / "none" / "b.db")
    assert target.read_text() == "mine"
    assert back_up(place, target, force=True).memories == 20


def test_backup_of_nothing_is_one_sentence(tmp_path: Path) -> None:
    """Where nothing is kept there is nothing to back up, and no database is made."""
    refused("no-such-path", back_up, Place(tmp_path / "aqe.db"), tmp_path / "b.db")
    assert list(tmp_path.iterdir()) == []


def test_cancelled_backup_leaves_no_file(make_place: Make, tmp_path: Path) -> None:
    """A backup that is cancelled raises and leaves neither the file nor a part of it."""
    place, cancel = make_place(), CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        back_up(place, tmp_path / "b.db", cancel=cancel)
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_restored_store_is_the_backup_and_open_processes_see_it(place: Place, tmp_path: Path) -> None:
    """A process that has the store open finds the restored memories by words and vector at its next search."""
    back_up(place, tmp_path / "b.db")
    with opened(place) as store:
        store.delete("3", erase=True)
        store.add_many(NewMemory(f"note of later {number}") for number in range(30))
    command = [sys.executable, "-c", SERVER, str(place.path), place.key or ""]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        before = [asked(server) for _ in range(6)][-1]
        report = restore(place, tmp_path / "b.db")
        after = asked(server)
    assert (before[:2], after[:3]) == (["49", "49"], ["20", "20", "3"])
    assert int(after[3]) > int(before[3])
    assert (report.memories, report.memories_before) == (20, 49)
    assert verify(place).sound


def test_a_restore_says_what_is_damaged_in_the_backup(make_place: Make, tmp_path: Path) -> None:
    """A flipped bit of a text in a backup is told when it comes in, and what a repair would do is still there to do."""
    place = make_place(5)
    back_up(place, tmp_path / "b.db")
    data = (tmp_path / "b.db").read_bytes()
    assert data.count(b"part 21 is kept") == 1
    (tmp_path / "b.db").write_bytes(data.replace(b"part 21 is kept", b"part 21 is kepu"))
    (told,) = [one for one in restore(place, tmp_path / "b.db", dry_run=True).findings if one.startswith("texts")]
    assert "1 text does not match its hash" in told
    assert restore(place, tmp_path / "b.db").findings
    assert repair(place).mended.corrected == 1
    assert verify(place).sound
    assert restore(place, tmp_path / "b.db", dry_run=True).findings


@pytest.mark.services
def test_what_a_restore_replaces_is_kept_and_can_be_restored(place: Place, tmp_path: Path) -> None:
    """The file kept before a restore brings the earlier state back; of such files the newest stay."""
    back_up(place, tmp_path / "b.db")
    with opened(place) as store:
        store.add("later", id="later")
    kept = Path(restore(place, tmp_path / "b.db", copies=2).kept)
    assert kept.parent == place.folder / "backups"
    restore(place, kept, copies=2)
    restore(place, kept, copies=2)
    with opened(place) as store:
        assert store.get("later") is not None
    assert len(list(kept.parent.iterdir())) == 2


@pytest.mark.services
def test_dry_run_of_a_restore_changes_nothing(place: Place, tmp_path: Path) -> None:
    """A dry run says what a restore would bring and leaves the store as it is."""
    back_up(place, tmp_path / "b.db")
    with opened(place) as store:
        store.add("later", id="later")
    report = restore(place, tmp_path / "b.db", dry_run=True)
    assert (report.memories, report.memories_before, report.kept) == (20, 21, "")
    assert sorted(path.name for path in place.folder.iterdir() if "-" not in path.name) == ["aqe.db"]
    with opened(place) as store:
        assert store.get("later") is not None


@pytest.mark.services
@pytest.mark.parametrize(
    ("here", "there"), [(None, "k"), pytest.param("k", None, marks=SLOW), pytest.param("k", "other", marks=SLOW)]
)
def test_store_keeps_its_own_key_over_a_restore(
    make_place: Make, tmp_path: Path, here: str | None, there: str | None
) -> None:
    """A backup with another key, or none, comes into a store under that store's key."""
    place, source = make_place(1, key=here), make_place(5, key=there, name="source")
    back_up(source, tmp_path / "b.db")
    report = restore(place, tmp_path / "b.db", keys=(there,))
    assert report.now_in_clear == (there is not None and here is None)
    with Store.open(place.path, key=here) as store:
        assert (store.stats().memories, store.vector("4")) == (5, (4.0, 1.0, 2.0))
    assert (place.path.read_bytes()[:15] == b"SQLite format 3") == (here is None)


@pytest.mark.services
def test_backup_with_an_unknown_key_is_refused(make_place: Make, tmp_path: Path) -> None:
    """A backup that no given key opens is refused with database-key, and the store stays."""
    place, source = make_place(3), make_place(5, key="k", name="source")
    back_up(source, tmp_path / "b.db")
    refused("database-key", restore, place, tmp_path / "b.db", keys=("wrong",))
    with opened(place) as store:
        assert store.stats().memories == 3


@pytest.mark.services
def test_earlier_backup_is_brought_up_to_date(make_place: Make, repository: Path) -> None:
    """A backup of an earlier version is migrated on its way in; the file itself stays as it was."""
    place, old = make_place(3), repository / "tests" / "engine" / "stored" / "v1.db"
    before = old.read_bytes()
    report = restore(place, old)
    assert report.migrated > 10
    assert old.read_bytes() == before
    with opened(place) as store:
        assert store.stats().memories == 3
        assert store.get("id-0") is not None
    assert [path.name for path in place.folder.glob("*.bak")] == []


def test_increment_whose_backup_moved_says_how_to_name_it(make_place: Make, tmp_path: Path) -> None:
    """An incremental backup without the one that it rests on beside it names that one and --base, and works with it."""
    place, moved = make_place(3), tmp_path / "elsewhere.db"
    back_up(place, tmp_path / "whole.db")
    back_up(place, tmp_path / "later.db", since=tmp_path / "whole.db")
    (tmp_path / "whole.db").rename(moved)
    with pytest.raises(UserError, match=r"rests on the backup 'whole\.db'.* with --base"):
        restore(place, tmp_path / "later.db")
    assert restore(place, tmp_path / "later.db", base=moved).memories == 3


@pytest.mark.parametrize(("name", "what"), [("folder", "is a folder"), ("pipe", "is a device or a pipe")])
def test_what_is_no_file_is_no_backup(make_place: Make, tmp_path: Path, name: str, what: str) -> None:
    """A folder is called one, and nobody waits for what somebody writes into a pipe."""
    place, file = make_place(1), tmp_path / name
    file.mkdir() if name == "folder" else os.mkfifo(file)
    for work in (
        lambda: restore(place, file),
        lambda: verify(place, file),
        lambda: back_up(place, tmp_path / "new.db", since=file),
    ):
        with pytest.raises(UserError, match=what) as caught:
            work()
        assert caught.value.code == "no-such-path"


def test_newer_foreign_damaged_empty_and_missing_files_are_refused(make_place: Make, tmp_path: Path) -> None:
    """A backup of a newer aqe, of another program, damaged, empty or missing is refused; the store stays as it was."""
    place = make_place(3)
    newer, foreign, damaged = (tmp_path / f"{name}.db" for name in ("newer", "foreign", "damaged"))
    back_up(place, newer)
    damaged.write_bytes(newer.read_bytes()[:9000] + b"\xa5" * 50_000)
    with_version = apsw.Connection(str(newer))
    with_version.pragma("user_version", 999)
    with_version.close()
    other = apsw.Connection(str(foreign))
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database at all\n" * 50)
    refused("database-newer", restore, place, newer)
    refused("database-broken", restore, place, foreign)
    with pytest.raises(UserError, match=r"Restore another backup than 'damaged\.db'"):
        restore(place, damaged)
    refused("database-broken", restore, place, tmp_path / "empty.db")
    refused("database-key", restore, place, tmp_path / "text.db")
    refused("no-such-path", restore, place, tmp_path / "none.db")
    with opened(place) as store:
        assert store.stats().memories == 3


def test_emptied_store_is_not_sound(make_place: Make, tmp_path: Path) -> None:
    """A store whose file was emptied is told from a sound one, also when it was looked at before; a backup mends it."""
    place = make_place(3)
    back_up(place, tmp_path / "b.db")
    place.path.write_bytes(b"")
    os.utime(place.path, (0, 0))
    for _ in range(2):
        assert [finding.what for finding in verify(place).findings] == [
            f"The database {str(place.path)!r} is broken: it is empty"
        ]
    restore(place, tmp_path / "b.db")
    assert verify(place).sound


@pytest.mark.services
def test_damaged_store_is_replaced_and_kept(make_place: Make, tmp_path: Path) -> None:
    """A restore over a file that is no database any more keeps that file and brings the backup."""
    place = make_place()
    back_up(place, tmp_path / "b.db")
    place.path.write_bytes(b"\0" * 20_000)
    report = restore(place, tmp_path / "b.db")
    assert Path(report.kept).read_bytes() == b"\0" * 20_000
    with opened(place) as store:
        assert store.stats().memories == 20


@pytest.mark.services
def test_restore_over_a_damaged_file_in_use_names_who_has_it(make_place: Make, tmp_path: Path) -> None:
    """While another process has a damaged file open it is not replaced, and the error names that process."""
    place = make_place()
    back_up(place, tmp_path / "b.db")
    place.path.write_bytes(b"\0" * 20_000)
    command = [sys.executable, "-c", f"import sys; f = open({str(place.path)!r}, 'rb'); print(1, flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        if Path("/proc").is_dir():
            error = refused("database-locked", restore, place, tmp_path / "b.db")
            assert f"process {other.pid} " in error.message
        other.communicate("\n")
    assert restore(place, tmp_path / "b.db").memories == 20


@pytest.mark.services
def test_restore_keeps_the_audit_log_and_consents(make_place: Make, tmp_path: Path) -> None:
    """What left this machine after the backup is still in the audit log once the backup is restored."""
    place = make_place()
    back_up(place, tmp_path / "b.db")
    with opened(place) as store:
        audit.append(store, "sent", recipient="openai", purpose="query", mode="balanced", payload="x")
    restore(place, tmp_path / "b.db")
    with opened(place) as store, store.reading() as connection:
        assert connection.execute("SELECT recipient FROM audit").fetchall() == [("openai",)]


def test_increment_holds_only_what_changed_and_restores_with_its_base(place: Place, tmp_path: Path) -> None:
    """An incremental backup is small, and it and the backup it rests on bring back rows, words and vectors."""
    with opened(place) as store:
        store.add_many(NewMemory(f"filler {number} " * 30) for number in range(300))
    base, later = tmp_path / "base.db", tmp_path / "later.db"
    back_up(place, base)
    with opened(place) as store:
        store.update("4", text="another text")
        store.delete("5")
        store.add("of seven numbers", id="seven", vector=[1.0] * 7, embedder_id="wide")
    report = back_up(place, later, since=base)
    assert report.bytes < base.stat().st_size / 4
    with opened(place) as store:
        store.delete("seven")
        store.delete("6")
    restored = restore(place, later)
    assert (restored.memories, restored.memories_before) == (320, 318)
    with opened(place) as store:
        assert store.vector("seven") == (1.0,) * 7
        assert (store.get("5"), store.vector("6")) == (None, (6.0, 1.0, 2.0))
        assert [hit.memory.id for hit in store.search("another text").hits] == ["4"]
    assert verify(place).sound


@pytest.mark.services
def test_increment_without_its_base_is_refused(make_place: Make, tmp_path: Path) -> None:
    """An increment alone, with another base, or as the base of another one is refused; beside its base it is sound."""
    place, other = make_place(), make_place(2, name="other")
    base, later, theirs = tmp_path / "base.db", tmp_path / "later.db", tmp_path / "theirs.db"
    back_up(place, base)
    back_up(other, theirs)
    back_up(place, later, since=base)
    assert verify(place, later).sound
    refused("bad-backup", restore, place, later, base=theirs)
    refused("bad-backup", back_up, place, tmp_path / "x.db", since=later)
    base.rename(tmp_path / "moved.db")
    refused("no-such-path", restore, place, later)
    refused("no-such-path", verify, place, later)
    assert restore(place, later, base=tmp_path / "moved.db").memories == 20
    assert not (tmp_path / "x.db").exists()


def test_backup_destroys_neither_the_store_nor_its_base(make_place: Make, tmp_path: Path) -> None:
    """A target that is the store, its log, its folder's or the base of the increment is refused, by any of its names,
    and the store is no base; a pipe is no target, and neither is a name that SQLite cannot say."""
    place, base = make_place(3), tmp_path / "base.db"
    back_up(place, base)
    (tmp_path / "link.db").symlink_to(place.path)
    content = [place.path.read_bytes(), base.read_bytes()]
    inside = ("aqe.db", "aqe.db-wal", "aqe.db-shm", "key-id", "other.db", "backups/../aqe.db")
    (place.folder / "backups").mkdir()
    for target in (*(place.folder / name for name in inside), tmp_path / "link.db"):
        refused("bad-output", back_up, place, target, force=True)
    refused("bad-output", back_up, place, base, since=base, force=True)
    refused("bad-backup", back_up, place, tmp_path / "x.db", since=place.path)
    os.mkfifo(tmp_path / "pipe.db")
    refused("bad-output", back_up, place, tmp_path / "pipe.db", force=True)
    refused("bad-output", back_up, place, tmp_path / "half\udcff.db")
    refused("no-such-path", verify, place, tmp_path / "half\udcff.db")
    assert [place.path.read_bytes(), base.read_bytes()] == content
    assert back_up(place, place.folder / "backups" / "mine.db").memories == 3


def test_count_of_edge_changes_never_comes_back(make_place: Make, tmp_path: Path) -> None:
    """After a restore the edges have a number that neither the store nor the backup had, so that who holds edges reads
    them anew."""
    place = make_place(3)
    back_up(place, tmp_path / "b.db")
    numbers = []
    with Store.open(place.path) as store:
        for change in (
            lambda: add_edges(store, [Edge("covers", (("default", "0"), ("default", "1")))]),
            lambda: restore(place, tmp_path / "b.db"),
        ):
            change()
            with store.reading() as connection:
                numbers.append(read_edge_number(connection))
    assert 0 < numbers[0] < numbers[1]


def test_backup_of_another_project_is_no_base(make_place: Make, tmp_path: Path) -> None:
    """An increment rests on a backup of the same store, also after a restore of it into another project."""
    place, other = make_place(3), make_place(3, name="other")
    back_up(place, tmp_path / "b.db")
    refused("bad-backup", back_up, other, tmp_path / "x.db", since=tmp_path / "b.db")
    restore(other, tmp_path / "b.db")
    assert back_up(other, tmp_path / "x.db", since=tmp_path / "b.db").memories == 3


def test_link_to_a_backup_stays_a_link(make_place: Make, tmp_path: Path) -> None:
    """A target that is a link is written where it leads; one that leads nowhere counts as there."""
    place, link = make_place(3), tmp_path / "link.db"
    (tmp_path / "far").mkdir()
    link.symlink_to(tmp_path / "far" / "real.db")
    refused("bad-output", back_up, place, link)
    assert back_up(place, link, force=True).memories == 3
    assert (link.is_symlink(), verify(place, tmp_path / "far" / "real.db").sound) == (True, True)


def test_copies_have_the_rights_of_the_store(make_place: Make, tmp_path: Path) -> None:
    """Whatever the user's mask, a backup and the kept copy of a store that is for its user alone are so too."""
    place = make_place(3)
    place.path.chmod(0o600)
    back_up(place, tmp_path / "b.db")
    kept = Path(restore(place, tmp_path / "b.db").kept)
    rights = [path.stat().st_mode & 0o777 for path in (place.path, tmp_path / "b.db", kept)]
    assert rights == [0o600] * 3 or sys.platform == "win32"
