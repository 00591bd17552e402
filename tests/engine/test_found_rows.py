"""What searches find is kept in memory, read ahead and read anew: it is always what the file holds."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqe.engine.memory import NewMemory, Provenance, Store
from aqe.engine.memory.growth.pins import set_pinned
from aqe.engine.memory.growth.rules import GrowthRules
from aqe.engine.memory.listing import newest_memories
from aqe.engine.memory.meaning import parts
from aqe.engine.memory.search import ahead, hits, making, ranking

VECTOR = (1.0, 0.0)
NEAR = [-1.0, -0.25, 0.0, 2e-7, 0.5, 0.5000004, 0.5000005, 0.7, 1.0]
DEEP = {"list": [1, -(2**40), 2**70, 0.1, None, True, False, "é\n", {"in": [[], {}]}], "": "ü", "é": {}}

WRITER = """
import json, sys
from pathlib import Path
from aqe.engine.memory import Store

def near(at):
    return [1.0, 0.01 * at]

with Store.open(Path(sys.argv[1]), busy_timeout_s=60) as store:
    print("ready", flush=True)
    for line in sys.stdin:
        what, at = json.loads(line)
        id, there = f"n{at}", store.get(f"n{at}") is not None
        if not there:
            store.add(f"note {at}", id=id, vector=near(at))
        elif what == "reword":
            store.update(id, text=f"other words {at} " + "x" * 40 * at, vector=near(at))
        elif what == "mark":
            store.update(id, metadata={"turn": [at, {"deep": None}]})
        elif what == "move":
            store.update(id, vector=near(at + 1), embedder_id="another")
        elif what == "end":
            store.delete(id)
        elif what == "short":
            store.update(id, ttl_s=0.000001)
        elif what == "erase":
            store.delete(id, erase=True)
        print("done", flush=True)
"""
DEEDS = st.tuples(
    st.sampled_from(["add", "add", "reword", "mark", "move", "end", "erase", "short", "look"]), st.integers(0, 9)
)


class Elsewhere:
    """Another process that writes what it is told."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def do(self, what: str, at: int) -> None:
        """Have it write, and wait until it has."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([what, at]) + "\n")
        self.process.stdin.flush()
        self._answer()

    def _answer(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline()

    def end(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Elsewhere]:
    Store.open(tmp_path / "shared.db").close()
    opened = Elsewhere(tmp_path / "shared.db")
    yield opened
    opened.end()


def reading() -> list[threading.Thread]:
    """The threads that read rows in the background now."""
    return [thread for thread in threading.enumerate() if thread.name == "aqe-rows"]


def read_aside(store: Store) -> None:
    """As many searches as it takes, and the end of what they begin, which no search has taken over yet."""
    for at in range(ahead.LOOKED_UP):
        store.search(vector=VECTOR, k=at + 1, namespace="default")
    for thread in reading():
        thread.join()


def read_ahead(store: Store) -> None:
    """The same, taken over."""
    read_aside(store)
    store.search(vector=VECTOR, k=1)


def kept(store: Store) -> dict[int, Any]:
    """The rows that are kept in memory."""
    return dict(store._searcher.memories._rows.known)


def selected(path: Path) -> dict[str, tuple[Any, ...]]:
    """The current notes by their id, as plain statements read them."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = connection.execute(
            "SELECT id, revision, text, metadata, created_at, embedder_id, expires_at FROM memories"
            " JOIN embedders ON embedder = number WHERE valid_to IS NULL"
            " AND (expires_at IS NULL OR expires_at > (julianday('now') - 2440587.5) * 86400e6)"
        ).fetchall()
    finally:
        connection.close()
    return {row[0]: (*row[1:3], json.loads(row[3]), *row[4:]) for row in rows}


def found(store: Store) -> dict[str, tuple[Any, ...]]:
    """The same as searches find them, by both embedders, each twice: within a transaction and at hand where it is."""
    told: dict[str, tuple[Any, ...]] = {}
    for space in ("given", "another"):
        by_search = store.search(vector=VECTOR, k=100, embedder_id=space).hits
        at_hand = store.at_hand.search(VECTOR, k=100, embedder_id=space)
        assert at_hand is None or at_hand.hits == by_search
        for memory in (hit.memory for hit in by_search):
            assert memory.id not in told
            told[memory.id] = (
                *(memory.revision, memory.text, memory.metadata),
                *(memory.created_at, memory.embedder_id, memory.expires_at),
            )
    return told


