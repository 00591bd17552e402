"""Search by meaning on codes beside the database: what is found, by whom it is kept up to date, and what may happen to
the files."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.memory import NewMemory, SearchAnswer, Store
from aqe.engine.memory.care import Place, verify
from aqe.engine.memory.file.changelog import read_mark
from aqe.engine.memory.meaning.codefiles import CodeFolder, folder_of
from aqe.engine.memory.meaning.codes import ASIDE, LOOKED_THROUGH, SEARCHES
from aqe.engine.memory.meaning.parts import FEW, WORTH_A_FILE

DIM = 32
MANY = WORTH_A_FILE + 100

RACER = """
import sys
from pathlib import Path
import numpy as np
from aqe.engine.memory import Store
query = np.random.default_rng(9).standard_normal(32).tolist()
with Store.open(Path(sys.argv[1])) as store:
    for _ in range(5):
        hits = store.search(vector=query, k=3).hits
print(" ".join(hit.memory.id for hit in hits))
"""


def rows(count: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def fill(
    store: Store, vectors: NDArray[np.float32], *, start: int = 0, namespaces: Sequence[str] = ("default",)
) -> None:
    names = itertools.cycle(namespaces)
    store.add_many(
        NewMemory(f"note {number}", id=str(number), namespace=next(names), metadata={"n": number}, vector=row.tolist())
        for number, row in enumerate(vectors, start)
    )


def warm(store: Store, namespace: str | None = None) -> None:
    """Search until codes are at hand."""
    for _ in range(SEARCHES):
        store.search(vector=rows(1)[0].tolist(), namespace=namespace)


def ids(answer: SearchAnswer) -> list[str]:
    return [hit.memory.id for hit in answer.hits]


def exactly(store: Store, query: NDArray[np.float32], k: int) -> list[str]:
    """The nearest current memories of all that have a vector, by NumPy over vec0 itself."""
    with store.reading() as connection:
        found = connection.execute("SELECT id, vector FROM vectors_1 JOIN memories USING (row)").fetchall()
    values = np.frombuffer(b"".join(vector for _, vector in found), np.float32).reshape(len(found), -1)
    cosines = values @ query / np.linalg.norm(values, axis=1) / np.linalg.norm(query)
    return [found[at][0] for at in np.argsort(-cosines, kind="stable")[:k]]


def files(store: Store) -> list[Path]:
    return sorted(folder_of(store.path).glob("*.vectors"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a closed store of so many memories that it has a file of codes."""
    home = tmp_path_factory.mktemp("made")
    with Store.open(home / "aqe.db") as store:
        fill(store, rows(MANY))
        warm(store)
    assert len(list(folder_of(home / "aqe.db").glob("*.vectors"))) == 1
    return home


@pytest.fixture
def many(made: Path, tmp_path: Path) -> Iterator[Store]:
    """That store, opened with its file."""
    shutil.copytree(made, tmp_path / "home")
    with Store.open(tmp_path / "home" / "aqe.db") as store:
        yield store


def test_the_same_is_found_before_and_after_codes_are_at_hand(store: Store) -> None:
    """The first searches, which vec0 answers, and those by codes find the same memories with the same scores."""
    fill(store, rows(FEW + 50))
    queries = rows(SEARCHES + 4, seed=2)
    for query in queries:
        answer = store.search(vector=query.tolist(), k=7)
        assert ids(answer) == exactly(store, query, 7)
        assert answer.hits[0].score == pytest.approx(answer.hits[0].vector_score)
    repeated = [store.search(vector=queries[0].tolist(), k=7) for _ in range(2)]
    assert repeated[0] == repeated[1]


def test_namespaces_are_kept_apart(store: Store) -> None:
    """A search within a namespace, a tree of them, or all but the shelves finds only theirs."""
    fill(store, rows(90), namespaces=["a", "team/b", "index/docs"])
    query = rows(1, seed=3)[0].tolist()
    for _ in range(SEARCHES + 1):
        assert {int(one) % 3 for one in ids(store.search(vector=query, namespace="a", k=50))} == {0}
        assert {int(one) % 3 for one in ids(store.search(vector=query, namespace="team/", k=50))} == {1}
        assert {int(one) % 3 for one in ids(store.search(vector=query, k=100))} == {0, 1}
        assert len(ids(store.search(vector=query, namespace="index/", k=100))) == 30


def test_own_changes_are_seen_at_once(many: Store) -> None:
    """What was added, changed, or deleted is found so by the next search."""
    warm(many)
    new = rows(1, seed=4)[0]
    many.add("the new one", id="new", vector=new.tolist())
    assert ids(many.search(vector=new.tolist(), k=1)) == ["new"]
    many.update("new", text="the newer one", vector=(-new).tolist())
    assert ids(many.search(vector=new.tolist(), k=1)) != ["new"]
    assert ids(many.search(vector=(-new).tolist(), k=1)) == ["new"]
    many.delete("new")
    assert "new" not in ids(many.search(vector=(-new).tolist(), k=50))


