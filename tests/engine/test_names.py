"""Names of memories: looked up once, read ahead in the background, and read anew when their row changes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aqe.engine.memory import NewMemory, Provenance, Store
from aqe.engine.memory.file.changelog import read_number
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.memory.search import ahead
from aqe.engine.memory.search.names import Named, Names


def weigh(namespace: str, text: str) -> int:
    return len(namespace) + len(text)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of forty notes, the last of them about a file."""
    (tmp_path / "rates.md").write_text("three")
    with Store.open(tmp_path / "aqe.db", growth=GrowthRules(root=tmp_path)) as opened:
        notes = [NewMemory("note " + "x" * at, namespace="notes", id=f"n{at}") for at in range(39)]
        opened.keep([*notes, NewMemory("the rate", namespace="notes", id="n39", provenance=Provenance("rates.md", 1))])
        yield opened


@pytest.fixture
def known(store: Store) -> Iterator[Names]:
    """Names of that store, which no search has asked yet."""
    made = Names(store.path, reopen=open_connection)
    yield made
    made.close()


def told(known: Names, store: Store, ids: list[str]) -> list[Named]:
    """What the current rows of some ids are called."""
    with store.reading() as connection:
        sql = "SELECT row FROM memories WHERE id = ? ORDER BY revision DESC LIMIT 1"
        rows = [int(connection.execute(sql, (id,)).get) for id in ids]
        return known.of(connection, read_number(connection), [(row, 0.5, None, None) for row in rows], weigh)


def reading() -> list[threading.Thread]:
    """The threads that read names in the background now."""
    return [thread for thread in threading.enumerate() if thread.name == "aqe-names"]


def read_ahead(known: Names, store: Store) -> None:
    """As many questions as it takes, and the end of what they begin."""
    for at in range(ahead.LOOKED_UP):
        told(known, store, [f"n{at}"])
    for thread in reading():
        thread.join()


def expected(at: int) -> Named:
    return ("notes", f"n{at}"), 10 + at, None


def test_name_tells_what_a_question_needs(known: Names, store: Store) -> None:
    """Namespace and id, what the text weighs, and the file that it is about, in the order of what was found."""
    found = told(known, store, ["n7", "n39", "n0"])
    assert [found[0], found[2]] == [expected(7), expected(0)]
    (file, digest) = found[1][2] or ("", "")
    assert (file, len(digest)) == ("rates.md", 32)


def test_names_are_read_ahead(known: Names, store: Store) -> None:
    """After a few questions that had to look names up, none has to any more."""
    read_ahead(known, store)
    assert told(known, store, [f"n{at}" for at in range(39)]) == [expected(at) for at in range(39)]
    assert known._rows._looked_up == ahead.LOOKED_UP


def test_what_changed_since_is_read_anew(known: Names, store: Store) -> None:
    """A new text weighs what it weighs, whether it came before what was read ahead is used or after."""
    read_ahead(known, store)
    store.update("n5", namespace="notes", text="short")
    store.delete("n6", namespace="notes", erase=True)
    store.add("another", namespace="notes", id="n6")
    assert told(known, store, ["n5", "n6", "n7"]) == [
        (("notes", "n5"), 10, None),
        (("notes", "n6"), 12, None),
        expected(7),
    ]
    store.update("n7", namespace="notes", text="tiny")
    assert told(known, store, ["n7", "n8"]) == [(("notes", "n7"), 9, None), expected(8)]


def test_more_memories_than_are_kept_are_named_all_the_same(
    known: Names, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit the oldest go, and what is asked for is read."""
    monkeypatch.setattr(known._rows, "_most", 8)
    read_ahead(known, store)
    for at in range(0, 39, 3):
        wanted = [at, (at + 20) % 39, (at + 31) % 39]
        assert told(known, store, [f"n{one}" for one in wanted]) == [expected(one) for one in wanted]
    assert len(known._rows.known) <= 8


def test_closing_ends_what_is_read_ahead(known: Names, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes a store does not wait for the pauses of the background."""
    monkeypatch.setattr(ahead, "PAUSE_S", 3600.0)
    for at in range(ahead.LOOKED_UP):
        told(known, store, [f"n{at}"])
    assert reading()
    known.close()
    assert not reading()
