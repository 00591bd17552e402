"""What is read of rows in the background is taken over only where it is still what a search would read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.file.changelog import read_number
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.search import ahead
from aqe.engine.memory.search.names import Names, Weigh

COUNT = 40


def by_text(namespace: str, text: str) -> int:
    return len(text)


def by_place(namespace: str, text: str) -> int:
    return 1000 + len(namespace)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of some notes."""
    with Store.open(tmp_path / "aqe.db") as opened:
        opened.keep([NewMemory(f"note {at}", id=f"n{at}", vector=[1.0, 0.01 * at]) for at in range(COUNT)])
        yield opened


@pytest.fixture
def names(store: Store) -> Iterator[Names]:
    """Names of that store, which no search has asked yet."""
    made = Names(store.path, reopen=open_connection)
    yield made
    made.close()


def weights(names: Names, store: Store, places: Sequence[int], weigh: Weigh = by_text) -> list[int]:
    """What the notes at these places weigh."""
    with store.reading() as connection:
        sql = "SELECT row FROM memories WHERE id = ? AND valid_to IS NULL"
        rows = [int(connection.execute(sql, (f"n{at}",)).get) for at in places]
        found = names.of(connection, read_number(connection), [(row, 0.5, None, None) for row in rows], weigh)
    return [weight for _, weight, _ in found]


def read_aside(names: Names, store: Store, first: int = 0) -> None:
    """As many questions as it takes, and the end of what they begin, which none has taken over yet."""
    for at in range(first, first + ahead.LOOKED_UP):
        weights(names, store, [at])
    ended("aqe-names")


def ended(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()


def looked_up(names: Names, store: Store, places: Sequence[int]) -> bool:
    """Whether the file has to be asked for the notes at these places."""
    asked: list[str] = []
    with store.reading() as connection:

        def note(_: object, sql: str, __: object) -> bool:
            asked.append(sql)
            return True

        connection.exec_trace = note
        try:
            weights(names, store, places)
        finally:
            connection.exec_trace = None
    return any("text" in sql for sql in asked)


def test_what_was_weighed_otherwise_is_not_taken_over(names: Names, store: Store) -> None:
    """What was read ahead while texts were weighed by one measure is weighed anew once another one is asked for."""
    read_aside(names, store)
    assert weights(names, store, [20, 21], by_place) == [1007, 1007]
    assert weights(names, store, range(COUNT), by_place) == [1007] * COUNT


def test_reading_that_came_too_early_is_made_again(names: Names, store: Store) -> None:
    """What was read of a later moment than the search sees is refused, and read ahead again by the searches that
    follow: then none asks the file any more."""
    with store.reading() as connection:
        read_number(connection)
        with Store.open(store.path) as other:
            other.add("another note", id="later")
        read_aside(names, store)
        assert weights(names, store, [20]) == [7]
    read_aside(names, store, 10)
    assert not looked_up(names, store, range(COUNT))


@pytest.mark.parametrize("what", ["no JSON", "no text"])
def test_damaged_row_ends_reading_ahead_and_no_search(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """A row that cannot be read is told in the log by what reads ahead, which raises nothing in its thread; searches
    that do not find it go on."""
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    caplog.set_level(logging.INFO)
    with apsw.Connection(str(store.path)) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        connection.pragma("ignore_check_constraints", True)
        broken = "metadata = '{'" if what == "no JSON" else "metadata = CAST(x'7b22ff227d' AS TEXT)"
        connection.execute(f"UPDATE memories SET {broken} WHERE id = 'n0'")
    for at in range(2, 2 + 2 * ahead.LOOKED_UP):
        assert len(store.search(vector=[0.0, 1.0], k=at).hits) == at
        ended("aqe-rows")
    assert raised == []
    assert "Rows are read as they are found" in caplog.text
