"""The memory store as one process sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Provenance, Store, rfc3339

START_US = 1_700_000_000_000_000


def test_added_memory_comes_back_whole(store: Store) -> None:
    """What was added is what get returns, with its provenance and times."""
    where = Provenance(file="shop/cart.py", line=12, commit="abc", run="r1")
    id = store.add("cart totals round half up", metadata={"kind": "rule", "n": 1}, provenance=where)
    found = store.get(id)
    assert found is not None
    assert (found.text, found.metadata, found.provenance) == (
        "cart totals round half up",
        {"kind": "rule", "n": 1},
        where,
    )
    assert (found.revision, found.valid_to, found.created_at) == (1, None, START_US + 1_000_000)


def test_made_id_is_a_uuid7_of_the_clock(store: Store) -> None:
    """An id that the store makes is a UUIDv7 that begins with the milliseconds of the clock."""
    id = store.add("x")
    found = store.get(id)
    assert found is not None
    assert int(id.replace("-", "")[:12], 16) == found.created_at // 1000
    assert id[14] == "7"


def test_exact_duplicate_without_ids_is_one_memory(store: Store) -> None:
    """The same text in the same namespace is one memory whose metadata is joined."""
    first = store.add("same words", metadata={"a": 1})
    second = store.add("same words", metadata={"b": 2})
    assert first == second
    assert [memory.metadata for memory in store.list()] == [{"a": 1, "b": 2}]


def test_same_text_in_another_namespace_is_another_memory(store: Store) -> None:
    """Namespaces do not merge."""
    assert store.add("same words") != store.add("same words", namespace="agents/flaky")


def test_id_of_the_caller_is_never_merged_away(store: Store) -> None:
    """The same text under two given ids and without one is three memories."""
    ids = {store.add("same words", id="mine"), store.add("same words", id="yours"), store.add("same words")}
    assert {memory.id for memory in store.list()} == ids
    assert len(ids) == 3


def test_same_text_shares_its_vector(store: Store) -> None:
    """A text added again under another id is found by the vector that the first one brought."""
    store.add("same words", id="mine", vector=[1.0, 2.0, 3.0], embedder_id="toy")
    store.add("same words", id="yours")
    assert store.vector("yours") == (1.0, 2.0, 3.0)
    answer = store.search(vector=[1.0, 2.0, 3.0], embedder_id="toy")
    assert {hit.memory.id for hit in answer.hits} == {"mine", "yours"}


def test_given_id_with_another_text_is_refused(store: Store) -> None:
    """Adding under a taken id with another text is an error that points to update."""
    store.add("one", id="a")
    with pytest.raises(UserError) as caught:
        store.add("two", id="a")
    assert caught.value.code == "id-taken"


def test_update_keeps_the_old_revision(store: Store) -> None:
    """An update makes the next revision; the old one keeps its text and gets its end."""
    id = store.add("old words")
    assert store.update(id, text="new words", metadata={"x": True}) == 2
    old, new = store.history(id)
    assert (old.text, old.valid_to) == ("old words", new.valid_from)
    assert (new.text, new.metadata, new.created_at) == ("new words", {"x": True}, old.created_at)
    assert [hit.memory.text for hit in store.search("words").hits] == ["new words"]


def test_update_without_a_text_keeps_the_vector(store: Store) -> None:
    """A vector stays while its text stays and goes when the text changes."""
    store.add("words", id="a", vector=[1.0, 0.0])
    store.update("a", metadata={"seen": 1})
    assert store.vector("a") == (1.0, 0.0)
    store.update("a", text="other words")
    assert store.vector("a") is None
    assert store.search(vector=[1.0, 0.0]).hits == ()


def test_deleted_memory_is_found_by_nothing(store: Store) -> None:
    """After delete neither get, list, text nor vector search finds it, but its history does."""
    store.add("needle", id="a", vector=[1.0, 0.0])
    store.delete("a")
    assert store.get("a") is None
    assert store.list() == []
    assert store.search("needle", vector=[1.0, 0.0]).hits == ()
    assert [memory.text for memory in store.history("a")] == ["needle"]


def test_erased_memory_leaves_no_bytes(store: Store) -> None:
    """Erasing removes all revisions; their words are in the file no more."""
    store.add("first xylophonist secret", id="a", vector=[1.0, 0.0])
    store.update("a", text="second xylophonist secret")
    store.delete("a", erase=True)
    assert store.history("a") == []
    path = store.path
    store.close()
    left = path.read_bytes() + b"".join(side.read_bytes() for side in path.parent.glob("aqe.db-*"))
    assert b"xylophonist" not in left


def test_deleted_id_may_be_used_again(store: Store) -> None:
    """Adding under a deleted id goes on with its revisions."""
    store.add("one", id="a")
    store.delete("a")
    store.add("two", id="a")
    assert [(memory.revision, memory.text) for memory in store.history("a")] == [(1, "one"), (2, "two")]


@pytest.mark.parametrize("call", ["update", "delete", "erase"])
def test_unknown_id_is_an_error(store: Store, call: str) -> None:
    """Changing what is not there says so."""
    with pytest.raises(UserError) as caught:
        if call == "update":
            store.update("nobody", text="x")
        else:
            store.delete("nobody", erase=call == "erase")
    assert caught.value.code == "unknown-id"


def test_one_refused_memory_of_many_refuses_all(store: Store) -> None:
    """add_many stores all or nothing, and says which mistake it was."""
    with pytest.raises(UserError) as caught:
        store.add_many([NewMemory("good"), NewMemory("bad\0")])
    assert caught.value.code == "bad-text"
    assert store.list() == []


def test_batch_that_repeats_itself_is_as_one_by_one(store: Store, tmp_path: Path) -> None:
    """A batch in which texts and ids come again leaves the same memories, vectors and hits as its parts one by one."""
    batch = [
        NewMemory("rounding of totals", vector=[1.0, 0.0]),
        NewMemory("rounding of totals", metadata={"again": True}),
        NewMemory("rounding of totals", namespace="other"),
        NewMemory("taxes of carts", id="tax"),
        NewMemory("taxes of carts", id="tax", vector=[0.0, 1.0]),
        NewMemory("short lived", id="brief", ttl_s=1e-6),
        NewMemory("short lived", id="brief", vector=[1.0, 1.0]),
    ]
    with Store.open(tmp_path / "single.db") as single:
        first, second, elsewhere = store.add_many(batch)[:3]
        for memory in batch:
            single.add_many([memory])
        assert first == second != elsewhere
        assert store.vector(elsewhere, namespace="other") == (1.0, 0.0)
        assert [memory.revision for memory in store.history("tax")] == [1, 2]
        for one in (store, single):
            assert sorted((memory.text, memory.namespace) for memory in one.list()) == [
                ("rounding of totals", "default"),
                ("rounding of totals", "other"),
                ("short lived", "default"),
                ("taxes of carts", "default"),
            ]
            for words, count in (("rounding", 2), ("taxes", 1), ("lived", 1)):
                assert len(one.search(words).hits) == count
            assert len(one.search(vector=[1.0, 0.2]).hits) == 4
            assert one.vector("tax") == (0.0, 1.0)


def test_deletion_of_many_is_of_all_or_none(store: Store) -> None:
    """An id that is not there, or named twice, leaves all of a deletion's memories where they were."""
    store.add_many([NewMemory("first words", id="a", vector=[1.0, 0.0]), NewMemory("second words", id="b")])
    for ids in (["a", "b", "gone"], ["a", "b", "a"]):
        with pytest.raises(UserError) as caught:
            store.delete_many(ids)
        assert caught.value.code == "unknown-id"
        assert len(store.search("words").hits) == 2
    store.delete_many(["a", "b"])
    assert store.search("words").hits == store.search(vector=[1.0, 0.0]).hits == ()
    assert store.history("a")[0].valid_to is not None


