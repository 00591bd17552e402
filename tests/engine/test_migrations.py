"""Opening what earlier versions wrote."""

from __future__ import annotations

import functools
import os
import re
import shutil
from pathlib import Path

import apsw
import pytest

from aqe.engine.errors import InternalError
from aqe.engine.jobs import JobTable
from aqe.engine.memory import Store, spaces
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.file.migrations import MIGRATIONS, Migration, migrate, pending
from aqe.engine.memory.rows import COLUMNS, OF_TEXT
from aqe.engine.privacy import audit, consent
from aqe.engine.providers.configured import Recipient
from aqe.engine.requests import RequestTable
from aqe.engine.sessions.table import SessionTable

STORED = Path(__file__).resolve().parent / "stored"
NEWEST = MIGRATIONS[-1].number
EARLIER = [migration.number for migration in MIGRATIONS[:-1]]
FEW = {EARLIER[0], EARLIER[len(EARLIER) // 2], EARLIER[-1]}
"""The versions that the fast tier looks at in each way; that they open whole it asks of all."""


@pytest.fixture(params=[one if one in FEW else pytest.param(one, marks=pytest.mark.services) for one in EARLIER])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[int, Path]:
    """The version and a copy of a store that it wrote."""
    path = tmp_path / "aqe.db"
    shutil.copy(STORED / f"v{request.param}.db", path)
    return request.param, path


def test_numbers_and_names_are_in_order() -> None:
    """Migrations count from 1 without a gap, and no two share a name."""
    assert [migration.number for migration in MIGRATIONS] == list(range(1, NEWEST + 1))
    assert len({migration.name for migration in MIGRATIONS}) == NEWEST


@pytest.mark.parametrize("earlier", EARLIER, indirect=True)
def test_stored_file_of_each_earlier_version_opens_whole(earlier: tuple[int, Path]) -> None:
    """A store of each earlier version keeps its memories, found by id, words and vector."""
    version, path = earlier
    with Store.open(path) as store:
        assert store.stats().version == NEWEST
        assert store.stats().memories == 3
        assert [hit.memory.id for hit in store.search("parseHeader").hits] == ["id-0"]
        hits = store.search(vector=[0.0, 1.0, 0.0, 0.0], k=1, embedder_id="toy").hits
        assert [hit.memory.text for hit in hits] == ["totals round half up"]
        assert store.history("id-2")[0].metadata == {"n": 2}
        if version >= 2:
            assert JobTable(store).get("job-1").result == {"kept": True}


@pytest.mark.parametrize("noted", [-1, 0, 5])
def test_a_damaged_number_of_the_version_is_put_right(tmp_path: Path, noted: int) -> None:
    """A store whose head says another version than its list of steps opens whole, no step is done twice."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        store.add("totals round half up", id="kept")
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", noted)
    connection.close()
    with Store.open(path) as store:
        assert store.get("kept").text == "totals round half up"
        assert store.stats().version == NEWEST
    assert not list(tmp_path.glob("*.bak"))


def test_stored_file_of_each_earlier_version_holds_sessions_after_migrating(earlier: tuple[int, Path]) -> None:
    """A store of each earlier version can keep sessions and requests, and counts the changes of its memories."""
    with Store.open(earlier[1]) as store:
        session = SessionTable(store).create("first")
        assert SessionTable(store).list() == [session]
        assert RequestTable(store).list() == []
        before = store.changes()
        store.delete("id-0")
        assert store.changes() > before


def test_stored_file_of_each_earlier_version_keeps_an_audit_log_after_migrating(earlier: tuple[int, Path]) -> None:
    """A store of each earlier version can log what leaves and keep consents, and its log verifies."""
    with Store.open(earlier[1]) as store:
        openai = Recipient("openai", "https://api.openai.com/v1", "OPENAI_API_KEY")
        consent.grant(store, openai, "query", mode="balanced")
        assert consent.missing(store, openai, "query") == ""
        assert audit.append(store, "sent", recipient="openai", purpose="query", mode="balanced", payload="x") == 2
        assert audit.verify(store).intact


def test_stored_file_of_each_earlier_version_holds_an_impact_map_after_migrating(earlier: tuple[int, Path]) -> None:
    """A store of each earlier version can keep which test executed what."""
    with Store.open(earlier[1]) as store, store.writing() as connection:
        connection.execute("INSERT INTO impact_parts (file, name, digest) VALUES ('a.py', 'f', 'd')")
        row = ("test", "t.py::test_f", "t.py", b"", "passed", 0.1, "run", 1, "", "")
        connection.execute("INSERT INTO impact_sets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        assert connection.execute("SELECT file, name FROM impact_parts").fetchall() == [("a.py", "f")]


def test_stored_file_of_each_earlier_version_logs_changes_after_migrating(earlier: tuple[int, Path]) -> None:
    """A store of each earlier version tells which row each later change was of, each with a stamp of its own."""
    with Store.open(earlier[1]) as store:
        before = store.changes()
        store.add("a fourth memory")
        store.delete("id-0")
        with store.reading() as connection:
            sql = "SELECT number, row FROM change_log WHERE number > ? ORDER BY number"
            logged = connection.execute(sql, (before,)).fetchall()
            stamps = connection.execute("SELECT count(DISTINCT stamp), count(*) FROM change_log").fetchall()
        assert logged == [(before + 1, 4), (before + 2, 1)]
        assert stamps[0][0] == stamps[0][1]


def test_stored_file_of_each_earlier_version_holds_edges_after_migrating(earlier: tuple[int, Path]) -> None:
    """A store of each earlier version can keep edges between its memories, and drops those of an erased one."""
    with Store.open(earlier[1]) as store:
        with store.writing() as connection:
            connection.execute("INSERT INTO nodes VALUES (1, 'default', 'id-0'), (2, 'default', 'id-1')")
            connection.execute("INSERT INTO edges VALUES (1, 'similar', 'given', '', x'00', 1.0, 0, NULL)")
            connection.execute("INSERT INTO edge_members VALUES (1, 1, 1), (2, 1, 2)")
        store.delete("id-0", erase=True)
        with store.reading() as connection:
            assert connection.execute("SELECT id FROM nodes").fetchall() == [("id-1",)]
            assert connection.execute("SELECT count(*) FROM edges").get == 0
            assert connection.execute("SELECT number FROM edge_changes").get == 3  # it came, and its two members went


def test_stored_file_of_each_earlier_version_takes_a_snapshot_after_migrating(earlier: tuple[int, Path]) -> None:
    """A store of each earlier version can remember which rows were current at a moment, under a name."""
    with Store.open(earlier[1]) as store, store.writing() as connection:
        connection.execute("INSERT INTO snapshots VALUES ('first', 1, 0, 3, x'00')")
        assert connection.execute("SELECT name, memories FROM snapshots").fetchall() == [("first", 3)]


def test_stored_file_of_each_earlier_version_grows_under_control_after_migrating(earlier: tuple[int, Path]) -> None:
    """A store of each earlier version holds ends, pins, accesses and tiers, and its memories have none of them yet."""
    with Store.open(earlier[1]) as store, store.writing() as connection:
        rows = connection.execute("SELECT expires_at, pinned, end_note, file_digest FROM memories").fetchall()
        assert rows == [(None, 0, "", "")] * 3
        connection.execute("INSERT INTO accesses VALUES (1, 2, 3, 0.5)")
        connection.execute("INSERT INTO demoted VALUES (1, 2, x'00')")
        assert connection.execute("SELECT count, tier FROM accesses JOIN demoted USING (row)").fetchall() == [(2, 2)]


def test_stored_file_of_each_earlier_version_knows_its_texts_and_spaces_after_migrating(
    earlier: tuple[int, Path],
) -> None:
    """A store of each earlier version shares the vector of an equal text, joins duplicates and names its spaces, all by
    one index and not by reading all memories."""
    with Store.open(earlier[1]) as store:
        id = store.add("totals round half up")
        assert store.vector(id) == (0.0, 1.0, 0.0, 0.0)
        assert store.add("totals round half up") == id
        with store.reading() as connection:
            assert spaces.given_spaces(connection) == [("toy", 4)]
            same_text = f"{OF_TEXT} AND +namespace = ?2 AND id_given = 0"
            for condition, bound in (
                (same_text, (b"x", "default")),
                ("valid_to IS NULL AND embedder = 1", ()),
                ("valid_to IS NULL AND embedder IS NULL", ()),
            ):
                sql = f"EXPLAIN QUERY PLAN SELECT {COLUMNS} WHERE {condition} LIMIT 1"
                told = " ".join(str(step[3]) for step in connection.execute(sql, bound))
                assert "INDEX memories_text (embedder=?" in told
                assert not re.search("SCAN memories|memories_current|memories_revision", told)


def test_backup_is_taken_before_migrating(earlier: tuple[int, Path]) -> None:
    """The file as it was stands beside the migrated one and opens by itself."""
    version, path = earlier
    Store.open(path).close()
    backup = apsw.Connection(str(path.with_name(f"aqe.db.v{version}.bak")), flags=apsw.SQLITE_OPEN_READONLY)
    assert backup.pragma("user_version") == version
    assert backup.execute("SELECT count(*) FROM memories").get == 3
    backup.close()
    assert not list(path.parent.glob("*.part*"))


def test_new_store_has_no_backup(tmp_path: Path) -> None:
    """There is nothing to back up before the first migration."""
    Store.open(tmp_path / "aqe.db").close()
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".bak")] == []


def opens_when_told(path: Path, wait: int, begin: int) -> int:
    """A process that opens the store as soon as nobody holds the other end of a pipe any more."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(begin)
            os.read(wait, 1)
            Store.open(path).close()
            status = 0
        finally:
            os._exit(status)
    return child


def test_processes_that_open_together_migrate_once(earlier: tuple[int, Path]) -> None:
    """Four processes that open an earlier store at the same time apply each step once."""
    _, path = earlier
    wait, begin = os.pipe()
    openers = [opens_when_told(path, wait, begin) for _ in range(4)]
    os.close(wait)
    os.close(begin)
    assert [os.waitstatus_to_exitcode(os.waitpid(opener, 0)[1]) for opener in openers] == [0] * 4
    connection = apsw.Connection(str(path))
    applied = [number for (number,) in connection.execute("SELECT number FROM migrations ORDER BY number")]
    connection.close()
    assert applied == list(range(1, NEWEST + 1))


def test_listing_pending_migrations_writes_nothing(earlier: tuple[int, Path]) -> None:
    """`pending` names the steps to come and leaves the version alone."""
    version, path = earlier
    connection = open_connection(path)
    assert pending(connection, path) == [migration.name for migration in MIGRATIONS[version:]]
    assert connection.pragma("user_version") == version
    connection.close()


def test_failed_migration_leaves_the_file_as_it_was(earlier: tuple[int, Path]) -> None:
    """A step that fails half-way takes back all it did; the version stays and the data is whole."""
    version, path = earlier
    bad = Migration(version + 1, "bad", "CREATE TABLE halfway (x); DROP TABLE texts; INSERT INTO nowhere VALUES (1)")
    connection = open_connection(path)
    with pytest.raises(InternalError):
        migrate(
            connection,
            path,
            now=lambda: 0,
            open_again=functools.partial(open_connection),
            steps=[*MIGRATIONS[:version], bad],
        )
    assert connection.pragma("user_version") == version
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'halfway'").get == 0
    assert connection.execute("SELECT count(*) FROM texts").get == 3
    connection.close()
