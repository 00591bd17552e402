"""Memories with an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.absence import Absent, absent
from aqe.engine.memory.care.states import count_current
from aqe.engine.memory.growth.ends import set_end
from aqe.engine.memory.growth.expiry import FOR_GOOD, parse_ttl
from aqe.engine.memory.growth.log import read_log
from aqe.engine.memory.growth.merging import find_duplicates, merge, revive
from aqe.engine.memory.growth.pins import set_pinned
from aqe.engine.memory.growth.pruning import PrunePlan, prune


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += int(seconds * 1_000_000)


def _keep(store: Store, text: str, ttl_s: float | None = None, id: str | None = None) -> str:
    return store.keep([NewMemory(text, id=id, ttl_s=ttl_s, vector=[1.0, 0.5])])[0].id


def test_a_memory_that_is_over_is_found_by_nothing(tmp_path: Path) -> None:
    """From its end on neither words, vector, both, list nor get find it; until then all do."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        id = _keep(store, "the staging key is green", ttl_s=60)
        _keep(store, "the staging door is red", id="stays")

        def found() -> list[set[str]]:
            ways: list[dict[str, Any]] = [
                {"query": "staging"},
                {"vector": [1.0, 0.5]},
                {"query": "staging", "vector": [1.0, 0.5]},
                {"query": "staging", "filter": {"n": {"exists": False}}},
            ]
            hits = [{hit.memory.id for hit in store.search(**way).hits} for way in ways]
            return [*hits, {memory.id for memory in store.list()}]

        clock.pass_s(59)
        assert found() == [{id, "stays"}] * 5
        clock.pass_s(1)
        assert found() == [{"stays"}] * 5
        assert store.get(id) is None


def test_what_is_over_ends_with_the_next_write_and_says_why(tmp_path: Path) -> None:
    """The row of a memory that is over ends when somebody writes, as of its own end, and the log knows it."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        id = _keep(store, "short", ttl_s=10)
        clock.pass_s(100)
        _keep(store, "something else")
        (gone,) = store.history(id)
        assert gone.valid_to is not None
        assert (gone.valid_to - gone.created_at, gone.end_note) == (10_000_000, "expired")
        with store.reading() as connection:
            assert [(one.what, one.id) for one in read_log(connection)] == [("expired", id)]


def test_text_and_id_of_what_is_over_can_be_used_again(tmp_path: Path) -> None:
    """The same text is a new memory after the end of the old one, and a given id takes another text."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        first = _keep(store, "the same words", ttl_s=10)
        _keep(store, "one text", ttl_s=10, id="mine")
        clock.pass_s(11)
        assert _keep(store, "the same words") != first
        assert _keep(store, "another text", id="mine") == "mine"
        assert [memory.text for memory in store.history("mine")] == ["one text", "another text"]


def test_the_later_of_two_given_ends_counts(tmp_path: Path) -> None:
    """Adding a text again with an end lengthens its life and never shortens it; without one its end stays."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        id = _keep(store, "the same words", ttl_s=100)
        _keep(store, "the same words", ttl_s=10)
        clock.pass_s(50)
        _keep(store, "the same words", ttl_s=100)
        clock.pass_s(99)
        assert store.get(id) is not None
        (again,) = store.keep([NewMemory("the same words")])
        assert (again.existed, again.expires_at, again.joined) == (True, clock.at + 1_000_000, ())
        clock.pass_s(1)
        assert store.get(id) is None


@pytest.mark.parametrize("id", [None, "mine"])
@pytest.mark.parametrize("pinned", [False, True])
def test_what_has_no_end_keeps_none(tmp_path: Path, id: str | None, pinned: bool) -> None:
    """A text that is there without an end outlives the end that it is added again with, and the answer says so."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        first = _keep(store, "the same words", id=id)
        if pinned:
            set_pinned(store, first, True)
        (again,) = store.keep([NewMemory("the same words", id=id, ttl_s=1)])
        assert (again.id, again.expires_at, again.joined, again.kept_end) == (first, None, (), True)
        clock.pass_s(2)
        _keep(store, "something else")
        assert store.get(first) is not None


def test_what_is_to_have_no_end_has_none(tmp_path: Path) -> None:
    """A text that is added for good has no end; one that is there with an end loses it."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        (new,) = store.keep([NewMemory("other words", ttl_s=FOR_GOOD)])
        assert (new.existed, new.expires_at) == (False, None)
        id = _keep(store, "the same words", ttl_s=10)
        (shorter,) = store.keep([NewMemory("the same words", ttl_s=5)])
        assert (shorter.kept_end, shorter.joined, shorter.expires_at) == (True, (), clock.at + 10_000_000)
        (again,) = store.keep([NewMemory("the same words", ttl_s=FOR_GOOD)])
        assert (again.id, again.expires_at, again.joined, again.kept_end) == (id, None, ("expires_at",), False)
        clock.pass_s(1000)
        assert store.get(id) is not None


@pytest.mark.parametrize("again", ["The same words about refunds.", "Remember: the same words about refunds"])
def test_end_is_the_same_whether_repeated_word_for_word_or_not(tmp_path: Path, again: str) -> None:
    """What repeats a memory with an end leaves it that end where it says nothing of one, makes it later where it is,
    and takes it away where it is to be kept for good."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        id, ends = _keep(store, "The same words about refunds.", ttl_s=100), clock.at + 100_000_000
        store.search("refunds")
        for ttl_s, wanted in ((None, ends), (50.0, ends), (200.0, ends + 100_000_000), (FOR_GOOD, None), (50.0, None)):
            (kept,) = store.keep([NewMemory(again, ttl_s=ttl_s)])
            found = store.get(id)
            assert found is not None
            assert (kept.id, kept.expires_at, found.expires_at) == (id, wanted, wanted), ttl_s


