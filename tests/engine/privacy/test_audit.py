"""The audit log says what left, never the text, and no change of it goes unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from aqe.engine.errors import GateFailed, UserError
from aqe.engine.memory import Store
from aqe.engine.privacy import audit

NOUGHTS = ":" + "0" * 64


@pytest.fixture
def logged(store: Store) -> Store:
    """A store with five entries in its log."""
    for number in range(5):
        audit.append(
            store,
            "sent",
            recipient="openai",
            purpose=f"query {number}",
            mode="balanced",
            payload=f"the text {number}",
            spans={"email": number},
        )
    return store


def test_entry_has_hash_and_size_but_not_the_text(logged: Store) -> None:
    """An entry tells bytes, SHA-256 and classes of what left; the text itself is nowhere in the file."""
    entry = audit.entries(logged)[3]
    assert (entry.number, entry.event, entry.recipient, entry.purpose) == (4, "sent", "openai", "query 3")
    assert entry.spans == {"email": 3}
    assert entry.bytes == len("the text 3")
    assert entry.payload_sha256 == hashlib.sha256(b"the text 3").hexdigest()
    logged.close()
    assert all(b"the text" not in file.read_bytes() for file in logged.path.parent.iterdir() if file.is_file())


def test_untouched_log_is_intact(logged: Store) -> None:
    """A log that nobody touched verifies and names its head."""
    found = audit.verify(logged)
    assert found.intact
    assert (found.entries, found.head) == (5, audit.entries(logged)[-1].hash)
    assert audit.verify(logged, known=(3, audit.entries(logged)[2].hash)).intact


def test_empty_log_is_intact(store: Store) -> None:
    """A log without entries verifies."""
    assert audit.verify(store) == audit.Verified(0, "", "")


def _run(sql: str) -> Callable[[Store], None]:
    def change(store: Store) -> None:
        with store.writing() as connection:
            connection.execute(sql)

    return change


def _swap(store: Store) -> None:
    columns = "at, event, recipient, purpose, mode, spans, bytes, payload_sha256, previous, hash"
    with store.writing() as connection:
        connection.execute(f"CREATE TEMP TABLE held AS SELECT number, {columns} FROM audit WHERE number IN (2, 3)")
        connection.execute("DELETE FROM audit WHERE number IN (2, 3)")
        connection.execute(f"INSERT INTO audit (number, {columns}) SELECT 5 - number, {columns} FROM held")


CHANGES = {
    "recipient": _run("UPDATE audit SET recipient = 'nobody' WHERE number = 2"),
    "time": _run("UPDATE audit SET at = at + 1 WHERE number = 2"),
    "spans": _run("UPDATE audit SET spans = '{}' WHERE number = 2"),
    "payload": _run("UPDATE audit SET payload_sha256 = '' WHERE number = 2"),
    "hash": _run("UPDATE audit SET hash = previous WHERE number = 2"),
    "deleted": _run("DELETE FROM audit WHERE number = 2"),
    "first deleted": _run("DELETE FROM audit WHERE number = 1"),
    "truncated": _run("DELETE FROM audit WHERE number >= 4"),
    "emptied": _run("DELETE FROM audit"),
    "reordered": _swap,
    "head taken": _run("DELETE FROM audit_head"),
    "head forged": _run("UPDATE audit_head SET number = 4"),
    "counter": _run("UPDATE sqlite_sequence SET seq = 'abc' WHERE name = 'audit'"),
    "no counter": _run("UPDATE sqlite_sequence SET seq = NULL WHERE name = 'audit'"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_found(logged: Store, change: str) -> None:
    """An entry changed, taken out, moved or cut off at the end breaks the log, and the check says where."""
    CHANGES[change](logged)
    found = audit.verify(logged)
    assert not found.intact
    assert found.problem


@pytest.mark.parametrize(
    "change",
    ["spans = '[1]'", 'spans = \'{"email": "x"}\'', "at = 9223372036854775807", "at = -1"],
)
def test_an_entry_that_nobody_wrote_is_told(logged: Store, change: str) -> None:
    """A log with an entry that cannot be read is broken, also for who only lists it."""
    _run(f"UPDATE audit SET {change} WHERE number = 4")(logged)
    with pytest.raises(GateFailed, match="entry 4 was changed"):
        audit.entries(logged)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM audit_head", "its head is not that of its last entry"),
        ("DROP TABLE audit_head", "its table audit_head is missing"),
        ("ALTER TABLE audit RENAME COLUMN spans TO spanz", "the column spans of its table audit is missing"),
    ],
)
def test_nothing_follows_in_a_log_that_was_changed(logged: Store, change: str, said: str) -> None:
    """Where an entry cannot be written since somebody changed the log, nothing leaves, and that is what is said."""
    _run(change)(logged)
    with pytest.raises(GateFailed, match=said) as caught:
        audit.append(logged, "sent", recipient="openai", purpose="query", mode="balanced", payload="x")
    assert caught.value.code == "audit-broken"


def test_truncation_with_its_head_is_found_by_a_noted_head(logged: Store) -> None:
    """Who cuts the end off and mends head and counter too is found by the head noted before."""
    noted = (5, audit.entries(logged)[-1].hash)
    fourth = audit.entries(logged)[3].hash
    with logged.writing() as connection:
        connection.execute("DELETE FROM audit WHERE number = 5")
        connection.execute("UPDATE audit_head SET number = 4, hash = ?", (fourth,))
        connection.execute("UPDATE sqlite_sequence SET seq = 4 WHERE name = 'audit'")
    assert audit.verify(logged).intact
    assert audit.verify(logged, known=noted).problem == "entry 5 is not the one that was noted"


def test_entry_is_durable_where_memory_is_not(tmp_path: Path) -> None:
    """While an entry is written SQLite syncs fully, and as the store is set before and after."""
    with Store.open(tmp_path / "aqe.db", durability="normal") as store:
        with store.reading() as connection:
            assert connection.pragma("synchronous") == 1
        with store.writing_durably() as connection:
            assert connection.pragma("synchronous") == 2
        with store.reading() as connection:
            assert connection.pragma("synchronous") == 1


@pytest.mark.parametrize(
    "text", ["", "5", "5:abc", f"x{NOUGHTS}", "5:" + "G" * 64, f"\u00b2{NOUGHTS}", "9" * 4400 + NOUGHTS]
)
def test_odd_head_is_a_mistake(text: str) -> None:
    """A head that no check printed is the user's mistake."""
    with pytest.raises(UserError) as caught:
        audit.parse_head(text)
    assert caught.value.code == "bad-argument"
