"""The memory as it was at a moment."""

from __future__ import annotations

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.search.as_of import get_as_of, list_as_of, past_moment, search_as_of
from aqe.engine.moments import read_moment


@pytest.fixture
def moment(store: Store) -> int:
    """A moment after which a memory was revised, one ended and one added."""
    store.add("prices round half up", id="rule", vector=[1, 0], metadata={"kind": "rule"})
    store.add("refunds take thirty days", id="refund", vector=[0, 1])
    at = store.now()
    store.update("rule", text="prices round half even", vector=[0.6, 0.8])
    store.delete("refund")
    store.add("prices are decimals", id="later", vector=[1, 0])
    return at


def test_get_and_list_show_what_held_then(store: Store, moment: int) -> None:
    """Revised and ended memories are there as they were, later ones are not."""
    found = get_as_of(store, "rule", moment)
    assert found is not None
    assert found.text == "prices round half up"
    assert get_as_of(store, "later", moment) is None
    assert [memory.id for memory in list_as_of(store, moment)] == ["refund", "rule"]
    assert [memory.id for memory in list_as_of(store, moment, filter={"kind": "rule"})] == ["rule"]


def test_search_of_the_past_finds_by_words_and_by_vector(store: Store, moment: int) -> None:
    """Texts and vectors that have ended since are found; those of today are not."""
    by_words = search_as_of(store, moment, "half up refunds")
    assert {hit.memory.id for hit in by_words.hits} == {"rule", "refund"}
    by_vector = search_as_of(store, moment, None, vector=[1, 0])
    assert [(hit.memory.id, hit.vector_score) for hit in by_vector.hits] == [("rule", 1.0), ("refund", 0.0)]
    both = search_as_of(store, moment, "decimals", vector=[0, 1], k=1)
    assert (both.mode, [hit.memory.id for hit in both.hits]) == ("hybrid", ["refund"])


def test_a_vector_is_found_by_then_whose_memory_has_other_metadata_since(store: Store) -> None:
    """A caller's vector goes on with its text: each past revision is found by the one that it had, however often the
    metadata changed, and a vector that was given later is not its own."""
    moments = []
    store.add("the gate", id="gate", vector=[1, 0])
    for step in range(3):
        moments.append(store.now())
        store.update("gate", metadata={"step": step})
    moments.append(store.now())
    store.update("gate", vector=[0, 1])
    for moment in moments:
        found = search_as_of(store, moment, None, vector=[1, 0])
        assert [(hit.memory.id, hit.vector_score) for hit in found.hits] == [("gate", 1.0)]
    now = search_as_of(store, store.now(), None, vector=[1, 0])
    assert [(hit.memory.id, hit.vector_score) for hit in now.hits] == [("gate", 0.0)]


def test_search_as_of_now_is_the_search(store: Store, moment: int) -> None:
    """At the present moment both searches agree on memories and scores."""
    for query, vector in (("prices", None), (None, [0.5, 0.5]), ("prices even", [0.5, 0.5])):
        now = store.search(query, vector=vector)
        then = search_as_of(store, store.now(), query, vector=vector)
        assert now.hits
        assert then.mode == now.mode
        assert [hit.memory for hit in then.hits] == [hit.memory for hit in now.hits]
        assert [hit.score for hit in then.hits] == pytest.approx([hit.score for hit in now.hits], abs=1e-5)


def test_what_was_over_then_is_not_there(store: Store) -> None:
    """A memory with an end is there until that moment and not after it, whether or not its row was ended since."""
    store.keep([NewMemory("the door code is green", id="code", vector=[1, 0], ttl_s=3600)])
    memory = store.get("code")
    assert memory is not None
    assert memory.expires_at is not None
    for at, held in ((memory.expires_at - 1, ["code"]), (memory.expires_at, [])):
        assert [one.id for one in list_as_of(store, at)] == held
        assert [hit.memory.id for hit in search_as_of(store, at, "door").hits] == held
        assert [hit.memory.id for hit in search_as_of(store, at, None, vector=[1, 0]).hits] == held
        assert (get_as_of(store, "code", at) is not None) == bool(held)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-03-01", 1_772_323_200_000_000),
        ("2026-03-01T01:00:00+01:00", 1_772_323_200_000_000),
        ("2026-03-01 00:00:00.000001", 1_772_323_200_000_001),
        ("2d", 1_772_323_200_000_000),
        ("48h ago", 1_772_323_200_000_000),
        ("2880m ago", 1_772_323_200_000_000),
        ("2880 min", 1_772_323_200_000_000),
    ],
)
def test_moments(text: str, microseconds: int) -> None:
    """Dates, times with and without an offset, and how long ago."""
    assert read_moment(text, now=1_772_323_200_000_000 + 2 * 86_400_000_000) == microseconds


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "3 fortnights", "9999-99-99T00:00:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """The error shows how to write one."""
    with pytest.raises(UserError, match="no moment") as refused:
        read_moment(text, now=1)
    assert refused.value.code == "bad-moment"
    assert "(s, m or min, h, d, w)" in refused.value.fix


def test_prose_of_the_past_is_weighed_as_that_of_today(store: Store) -> None:
    """By words and vector a search as of now gives the scores of a search, of prose, where words have more weight."""
    for number in range(12):
        text = f"Mira asked for the tests of the cart number {number}, and Jonas said that they come on Friday."
        store.add(text, id=str(number), vector=[1, number / 12])
    now = store.search("tests number 3", vector=[0.5, 0.5])
    then = search_as_of(store, store.now(), "tests number 3", vector=[0.5, 0.5])
    assert [(hit.memory.id, hit.score) for hit in then.hits] == [
        (hit.memory.id, pytest.approx(hit.score, abs=1e-4)) for hit in now.hits
    ]


def test_a_moment_to_come_is_refused(store: Store) -> None:
    """Nothing is known of what lies ahead."""
    for given in ("3000-01-01", store.now() + 3_600_000_000):
        with pytest.raises(UserError, match="lies ahead") as caught:
            past_moment(given, store.now())
        assert caught.value.code == "bad-moment"
    assert past_moment(store.now(), store.now()) <= store.now()