def test_taken_id_in_the_middle_of_many_refuses_all(store: Store) -> None:
    """A mistake that only the file knows of takes back what was written before it."""
    store.add("there", id="a")
    with pytest.raises(UserError):
        store.add_many([NewMemory("first", vector=[1.0]), NewMemory("other", id="a")])
    assert [memory.text for memory in store.list()] == ["there"]
    assert store.search("first", vector=[1.0]).hits == ()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"text": ""}, "bad-text"),
        ({"text": " \n"}, "bad-text"),
        ({"text": "a\0b"}, "bad-text"),
        ({"text": "half \ud800 character"}, "bad-text"),
        ({"text": 5}, "bad-text"),
        ({"text": "é" * 500_001}, "text-too-long"),
        ({"text": "x", "id": ""}, "bad-id"),
        ({"text": "x", "id": "é" * 101}, "bad-id"),
        ({"text": "x", "id": "a\0"}, "bad-id"),
        ({"text": "x", "namespace": ""}, "bad-namespace"),
        ({"text": "x", "namespace": "../up"}, "bad-namespace"),
        ({"text": "x", "namespace": "a b"}, "bad-namespace"),
        ({"text": "x", "namespace": "n" * 101}, "bad-namespace"),
        ({"text": "x", "metadata": {"a": float("nan")}}, "bad-metadata"),
        ({"text": "x", "metadata": {1: "a"}}, "bad-metadata"),
        ({"text": "x", "metadata": {None: "a"}}, "bad-metadata"),
        ({"text": "x", "metadata": {"a": object()}}, "bad-metadata"),
        ({"text": "x", "metadata": ["a"]}, "bad-metadata"),
        ({"text": "x", "metadata": {"a": "y" * 70_000}}, "bad-metadata"),
        ({"text": "x", "vector": []}, "bad-vector"),
        ({"text": "x", "vector": [0.0, 0.0]}, "bad-vector"),
        ({"text": "x", "vector": [float("inf")]}, "bad-vector"),
        ({"text": "x", "vector": [1e300]}, "bad-vector"),
        ({"text": "x", "vector": ["a"]}, "bad-vector"),
        ({"text": "x", "vector": [1.0] * 8193}, "bad-vector"),
        ({"text": "x", "provenance": Provenance(line=-1)}, "bad-provenance"),
        ({"text": "x", "provenance": Provenance(file="\0")}, "bad-provenance"),
    ],
)
def test_wrong_input_is_a_named_error(store: Store, given: dict[str, Any], code: str) -> None:
    """Each thing that cannot be stored is refused with its code, and nothing is stored."""
    with pytest.raises(UserError) as caught:
        store.add(**given)
    assert caught.value.code == code
    assert store.stats().revisions == 0


