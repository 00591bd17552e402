"""The memory and its codes under kill -9 at random moments, under many writers and readers, and on a full disk."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care.place import Place
from aqe.engine.memory.care.verifying import verify
from aqe.engine.memory.meaning.codefiles import folder_of
from aqe.engine.memory.meaning.codes import SEARCHES

DIM = 128  # from here on vectors have 1-bit codes
BEGUN_WITH = 2_400
NAMES = ("default", "team/a")

CROWD = """
import json, random, sys, time
from pathlib import Path
import numpy as np
from aqe.engine.memory import NewMemory, Store
path, role, number, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
rng, chance, done, own, end = np.random.default_rng(number), random.Random(number), 0, [], time.monotonic() + seconds
def vector():
    return rng.standard_normal(64).tolist()
with Store.open(path) as store:
    while time.monotonic() < end:
        if role == "reader":
            query = vector()
            kind = done % 4
            hits = (store.search(vector=query, k=5) if kind == 0 else store.search("crowd note", vector=query, k=5)
                    if kind == 1 else store.search("note", k=5) if kind == 2
                    else store.search(vector=query, filter={"by": done % 8}, k=5)).hits
            assert all(hit.memory.valid_to is None for hit in hits)
        elif own and chance.random() < 0.25:
            store.delete(own.pop(chance.randrange(len(own))))
        elif own and chance.random() < 0.3:
            store.update(chance.choice(own), metadata={"by": number, "at": done}, vector=vector())
        else:
            made = [f"{number}-{done}-{at}" for at in range(chance.choice((1, 1, 1, 20)))]
            store.add_many(
                NewMemory(f"crowd note {one}", id=one, metadata={"by": number}, vector=vector()) for one in made
            )
            own += made
        done += 1
print(json.dumps([done, sorted(own)]))
"""

FULL = """
import resource, sys
from pathlib import Path
import numpy as np
from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
path = Path(sys.argv[1])
rng = np.random.default_rng(987_654_321)
with Store.open(path) as store:
    more = rng.standard_normal((400, 128)).astype(np.float32)
    store.add_many(NewMemory(f"late {at}", id=f"late-{at}", vector=row) for at, row in enumerate(more))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    for at in (0, 199, 399, 7, 11):
        assert store.search(vector=more[at], k=1).hits[0].memory.id == f"late-{at}"
