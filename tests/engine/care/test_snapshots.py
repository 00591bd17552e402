"""Snapshots, rollbacks and what differs between two states, against a model that remembers everything."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe.engine.errors import Cancelled, UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, back_up, compare, list_snapshots, roll_back, take_snapshot, verify
from aqe.engine.memory.care.snapshots import check_name, remove_snapshot
from aqe.engine.memory.care.states import pack_rows, unpack_rows
from aqe.engine.progress import CancelToken

Make = Callable[..., Place]
KEPT = 20


def opened(place: Place) -> Store:
    return Store.open(place.path, key=place.key)


def texts(store: Store) -> dict[str, tuple[str, object]]:
    return {memory.id: (memory.text, memory.metadata) for memory in store.list(limit=1000)}


def test_rollback_brings_back_what_was_remembered(place: Place) -> None:
    """After a rollback each memory has its text, metadata and vector of then, and is found by both."""
    with opened(place) as store:
        before = texts(store)
        take_snapshot(store, "good", kept=KEPT)
        store.add("later", id="later")
        store.delete("3")
        store.update("4", text="another text")
        store.update("5", metadata={"n": -1})
        report = roll_back(store, "good", kept=KEPT)
        assert (report.ended, report.brought_back, report.reset, report.lost) == (1, 1, 2, 0)
        assert texts(store) == before
        assert store.vector("4") == (4.0, 1.0, 2.0)
        assert store.search(vector=[3.0, 1.0, 2.0], embedder_id="toy", k=1).hits[0].memory.id == "3"
        assert "4" in [hit.memory.id for hit in store.search("part 28", k=3).hits]
        assert [memory.text for memory in store.history("4")][1:2] == ["another text"]
    assert verify(place).sound


@pytest.mark.services
def test_rollback_can_be_taken_back(place: Place) -> None:
    """A rollback takes a snapshot of its own first, and a rollback to that one brings the state before it."""
    with opened(place) as store:
        take_snapshot(store, "good", kept=KEPT)
        store.add("later", id="later")
        store.delete("3")
        before = texts(store)
        undo = roll_back(store, "good", kept=KEPT).undo
        assert "later" not in texts(store)
        roll_back(store, undo, kept=KEPT)
        assert texts(store) == before


def test_what_was_erased_stays_erased(place: Place) -> None:
    """A rollback counts an erased memory as lost and brings no word of it back."""
    with opened(place) as store:
        take_snapshot(store, "good", kept=KEPT)
        store.delete("3", erase=True)
        assert roll_back(store, "good", kept=KEPT).lost == 1
        assert store.history("3") == []


def test_dry_run_and_cancelled_rollback_change_nothing(place: Place) -> None:
    """A dry run counts what would change; it and a cancelled rollback leave memories and snapshots alone."""
    cancel = CancelToken()
    cancel.cancel()
    with opened(place) as store:
        take_snapshot(store, "good", kept=KEPT)
        store.delete("3")
        before, changes = texts(store), store.changes()
        report = roll_back(store, "good", kept=KEPT, dry_run=True)
        assert (report.brought_back, report.undo) == (1, "")
        with pytest.raises(Cancelled):
            roll_back(store, "good", kept=KEPT, cancel=cancel)
        assert (texts(store), store.changes()) == (before, changes)
        assert [one.name for one in list_snapshots(store)] == ["good"]


def test_project_index_and_knowledge_stay_where_they_are(place: Place) -> None:
    """Derived namespaces are in no snapshot: a rollback neither ends nor brings back what is in them."""
    with opened(place) as store:
        store.add("def f(): pass", namespace="index/code", id="f")
        take_snapshot(store, "good", kept=KEPT)
        store.delete("f", namespace="index/code")
        store.add("advice", namespace="knowledge/causes", id="k")
        report = roll_back(store, "good", kept=KEPT)
        assert (report.ended, report.brought_back) == (0, 0)
        assert store.get("k", namespace="knowledge/causes") is not None


def test_oldest_snapshots_go_and_those_of_aqe_first(make_place: Make) -> None:
    """Beyond the limit aqe's own snapshots go before the user's, the oldest before the newer ones."""
    with opened(make_place(3)) as store:
        take_snapshot(store, "a", kept=3)
        undo = roll_back(store, "a", kept=3).undo
        take_snapshot(store, "b", kept=3)
        assert take_snapshot(store, "c", kept=3)[1] == (undo,)
        assert take_snapshot(store, "d", kept=3)[1] == ("a",)
        assert [one.name for one in list_snapshots(store)] == ["d", "c", "b"]


def test_rollback_drops_no_snapshot_of_the_user(make_place: Make) -> None:
    """A rollback at the limit keeps every snapshot that the user made, and names those of aqe's own that went."""
    with opened(make_place(3)) as store:
        for name in ("a", "b"):
            take_snapshot(store, name, kept=2)
        first = roll_back(store, "a", kept=2)
        second = roll_back(store, "b", kept=2)
        assert (first.dropped, second.dropped) == ((), (first.undo,))
        assert {one.name for one in list_snapshots(store)} == {"a", "b", second.undo}