def test_largest_text_and_id_are_stored(store: Store) -> None:
    """A text of 1 MB and an id of 200 bytes are inside the limits."""
    id = store.add("é" * 500_000, id="ü" * 100)
    found = store.get(id)
    assert found is not None
    assert len(found.text) == 500_000


def test_list_is_newest_first_and_pages(store: Store) -> None:
    """list gives the newest memories first, by pages, of one namespace or all."""
    for name in ("one", "two", "three"):
        store.add(name)
    store.add("elsewhere", namespace="other")
    assert [memory.text for memory in store.list(namespace="default", limit=2)] == ["three", "two"]
    assert [memory.text for memory in store.list(namespace="default", limit=2, offset=2)] == ["one"]
    assert len(store.list()) == 4


def test_stats_count_what_is_there(store: Store) -> None:
    """stats counts memories, revisions, vectors and namespaces and adds up bytes by component."""
    store.add("one", vector=[1.0, 2.0])
    store.add("two", namespace="other", id="b")
    store.update("b", namespace="other", text="three")
    stats = store.stats()
    assert (stats.memories, stats.revisions, stats.vectors) == (2, 3, 1)
    assert stats.namespaces == {"default": 1, "other": 1}
    assert stats.bytes["vectors"] > 0
    assert stats.bytes["text index"] > 0


def test_rows_carry_worktree_and_commit(tmp_path: Path) -> None:
    """What is added carries the worktree and commit that the store was opened with."""
    with Store.open(tmp_path / "aqe.db", here=Provenance(worktree="fix-1", commit="c0ffee")) as store:
        plain = store.get(store.add("a"))
        placed = store.get(store.add("b", provenance=Provenance(file="a.py", line=3)))
    assert plain is not None
    assert placed is not None
    assert plain.provenance == Provenance(worktree="fix-1", commit="c0ffee")
    assert placed.provenance == Provenance(file="a.py", line=3, worktree="fix-1", commit="c0ffee")


def test_encrypted_store_holds_no_clear_words(tmp_path: Path) -> None:
    """With a key the file and its log hold no word of a text, and another key opens nothing."""
    path = tmp_path / "aqe.db"
    with Store.open(path, key="a 'key'") as store:
        id = store.add("xylophonist secret", vector=[1.0, 2.0])
        on_disk = b"".join(file.read_bytes() for file in tmp_path.glob("aqe.db*"))
    assert b"xylophonist" not in on_disk
    assert b"SQLite format" not in on_disk
    for key in ("another", None):
        with pytest.raises(UserError) as caught:
            Store.open(path, key=key)
        assert caught.value.code == "database-key"
    with Store.open(path, key="a 'key'") as store:
        found = store.get(id)
        assert found is not None
        assert found.text == "xylophonist secret"


def test_times_outside_are_rfc3339() -> None:
    """A time of the store is shown with microseconds and Z."""
    assert rfc3339(START_US + 5) == "2023-11-14T22:13:20.000005Z"


def test_namespaces_with_one_memory_each_take_little_room(store: Store) -> None:
    """Ten namespaces of one memory with a vector of 384 numbers take less than 1.2 MB of vectors together."""
    for number in range(10):
        store.add(f"note {number}", namespace=f"n{number}", vector=[1.0] * 384)
    assert store.stats().bytes["vectors"] < 1_200_000


@pytest.mark.parametrize("namespace", ["_notes", "team/"])
def test_memory_in_a_namespace_of_before_can_be_changed(store: Store, namespace: str) -> None:
    """What an earlier version put in a namespace that no new memory can be in is still changed and ended there."""
    store.add("dates are parsed", id="a", metadata={"kind": "rule"})
    with store.writing() as connection:
        connection.execute("UPDATE memories SET namespace = ?", (namespace,))
    assert store.update("a", namespace=namespace, text="dates are parsed as UTC") == 2
    assert store.update("a", namespace=namespace, metadata={"kind": "note"}) == 3
    found = store.get("a", namespace=namespace)
    assert found is not None
    assert (found.text, found.metadata) == ("dates are parsed as UTC", {"kind": "note"})
    with pytest.raises(UserError, match="not a namespace"):
        store.add("another", namespace=namespace)
    store.delete("a", namespace=namespace)
    assert store.get("a", namespace=namespace) is None