def test_an_end_is_set_and_taken_away(tmp_path: Path) -> None:
    """set_end gives an end to a memory that has none, and takes it away."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        id = _keep(store, "the same words")
        set_end(store, id, 20.0)
        clock.pass_s(15)
        assert store.get(id) is not None
        set_end(store, id, None)
        clock.pass_s(1000)
        assert store.get(id) is not None


def test_an_update_keeps_the_end(tmp_path: Path) -> None:
    """A new revision ends when the memory would have."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        _keep(store, "old words", ttl_s=100, id="a")
        store.update("a", text="new words")
        clock.pass_s(101)
        assert store.search("words").hits == ()


def test_update_gives_text_and_end_at_once(tmp_path: Path) -> None:
    """An update with a time brings the new text with its end in one step, takes the end away with it, and with a time
    that is none changes nothing."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        id = _keep(store, "old words")
        with store.writing() as connection:
            connection.execute(
                "CREATE TRIGGER t BEFORE INSERT ON memories WHEN new.text = 'new words' AND new.expires_at IS NULL"
                " BEGIN SELECT raise(ABORT, 'new words without an end'); END"
            )
        store.update(id, text="new words", ttl_s=60.0)
        with pytest.raises(UserError, match="no time to keep"):
            store.update(id, text="newer words", ttl_s=-1.0)
        assert [(one.text, one.expires_at) for one in store.history(id)] == [
            ("old words", None),
            ("new words", clock.at + 60_000_000),
        ]
        store.update(id, text="newer words", ttl_s=FOR_GOOD)
        assert store.history(id)[-1].expires_at is None


def test_what_is_over_takes_no_change_and_can_be_brought_back(tmp_path: Path) -> None:
    """From its end on update and pin say that there is no such memory, before anybody ended its row, and revive brings
    it back with its vector and without an end."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        _keep(store, "old words", ttl_s=100, id="a")
        clock.pass_s(100)
        for change in (lambda: store.update("a", text="new words"), lambda: set_pinned(store, "a", True)):
            with pytest.raises(UserError, match="There is no memory 'a'") as caught:
                change()
            assert "-n default" not in str(caught.value.fix)
        assert revive(store, "a") == 2
        clock.pass_s(10_000)
        assert [hit.memory.text for hit in store.search(vector=[1.0, 0.5]).hits] == ["old words"]


def test_pruning_without_a_budget_ends_what_is_over(tmp_path: Path) -> None:
    """More memories than one batch are ended by one call."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        store.keep([NewMemory(f"text {number}", id=str(number), ttl_s=5) for number in range(150)])
        clock.pass_s(6)
        assert prune(store, PrunePlan(0, 0, 0, 0, ())).expired == 150
        assert store.stats().memories == 0


@pytest.mark.parametrize(
    "ttl", ["", "0d", "-1d", "30", "soon", "3 years", 0, -5, float("nan"), float("inf"), True, [], 1e30]
)
def test_a_time_that_is_none_is_refused(ttl: object) -> None:
    """What is no time above zero, has no unit, or is longer than a century, is one sentence with a code."""
    with pytest.raises(UserError) as caught:
        parse_ttl(ttl)
    assert caught.value.code == "bad-ttl"


@pytest.mark.parametrize(("ttl", "seconds"), [("90s", 90), ("45m", 2700), ("1.5h", 5400), ("2W", 1_209_600), (7, 7)])
def test_times_are_understood(ttl: object, seconds: float) -> None:
    """Seconds, minutes, hours, days and weeks; a number that is no text means seconds."""
    assert parse_ttl(ttl) == seconds


def test_what_is_over_is_counted_by_nothing(tmp_path: Path) -> None:
    """Counts of memories, vectors and namespaces leave it out before its row ended, and where a namespace holds
    nothing else, a search there says that no memory is in it."""
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        _keep(store, "the staging key is green", ttl_s=60)
        store.keep([NewMemory("the passing word", namespace="passing", ttl_s=60, vector=[0.5, 1.0])])
        _keep(store, "the staging door is red", id="stays")
        assert absent(store, "passing") is None
        clock.pass_s(60)
        stats = store.stats()
        assert (stats.memories, stats.vectors, stats.namespaces) == (1, 1, {"default": 1})
        with store.reading() as connection:
            assert count_current(connection, clock()) == (1, 1)
        assert absent(store, "passing") == Absent("passing", ("default",))
        assert absent(store, "passing", ever=True) is None


def test_nothing_is_merged_into_what_is_over(tmp_path: Path) -> None:
    """A near-duplicate that is over is no memory to merge another with: the living one stays as it is."""
    text = "Nightly exports of the order table are written to the archive bucket by the warehouse job before reports"
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        stays = store.keep([NewMemory(f"{text} start")])[0].id
        store.keep([NewMemory(f"Note: {text} start.", metadata={"of": "the other"}, ttl_s=60)])
        assert len(find_duplicates(store, same=True)) == 1
        clock.pass_s(60)
        assert find_duplicates(store, same=True) == []
        assert [memory.id for memory in store.list()] == [stays]


def test_nothing_is_merged_once_it_is_over(tmp_path: Path) -> None:
    """A memory that ended between the search for near-duplicates and the merge takes no other with it."""
    text = "Nightly exports of the order table are written to the archive bucket by the warehouse job before reports"
    clock = Clock()
    with Store.open(tmp_path / "aqe.db", now=clock) as store:
        stays = store.keep([NewMemory(f"{text} start")])[0].id
        store.keep([NewMemory(f"Note: {text} start.", ttl_s=60)])
        found = find_duplicates(store, same=True)
        clock.pass_s(60)
        assert merge(store, found) == 0
        assert [memory.id for memory in store.list()] == [stays]
