"""One repair at a time: a second one waits for the first, and one that is cancelled leaves nothing half written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.care.alone import LOCK
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.progress import Cancelled, CancelToken
from aqe.engine.sessions.table import SessionTable, new_turn
from tests.engine.care.damage import flip_in_file

Make = Callable[..., Place]

STOPPING = """
import sys
from pathlib import Path
from aqe.engine.memory.care import Place, repair

def stop(text, *_):
    if text.startswith(sys.argv[2]):
        sys.argv[2] = "never again"
        print(text, flush=True)
        input()

print(repair(Place(Path(sys.argv[1])), progress=stop).how)
"""


@pytest.fixture
def talked(make_place: Make) -> Place:
    """A store with a session of 40 turns, closed."""
    place = make_place()
    with Store.open(place.path) as store:
        sessions = SessionTable(store)
        session = sessions.create("talk")
        with store.writing() as connection:
            sessions.append(connection, session, [new_turn("user", f"turn {n} asks of totals", 8) for n in range(40)])
    return place


def turns(place: Place) -> list[Any]:
    with closing(open_connection(place.path)) as connection:
        return connection.execute("SELECT * FROM turns ORDER BY position").fetchall()


def flip_turns(place: Place, *numbers: int) -> None:
    for number in numbers:
        flip_in_file(place, f"turn {number} asks of totals".encode(), 41)


@contextmanager
def stopped(place: Place, text: str) -> Iterator[subprocess.Popen[str]]:
    """A repair in a process of its own that stands still where its progress says `text`, until it is told to go on."""
    command = [sys.executable, "-c", STOPPING, str(place.path), text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().startswith(text)
        try:
            yield other
        finally:
            other.kill()


@pytest.mark.parametrize("how", ["mended", "salvaged"])
def test_a_second_repair_waits_for_the_first(talked: Place, how: str) -> None:
    """While a repair runs another one says that it waits; when the first is done it finds nothing left to do, and what
    was damaged is kept once."""
    before = turns(talked)
    if how == "mended":
        flip_turns(talked, 17)
    else:
        with talked.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * 4096)
    told: list[str] = []
    with stopped(talked, "Putting turns" if how == "mended" else "Reading pages") as other:

        def go_on(text: str, *_: int) -> None:
            told.append(text)
            if text.startswith("Waiting") and not other.stdin.closed:  # type: ignore[union-attr]
                other.stdin.write("\n")  # type: ignore[union-attr]
                other.stdin.close()  # type: ignore[union-attr]

        report = repair(talked, progress=go_on)
        assert other.stdout is not None
        assert other.stdout.read().strip() == how
    assert "Waiting for another repair of this store" in told
    assert (report.how, report.sound, report.kept) == ("nothing", True, "")
    assert turns(talked) == before
    assert len(list((talked.folder / "backups").glob("*.db"))) == 1
    assert not (talked.folder / LOCK).exists()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX modes")
def test_the_lock_of_repairs_has_the_rights_of_the_store(talked: Place) -> None:
    """Whoever of a team may write the store may repair it, though a repair of somebody else's was killed."""
    talked.path.chmod(0o664)
    flip_turns(talked, 17)
    with stopped(talked, "Putting turns") as other:
        assert stat.S_IMODE(talked.path.with_name(LOCK).stat().st_mode) == 0o664
        other.kill()
        other.wait()
    assert talked.path.with_name(LOCK).exists()
    assert repair(talked).how == "mended"
    assert not talked.path.with_name(LOCK).exists()


@pytest.mark.services
def test_a_repair_that_waits_can_be_cancelled(talked: Place) -> None:
    """Cancelled while it waits, a repair ends and leaves the other one alone; one whose process ended is not waited
    for, also where its lock file stayed."""
    before = turns(talked)
    flip_turns(talked, 17)
    cancel = CancelToken()
    with stopped(talked, "Putting turns"):
        with pytest.raises(Cancelled):
            repair(
                talked, progress=lambda text, *_: cancel.cancel() if text.startswith("Wait") else None, cancel=cancel
            )
        assert (talked.folder / LOCK).exists()
    assert (talked.folder / LOCK).exists()
    assert repair(talked).how == "mended"
    assert turns(talked) == before


def test_a_repair_cancelled_between_two_rows_writes_neither(talked: Place) -> None:
    """Cancelled when one of three rows is right again, a repair leaves all three as they were and no copy behind; the
    next one puts all three right."""
    before = turns(talked)
    flip_turns(talked, 3, 17, 29)
    damaged, cancel, seen = turns(talked), CancelToken(), list[int]()

    def after_the_first(text: str, done: int = 0, total: int | None = None) -> None:
        if text.startswith("Putting turns"):
            seen.append(done)
            if done == 1:
                cancel.cancel()

    with pytest.raises(Cancelled):
        repair(talked, progress=after_the_first, cancel=cancel)
    assert seen == [0, 1]
    assert turns(talked) == damaged
    assert [one.check for one in verify(talked).findings] == ["other rows"]
    assert list(talked.folder.glob("**/*.db")) == [talked.path]
    report = repair(talked)
    assert (report.how, report.sound, report.mended.corrected, report.mended.other_rows) == ("mended", True, 3, 0)
    assert turns(talked) == before