@pytest.mark.services
def test_clock_that_goes_back_does_not_blur_a_snapshot(make_place: Make) -> None:
    """What is written after a snapshot by an earlier clock is not part of it."""
    place = make_place(3)
    with opened(place) as store:
        take_snapshot(store, "good", kept=KEPT)
    with Store.open(place.path, now=lambda: 1_000_000) as store:
        store.add("from the past", id="past")
        assert roll_back(store, "good", kept=KEPT).ended == 1


def test_names_that_are_none_are_refused() -> None:
    """A snapshot has a plain name that is not `now`."""
    for name in ("", "now", "a b", "../x", "x" * 81):
        with pytest.raises(UserError) as caught:
            check_name(name)
        assert caught.value.code == "bad-id"


def test_unknown_and_taken_names_are_one_sentence(make_place: Make) -> None:
    """A name that is taken or that nobody gave has its own code, and the fix names what is there."""
    with opened(make_place(1)) as store:
        take_snapshot(store, "good", kept=KEPT)
        for code, work in (
            ("snapshot-exists", lambda: take_snapshot(store, "good", kept=KEPT)),
            ("unknown-snapshot", lambda: roll_back(store, "bad", kept=KEPT)),
            ("unknown-snapshot", lambda: remove_snapshot(store, "bad")),
        ):
            with pytest.raises(UserError) as caught:
                work()
            assert (caught.value.code, "good" in str(caught.value)) == (code, True)
        remove_snapshot(store, "good")
        assert list_snapshots(store) == []


def test_diff_tells_what_was_added_changed_and_removed(place: Place, tmp_path: Path) -> None:
    """From a backup or a snapshot to now each difference is named with its texts, and mirrored the other way round."""
    back_up(place, tmp_path / "b.db")
    with opened(place) as store:
        take_snapshot(store, "then", kept=KEPT)
        store.add("later", id="later")
        store.delete("3")
        store.update("4", text="another text")
    for then in ("then", str(tmp_path / "b.db")):
        report = compare(place, then, "now")
        assert (report.added, report.changed, report.removed, report.same) == (1, 1, 1, 18)
        assert [(one.kind, one.id) for one in report.changes] == [
            ("removed", "3"),
            ("changed", "4"),
            ("added", "later"),
        ]
        assert (report.changes[1].before or "").startswith("note 4 ")
        assert report.changes[1].after == "another text"
        back = compare(place, "now", then, limit=1)
        assert (back.added, back.removed, len(back.changes)) == (1, 1, 1)
    assert compare(place, "then", str(tmp_path / "b.db")).same == 20


@pytest.mark.services
def test_diff_with_what_is_not_there_is_refused(make_place: Make) -> None:
    """A name that is neither a snapshot nor a file is unknown."""
    with pytest.raises(UserError) as caught:
        compare(make_place(1), "then", "now")
    assert caught.value.code == "unknown-snapshot"


def test_diff_with_a_broken_backup_advises_no_repair(make_place: Make, tmp_path: Path) -> None:
    """A repair mends the store, and not the file that was named."""
    place = make_place(1)
    (tmp_path / "cut.db").write_bytes(place.path.read_bytes()[:20_000])
    with pytest.raises(UserError, match=r"cut\.db") as caught:
        compare(place, str(tmp_path / "cut.db"), "now")
    assert (caught.value.code, caught.value.fix) == ("database-broken", "Name another backup or a snapshot.")


def test_snapshot_of_a_million_memories_is_small() -> None:
    """The rows of a million memories take some 12 kB, whether each has one revision or three."""
    assert len(pack_rows(range(1, 1_000_001))) < 13_000
    assert len(pack_rows(range(1, 3_000_001, 3))) < 13_000


@given(st.sets(st.integers(1, 1 << 40), max_size=50))
def test_row_numbers_survive_packing(rows: set[int]) -> None:
    """Packed row numbers are read back, in order."""
    assert list(unpack_rows(pack_rows(sorted(rows)))) == sorted(rows)


@pytest.mark.services
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_any_history_can_be_rolled_back(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Whatever is added, changed and deleted between snapshots, a rollback to each brings its state."""
    rng, path = random.Random(seed), tmp_path_factory.mktemp("history") / "aqe.db"
    states = {}
    with Store.open(path) as store:
        for moment in range(4):
            for _ in range(rng.randrange(6)):
                _change(store, rng)
            take_snapshot(store, f"s{moment}", kept=100)
            states[f"s{moment}"] = texts(store)
        for name in rng.sample(sorted(states), 4):
            roll_back(store, name, kept=100)
            assert texts(store) == states[name]
    assert verify(Place(path)).sound


def _change(store: Store, rng: random.Random) -> None:
    id = str(rng.randrange(4))
    if store.get(id) is None:
        store.add_many([NewMemory(f"text {rng.random()}", id=id, vector=[rng.random(), 1.0], embedder_id="toy")])
    elif rng.random() < 0.5:
        store.delete(id)
    else:
        store.update(id, text=f"text {rng.random()}" if rng.random() < 0.5 else None, metadata={"n": rng.randrange(2)})
