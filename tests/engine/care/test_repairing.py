"""A store damaged in every way that can be thought of is brought to the last good state, and never made worse."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, back_up, repair, verify
from aqe.engine.memory.file.connection import open_connection
from aqe.engine.memory.graph import Edge, add_edges
from aqe.engine.memory.graph.adjacency import read_adjacency, read_edge_number
from aqe.engine.memory.graph.linking import is_linked
from aqe.engine.privacy import audit

Make = Callable[..., Place]
PAGE = 4096


def damage(place: Place, *pages: int, filling: bytes = b"\xa5") -> None:
    """Overwrite whole pages (numbered from 1)."""
    data = bytearray(place.path.read_bytes())
    for number in pages:
        data[(number - 1) * PAGE : number * PAGE] = filling * PAGE
    place.path.write_bytes(data)


def root_of(place: Place, name: str) -> int:
    """The page with which a table begins."""
    connection = open_connection(place.path, key=place.key)
    root = int(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).get)
    connection.close()
    return root


def readable(path: Path, key: str | None = None) -> set[tuple[str, int, str]]:
    """Every revision that SQLite can still read, from either end of the table, with the text that its hash is of."""
    found: set[tuple[str, int, str]] = set()
    connection = apsw.Connection(str(path))
    try:
        if key:
            connection.pragma("key", key)
        connection.pragma("writable_schema", True)
        for order in ("row", "row DESC"):
            sql = f"SELECT id, revision, text, text_hash FROM memories NOT INDEXED ORDER BY {order}"
            cursor = connection.execute(sql)
            with contextlib.suppress(apsw.Error, UnicodeDecodeError):
                for id, revision, text, digest in cursor:
                    if isinstance(text, str) and hashlib.sha256(text.encode()).digest() == digest:
                        found.add((id, revision, text))
    except apsw.Error:
        return found
    finally:
        connection.close()
    return found


@pytest.fixture(scope="module", params=[None, "a key"], ids=["clear", "encrypted"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A store of 500 memories with history, ended ones and an audit log, to be copied and damaged."""
    place = Place(tmp_path_factory.mktemp("large") / "aqe.db", request.param)
    with Store.open(place.path, key=place.key) as store:
        store.add_many(
            NewMemory(f"note {n} " * (1 + n % 60), id=str(n), vector=[float(n), 1.0, 2.0], embedder_id="toy")
            for n in range(500)
        )
        for number in range(0, 500, 7):
            store.update(str(number), text=f"changed {number}")
        for number in range(0, 500, 11):
            store.delete(str(number))
        audit.append(store, "sent", recipient="openai", purpose="query", mode="balanced", payload="x")
    return place