def test_changes_of_another_store_are_seen_at_once(many: Store) -> None:
    """What another connection committed is found by the next search, however much it is."""
    warm(many)
    more = rows(1500, seed=5)
    with Store.open(many.path) as other:
        fill(other, more[:3], start=MANY)
        assert ids(many.search(vector=more[2].tolist(), k=1)) == [str(MANY + 2)]
        fill(other, more[3:], start=MANY + 3)
        other.delete(str(MANY))
    for at in (1, 700, 1499):
        assert ids(many.search(vector=more[at].tolist(), k=1)) == [str(MANY + at)]
    assert str(MANY) not in ids(many.search(vector=more[0].tolist(), k=5))


def test_filter_is_exact(many: Store) -> None:
    """With a filter the nearest of the rows that meet it are found, again after a change."""
    warm(many)
    query = rows(1, seed=6)[0]
    allowed = [one for one in exactly(many, query, MANY) if int(one) < 200][:5]
    for _ in range(2):
        assert ids(many.search(vector=query.tolist(), filter={"n": {"lt": 200}}, k=5)) == allowed
    many.delete(allowed[0])
    assert ids(many.search(vector=query.tolist(), filter={"n": {"lt": 200}}, k=4)) == allowed[1:]
    assert ids(many.search(vector=query.tolist(), filter={"n": -1})) == []


def test_equal_vectors_are_found_oldest_first(store: Store) -> None:
    """Of equally near memories the older one is first."""
    store.add_many(NewMemory(f"{number}", vector=[0.3, 0.1]) for number in range(40))
    for _ in range(SEARCHES + 1):
        hits = store.search(vector=[0.31, 0.1], k=4).hits
        assert [hit.memory.text for hit in hits] == ["0", "1", "2", "3"]


def test_recall_against_an_exact_search(many: Store) -> None:
    """Nearly all of the exact ten nearest are found by codes that were opened from a file."""
    found = wanted = 0
    for query in rows(40, seed=7):
        best = exactly(many, query, 10)
        found += len(set(best) & set(ids(many.search(vector=query.tolist(), k=10))))
        wanted += len(best)
    assert found >= 0.99 * wanted


def test_words_and_meaning_agree_with_vec0(many: Store) -> None:
    """A search by both sides gives the same hits and scores by codes as by vec0 alone."""
    query = rows(1, seed=8)[0].tolist()
    by_codes = many.search("note 77", vector=query, k=10)
    shutil.copytree(many.path.parent, many.path.parent.parent / "bare")
    shutil.rmtree(folder_of(many.path.parent.parent / "bare" / "aqe.db"))
    with Store.open(many.path.parent.parent / "bare" / "aqe.db") as bare:
        by_vec0 = bare.search("note 77", vector=query, k=10)
    assert ids(by_codes) == ids(by_vec0)
    assert [hit.score for hit in by_codes.hits] == pytest.approx([hit.score for hit in by_vec0.hits], abs=1e-4)


def test_file_of_a_few_changes_ago_is_brought_up_to_date(many: Store) -> None:
    """A store that opens a file from before some changes finds what was added and not what was deleted."""
    new = rows(2, seed=10)
    before = files(many)
    many.add("added without a search", id="new", vector=new[0].tolist())
    many.delete("5")
    gone = exactly(many, rows(MANY)[5], 1)
    with Store.open(many.path) as later:
        assert ids(later.search(vector=new[0].tolist(), k=1)) == ["new"]
        assert ids(later.search(vector=rows(MANY)[5].tolist(), k=1)) == gone != ["5"]
    assert files(many) == before


