"""A bit that flips anywhere in a store is told by `verify`, or changes nothing that anybody could read."""

from __future__ import annotations

import hashlib
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.errors import AqeError
from aqe.engine.jobs import JobTable
from aqe.engine.learning import Feedback, file_feedback
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, take_snapshot, verify
from aqe.engine.memory.embeddings import KeptEmbedder
from aqe.engine.memory.entry import Provenance
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.graph import Edge, add_edges
from aqe.engine.memory.growth.access import DAY_US
from aqe.engine.memory.tiers.moving import retier
from aqe.engine.memory.tiers.policy import Thresholds
from aqe.engine.privacy import audit
from aqe.engine.requests import Interaction, RequestTable
from aqe.engine.retrieval import keep
from aqe.engine.sessions.table import SessionTable, new_turn

FLIPS = int(os.environ.get("AQE_TEST_FLIPS", "300"))
UNGUARDED = {
    "accesses",
    "audit_head",
    "change_log",
    "circuits",
    "consents",
    "edge_changes",
    "edge_members",
    "embedders",
    "growth_log",
    "growth_marks",
    "impact_facts",
    "impact_files",
    "impact_parts",
    "impact_sets",
    "indexed_files",
    "jobs",
    "leases",
    "migrations",
    "nodes",
    "routes",
    "snapshots",
    "source_mentions",
    "spool_files",
    "sqlite_sequence",
    "test_runs",
    "texts_docsize",
}
"""The tables whose rows have no checksum: what is worked out, counted or logged, and what is not the memory (of
`texts_docsize` the number by which FTS5 deletes; the sizes are compared with the texts)."""


