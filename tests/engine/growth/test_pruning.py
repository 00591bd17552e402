"""A budget for what is remembered, and its upkeep in the background."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aqe.engine.errors import Cancelled
from aqe.engine.lease import take_lease
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.growth.access import DAY_US, decayed
from aqe.engine.memory.growth.merging import revive
from aqe.engine.memory.growth.pins import set_pinned
from aqe.engine.memory.growth.pruning import KEPT_DAYS, plan_pruning, prune
from aqe.engine.memory.growth.upkeep import LEASE, Upkeep, tend
from aqe.engine.progress import CancelToken
from aqe.engine.settings import Settings, load_settings

T0 = 1_700_000_000_000_000


def _settings(tmp_path: Path, **memory: object) -> Settings:
    return load_settings(tmp_path, flags={f"memory.{name}": value for name, value in memory.items()}, environ={})


def _filled(path: Path, now: int = T0) -> Store:
    """Ten memories, the later the younger; number 0 is recalled ten times, number 1 is pinned."""
    clock = [now]
    store = Store.open(path, now=lambda: clock[0])
    for number in range(10):
        clock[0] += DAY_US
        store.add(f"fact number {number} about thing{number}", id=str(number))
    for _ in range(10):
        store.search("thing0", k=1)
    store.close()
    store = Store.open(path, now=lambda: clock[0])
    set_pinned(store, "1", True)
    return store


def test_the_least_worth_goes_and_says_why(tmp_path: Path) -> None:
    """Of ten, the oldest go that nobody recalled or pinned; the plan says what each is worth, and writes nothing."""
    with _filled(tmp_path / "aqe.db") as store:
        plan = plan_pruning(store, max_memories=7)
        assert [one.id for one in plan.goes] == ["2", "3", "4"]
        assert plan.goes[0].worth < plan.goes[1].worth
        assert (plan.memories, len(store.list())) == (10, 10)
        assert prune(store, plan).pruned == 3
        assert {memory.id for memory in store.list()} == {"0", "1", "5", "6", "7", "8", "9"}
        assert store.history("2")[-1].end_note == "pruned"
        assert revive(store, "2") == 2


def test_feedback_weighs(tmp_path: Path) -> None:
    """What answers rested on with success stays longer than its age says, and what failed goes sooner."""
    with _filled(tmp_path / "aqe.db") as store:
        said = {("default", "2"): 1.0, ("default", "9"): -1.0}
        goes = [one.id for one in plan_pruning(store, max_memories=7, quality=lambda keys: said).goes]
        assert goes == ["9", "3", "4"]


def test_a_budget_of_bytes_is_kept(tmp_path: Path) -> None:
    """What stays fits the budget, and no more goes than has to."""
    with _filled(tmp_path / "aqe.db") as store:
        whole = plan_pruning(store)
        assert whole.goes == ()
        plan = plan_pruning(store, max_bytes=whole.bytes // 2)
        left = whole.bytes - sum(one.bytes for one in plan.goes)
        assert left <= whole.bytes // 2 < left + plan.goes[-1].bytes


def test_what_is_over_takes_no_room_from_what_lives(tmp_path: Path) -> None:
    """A budget in memories or bytes that the living ones fit ends none of them, however many are over and not yet
    ended; those end first, as over and not as pruned."""
    clock = [T0]
    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0]) as store:
        store.keep([NewMemory("ends in a minute", id="goes", ttl_s=60), NewMemory("stays", id="stays")])
        store.keep([NewMemory(f"over soon, number {number}", id=f"over {number}", ttl_s=2) for number in range(2)])
        clock[0] += 3_000_000
        alone = plan_pruning(store).bytes
        plan = plan_pruning(store, max_memories=2, max_bytes=alone)
        assert (plan.memories, plan.goes) == (2, ())
        done = prune(store, plan_pruning(store, max_memories=1))
        assert (done.expired, done.pruned) == (2, 1)
        assert [memory.id for memory in store.list()] == ["stays"]
        assert store.history("over 0")[-1].end_note == "expired"


def test_pins_corrections_and_shelves_never_go(tmp_path: Path) -> None:
    """A budget of nothing leaves them."""
    with _filled(tmp_path / "aqe.db") as store:
        store.add("right is this", namespace="corrections", id="c")
        store.add("a passage", namespace="index/x", id="p")
        prune(store, plan_pruning(store, max_bytes=1))
        assert {memory.id for memory in store.list()} == {"1", "c"}
        assert store.get("p", namespace="index/x") is not None


def test_what_was_pruned_long_ago_is_erased_where_room_is_asked_for(tmp_path: Path) -> None:
    """Ended rows leave the file a month later; a revision that a user ended stays."""
    clock = [T0]
    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0]) as store:
        for name in ("a", "b", "c"):
            store.add(f"fact {name}", id=name)
        store.delete("c")
        prune(store, plan_pruning(store, max_memories=1))
        store.add("fact d", id="d")
        clock[0] += int((KEPT_DAYS + 1) * DAY_US)
        assert prune(store, plan_pruning(store, max_memories=1)).erased == 1
        assert [len(store.history(name)) for name in "abcd"] == [0, 1, 1, 1]


def test_an_access_loses_half_in_a_half_life() -> None:
    """The decayed count is exponential in time and never grows by itself."""
    assert decayed(8.0, T0, T0 + 60 * DAY_US, half_life_days=20) == pytest.approx(1.0)
    assert decayed(8.0, T0, T0 - DAY_US) == 8.0


def test_upkeep_ends_merges_and_prunes_once_for_all(tmp_path: Path) -> None:
    """One call does all that is due; while another holds the lease it does nothing, and cancelled it stops."""
    text = (
        "Nightly exports of the order table are written to the archive bucket by the warehouse job before reports start"
    )
    clock = [T0]
    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0]) as store:
        store.keep([NewMemory("soon over", ttl_s=5), NewMemory(text), NewMemory(f"Note: {text}.")])
        store.keep([NewMemory(f"another fact {number}") for number in range(3)])
        clock[0] += 6_000_000
        settings = _settings(tmp_path, max_count=3)
        lease = take_lease(store, LEASE)
        assert lease is not None
        assert tend(store, settings) is None
        lease.release()
        done = tend(store, settings)
        assert done is not None
        assert (done.expired, done.merged, done.pruned) == (1, 1, 1)
        assert len(store.list()) == 3
        cancelled = CancelToken()
        cancelled.cancel()
        store.add("one more")
        with pytest.raises(Cancelled):
            tend(store, settings, cancel=cancelled)


def test_the_thread_tends_the_project_by_itself(tmp_path: Path) -> None:
    """Within the first round the background has pruned the store of a project to its budget."""
    (tmp_path / ".aqe").mkdir()
    with Store.open(tmp_path / ".aqe" / "aqe.db") as store:
        store.keep([NewMemory(f"fact {number}", id=str(number)) for number in range(5)])
        settings = _settings(tmp_path, max_count=2)
        upkeep = Upkeep(tmp_path, lambda: settings, first_s=0.01)
        try:
            upkeep.tended.wait(60)
            assert len(store.list()) == 2
        finally:
            upkeep.close()


def test_the_log_keeps_the_reason(tmp_path: Path) -> None:
    """A pruned memory's entry holds its worth and recalls."""
    with _filled(tmp_path / "aqe.db") as store:
        prune(store, plan_pruning(store, max_memories=9))
        with store.reading() as connection:
            facts = json.loads(connection.execute("SELECT facts FROM growth_log").get)
        assert facts["recalls"] == 0
        assert 0 < facts["worth"] < 1
