"""A store whose file holds nothing any more is told, and never taken for a new one."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, verify


def long_ago(path: Path) -> None:
    """Let a file be too old to be in the making."""
    os.utime(path, (0, 0))


@pytest.mark.parametrize(("size", "why"), [(0, "it is empty"), (99, "it is cut off after 99 bytes")])
def test_file_cut_to_nothing_is_told_each_time_and_left_so(tmp_path: Path, size: int, why: str) -> None:
    """A file of less than what any database begins with is broken, for a search as for verify; looking leaves it as it
    is, and a repair begins anew and says that all is lost."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        store.add("one")
    path.write_bytes(path.read_bytes()[:size])
    long_ago(path)
    for _ in range(2):
        with pytest.raises(UserError, match=why) as caught:
            Store.open(path)
        assert caught.value.code == "database-broken"
        assert why in verify(Place(path)).findings[0].what
    assert path.stat().st_size == size
    report = repair(Place(path))
    assert (report.everything_lost, report.sound) == (True, True)
    assert verify(Place(path)).sound


def test_commits_in_the_log_of_an_emptied_file_are_saved(tmp_path: Path) -> None:
    """What stands in the log alone is not removed with the emptied file, and a repair saves it."""
    path, aside = tmp_path / "aqe.db", tmp_path / "aside"
    with Store.open(path) as store:
        store.add("only in the log")
        shutil.copytree(tmp_path, aside, ignore=lambda *_: ["aside"])
    path = aside / "aqe.db"
    path.write_bytes(b"")
    long_ago(path)
    with pytest.raises(UserError):
        Store.open(path)
    assert repair(Place(path)).memories == 1


def test_file_that_is_just_being_made_is_waited_for(tmp_path: Path) -> None:
    """A file that is empty for a moment, as while another process makes it, is opened as soon as it is not."""
    made, path = tmp_path / "made.db", tmp_path / "aqe.db"
    with Store.open(made) as store:
        store.add("one")
    path.touch()

    def make() -> None:
        time.sleep(0.05)
        os.replace(made, path)

    maker = threading.Thread(target=make)
    maker.start()
    with Store.open(path) as store:
        assert [memory.text for memory in store.list()] == ["one"]
    maker.join()


def test_missing_file_is_a_new_store(tmp_path: Path) -> None:
    """Where the file is gone a new store begins, whatever lies beside."""
    (tmp_path / "backups").mkdir()
    with Store.open(tmp_path / "aqe.db") as store:
        assert store.list() == []