"""


def unit(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)


def begin(path: Path) -> None:
    """A store that is large enough to have files of codes, one for each namespace."""
    with Store.open(path) as store:
        for name in NAMES:
            store.add_many(
                NewMemory(f"from before {at}", name, id=f"b{at}", vector=unit(at)) for at in range(BEGUN_WITH)
            )
        for _ in range(SEARCHES):
            store.search(vector=unit(1))
    assert len(list(folder_of(path).glob("*.vectors"))) == len(NAMES)


class Load:
    """A mixed load of writes. What is about to be done, and what was acknowledged, goes into a log line by line."""

    def __init__(self, path: Path, log: int, seed: int) -> None:
        self.path, self.log, self.chance, self.seed = path, log, random.Random(seed), seed
        self.own: list[tuple[str, str]] = []
        self.made = 0

    def note(self, *what: Any) -> None:
        os.write(self.log, (json.dumps(what) + "\n").encode())

    def run(self) -> None:
        """Work until killed; every some steps the store is closed, which writes files, and opened again."""
        while True:
            with Store.open(self.path) as store:
                for _ in range(self.chance.randint(4, 25)):
                    self.step(store)

    def step(self, store: Store) -> None:
        kind = self.chance.random()
        if kind < 0.35 or not self.own:
            self.add(store, 1)
        elif kind < 0.5:
            self.add(store, 60)
        elif kind < 0.65:
            name, id = self.chance.choice(self.own)
            seed = self.next()
            self.note("?", [[name, id, seed]])
            store.update(id, namespace=name, text=f"changed {seed}", vector=unit(seed))
            self.note("!", [[name, id, seed]])
        elif kind < 0.85:
            name, id = self.own.pop(self.chance.randrange(len(self.own)))
            self.note("?", [[name, id, None]])
            store.delete(id, namespace=name, erase=kind > 0.83)
            self.note("!", [[name, id, None]])
        else:
            store.search(vector=unit(self.chance.randrange(BEGUN_WITH)), k=3)

    def add(self, store: Store, count: int) -> None:
        name = self.chance.choice(NAMES)
        wanted = [[name, f"{self.seed}-{self.made + at}", self.next()] for at in range(count)]
        self.made += count
        self.note("?", wanted)
        store.add_many(NewMemory(f"added {seed}", name, id=id, vector=unit(seed)) for name, id, seed in wanted)
        self.note("!", wanted)
        self.own += [(name, id) for name, id, _ in wanted]

    def next(self) -> int:
        return 10_000 + self.chance.randrange(1 << 40)


def killed_load(path: Path, log: Path, seed: int, after_s: float) -> None:
    """Run the load in a process of its own and kill it after a while."""
    child = os.fork()
    if child == 0:
        try:
            written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(written, b"\n")  # the line before may be cut off, where it crosses a page
            Load(path, written, seed).run()
        finally:
            os._exit(1)  # it never ends by itself
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def expected(log: Path) -> tuple[dict[tuple[str, str], int | None], dict[tuple[str, str], int | None]]:
    """What was acknowledged last of each memory (the seed of its vector, None where it was deleted), and what was begun
    of others afterwards and may have happened or not."""
    said: dict[tuple[str, str], int | None] = {}
    begun: dict[tuple[str, str], int | None] = {}
    for line in log.read_text().splitlines():
        if not line.endswith("]]]"):
            continue  # cut off by the kill
        mark, changes = json.loads(line)
        for name, id, seed in changes:
            if mark == "!":
                said[name, id] = seed
                begun.pop((name, id), None)
            else:
                begun[name, id] = seed
    return said, begun


def assert_acknowledged(store: Store, log: Path) -> int:
    """Every memory is as it was acknowledged, or as what was begun after that would leave it; returns how many."""
    said, begun = expected(log)
    for (name, id), seed in said.items():
        may_be = {seed, begun.get((name, id), seed)}
        found = store.vector(id, namespace=name)
        held = None if found is None else tuple(found)
        assert held in {None if one is None else tuple(unit(one).tolist()) for one in may_be}, (name, id)
    return len(said)


def assert_codes_are_right(store: Store, chance: random.Random) -> tuple[int, int]:
    """What codes find is current and has its exact score; returns how many of the exact ten nearest were found, and
    how many there were."""
    name = chance.choice(NAMES)
    with store.reading() as connection:
        sql = "SELECT memories.id, vector FROM vectors_1 JOIN memories USING (row) WHERE memories.namespace = ?"
        held = connection.execute(sql, (name,)).fetchall()
    values = np.frombuffer(b"".join(vector for _, vector in held), np.float32).reshape(len(held), DIM)
    query = unit(chance.randrange(1 << 40))
    cosines = values @ query / np.linalg.norm(values, axis=1) / np.linalg.norm(query)
    exact = {id: float(cosine) for (id, _), cosine in zip(held, cosines, strict=True)}
    best = set(sorted(exact, key=lambda id: -exact[id])[:10])
    hits = store.search(vector=query, namespace=name, k=10).hits
    assert len(hits) == 10
    for hit in hits:
        assert hit.vector_score == pytest.approx(exact[hit.memory.id], abs=2e-5)
    return len(best & {hit.memory.id for hit in hits}), len(best)


@pytest.mark.services
@pytest.mark.timeout(600)
def test_kill_9_at_200_random_moments_of_a_mixed_load(tmp_path: Path) -> None:
    """A load of adding, changing, deleting and erasing that is killed 200 times loses nothing it was told is kept, its
    codes are never wrong, and the file verifies clean."""
    path, log, chance = tmp_path / "aqe.db", tmp_path / "log", random.Random(6)
    begin(path)
    found = wanted = 0
    for kill in range(200):
        killed_load(path, log, kill, chance.uniform(0.002, 0.25))
        with Store.open(path) as store:
            right, all_of_them = assert_codes_are_right(store, chance)
            found, wanted = found + right, wanted + all_of_them
            if kill % 20 == 19:
                assert_acknowledged(store, log)
    with Store.open(path) as store:
        assert assert_acknowledged(store, log) > 1000
        assert found >= 0.99 * wanted
    report = verify(Place(path))
    assert report.findings == ()
    left = [file.name for file in folder_of(path).glob("*")]
    assert max(Counter(name.split("-")[1] for name in left if name.endswith(".vectors")).values(), default=1) == 1


def test_killed_load_loses_nothing(tmp_path: Path) -> None:
    """As the two hundred kills, five times."""
    path, log, chance = tmp_path / "aqe.db", tmp_path / "log", random.Random(7)
    begin(path)
    for kill in range(5):
        killed_load(path, log, kill, chance.uniform(0.1, 0.3))
        with Store.open(path) as store:
            found, wanted = assert_codes_are_right(store, chance)
            assert found >= wanted - 1
            assert_acknowledged(store, log)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "seconds", [pytest.param(5.0, marks=pytest.mark.services), pytest.param(60.0, marks=pytest.mark.nightly)]
)
def test_8_writers_and_8_readers_meet_no_error(tmp_path: Path, seconds: float) -> None:
    """Sixteen processes that add, change, delete and search one store together for a while meet no error, and all that
    the writers left is found."""
    path = tmp_path / "aqe.db"
    Store.open(path).close()
    roles = [("writer", at) for at in range(8)] + [("reader", 8 + at) for at in range(8)]
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, str(path), role, str(number), str(seconds)], stdout=subprocess.PIPE, text=True
        )
        for role, number in roles
    ]
    said = [one.communicate(timeout=seconds + 240)[0] for one in crowd]
    assert [one.returncode for one in crowd] == [0] * len(crowd)
    left = sorted(id for line in said[:8] for id in json.loads(line)[1])
    assert all(json.loads(line)[0] > 0 for line in said)
    with Store.open(path) as store:
        held = store.list(limit=1_000_000)
        assert sorted(memory.id for memory in held) == left
        for memory in held[:: max(1, len(held) // 50)]:
            vector = store.vector(memory.id)
            assert vector is not None
            assert store.search(vector=vector, k=1).hits[0].memory.id == memory.id
    assert verify(Place(path)).findings == ()


def test_full_disk_while_a_file_is_written_loses_nothing(tmp_path: Path) -> None:
    """A process that can write no file of codes any more finds what it added, ends well, and leaves the older files."""
    path = tmp_path / "aqe.db"
    begin(path)
    before = sorted(folder_of(path).iterdir())
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(folder_of(path).iterdir()) == before
    with Store.open(path) as store:
        assert store.stats().memories == len(NAMES) * BEGUN_WITH + 400
        late = store.vector("late-7")
        assert late is not None
        assert store.search(vector=late, k=1).hits[0].memory.id == "late-7"
    assert len(list(folder_of(path).glob("*.vectors"))) == len(NAMES)
