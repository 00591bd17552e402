"""What changed since a moment."""

from __future__ import annotations

import shutil
from pathlib import Path

from aqe.engine.memory import Store
from aqe.engine.memory.file.changelog import Mark, read_mark, read_number, rows_since


def mark(store: Store) -> Mark:
    with store.reading() as connection:
        return read_mark(connection)


def since(store: Store, moment: Mark) -> list[int] | None:
    with store.reading() as connection:
        return rows_since(connection, moment)


def test_rows_that_were_added_changed_and_ended_are_named_once(store: Store) -> None:
    """The log names each row that was touched after a moment, and none that was touched before."""
    ids = [store.add(text) for text in ("one", "two", "three")]
    moment = mark(store)
    assert since(store, moment) == []
    store.update(ids[0], text="one again")
    store.delete(ids[1])
    assert since(store, moment) == [1, 2, 4]


def test_changes_of_another_process_are_named(store: Store) -> None:
    """A change through another connection stands in the same log."""
    moment = mark(store)
    with Store.open(store.path) as other:
        other.add("from elsewhere")
    assert since(store, moment) == [1]


def test_moment_of_another_history_is_told(store: Store, tmp_path: Path) -> None:
    """Of a copy that went another way than the file, a moment after the parting is not one of the file's."""
    store.add("shared")
    shared = mark(store)
    shutil.copy(store.path, tmp_path / "copy.db")
    shutil.copy(f"{store.path}-wal", tmp_path / "copy.db-wal")
    with Store.open(tmp_path / "copy.db") as copy:
        copy.add("only there")
        away = mark(copy)
    store.add("only here")
    assert mark(store).number == away.number
    assert since(store, away) is None
    assert since(store, shared) == [2]


def test_log_is_bounded(store: Store) -> None:
    """After a quarter of a million changes the oldest are dropped, and a moment among them is too long ago."""
    store.add("first")
    moment = mark(store)
    with store.writing() as connection:
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)"
            " INSERT INTO change_log (row, stamp) SELECT 1, i FROM n"
        )
        assert connection.execute("SELECT count(*) FROM change_log").get < 270_000
        assert read_number(connection) > 300_000
    assert since(store, moment) is None
