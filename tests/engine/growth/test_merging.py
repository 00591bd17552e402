"""Near-duplicates become one memory."""

from __future__ import annotations

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.growth.log import read_log
from aqe.engine.memory.growth.merging import Merge, find_duplicates, merge, revive
from aqe.engine.memory.growth.pins import set_pinned

OLD = "Nightly exports of the order table are written to the archive bucket by the warehouse job before lunch"
NEW = "Nightly exports of the order table are written to the archive bucket by the warehouse job before the lunch."


def _merged(store: Store) -> list[Merge]:
    found = find_duplicates(store)
    assert merge(store, found) == len(found)
    return found


def test_the_newer_stays_with_the_metadata_of_both(store: Store) -> None:
    """The older one ends and says into which it was merged; the log has the figures."""
    old = store.add(OLD, metadata={"by": "ann", "n": 1})
    new = store.add(NEW, metadata={"n": 2})
    (made,) = _merged(store)
    assert (made.id, made.into) == (old, new)
    assert [(one.id, one.metadata) for one in store.list()] == [(new, {"by": "ann", "n": 2})]
    assert store.history(old)[-1].end_note == f"merged into {new}"
    with store.reading() as connection:
        (entry,) = read_log(connection)
    assert (entry.what, entry.id, entry.facts["into"]) == ("merged", old, new)


def test_a_merge_can_be_taken_back(store: Store) -> None:
    """The older memory comes back as it was, with its vector, under its id."""
    old = store.add(OLD, metadata={"n": 1}, vector=[1.0, 0.1], embedder_id="toy")
    store.add(NEW, vector=[1.0, 0.1], embedder_id="toy")
    _merged(store)
    assert revive(store, old) == 2
    found = store.get(old)
    assert found is not None
    assert (found.text, found.metadata, found.valid_to) == (OLD, {"n": 1}, None)
    assert old in {hit.memory.id for hit in store.search(vector=[1.0, 0.1], embedder_id="toy").hits}
    with pytest.raises(UserError, match="has not ended"):
        revive(store, old)
    with pytest.raises(UserError, match="no memory 'nobody'"):
        revive(store, "nobody")


def test_a_chain_of_versions_ends_in_the_newest(store: Store) -> None:
    """Three versions of a text leave one."""
    store.add(OLD)
    store.add(NEW)
    newest = store.add(f"Note: {NEW}")
    assert {one.into for one in _merged(store)} == {newest}
    assert [one.id for one in store.list()] == [newest]


def test_ids_of_callers_pins_corrections_and_shelves_stay(store: Store) -> None:
    """None of them is merged, nor merged into."""
    pinned = store.add(OLD)
    set_pinned(store, pinned, True)
    store.add(NEW, id="mine")
    for name in ("corrections", "index/x", "knowledge/testing"):
        store.add(OLD, namespace=name)
        store.add(NEW, namespace=name)
    assert find_duplicates(store) == []


def test_vectors_that_are_far_apart_keep_texts_apart(store: Store) -> None:
    """Where both have a vector of one space, these have to be near too."""
    store.add(OLD, vector=[1.0, 0.0], embedder_id="toy")
    store.add(NEW, vector=[0.0, 1.0], embedder_id="toy")
    assert find_duplicates(store) == []
    assert len(find_duplicates(store, cosine=0.0)) == 1


def test_namespaces_are_not_mixed(store: Store) -> None:
    """Near-duplicates of two namespaces are two memories, and one namespace can be asked for alone."""
    store.add(OLD, namespace="a")
    store.add(NEW, namespace="b")
    store.add(OLD, namespace="c")
    store.add(NEW, namespace="c")
    assert find_duplicates(store, namespace="a") == []
    assert [one.namespace for one in find_duplicates(store)] == ["c"]


def test_a_memory_that_changed_since_is_left_alone(store: Store) -> None:
    """A plan is made only where both memories are still what it saw."""
    old = store.add(OLD)
    store.add(NEW)
    found = find_duplicates(store)
    store.update(old, text="something else by now")
    assert merge(store, found) == 0
    assert len(store.list()) == 2


def test_only_what_is_new_is_compared_when_asked(store: Store) -> None:
    """Rows up to a mark are compared with newer ones, not among themselves."""
    store.add(OLD)
    store.add(NEW)
    with store.reading() as connection:
        newest = connection.execute("SELECT max(row) FROM memories").get
    assert find_duplicates(store, after=newest) == []
    third = store.add(f"Note: {NEW}")
    assert {one.into for one in find_duplicates(store, after=newest)} == {third}


def test_accesses_follow_the_memory_that_stays(store: Store) -> None:
    """How often the older one was recalled counts for the newer one."""
    store.add(OLD)
    store.search("nightly exports")
    new = store.keep([NewMemory(NEW, as_new=True)])[0].id
    path, clock = store.path, store.now
    store.close()
    with Store.open(path, now=clock) as again:
        _merged(again)
        with again.reading() as connection:
            sql = "SELECT id, count FROM accesses JOIN memories USING (row)"
            assert connection.execute(sql).fetchall() == [(new, 1)]
