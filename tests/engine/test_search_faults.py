"""What searches answer where something is in their way: several namespaces before codes are at hand, damaged files,
vectors of which little is kept, memories that end while they are searched for."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.memory import NewMemory, SearchAnswer, Store
from aqe.engine.memory.meaning import codefiles
from aqe.engine.memory.meaning.codefiles import CodeFolder, folder_of
from aqe.engine.memory.meaning.codes import SEARCHES
from aqe.engine.memory.meaning.parts import FEW, WORTH_A_FILE

DIM = 16
MANY = WORTH_A_FILE + 20


def rows(count: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def fill(
    store: Store, vectors: NDArray[np.float32], namespaces: tuple[str, ...] = ("default",), *, start: int = 0
) -> None:
    store.add_many(
        NewMemory(f"note {n}", id=str(n), namespace=namespaces[n % len(namespaces)], vector=row.tolist())
        for n, row in enumerate(vectors, start)
    )


def ids(answer: SearchAnswer) -> list[str]:
    return [hit.memory.id for hit in answer.hits]


def nearest(values: NDArray[np.float32], query: NDArray[np.float32], k: int) -> list[str]:
    cosines = values @ query / np.linalg.norm(values, axis=1)
    return [str(at) for at in np.argsort(-cosines, kind="stable")[:k]]


def test_first_search_of_several_namespaces_gives_the_nearest_of_all(store: Store) -> None:
    """The first search of a tree of namespaces, before codes are at hand, gives `k` hits, the nearest first."""
    values = rows(2 * FEW + 40)
    fill(store, values, ("team/a", "team/b"))
    query = rows(1, seed=2)[0]
    assert ids(store.search(vector=query.tolist(), k=5, namespace="team/")) == nearest(values, query, 5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a closed store with a file of codes."""
    home = tmp_path_factory.mktemp("made")
    with Store.open(home / "aqe.db") as store:
        fill(store, rows(MANY))
        warm(store)
    return home


@pytest.fixture
def database(made: Path, tmp_path: Path) -> Path:
    """A copy of that store, with its file."""
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home" / "aqe.db"


def warm(store: Store) -> None:
    for _ in range(SEARCHES):
        store.search(vector=rows(1)[0].tolist())


def damage(file: Path) -> None:
    """Fill the last half of a file, its exact rows, with noise."""
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size // 2)
        opened.write(np.random.default_rng(5).bytes(size - size // 2))


def test_damaged_file_answers_no_search_at_all(database: Path) -> None:
    """Where half of a file is noise already the first search of the next process finds what the store holds."""
    (file,) = folder_of(database).glob("*.vectors")
    damage(file)
    query = rows(1, seed=3)[0]
    for _ in range(2):
        with Store.open(database) as store:
            assert ids(store.search(vector=query.tolist(), k=5)) == nearest(rows(MANY), query, 5)


def test_file_that_was_not_read_for_a_day_is_checked_at_the_first_search(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits that flip on a disk change no date: a file whose seal is old is read through in the background of one search
    and serves no second process."""
    (file,) = folder_of(database).glob("*.vectors")
    damage(file)
    found = file.stat()
    file.with_name(f"{file.name}.sealed").write_text(f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}")
    monkeypatch.setattr(codefiles, "SEALED_FOR_S", -1.0)
    query = rows(1, seed=3)[0]
    with Store.open(database) as store:
        store.search(vector=query.tolist(), k=5)
    with Store.open(database) as store:
        assert ids(store.search(vector=query.tolist(), k=5)) == nearest(rows(MANY), query, 5)


def test_sound_file_is_used_by_the_first_search(database: Path) -> None:
    """A file that is as it was written serves the first search of a process, and stays."""
    (file,) = folder_of(database).glob("*.vectors")
    before = file.stat()
    query = rows(1, seed=3)[0]
    for _ in range(2):
        with Store.open(database) as store:
            store.search(vector=query.tolist(), k=5)
            assert store.stats().searches[0].structure == "exact"  # vec0 would be named else
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_pipe_with_the_name_of_a_file_holds_no_search_up(database: Path) -> None:
    """A named pipe in the place of a file is passed over."""
    (file,) = folder_of(database).glob("*.vectors")
    file.unlink()
    os.mkfifo(file)
    query = rows(1, seed=3)[0]
    with Store.open(database) as store:
        assert ids(store.search(vector=query.tolist(), k=5)) == nearest(rows(MANY), query, 5)


def test_vector_erased_by_another_while_a_file_is_written_is_in_no_file(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was begun before another connection erased a memory, and is there after it, is deleted."""
    written = CodeFolder.write

    def late(folder: CodeFolder, *given: Any) -> Path:
        with Store.open(database) as other:
            other.delete("3", erase=True)
        return written(folder, *given)

    CodeFolder(database).clear()
    store = Store.open(database)
    warm(store)
    await_background()
    CodeFolder(database).clear()
    monkeypatch.setattr(CodeFolder, "write", late)
    fill(store, rows(MANY // 5, seed=4), start=MANY)
    store.close()
    assert not list(folder_of(database).glob("*.vectors"))


def test_closing_writes_a_file_once_and_leaves_no_background(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is closed after many changes writes its file once, and no thread of it goes on after that."""
    written, times = CodeFolder.write, []

    def counted(folder: CodeFolder, *given: Any) -> Path:
        times.append(given)
        return written(folder, *given)

    monkeypatch.setattr(CodeFolder, "write", counted)
    with Store.open(database) as store:
        store.search(vector=rows(1)[0].tolist())
        fill(store, rows(MANY // 5, seed=4), start=MANY)
    await_background()
    assert len(times) == 1
    assert len(list(folder_of(database).glob("*.vectors"))) == 1
    assert not list(folder_of(database).glob(".*"))


def await_background() -> None:
    for thread in threading.enumerate():
        if thread.name == "aqe-codes":
            thread.join(timeout=60)


def test_memory_deleted_while_its_worth_is_asked_for_is_no_hit(store: Store) -> None:
    """A memory that another connection deletes between the two halves of a search is not among its hits."""
    fill(store, rows(12))

    def prior(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
        with Store.open(store.path) as other:
            other.delete("3")
        return dict.fromkeys(keys, 0.5)

    found = store.search("note 3", vector=rows(12)[3].tolist(), k=5, prior=prior)
    assert "3" not in ids(found)
    assert len(found.hits) == 5


def test_end_in_a_month_keeps_searches_at_hand(tmp_path: Path) -> None:
    """One memory with an end far away leaves the others' searches at hand; once it is over it is no hit there."""
    clock = [1_700_000_000_000_000]
    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0]) as store:
        fill(store, rows(20))
        store.add_many([NewMemory("short-lived", id="short", vector=rows(1, seed=8)[0].tolist(), ttl_s=30 * 86_400.0)])
        query = rows(1, seed=8)[0].tolist()
        for _ in range(SEARCHES):
            store.search(vector=query, k=3)
        found = store.at_hand.search(query, k=3)
        assert found is not None
        assert ids(found)[0] == "short"
        clock[0] += 31 * 86_400_000_000
        later = store.at_hand.search(query, k=3) or store.search(vector=query, k=3)
        assert "short" not in ids(later)
        assert "short" not in ids(store.search("short lived", vector=query, k=3))
