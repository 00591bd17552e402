"""What was just recalled is not stored again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aqe.engine.memory import Kept, NewMemory, Store
from aqe.engine.memory.growth.rules import GrowthRules

FACT = "The checkout service retries payment requests 3 times with exponential backoff."


@pytest.fixture
def recalled(store: Store) -> str:
    """The id of a memory that a search has just shown."""
    id = store.add(FACT)
    store.search("checkout retries")
    return id


@pytest.mark.parametrize(
    "again",
    [
        "Remember: the checkout service retries payment requests 3 times with exponential backoff",
        "checkout service retries payment requests 3 times, with exponential backoff!",
        "The checkout service retries payment requests 3 times",
    ],
)
def test_a_copy_of_what_was_recalled_is_answered_with_its_id(store: Store, recalled: str, again: str) -> None:
    """In another frame, inflected or cut, it is the same memory; the answer says so and no row is made."""
    assert store.keep([NewMemory(again)]) == [Kept(recalled, existed=True, recalled=True, namespace="default")]
    assert len(store.list()) == 1


@pytest.mark.parametrize(
    "new",
    [
        "The checkout service retries payment requests 5 times with exponential backoff.",
        "The checkout service never retries payment requests 3 times with exponential backoff.",
        "The checkout service retries refund requests 3 times with exponential backoff.",
        "The checkout service retries payment requests 3 times with exponential backoff, since issue 41.",
        "Payment requests service the checkout, retries with backoff.",
        "The checkout service retries payment requests 3 times with exponential backoff?",
    ],
)
def test_whatever_says_more_is_a_memory_of_its_own(store: Store, recalled: str, new: str) -> None:
    """Another number, a negation, another word, a word more, or the words in another order are kept."""
    assert not store.keep([NewMemory(new)])[0].existed
    assert len(store.list()) == 2


@pytest.mark.parametrize(
    ("known", "other"),
    [
        ("Tests of it live in tests/unit/test_parser.py", "Tests of it live in tests/unit/test_lexer.py"),
        ("Coverage must stay at 90 % for engine/", "Coverage must stay at 80 % for engine/"),
        ("Ask ops@example.org before a release", "Ask ops+ci@example.org before a release"),
        ("Run `make lint && make test` first", "Run `make lint || make test` first"),
    ],
)
def test_a_fact_with_signs_is_not_stored_again_either(store: Store, known: str, other: str) -> None:
    """Paths, shares, addresses and commands in another frame are the same memory; with another sign they are not."""
    id = store.add(known)
    store.search(known)
    for again in (f"Remember: {known}", f"{known}."):
        assert store.keep([NewMemory(again)])[0].id == id
    assert not store.keep([NewMemory(f"Remember: {other}")])[0].existed


def test_an_id_of_the_caller_is_a_row_of_its_own(store: Store, recalled: str) -> None:
    """What has an id, and what is asked to be kept as new, is stored whatever was recalled."""
    again = "Remember: " + FACT
    assert store.keep([NewMemory(again, id="mine")]) == [Kept("mine", existed=False, namespace="default")]
    assert not store.keep([NewMemory(f"Note: {FACT}", as_new=True)])[0].existed


def test_what_nobody_recalled_may_be_said_in_other_words(store: Store) -> None:
    """Without a search before, a near copy is a memory (merging them is another matter)."""
    store.add(FACT)
    assert not store.keep([NewMemory("Remember: " + FACT)])[0].existed


def test_metadata_of_the_copy_is_joined(store: Store, recalled: str) -> None:
    """What the copy brings beside its words is not lost."""
    store.keep([NewMemory("Remember: " + FACT, metadata={"team": "payments"})])
    found = store.get(recalled)
    assert found is not None
    assert (found.text, found.metadata) == (FACT, {"team": "payments"})
    assert [hit.memory.id for hit in store.search("exponential").hits] == [recalled]


def test_metadata_for_a_memory_with_an_id_of_the_caller_makes_a_new_one(store: Store) -> None:
    """A memory whose id was given is not changed by what repeats it."""
    store.add(FACT, id="mine")
    store.search("checkout retries")
    assert not store.keep([NewMemory("Remember: " + FACT, metadata={"x": 1})])[0].existed
    assert store.keep([NewMemory("Note: " + FACT)])[0].id == "mine"


def test_a_vector_of_the_caller_is_kept(store: Store, recalled: str) -> None:
    """A copy that brings a vector is a memory of its own, found by that vector."""
    kept = store.keep([NewMemory("Remember: " + FACT, vector=[0.0, 1.0], embedder_id="toy")])[0]
    assert not kept.existed
    found = store.search(vector=[0.0, 1.0], embedder_id="toy").hits
    assert [hit.memory.id for hit in found] == [kept.id]


@pytest.mark.parametrize("again", [FACT, "Remember: " + FACT])
def test_the_end_of_a_memory_with_an_id_of_the_caller_stays(store: Store, again: str) -> None:
    """What repeats it and is to last longer is a memory of its own; what lasts no longer is answered with its id."""
    store.keep([NewMemory(FACT, id="mine", ttl_s=3600)])
    ends = store.list()[0].expires_at
    store.search("checkout retries")
    assert store.keep([NewMemory(again, ttl_s=60)])[0].id == "mine"
    assert not store.keep([NewMemory(again)])[0].existed
    mine = store.get("mine")
    assert mine is not None
    assert mine.expires_at == ends


def test_another_namespace_gets_its_own_but_a_shelf_is_not_copied(store: Store) -> None:
    """A memory recalled from an ordinary namespace is stored in another one; a passage of the index is not."""
    store.add(FACT, namespace="team")
    store.add("Refunds are rounded half up to whole cents.", namespace="index/x", id="passage")
    store.search("checkout retries", namespace="team")
    store.search("refunds", namespace="index/")
    assert not store.keep([NewMemory(f"Remember: {FACT}")])[0].existed
    kept = store.keep([NewMemory("Refunds are rounded half up to whole cents")])[0]
    assert (kept.id, kept.recalled, kept.namespace) == ("passage", True, "index/x")


def test_the_window_can_be_closed(tmp_path: Path) -> None:
    """With no window everything is stored."""
    with Store.open(tmp_path / "aqe.db", growth=GrowthRules(recalled_s=0)) as store:
        store.add(FACT)
        store.search("checkout")
        assert not store.keep([NewMemory("Remember: " + FACT)])[0].existed


@pytest.mark.services
def test_another_process_that_recalled_it_counts(tmp_path: Path) -> None:
    """What one process searched and another wants to store is known by the accesses in the file."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        id = store.add(FACT)
    script = (
        "import sys; from pathlib import Path; from aqe.engine.memory import Store\n"
        "with Store.open(Path(sys.argv[1])) as store: print(len(store.search('checkout').hits))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    with Store.open(path) as store:
        kept = store.keep([NewMemory("Remember: " + FACT)])[0]
    assert (kept.id, kept.recalled) == (id, True)


def test_a_search_writes_nothing_itself(tmp_path: Path) -> None:
    """Accesses reach the file when the store closes, not while it searches."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store, Store.open(path) as other:
        store.add(FACT)
        store.search("checkout")
        store.search("checkout")
        with other.reading() as connection:
            assert connection.execute("SELECT count(*) FROM accesses").get == 0
        store.close()
        with other.reading() as connection:
            assert connection.execute("SELECT count, score FROM accesses").fetchall() == [(2, 2.0)]


@pytest.mark.parametrize("at_hand", [True, False])
def test_many_searches_since_hide_nothing_that_was_recalled(store: Store, at_hand: bool) -> None:
    """A memory that was shown once is still known after hundreds of searches that showed a few others, whichever way
    they were searched."""
    id = store.add(FACT, vector=[1.0, 0.0])
    store.keep([NewMemory(f"other words of note {at}", id=f"n{at}", vector=[0.1 * at, 1.0]) for at in range(5)])
    for _ in range(4):
        store.search(vector=[1.0, 0.0], k=1)
    assert store.at_hand.search([1.0, 0.0], k=1) is not None
    for at in range(400):
        if at_hand:
            assert store.at_hand.search([0.1 * (at % 5), 1.0], k=3) is not None
        else:
            store.note_recalled([("default", f"n{at % 5}")])
    assert store.keep([NewMemory("Remember: " + FACT)]) == [
        Kept(id, existed=True, recalled=True, namespace="default"),
    ]


def test_searches_at_hand_are_counted_for_the_memory_that_is_there_when_they_are_written(tmp_path: Path) -> None:
    """Each search counts once for each memory that it showed, also where the memory changed since; what was erased has
    no count, nor has the memory that takes its place in the file."""
    path = tmp_path / "aqe.db"
    with Store.open(path) as store:
        for id, vector in (("kept", [1.0, 0.0]), ("changed", [0.9, 0.1])):
            store.add(f"note {id}", id=id, vector=vector)
        for _ in range(4):
            store.search(vector=[1.0, 0.0], k=1)
        for _ in range(50):
            assert store.at_hand.search([1.0, 0.0], k=2) is not None
        store.update("changed", metadata={"turn": 2})
    assert counts(path) == {"kept": 54, "changed": 50}
    with Store.open(path) as store:
        store.add("note erased", id="erased", vector=[1.0, 0.0])
        for _ in range(4):
            store.search(vector=[1.0, 0.0], k=1)
        assert store.at_hand.search([1.0, 0.0], k=3) is not None
        with store.reading() as connection:
            last = connection.execute("SELECT row FROM memories WHERE id = 'erased'").get
        store.delete("erased", erase=True)
        store.add("note newer", id="newer", vector=[1.0, 0.0])
        with store.reading() as connection:
            assert connection.execute("SELECT row FROM memories WHERE id = 'newer'").get == last
    assert "newer" not in counts(path)


def counts(path: Path) -> dict[str, int]:
    """The accesses of current memories in a file."""
    with Store.open(path) as store, store.reading() as connection:
        sql = "SELECT id, count FROM accesses JOIN memories USING (row) WHERE valid_to IS NULL"
        return dict(connection.execute(sql))