def copy_of(place: Place, folder: Path) -> Place:
    """A copy of a store that is not open, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    target = folder / "aqe.db"
    target.write_bytes(place.path.read_bytes())
    return Place(target, place.key)


def test_sound_store_is_left_alone(make_place: Make) -> None:
    """A sound store needs no repair: its bytes stay, and no copy is kept."""
    place = make_place()
    before = place.path.read_bytes()
    report = repair(place)
    assert (report.how, report.sound, report.kept, report.memories) == ("nothing", True, "", 20)
    assert place.path.read_bytes() == before


def test_lost_leaf_loses_its_rows_and_names_them(make_place: Make, tmp_path: Path) -> None:
    """With one page of texts gone the other memories stand with vector and words, and the lost ones are named; the
    store goes on from its earlier backups."""
    place = make_place(300)
    back_up(place, tmp_path / "b.db")
    with Store.open(place.path) as store:
        everything = {memory.id for memory in store.list(limit=1000)}
    connection = open_connection(place.path)
    sql = "SELECT pageno FROM dbstat WHERE name = 'memories' AND pagetype = 'leaf' ORDER BY pageno LIMIT 1 OFFSET 3"
    leaf = int(connection.execute(sql).get)
    connection.close()
    damage(place, leaf)
    report = repair(place)
    with Store.open(place.path) as store:
        left = {memory.id for memory in store.list(limit=1000)}
        assert all(store.vector(id) == (float(id), 1.0, 2.0) for id in left)
        assert len(store.search("note", k=1000).hits) == len(left)
    assert (report.sound, report.more_lost) == (True, False)
    assert 0 < len(everything - left) < 60
    assert set(report.lost_memories) == {f"default/{id}" for id in everything - left}
    assert Path(report.kept).read_bytes()[(leaf - 1) * PAGE :][:8] == b"\xa5" * 8
    assert back_up(place, tmp_path / "i.db", since=tmp_path / "b.db").memories == len(left)


def test_edges_are_followed_after_their_count_is_lost(make_place: Make) -> None:
    """Where the page that counts the changes of edges is gone, the repaired store counts them again."""
    place = make_place(3)
    connection = open_connection(place.path)
    page = int(connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'edge_changes'").get)
    connection.close()
    damage(place, page)
    assert repair(place).memories == 3
    with Store.open(place.path) as store:
        with store.reading() as reading:
            before = read_edge_number(reading)
        add_edges(store, [Edge("covers", (("default", "0"), ("default", "1")))])
        with store.reading() as reading:
            assert read_edge_number(reading) > before


@pytest.mark.parametrize(("table", "left"), [("nodes", range(1, 299)), ("edge_members", range(299, 300))])
def test_edges_with_a_lost_member_go_and_the_others_stay(make_place: Make, table: str, left: range) -> None:
    """Where a page of what edges join is gone, those that name what is lost go, those whose key names all their
    members are kept, and the next index run reads the sources anew."""
    place = make_place(300)
    with Store.open(place.path) as store:
        keys = [("default", str(number)) for number in range(300)]
        assert add_edges(store, [Edge("covers", pair) for pair in itertools.pairwise(keys)]) == 299
        with store.writing() as connection:
            connection.execute("INSERT INTO source_mentions VALUES ('index', 'a.py', x'00', 1, '[]')")
    connection = open_connection(place.path)
    sql = "SELECT max(pageno) FROM dbstat WHERE name = ? AND pagetype = 'leaf'"
    page = int(connection.execute(sql, (table,)).get)
    connection.close()
    damage(place, page)
    assert repair(place).sound
    with Store.open(place.path) as store, store.reading() as connection:
        edges = read_adjacency(connection)
        count = int(connection.execute("SELECT count(*) FROM edges").get)
        assert count in left
        assert int((edges.other >= 0).sum()) == 2 * count
        assert connection.execute("SELECT count(*) FROM edge_members").get == 2 * count
        assert not is_linked(store, "index")


@pytest.mark.services
@pytest.mark.parametrize("table", ["sqlite_schema", "memories", "texts_data", "vectors_1_chunks", "memories_current"])
def test_lost_root_of_a_table_loses_no_memory(make_place: Make, table: str) -> None:
    """Whichever page a tree begins with is gone, every memory is still there and found by its words."""
    place = make_place(300)
    damage(place, 1 if table == "sqlite_schema" else root_of(place, table))
    report = repair(place)
    with Store.open(place.path) as store:
        assert report.sound
        assert store.stats().memories == 300
        assert [hit.memory.id for hit in store.search("note 17 says", k=1).hits] == ["17"]
        if table != "vectors_1_chunks":
            assert store.vector("17") == (17.0, 1.0, 2.0)


def test_what_is_lost_without_a_name_is_said_with_its_bound(make_place: Make) -> None:
    """Where the pages that would name what is lost are lost too the report says so, and how far rows were numbered."""
    place = make_place(1000)
    place.path.write_bytes(place.path.read_bytes()[: place.path.stat().st_size * 7 // 10])
    report = repair(place)
    with Store.open(place.path) as store:
        left = len(store.list(limit=1000))
    assert 0 < left < 1000 - report.lost_count
    assert report.more_lost
    assert 900 < report.highest_row <= 1000


@pytest.mark.services
def test_truncated_file_keeps_what_lies_before_the_cut(make_place: Make) -> None:
    """A file cut off in the middle of a page is opened again with every memory that lies before the cut."""
    place = make_place(2000)
    place.path.write_bytes(place.path.read_bytes()[: place.path.stat().st_size * 3 // 4 - 1000])
    before = {id for id, _, _ in readable(place.path)}
    report = repair(place)
    with Store.open(place.path) as store:
        left = {memory.id for memory in store.list(limit=3000)}
    assert report.how == "salvaged"
    assert before <= left
    assert 100 < len(left) <= 2000


@pytest.mark.services
def test_commits_that_stand_in_the_log_alone_are_saved(make_place: Make, tmp_path: Path) -> None:
    """What was committed to the write-ahead log and not yet to the file survives damage to the file."""
    place = make_place(50)
    with Store.open(place.path) as store:
        store.add_many(NewMemory(f"in the log {number}", id=f"log{number}") for number in range(20))
        copied = copy_of(place, tmp_path / "copy")
        copied.path.with_name("aqe.db-wal").write_bytes(place.path.with_name("aqe.db-wal").read_bytes())
    damage(copied, 7)
    repair(copied)
    with Store.open(copied.path) as store:
        assert all(store.get(f"log{number}") is not None for number in range(20))
        assert store.stats().memories >= 20


@pytest.mark.services
def test_audit_log_survives_and_no_consent_is_made_up(make_place: Make) -> None:
    """The log of what left the machine is saved with its chain; rows of an index are never taken for consents."""
    place = make_place(400)
    with Store.open(place.path) as store:
        audit.append(store, "sent", recipient="openai", purpose="query", mode="balanced", payload="x")
    damage(place, 1, root_of(place, "memories_current"), root_of(place, "consents"))
    repair(place)
    with Store.open(place.path) as store, store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM consents").get == 0
        assert connection.execute("SELECT recipient FROM audit").fetchall() == [("openai",)]
    with Store.open(place.path) as store:
        assert audit.verify(store).intact


FORMS = [(16, "8000"), (20, "20")]
MORE_FORMS = [(None, 16, "0200"), (None, 16, "0001"), (None, 20, "ff"), (None, 16, "0400030310")]
MORE_FORMS += [("a key", 16, "0200"), ("a key", 20, "00")]


@pytest.mark.parametrize(
    ("key", "at", "said"),
    [(None, *form) for form in FORMS] + [pytest.param(*form, marks=pytest.mark.services) for form in MORE_FORMS],
)
def test_head_that_says_a_wrong_form_of_the_pages_loses_nothing(
    make_place: Make, key: str | None, at: int, said: str
) -> None:
    """Where the head of the file says another size of its pages, or that less of each is used, the pages themselves
    say it: every memory is saved, and none is named as lost."""
    place = make_place(60, key=key)
    data = place.path.read_bytes()
    place.path.write_bytes(data[:at] + bytes.fromhex(said) + data[at + len(said) // 2 :])
    assert not verify(place).sound
    report = repair(place)
    assert (report.how, report.memories, report.lost_count, report.sound) == ("salvaged", 60, 0, True)
    with Store.open(place.path, key=key) as store:
        assert store.vector("59") == (59.0, 1.0, 2.0)


def test_first_page_of_noise_is_damage_and_no_key(make_place: Make) -> None:
    """A file in clear whose first page is noise is told to be broken, since its other pages can be read; a repair saves
    what they hold."""
    place = make_place(60)
    place.path.write_bytes(random.Random(3).randbytes(PAGE) + place.path.read_bytes()[PAGE:])
    with pytest.raises(UserError) as caught:
        Store.open(place.path)
    assert caught.value.code == "database-broken"
    assert [finding.check for finding in verify(place).findings] == ["file"]
    report = repair(place)
    assert (report.how, report.memories, report.sound) == ("salvaged", 60, True)


def test_file_of_noise_without_a_key_names_both_ways_that_it_came_to_be(make_place: Make) -> None:
    """Where no page can be read and no key is set, the error says that the file is encrypted or broken, and a repair
    leaves it as it is."""
    place = make_place(20)
    noise = random.Random(3).randbytes(len(place.path.read_bytes()))
    place.path.write_bytes(noise)
    with pytest.raises(UserError) as caught:
        repair(place)
    assert caught.value.code == "database-key"
    assert "it is encrypted, and its key is not set, or the file is broken" in caught.value.message
    assert place.path.read_bytes() == noise


@pytest.mark.services
def test_dry_run_says_what_would_be_saved_and_changes_nothing(make_place: Make) -> None:
    """A dry run over a damaged file counts what would be saved; file and folder stay as they are."""
    place = make_place(300)
    damage(place, root_of(place, "memories"))
    before = place.path.read_bytes()
    report = repair(place, dry_run=True)
    assert (report.how, report.memories, report.kept) == ("salvaged", 300, "")
    assert place.path.read_bytes() == before
    assert [path.name for path in place.folder.iterdir()] == ["aqe.db"]


@pytest.mark.parametrize("lost", [1, "memories_revision"])
def test_a_text_that_is_none_is_put_right_in_a_salvage_too(make_place: Make, lost: int | str) -> None:
    """A flipped bit that leaves a text no UTF-8 is put right where a page of the file is lost as well; one that stands
    as U+FFFD in a text stays."""
    place = make_place(40)
    with Store.open(place.path) as store:
        store.add("an odd \ufffd sign", id="odd")
    damage(place, lost if isinstance(lost, int) else root_of(place, lost))
    data, known = bytearray(place.path.read_bytes()), b"note 3 says that part 21"
    assert data.count(known) == 1
    data[data.index(known) + 5] ^= 0x80
    place.path.write_bytes(data)
    report = repair(place)
    assert (report.how, report.sound, report.lost_count) == ("salvaged", True, 0)
    with Store.open(place.path) as store:
        assert (store.get("3").text, store.get("3").metadata) == ("note 3 says that part 21 is kept", {"n": 3})
        assert store.get("odd").text == "an odd \ufffd sign"


@pytest.mark.services
def test_file_of_noise_becomes_an_empty_store_and_is_kept(make_place: Make) -> None:
    """Of a file without a readable row nothing is saved; it is kept, and the store can be used again."""
    place = make_place(1)
    place.path.write_bytes(b"SQLite format 3\0" + random.Random(0).randbytes(200_000))
    report = repair(place)
    assert (report.memories, report.saved, report.everything_lost, report.earlier) == (0, {}, True, ())
    assert Path(report.kept).stat().st_size == 200_016
    with Store.open(place.path) as store:
        store.add("goes on")


@pytest.mark.services
def test_wrong_key_repairs_nothing(make_place: Make) -> None:
    """With another key a repair is refused, and the file stays as it is."""
    place = make_place(3, key="k")
    before = place.path.read_bytes()
    with pytest.raises(UserError) as caught:
        repair(Place(place.path, "other"))
    assert caught.value.code == "database-key"
    assert place.path.read_bytes() == before


@pytest.mark.services
def test_damaged_store_that_is_open_elsewhere_names_who_has_it(make_place: Make) -> None:
    """A file too damaged to be written through is not replaced under another process; the error names that process."""
    place = make_place(50)
    place.path.write_bytes(b"\0" * PAGE + place.path.read_bytes()[PAGE:])
    command = [sys.executable, "-c", f"import sys; f = open({str(place.path)!r}, 'rb'); print(1, flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        other.stdout.readline()
        if Path("/proc/self/fd").is_dir():  # elsewhere nobody says who has a file open
            with pytest.raises(UserError) as caught:
                repair(place)
            assert (caught.value.code, f"process {other.pid} " in caught.value.message) == ("database-locked", True)
        other.communicate("\n")
    assert repair(place).memories == 50


@pytest.mark.services
@settings(max_examples=12, deadline=None)
@example(seed=1683866)  # a byte that makes the name of a file none
@given(seed=st.integers(0, 1 << 30))
def test_nothing_that_was_readable_is_lost(large: Place, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Cut off anywhere, or damaged on any pages or in any bytes, what SQLite could read before is there afterwards, and
    the store is sound."""
    rng, place = random.Random(seed), copy_of(large, tmp_path_factory.mktemp("damaged"))
    data = bytearray(place.path.read_bytes())
    pages = len(data) // PAGE
    if rng.random() < 0.4:
        del data[rng.randrange(PAGE, len(data)) :]
    else:
        for _ in range(rng.choice([1, 1, 2, 10, 40])):
            at = rng.randrange(1, pages) * PAGE + (0 if rng.random() < 0.7 else rng.randrange(PAGE))
            size = rng.choice([1, 50, PAGE])
            data[at : at + size] = rng.choice([bytes(size), b"\xa5" * size, rng.randbytes(size)])[: len(data) - at]
    place.path.write_bytes(data)
    before = readable(place.path, place.key)
    report = repair(place)
    after = readable(place.path, place.key)
    assert report.sound
    assert before <= after


@pytest.mark.services
def test_cut_after_any_page_is_repaired(large: Place, tmp_path: Path) -> None:
    """A file cut off after any page is a sound store again, with all that could be read."""
    data = large.path.read_bytes()
    for pages in range(1, len(data) // PAGE, 24):
        place = copy_of(large, tmp_path / str(pages))
        place.path.write_bytes(data[: pages * PAGE])
        before = readable(place.path, place.key)
        assert repair(place).sound, pages
        assert before <= readable(place.path, place.key), pages
