"""Bringing a store up to date as a command does, trying it first, and the way back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, verify
from aqe.engine.memory.care.migrating import NEWEST, bring_up_to_date, take_back
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.file.migrations import version_before

Make = Callable[..., Place]

MIGRATOR = """
import sys
from pathlib import Path
from aqe.engine.memory.care import Place
from aqe.engine.memory.care.migrating import bring_up_to_date
print(len(bring_up_to_date(Place(Path(sys.argv[1]))).steps))
"""


@pytest.fixture
def old(tmp_path: Path, repository: Path) -> Place:
    """A store as the first version left it."""
    folder = tmp_path / "project" / ".aqe"
    folder.mkdir(parents=True)
    shutil.copy(repository / "tests" / "engine" / "stored" / "v1.db", folder / "aqe.db")
    return Place(folder / "aqe.db")


def version_of(place: Place) -> int:
    connection = open_connection(place.path, key=place.key)
    try:
        return int(connection.pragma("user_version"))
    finally:
        connection.close()


def test_dry_run_names_the_steps_and_applies_none(old: Place) -> None:
    """A dry run tries the steps on a copy that is gone afterwards; no byte of the store changes."""
    before = old.path.read_bytes()
    report = bring_up_to_date(old, dry_run=True)
    assert (report.before, report.version, report.newest, len(report.steps)) == (1, 1, NEWEST, NEWEST - 1)
    assert old.path.read_bytes() == before
    assert version_of(old) == 1
    assert sorted(path.name for path in old.folder.iterdir() if "-" not in path.name) == ["aqe.db"]


def test_steps_are_applied_after_a_copy_and_taken_back(old: Place) -> None:
    """The copy of before stands beside the migrated store; the way back brings that version and keeps the newer one."""
    report = bring_up_to_date(old)
    assert (report.before, report.version, len(report.steps)) == (1, NEWEST, NEWEST - 1)
    assert Path(report.backup).name == "aqe.db.v1.bak"
    assert verify(old).sound
    with Store.open(old.path) as store:
        store.add("written since", id="since")
    assert take_back(old, dry_run=True).version == NEWEST
    back = take_back(old)
    assert (back.before, back.version, version_of(old)) == (NEWEST, 1, 1)
    with Store.open(Path(back.backup)) as kept:
        assert kept.get("since") is not None
    assert bring_up_to_date(old).version == NEWEST


@pytest.mark.services
def test_newest_version_has_nothing_to_do(make_place: Make) -> None:
    """A store at the newest version has no pending steps, no copy, and no way back."""
    place = make_place(1)
    report = bring_up_to_date(place)
    assert (report.steps, report.backup) == ((), "")
    with pytest.raises(UserError) as caught:
        take_back(place)
    assert caught.value.code == "no-such-path"


@pytest.mark.services
def test_processes_that_migrate_at_once_migrate_once(old: Place) -> None:
    """Three processes that bring a store up to date together apply each step once, and all end well."""
    command = [sys.executable, "-c", MIGRATOR, str(old.path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    applied = [int(process.communicate(timeout=100)[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum(applied) == NEWEST - 1
    connection = open_connection(old.path)
    numbers = [number for (number,) in connection.execute("SELECT number FROM migrations ORDER BY number")]
    connection.close()
    assert numbers == list(range(1, NEWEST + 1))
    assert sorted(path.name for path in old.folder.glob("*.bak")) == ["aqe.db.v1.bak"]


def test_copy_of_a_version_in_between_is_not_the_way_back(old: Place) -> None:
    """The way back leads to the version before the last migration, though a copy of a higher one lies beside it, and
    where it is gone to the highest that is below the version of now."""
    for version in (9, NEWEST):
        shutil.copy(old.path, old.path.with_name(f"aqe.db.v{version}.bak"))
    bring_up_to_date(old)
    assert take_back(old, dry_run=True).version == NEWEST
    connection = open_connection(old.path.with_name("aqe.db.v9.bak"))
    connection.execute("DELETE FROM memories")
    connection.close()
    assert (take_back(old).version, verify(old).memories) == (1, 3)
    bring_up_to_date(old)
    old.path.with_name("aqe.db.v1.bak").unlink()
    take_back(old)
    assert verify(old).memories == 0


@pytest.mark.parametrize(
    ("applied_at", "before"),
    [([1, 1, 1], 0), ([1, 1, 9, 9], 2), ([1, 5, 9], 0), ([1, 10**8, 10**8 + 5], 1), ([1, 1, 9], 2), ([], 0)],
)
def test_version_before_is_that_before_the_steps_that_were_applied_together(applied_at: list[int], before: int) -> None:
    """The steps of one migration have one moment; of those that were applied one by one each followed soon."""
    connection = apsw.Connection(":memory:")
    if applied_at:
        connection.execute("CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT, applied_at INTEGER)")
        connection.executemany("INSERT INTO migrations VALUES (?, '', ?)", list(enumerate(applied_at, 1)))
    assert version_before(connection) == before
    connection.close()


def test_newer_store_is_refused(make_place: Make) -> None:
    """A store of a newer aqe is neither migrated nor tried."""
    place = make_place(1)
    connection = open_connection(place.path)
    connection.pragma("user_version", 999)
    connection.close()
    for dry_run in (True, False):
        with pytest.raises(UserError) as caught:
            bring_up_to_date(place, dry_run=dry_run)
        assert caught.value.code == "database-newer"
