"""The key of a store: set, changed, taken away, and wrong; what lies beside the store afterwards."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import keyring
import keyring.backend
import keyring.errors
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store, open_store
from aqe.engine.memory.care import Place, back_up, restore, verify
from aqe.engine.memory.care.clear import in_clear
from aqe.engine.memory.care.image import read_image
from aqe.engine.memory.care.sealing import seal
from aqe.engine.memory.file import keys
from aqe.engine.results import write_result

Make = Callable[..., Place]
WORD = b"unmistakable"

SEALER = """
import sys
from pathlib import Path
from aqe.engine.memory.care import Place
from aqe.engine.memory.care.sealing import seal
print("ready", flush=True)
seal(Place(Path(sys.argv[1]), sys.argv[2] or None), sys.argv[3] or None)
"""


class HeldKeyring(keyring.backend.KeyringBackend):
    """A keyring of this process; while `is_locked` it refuses everything, as a locked one does."""

    priority = 1

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._refuse()
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._refuse()
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._refuse()
        del self.held[service, username]

    def _refuse(self) -> None:
        if self.is_locked:
            raise keyring.errors.KeyringLocked("it is locked")


@pytest.fixture
def held() -> Iterator[HeldKeyring]:
    """The library's keyring is one of this process."""
    before, held = keyring.get_keyring(), HeldKeyring()
    keyring.set_keyring(held)
    yield held
    keyring.set_keyring(before)


def files_with_the_word(folder: Path) -> list[str]:
    return [path.name for path in sorted(folder.rglob("*")) if path.is_file() and WORD in path.read_bytes()]


def with_the_word(place: Place) -> None:
    with Store.open(place.path, key=place.key) as store:
        store.add(f"an {WORD.decode()} note", id="word", metadata={WORD.decode(): 1})


def test_encrypted_store_leaves_no_word_in_clear(make_place: Make, tmp_path: Path) -> None:
    """After a key was set no file of `.aqe` holds a word of what is kept: database, log, copies, results."""
    place, project = make_place(), tmp_path / "project"
    with_the_word(place)
    back_up(place, tmp_path / "b.db")
    restore(place, tmp_path / "b.db")
    shutil.copy(place.path, place.folder / "aqe.db.v3.bak")
    write_result(project, "memory-list", {"text": WORD.decode()})
    with Store.open(place.path) as store:
        for _ in range(6):  # so often that what is derived for searching is kept beside the database
            store.search(WORD.decode(), vector=[1.0, 1.0, 2.0], embedder_id="toy")
    assert len(files_with_the_word(place.folder)) >= 4
    report = seal(place, "a key")
    assert (report.was_encrypted, report.encrypted, report.in_clear) == (False, True, ())
    assert len(report.copies) == 2
    assert files_with_the_word(place.folder) == []
    assert in_clear([place.folder]) == []
    with Store.open(place.path, key="a key") as store:
        assert [hit.memory.id for hit in store.search(WORD.decode()).hits] == ["word"]
        assert store.vector("7") == (7.0, 1.0, 2.0)
    assert verify(Place(place.path, "a key")).sound


@pytest.mark.services
def test_key_is_changed_and_taken_away(make_place: Make) -> None:
    """A changed key opens the store and the old one does not; without a key it lies in clear again, all there."""
    place = make_place()
    seal(place, "one")
    seal(Place(place.path, "one"), "two")
    for wrong in ("one", None):
        with pytest.raises(UserError) as caught:
            Store.open(place.path, key=wrong).close()
        assert caught.value.code in ("database-key", "database-broken")
    seal(Place(place.path, "two"), None)
    with Store.open(place.path) as store:
        assert store.stats().memories == 20