def test_every_field_is_what_it_was(store: Store) -> None:
    """A memory that was kept as bytes equals the one that is read from its row, whatever it holds."""
    store.add("plain", id="plain")
    store.add("deep", id="deep", vector=VECTOR, metadata=DEEP, provenance=Provenance("a.py", 7, "abc", "run", "tree"))
    store.keep([NewMemory("for a day", vector=[0.5] * 3, embedder_id="ü", ttl_s=86_400)])
    store.add("ends", id="ends")
    set_pinned(store, "deep", True)
    store.delete("ends")
    with store.reading() as connection:
        now = newest_memories(connection, ranking.scope_of(connection, None, "", ()), 100, 0)
    made = [*now, *store.history("ends")]
    assert len(made) == 4
    packed = {at: making.pack(memory) for at, memory in enumerate(made)}
    assert [*making.memories(packed, range(9)).values()] == made
    assert making.memories(packed, [1])[1] is not making.memories(packed, [1])[1]


def test_what_is_found_is_as_if_it_was_made_by_its_class(store: Store) -> None:
    """The hits, memories and answers of searches have the fields of their classes in their order, equal those that are
    made by them, and cannot be changed."""
    store.add("plain", id="plain", vector=VECTOR, metadata={"kind": "note"}, provenance=Provenance("a.py", 7))
    read_ahead(store)
    answer = store.at_hand.search(VECTOR, k=1)
    assert answer is not None
    for one in (answer, answer.hits[0], answer.hits[0].memory):
        values = {field.name: getattr(one, field.name) for field in fields(one)}
        assert vars(one) == values
        assert list(vars(one)) == list(values)
        assert one == type(one)(**values) == replace(one) == pickle.loads(pickle.dumps(one))
        assert repr(one) == repr(type(one)(**values))
        with pytest.raises(FrozenInstanceError):
            setattr(one, next(iter(values)), None)
    assert answer.hits[0].memory == store.get("plain")


@given(
    found=st.lists(
        st.lists(st.sampled_from([-1.0, -0.25, 0.0, 2e-7, 0.5, 0.5000004, 0.5000005, 0.7, 1.0]), max_size=40),
        max_size=4,
    ),
    k=st.integers(1, 60),
)
def test_best_of_several_searches_are_those_of_plain_sorting(found: list[list[float]], k: int) -> None:
    """The best rows of some searches are those of highest rounded cosine, of equals the oldest, however many there
    are."""
    arrays, pairs, row = [], [], 0
    for scores in found:
        numbers = np.sort(np.array(scores, np.float32))[::-1]
        rows = np.arange(row, row + len(scores), dtype=np.int64)
        row += len(scores)
        arrays.append((rows, numbers))
        pairs += zip(numbers.tolist(), rows.tolist(), strict=True)
    ordered = sorted((-round(score, parts.DIGITS), row) for score, row in pairs)[:k]
    if arrays:
        assert parts.best_of(arrays, k) == ([row for _, row in ordered], [-score for score, _ in ordered])


@given(score=st.floats(-1.5, 1.5, width=32))
def test_cosines_are_rounded_as_round_does(score: float) -> None:
    """Whatever float32 a cosine is, it is rounded to the nearest number of six digits."""
    _, (near,) = parts.best_of([(np.array([1]), np.array([score], np.float32))], 1)
    assert near == round(score, parts.DIGITS)


def test_rows_are_read_ahead_after_a_few_searches(store: Store) -> None:
    """After a few searches all memories are kept, also those that none has found; before, nothing is read."""
    store.keep([NewMemory(f"note {at}", id=f"n{at}", vector=[1.0, 0.01 * at]) for at in range(40)])
    store.search(vector=VECTOR, k=1)
    assert len(kept(store)) == 1
    assert not reading()
    read_ahead(store)
    assert len(kept(store)) == 40
    assert [hit.memory.id for hit in store.search(vector=VECTOR, k=40).hits] == [f"n{at}" for at in range(40)]


def test_what_changed_since_is_read_anew(store: Store) -> None:
    """A row that changed where it stands is found as it is now, whether what was read ahead is in use or not."""
    store.keep([NewMemory(f"note {at}", id=f"n{at}", vector=[1.0, 0.01 * at]) for at in range(20)])
    read_aside(store)
    for pinned in (True, False):
        set_pinned(store, "n15", pinned)
        told = {hit.memory.id: hit.memory.pinned for hit in store.search(vector=VECTOR, k=20).hits}
        assert told == {f"n{at}": pinned and at == 15 for at in range(20)}