class Words:
    """An embedder of the engine's own kind: each text has a direction."""

    id = "aqe-static-words"
    dimension = 32

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
        made = [np.random.default_rng(seed).standard_normal(32) for seed in seeds]
        rows = np.array(made, np.float32).reshape(len(made), 32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A store with something of every kind in it, closed."""
    folder = tmp_path_factory.mktemp("used") / ".aqe"
    folder.mkdir()
    place, clock = Place(folder / "aqe.db"), [1_700_000_000_000_000]
    with Store.open(place.path, now=lambda: clock[0]) as store:
        fill_memories(store, clock)
        fill_others(store)
    with Store.open(place.path) as store:
        store.search("of the day")
    assert verify(place).sound
    return place


def fill_memories(store: Store, clock: list[int]) -> None:
    for number in range(120):
        clock[0] += DAY_US
        text = f"note{number} of the day: part {number * 7} of the shop rounds its totals half up, " * (1 + number % 5)
        keep(store, Words(), [NewMemory(text, id=f"m{number}", metadata={"n": number, "by": "a tester"})])
    own = [[float(number), 1.0, 2.0] for number in range(60)]
    store.add_many(
        NewMemory(f"given {number}: a vector of a caller", id=f"g{number}", vector=vector, embedder_id="toy")
        for number, vector in enumerate(own)
    )
    retier(store, Words(), Thresholds())
    for number in range(120, 200):
        keep(
            store,
            Words(),
            [NewMemory(f"later{number} of the day", id=f"m{number}", provenance=Provenance("shop.py", number))],
        )
    for number in range(0, 120, 9):
        store.update(f"m{number}", text=f"changed {number}")
        store.delete(f"g{number // 9}")
    take_snapshot(store, "before", kept=3)
    KeptEmbedder(Words(), store, costly=True).embed([f"a text that came {number} times" for number in range(40)])
    add_edges(store, [Edge("covers", (("default", f"m{n}"), ("default", f"m{n + 1}"))) for n in range(1, 8)])


def fill_others(store: Store) -> None:
    sessions, requests, jobs = SessionTable(store), RequestTable(store), JobTable(store)
    session = sessions.create("first")
    with sessions.writing() as connection:
        sessions.append(connection, session, [new_turn("user", f"turn {n} asks for the totals", 8) for n in range(20)])
    rows = [
        Interaction(requests.new_id(), "query", f"how are totals {n} rounded?", "half up", context=(("default", "m1"),))
        for n in range(20)
    ]
    with store.writing() as connection:
        requests.insert(connection, rows)
    file_feedback(store, None, Feedback(rows[0].id, rating=5))
    jobs.begin("verify", {"of": "all"})
    audit.append(store, "sent", recipient="openai", purpose="query", mode="balanced", payload="x")


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A store that is mostly sessions, requests, feedback and edges, closed."""
    folder = tmp_path_factory.mktemp("talked") / ".aqe"
    folder.mkdir()
    place = Place(folder / "aqe.db")
    with Store.open(place.path) as store:
        store.add_many(NewMemory(f"note {number} of the day", id=f"m{number}") for number in range(300))
        sessions, requests = SessionTable(store), RequestTable(store)
        for number in range(12):
            session = sessions.create(f"session {number}")
            told = [f"turn {n} of {number} asks how the totals of the cart are rounded, and why" for n in range(40)]
            with sessions.writing() as connection:
                sessions.append(connection, session, [new_turn("user", text, 20) for text in told])
        asked = [f"how are totals {number} rounded in the cart?" for number in range(300)]
        rows = [
            Interaction(requests.new_id(), "query", text, "half up, as was asked for", context=(("default", "m1"),))
            for text in asked
        ]
        with store.writing() as connection:
            requests.insert(connection, rows)
        for number, row in enumerate(rows[:150]):
            file_feedback(store, None, Feedback(row.id, rating=1 + number % 5))
        ends = [(("default", f"m{n}"), ("default", f"m{(7 * n + 1) % 300}")) for n in range(299)]
        add_edges(store, [Edge("covers", one) for one in ends])
    assert verify(place).sound
    return place


def bytes_of(place: Place, *tables: str) -> list[int]:
    """Where the bytes of all pages of some tables and their indexes stand in a closed store's file."""
    sql = (
        "SELECT pageno FROM dbstat JOIN sqlite_schema USING (name)"
        f" WHERE tbl_name IN ({','.join('?' * len(tables))}) ORDER BY pageno"
    )
    connection = open_connection(place.path)
    try:
        numbers = [int(page) for (page,) in connection.execute(sql, tables)]
    finally:
        connection.close()
    return [at for page in numbers for at in range((page - 1) * 4096, page * 4096)]


def contents(path: Path) -> dict[str, list[Any]]:
    """All that SQL can read of a file, by table: every row with every value, by the table's own tree; of the text index
    each word with its places and of the vectors what both their table and their blocks say."""
    connection = open_connection(path)
    try:
        found: dict[str, list[Any]] = {"head": [connection.pragma(name) for name in ("user_version", "application_id")]}
        found["sqlite_schema"] = rows_of(connection, "sqlite_schema")
        connection.execute("CREATE VIRTUAL TABLE temp.listed USING fts5vocab('main', 'texts', 'instance')")
        found["texts"] = rows_of(connection, "temp.listed") + rows_of(connection, "texts_docsize", "id, sz")
        found["texts_docsize"] = rows_of(connection, "texts_docsize")
        for word in ("total", "note", "day", "caller", "chang"):
            found["texts"] += connection.execute(
                "SELECT rowid, rank FROM texts WHERE texts MATCH ?", (word,)
            ).fetchall()
        for name, kind in connection.execute(
            "SELECT name, type FROM pragma_table_list WHERE schema = 'main'"
        ).fetchall():
            if kind == "table" and name != "sqlite_schema" and not name.startswith("vectors_"):
                found[name] = rows_of(connection, name)
            elif kind == "virtual" and name.startswith("vectors_"):
                found[name] = connection.execute(f"SELECT row, namespace, vector FROM {name}").fetchall()
                near = f"SELECT row, distance FROM {name} WHERE vector MATCH ? AND k = 500"
                for _, _, vector in found[name][:1]:
                    found[name] += connection.execute(near, (vector,)).fetchall()
        return found
    finally:
        connection.close()


def rows_of(connection: apsw.Connection, name: str, columns: str = "*") -> list[Any]:
    return connection.execute(f"SELECT {columns} FROM {name}").fetchall()


def flips(
    place: Place, folder: Path, count: int, seed: int, within: Sequence[int] | None = None
) -> Iterator[tuple[int, Place]]:
    """Copies of a store with one random bit flipped in each (of the bytes `within`, None: of all), and where."""
    data, rng = place.path.read_bytes(), random.Random(seed)
    folder.mkdir(exist_ok=True)
    for number in range(count):
        at = 8 * rng.choice(within or range(len(data))) + rng.randrange(8)
        home = folder / str(number)
        home.mkdir()
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        (home / "aqe.db").write_bytes(flipped)
        yield at, Place(home / "aqe.db")
        for file in home.iterdir():
            if file.is_file():
                file.unlink()


def is_told(place: Place) -> bool:
    try:
        return not verify(place).sound
    except AqeError:
        return True


def what_differs(path: Path, whole: dict[str, list[Any]]) -> list[str]:
    """The tables that read another way than those of the whole store; all of them where reading fails."""
    try:
        now = contents(path)
    except (AqeError, apsw.Error, UnicodeDecodeError, ValueError):
        return ["unreadable"]
    return sorted(name for name in whole.keys() | now.keys() if whole.get(name) != now.get(name))


def judge(place: Place, whole: dict[str, list[Any]], counts: Counter[str], at: object) -> None:
    """Count what became of a store in which the bit at `at` flipped: told, harmless, or a value of a table without
    checksums that changed, which no other may."""
    if is_told(place):
        counts["told"] += 1
        return
    differs = what_differs(place.path, whole)
    counts["harmless" if not differs else "unguarded"] += 1
    counts.update(f"unguarded: {name}" for name in differs)
    assert set(differs) <= UNGUARDED, (at, differs)


@pytest.mark.services
def test_a_flipped_bit_is_told_or_changes_nothing_of_the_memory(used: Place, tmp_path: Path) -> None:
    """Of 300 random bits of a store each is told by `verify`, or all that SQL can read is as before, or only rows of
    tables that have no checksum differ; nothing of a memory, its words or its vector changes without a word."""
    whole, counts = contents(used.path), Counter[str]()
    for at, place in flips(used, tmp_path / "flips", FLIPS, seed=19):
        judge(place, whole, counts, at)
    print(dict(counts))
    assert counts["told"] > FLIPS // 5
    assert counts["unguarded"] < FLIPS // 10


@pytest.mark.services
def test_a_flipped_bit_beside_the_memories_is_told_or_changes_nothing(talked: Place, tmp_path: Path) -> None:
    """Of 300 random bits of the pages of sessions, requests, feedback and edges each is told by `verify`, or all that
    SQL can read is as before. How many are which is printed."""
    whole, counts = contents(talked.path), Counter[str]()
    beside = bytes_of(
        talked, "sessions", "turns", "interactions", "feedback", "marks", "edges", "edge_members", "nodes"
    )
    for at, place in flips(talked, tmp_path / "flips", FLIPS, seed=5, within=beside):
        judge(place, whole, counts, at)
    print(dict(counts))
    assert counts["told"] > FLIPS // 5
    assert counts["unguarded"] == 0