@pytest.mark.services
def test_commits_in_the_log_come_over(make_place: Make) -> None:
    """What stands in the write-ahead log alone, because its writer was killed, is in the store under the new key."""
    place = make_place(3)
    script = (
        "import os, sys; from pathlib import Path; from aqe.engine.memory import Store\n"
        "Store.open(Path(sys.argv[1])).add('late', id='late'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(place.path)], check=True)
    assert place.path.with_name("aqe.db-wal").stat().st_size > 0
    seal(place, "k")
    assert not place.path.with_name("aqe.db-wal").exists()
    with Store.open(place.path, key="k") as store:
        assert store.get("late") is not None


@pytest.mark.services
def test_store_that_is_open_elsewhere_keeps_its_key(make_place: Make) -> None:
    """While another process has the store open its key is not changed, and the error names that process."""
    place = make_place(3)
    script = (
        "import sys; from pathlib import Path; from aqe.engine.memory import Store\n"
        "store = Store.open(Path(sys.argv[1])); store.list(); print(1, flush=True); input(); store.add('goes on')"
    )
    command = [sys.executable, "-c", script, str(place.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UserError) as caught:
            seal(place, "k")
        other.communicate("\n")
    assert caught.value.code == "database-locked"
    assert f"process {other.pid} " in caught.value.message or not Path("/proc/self/fd").is_dir()
    with Store.open(place.path) as store:
        assert store.stats().memories == 4
    assert sorted(path.name for path in place.folder.iterdir() if "-" not in path.name) == ["aqe.db"]


@pytest.mark.services
def test_wrong_key_changes_nothing(make_place: Make) -> None:
    """With a wrong key the store keeps its bytes."""
    place = make_place(3, key="k")
    before = place.path.read_bytes()
    with pytest.raises(UserError) as caught:
        seal(Place(place.path, "wrong"), "new")
    assert (caught.value.code, place.path.read_bytes() == before) == ("database-key", True)


@pytest.mark.services
def test_dry_run_changes_nothing(make_place: Make) -> None:
    """A dry run says what would be encrypted, and leaves it in clear."""
    place = make_place(3)
    report = seal(place, "k", dry_run=True)
    assert (report.was_encrypted, report.encrypted, report.dry_run) == (False, True, True)
    with Store.open(place.path) as store:
        assert store.stats().memories == 3


def test_keyring_gives_the_key(make_place: Make, held: HeldKeyring, tmp_path: Path) -> None:
    """Where the pointer lies the keyring gives the key; AQE_DB_KEY goes before it, and a clear store needs none."""
    place = make_place(3)
    name = keys.ensure_name(place.path)
    assert keys.store_key(place.path, {}) is None
    keys.write_key(name, "from the keyring")
    seal(place, "from the keyring")
    assert keys.store_key(place.path, {}) == "from the keyring"
    assert keys.store_key(place.path, {keys.KEY: "other"}) == "other"
    with open_store(tmp_path / "project", environ={}) as store:
        assert store.stats().memories == 3
    write_result(tmp_path / "project", "stats", {"secret": 1})
    assert not (place.folder / "results" / "stats.json").exists()


@pytest.mark.services
def test_key_that_is_about_to_take_over_opens_the_store_too(make_place: Make, held: HeldKeyring) -> None:
    """A change of key that was cut off leaves the store open to the key it has, be it the old or the new one."""
    place = make_place(3, key="old")
    name = keys.ensure_name(place.path)
    keys.write_key(name, "old")
    keys.write_key(name + keys.NEXT, "new")
    assert keys.store_key(place.path, {}) == "old"
    seal(Place(place.path, "old"), "new")
    assert keys.store_key(place.path, {}) == "new"


@pytest.mark.services
@pytest.mark.parametrize("trouble", ["locked", "empty", "missing"])
def test_keyring_that_cannot_be_used_is_one_sentence(
    make_place: Make, held: HeldKeyring, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """A locked keyring, one without the key, and a missing library each have their code and fix."""
    place = make_place(1)
    keys.ensure_name(place.path)
    seal(place, "k")
    held.is_locked = trouble == "locked"
    if trouble == "missing":
        monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(UserError) as caught:
        keys.store_key(place.path, {})
    codes = {"locked": "keyring-failed", "empty": "database-key", "missing": "missing-extra"}
    assert (caught.value.code, bool(caught.value.fix)) == (codes[trouble], True)


@pytest.mark.services
@pytest.mark.parametrize("seed", range(1, 11, 3))
def test_killed_change_of_key_leaves_one_key_or_the_other(make_place: Make, seed: int) -> None:
    """Killed at any moment, a change of key leaves a store that opens under the old or the new key with everything."""
    place = make_place(300, key="old")
    with Store.open(place.path, key="old") as store:
        store.add_many(NewMemory(f"filler {number} " * 200) for number in range(1500))
    command = [sys.executable, "-c", SEALER, str(place.path), "old", "new"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sealer:
        assert sealer.stdout is not None
        sealer.stdout.readline()
        try:
            sealer.wait(timeout=0.15 * seed)
        except subprocess.TimeoutExpired:
            sealer.send_signal(signal.SIGKILL)
    found = []
    for key in ("old", "new"):
        with contextlib.suppress(UserError), Store.open(place.path, key=key) as store:
            found.append(store.stats().memories)
    assert found == [1800]


@pytest.mark.services
def test_copy_that_cannot_be_encrypted_is_named(make_place: Make) -> None:
    """A damaged file that was kept aside lies in clear afterwards, and the report says so."""
    place = make_place(1)
    (place.folder / "backups").mkdir()
    (place.folder / "backups" / "damaged-x.db").write_bytes(b"SQLite format 3\0" + b"\xa5" * 9000)
    data = bytearray(place.path.read_bytes())
    data[9000:200_000] = b"\xa5" * 191_000
    (place.folder / "backups" / "damaged-y.db").write_bytes(data)
    report = seal(place, "k")
    assert report.in_clear == ("backups/damaged-x.db", "backups/damaged-y.db")
    assert (report.copies, report.left) == ((), report.in_clear)
    assert seal(Place(place.path, "k"), "l").left == report.in_clear


def test_other_name_of_the_file_keeps_its_content(make_place: Make, tmp_path: Path) -> None:
    """A hard link to the store, somebody's copy of it, is not overwritten by a change of the key, and is counted."""
    place, link = make_place(3), tmp_path / "mine.db"
    link.hardlink_to(place.path)
    assert seal(place, "k").other_names == 1
    assert verify(place, link).sound
    assert in_clear([place.folder]) == []


def test_store_behind_a_link_is_encrypted_where_it_lies(make_place: Make, tmp_path: Path) -> None:
    """A store that is a link stays one, and the file it leads to is the store under its new key."""
    place, real = make_place(3), tmp_path / "real.db"
    place.path.rename(real)
    place.path.symlink_to(real)
    seal(place, "k")
    assert place.path.is_symlink()
    assert verify(Place(real, "k")).memories == 3
    assert real.read_bytes()[:15] != b"SQLite format 3"


def test_what_a_killed_change_left_goes_with_the_next(make_place: Make) -> None:
    """What a process that runs no more left half written in clear is removed before the store is encrypted."""
    place = make_place(3)
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    for suffix in ("", "-journal"):
        (place.folder / f".aqe.db.{gone.pid}.0123abcd.part{suffix}").write_bytes(WORD)
    assert seal(place, "k").in_clear == ()
    assert files_with_the_word(place.folder) == []


def test_results_of_a_linked_worktree_go_too(make_place: Make, tmp_path: Path) -> None:
    """Where a git worktree shares the store, its derived files in clear are removed with the main ones."""
    place, linked = make_place(3), tmp_path / "linked"
    git = tmp_path / "project" / ".git" / "worktrees" / "linked"
    git.mkdir(parents=True)
    linked.mkdir()
    (git / "gitdir").write_text(f"{linked / '.git'}\n")
    (linked / ".git").write_text(f"gitdir: {git}\n")
    write_result(linked, "memory-list", {"text": WORD.decode()})
    assert files_with_the_word(linked) != []
    report = seal(place, "k")
    assert (files_with_the_word(linked), report.in_clear) == ([], ())


@pytest.mark.services
def test_backup_of_before_a_change_of_key_can_be_read(make_place: Make, held: HeldKeyring, tmp_path: Path) -> None:
    """Keys that were changed stay in the keyring, and a backup made under one of them is restored with it."""
    place = make_place(3, key="second")
    back_up(make_place(5, key="first", name="source"), tmp_path / "b.db")
    name = keys.ensure_name(place.path)
    for key in ("first", "second"):
        keys.keep_old(name, key)
    assert verify(place, tmp_path / "b.db").memories == 5
    assert restore(place, tmp_path / "b.db").memories == 5
    keys.forget(place.path)
    assert held.held == {}


def test_key_that_is_no_text_is_one_sentence(make_place: Make) -> None:
    """A key with bytes that are no UTF-8 is refused with its code."""
    with pytest.raises(UserError) as caught:
        keys.store_key(make_place(1).path, {keys.KEY: "a\udcff"})
    assert caught.value.code == "database-key"


@pytest.mark.parametrize(
    "given", ["raw:" + "ab" * 32, "raw:" + "Cd" * 48, "raw:" + "x" * 32, "raw:short", "RAW:" + "ab" * 32]
)
def test_pages_are_read_with_every_form_of_a_key(tmp_path: Path, given: str) -> None:
    """A key that is given raw opens the pages one by one as SQLite opens them with it."""
    connection = apsw.Connection(str(tmp_path / "a.db"))
    connection.pragma("key", given)
    connection.execute("CREATE TABLE a (x)")
    connection.close()
    with read_image(tmp_path / "a.db", given) as image:
        assert (image.bad, len(image.pages)) == ([], 2)