def test_file_is_written_anew_after_many_changes(many: Store) -> None:
    """A store that closes after a tenth of its memories changed leaves one file, of its last change."""
    (before,) = files(many)
    fill(many, rows(MANY // 10, seed=11), start=MANY)
    warm(many)
    with many.reading() as connection:
        number = read_mark(connection).number
    many.close()
    (after,) = files(many)
    assert after != before
    assert f"-{number}-" in after.name


def damaged_head(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[20:40] = b"\xff" * 20
    file.write_bytes(data)


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5000])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def not_ours(file: Path) -> None:
    file.write_bytes(b"something else altogether\n" * 400)


def of_other_dimension(file: Path) -> None:
    from aqe.simd import Vectors

    other = Vectors(DIM + 1)
    other.add([1, 2], np.ones((2, DIM + 1), np.float32))
    other.save(file)


@pytest.mark.parametrize("harm", [damaged_head, truncated, emptied, not_ours, of_other_dimension])
def test_file_that_cannot_serve_is_made_anew(many: Store, harm: object) -> None:
    """A damaged, truncated, empty or foreign file changes no answer, and a good one takes its place."""
    (file,) = files(many)
    assert callable(harm)
    harm(file)
    query = rows(1, seed=12)[0]
    with Store.open(many.path) as store:
        for _ in range(SEARCHES + 1):
            assert ids(store.search(vector=query.tolist(), k=5)) == exactly(store, query, 5)
    with Store.open(many.path) as store:
        (again,) = files(store)
        assert again.stat().st_size > 100_000
        assert ids(store.search(vector=query.tolist(), k=5)) == exactly(store, query, 5)


@pytest.mark.parametrize("written", ["of another store", "before"])
def test_file_that_lies_under_the_name_of_another_is_not_believed(many: Store, written: str) -> None:
    """A whole file under this one's name, of another store or written before files said what they are, changes no
    answer, and a good one takes its place; whoever verifies is told of another store's."""
    from aqe.simd import Vectors

    (file,) = files(many)
    other = Vectors(DIM)
    other.add(np.arange(1, MANY + 1), rows(MANY, seed=31))
    other.save(file, label="" if written == "before" else f"{file.stem}1")
    strange, query = file.read_bytes(), rows(1, seed=32)[0]
    told = [finding.what for finding in verify(Place(many.path)).findings]
    assert told == ([] if written == "before" else [f"{file.name} holds what another file of vectors was written as"])
    for _ in range(2):
        with Store.open(many.path) as store:
            for _ in range(SEARCHES + 1):
                assert ids(store.search(vector=query.tolist(), k=5)) == exactly(store, query, 5)
    (again,) = files(many)
    assert again.read_bytes() != strange


def test_file_of_another_history_is_not_used(many: Store) -> None:
    """After an older database was put back and went another way, the codes of the newer one serve no search."""
    shutil.copy(many.path, many.path.with_name("kept.db"))
    new = rows(2, seed=13)
    fill(many, np.vstack([rows(400, seed=14), new[:1]]), start=MANY)
    warm(many)
    many.close()
    (file,) = files(many)
    for ending in ("-wal", "-shm"):
        many.path.with_name(many.path.name + ending).unlink(missing_ok=True)
    shutil.copy(many.path.with_name("kept.db"), many.path)
    with Store.open(many.path) as store:
        fill(store, np.vstack([rows(400, seed=15), new[1:]]), start=MANY)
        for _ in range(SEARCHES + 1):
            assert ids(store.search(vector=new[1].tolist(), k=3)) == exactly(store, new[1], 3)
        assert not file.exists()


def test_erased_memory_leaves_no_file(many: Store) -> None:
    """Erasing a memory deletes the files, so that its vector lies nowhere; the others are still found."""
    warm(many)
    vector = rows(MANY)[3]
    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
    (file,) = files(many)
    held = np.fromfile(file, np.float32, offset=file.stat().st_size % 4)
    assert np.isclose(held, unit[0], atol=1e-6).any()
    many.delete("3", erase=True)
    assert files(many) == []
    assert "3" not in ids(many.search(vector=vector.tolist(), k=5))
    assert ids(many.search(vector=rows(MANY)[4].tolist(), k=1)) == ["4"]


def test_encrypted_store_has_no_file_in_clear(tmp_path: Path) -> None:
    """With a key no file is written beside the database, and one from before is deleted; searches are the same."""
    path = tmp_path / "aqe.db"
    folder_of(path).mkdir()
    (folder_of(path) / f"1-{'0' * 16}-1-1.vectors").write_bytes(b"from before")
    with Store.open(path, key="secret") as store:
        fill(store, rows(MANY))
        warm(store)
        assert ids(store.search(vector=rows(MANY)[9].tolist(), k=1)) == ["9"]
    assert not folder_of(path).exists()


def test_folder_that_cannot_be_written_costs_no_search(many: Store) -> None:
    """Where no file can be written, searches go on from memory."""
    CodeFolder(many.path).clear()
    folder_of(many.path).write_text("a file in the way of the folder")
    query = rows(1, seed=16)[0]
    with Store.open(many.path) as store:
        for _ in range(SEARCHES + 1):
            assert ids(store.search(vector=query.tolist(), k=5)) == exactly(store, query, 5)
    assert folder_of(many.path).read_text() == "a file in the way of the folder"


@pytest.mark.services
def test_processes_that_make_the_file_together_all_find_the_same(many: Store) -> None:
    """Three processes that find no file read the vectors and write it at once; each answers right, one file is left."""
    for file in files(many):
        file.unlink()
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(many.path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {racer.communicate(timeout=120)[0].split()[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0] * 3
    assert said == {exactly(many, np.random.default_rng(9).standard_normal(DIM).astype(np.float32), 1)[0]}
    assert len(files(many)) == 1
    assert not list(folder_of(many.path).glob(".*"))


def test_large_namespace_is_read_in_the_background(tmp_path: Path) -> None:
    """While very many vectors are read aside vec0 answers; then the codes do, with the same hits."""
    with Store.open(tmp_path / "aqe.db") as store:
        vectors = rows(ASIDE + 64)[:, :4]
        with store.writing() as connection:
            from aqe.engine.memory.meaning import vectors as tables

            table = tables.ensure_table(connection, "given", 4)
            connection.executemany(
                "INSERT INTO memories (row, id, namespace, revision, valid_from, created_at, text, text_hash, id_given,"
                ' metadata, embedder, worktree, "commit", file, line, run)'
                " VALUES (?1, ?1, 'default', 1, 0, 0, ?1, x'00', 1, '{}', 1, '', '', '', 0, '')",
                ((number + 1,) for number in range(len(vectors))),
            )
            for number, row in enumerate(vectors):
                tables.put(connection, table, number + 1, "default", row.tobytes())
        expected = exactly(store, vectors[17], 3)
        for _ in range(SEARCHES):
            assert ids(store.search(vector=vectors[17].tolist(), k=3)) == expected
        for thread in threading.enumerate():
            if thread.name == "aqe-codes":
                thread.join(timeout=60)
        assert ids(store.search(vector=vectors[17].tolist(), k=3)) == expected
        assert len(files(store)) == 1


def test_files_of_what_is_gone_are_swept_away(many: Store) -> None:
    """Files of namespaces that are no more go with the next file that is written; those of others stay."""
    folder = CodeFolder(many.path)
    shutil.copy(files(many)[0], folder.path / f"7-{'a' * 16}-1-1.vectors")
    folder.sweep([(1, "default")])
    assert len(files(many)) == 1
    folder.clear()
    assert not folder.path.exists()


def test_stats_tell_what_searches_find(many: Store) -> None:
    """The figures name each namespace with its vectors, how they are searched, and the recall that was measured."""
    many.add("a small namespace", namespace="small", vector=rows(1)[0].tolist())
    before = {one.namespace: one for one in many.stats().searches}
    assert (before["default"].structure, before["default"].recall) == ("vec0", 1.0)
    found = {one.namespace: one for one in many.stats(measure=True).searches}
    assert (found["default"].vectors, found["small"].vectors) == (MANY, 1)
    assert found["default"].structure == "exact"  # so short vectors have no codes
    assert found["default"].recall >= 0.99
    assert found["small"].structure == "vec0"
    assert many.stats().bytes["codes"] == files(many)[0].stat().st_size


def test_bit_that_flipped_inside_a_file_is_found(many: Store) -> None:
    """A file with one wrong bit among its vectors is dropped after some searches, and a good one is made."""
    (file,) = files(many)
    data = bytearray(file.read_bytes())
    place = len(data) - 6_000
    data[place] ^= 1
    file.write_bytes(data)
    found = file.stat()
    seal = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"  # as of a bit that flips on the disk itself
    file.with_name(f"{file.name}.sealed").write_text(seal)
    query = rows(1, seed=17)[0]
    with Store.open(many.path) as store:
        for _ in range(LOOKED_THROUGH):
            store.search(vector=query.tolist())
        background = [thread for thread in threading.enumerate() if thread.name == "aqe-codes"]
        for thread in background:
            thread.join(timeout=60)
        assert ids(store.search(vector=query.tolist(), k=5)) == exactly(store, query, 5)
    (again,) = files(many)
    assert again.read_bytes()[place] != data[place]


def test_bit_that_flipped_under_an_old_date_changes_no_answer(many: Store) -> None:
    """Whatever byte of a file changed under its date and its seal, the first answer of a fresh store is right."""
    (file,) = files(many)
    data, query = file.read_bytes(), rows(1, seed=23)[0]
    wanted = exactly(many, query, 10)
    for place in np.random.default_rng(5).integers(0, len(data), 16).tolist():
        changed = bytearray(data)
        changed[place] ^= 0x40
        for made_since in files(many):
            made_since.unlink()
        file.write_bytes(changed)
        found = file.stat()
        seal = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
        file.with_name(f"{file.name}.sealed").write_text(seal)
        with Store.open(many.path) as store:
            assert ids(store.search(vector=query.tolist(), k=10)) == wanted