def test_what_is_kept_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the room for them the oldest rows are read from the file whenever they are found."""
    store.keep([NewMemory(f"note {at} " + "x" * 1000, id=f"n{at}", vector=[1.0, 0.01 * at]) for at in range(40)])
    monkeypatch.setattr(store._searcher.memories._rows, "_most", 20_000)
    read_ahead(store)
    assert 8 <= len(kept(store)) < 20
    for _ in range(2):
        assert {hit.memory.id for hit in store.search(vector=VECTOR, k=40).hits} == {f"n{at}" for at in range(40)}
        assert sum(making.size_of(one) for one in kept(store).values()) <= 20_000


def test_many_are_found_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many memories are kept as they were given, and what changed is not given again."""
    monkeypatch.setattr(hits, "KEPT_WHOLE", 8)
    store.keep([NewMemory(f"note {at}", id=f"n{at}", vector=[1.0, 0.01 * at]) for at in range(20)])
    read_ahead(store)
    first, again = (store.search(vector=VECTOR, k=5, namespace=place).hits for place in ("default", None))
    assert all(one.memory is other.memory for one, other in zip(first, again, strict=True))
    store.search(vector=VECTOR, k=20)
    assert len(store._searcher.memories._lately) == 8
    set_pinned(store, "n1", True)
    assert [hit.memory.pinned for hit in store.search(vector=VECTOR, k=3).hits] == [False, True, False]


def test_closing_ends_what_is_read_ahead(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes a store does not wait for the pauses of the background."""
    monkeypatch.setattr(ahead, "PAUSE_S", 3600.0)
    store.keep([NewMemory(f"note {at}", vector=[1.0, 0.01 * at]) for at in range(40)])
    for at in range(ahead.LOOKED_UP):
        store.search(vector=VECTOR, k=at + 1)
    assert reading()
    store.close()
    assert not reading()


@pytest.mark.parametrize("letters", [1, 9000])
def test_file_that_changed_makes_what_is_kept_stale(tmp_path: Path, letters: int) -> None:
    """A memory that was read ahead is said to be stale once its file changed, also one that is not kept whole."""
    (tmp_path / "rates.md").write_text("three")
    with Store.open(tmp_path / "aqe.db", growth=GrowthRules(root=tmp_path)) as store:
        store.add("the rate " + "x" * letters, id="rate", vector=VECTOR, provenance=Provenance("rates.md", 1))
        store.add("no file", id="none", vector=VECTOR)
        read_ahead(store)
        assert not any(hit.memory.stale for hit in store.search(vector=VECTOR, k=2).hits)
        (tmp_path / "rates.md").write_text("fourteen")
        assert store.at_hand.search(VECTOR, k=2) is None
        store.at_hand.follow_rules("mark")
        at_hand = store.at_hand.search(VECTOR, k=2)
        assert at_hand is not None
        for found in (at_hand, store.search(vector=VECTOR, k=2)):
            assert {hit.memory.id: hit.memory.stale for hit in found.hits} == {"rate": True, "none": False}


def test_key_keeps_what_is_read_ahead_out_of_every_file(tmp_path: Path) -> None:
    """Reading ahead in an encrypted store leaves no word of it in clear beside it."""
    with Store.open(tmp_path / "aqe.db", key="secret") as store:
        store.keep([NewMemory(f"whispered {at}", vector=[1.0, 0.01 * at]) for at in range(10)])
        read_ahead(store)
        assert len(kept(store)) == 10
        written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
        assert not any(b"whispered" in one for one in written)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(deeds=st.lists(DEEDS, min_size=3, max_size=14))
def test_searches_agree_with_the_file_whatever_another_process_wrote(
    tmp_path: Path, writer: Elsewhere, deeds: list[tuple[str, int]]
) -> None:
    """After each write of another process a search finds what a plain SELECT reads, before and after rows were read
    ahead."""
    with Store.open(tmp_path / "shared.db") as store:
        for what, at in deeds:
            if what == "look":
                read_ahead(store)
            else:
                writer.do(what, at)
            assert found(store) == selected(tmp_path / "shared.db")


@pytest.mark.services
def test_searches_while_another_process_writes_find_revisions_whole(tmp_path: Path, writer: Elsewhere) -> None:
    """Whatever is written meanwhile, a hit is one revision as it was written, and never one that ended before the
    search began."""
    for at in range(30):
        writer.do("add", at)
    over = threading.Event()

    def write() -> None:
        for turn in range(90):
            writer.do(("reword", "mark", "end", "add", "erase", "add")[turn % 6], turn * 7 % 30)
        over.set()

    thread = threading.Thread(target=write)
    with Store.open(tmp_path / "shared.db") as store:
        thread.start()
        while not over.is_set():
            ended = {at: row for at, row in rows_of(tmp_path / "shared.db").items() if row[-1] is not None}
            for hit in store.search(vector=VECTOR, k=30).hits:
                memory = hit.memory
                assert (memory.id, memory.revision, memory.created_at) not in ended
                assert memory.text.split()[-1 if memory.text.startswith("note") else 2] == memory.id[1:]
        thread.join()
        assert found(store) == selected(tmp_path / "shared.db")


def rows_of(path: Path) -> dict[tuple[str, int, int], tuple[Any, ...]]:
    """All revisions in a file, by id, number and when the memory was made."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        rows = connection.execute("SELECT id, revision, created_at, text, valid_to FROM memories").fetchall()
    finally:
        connection.close()
    return {row[:3]: row[3:] for row in rows}
