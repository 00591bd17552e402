"""How words and meaning are weighed where nobody said it: each memory by what it is."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.search import kinds
from aqe.engine.memory.search.as_of import search_as_of
from aqe.engine.memory.search.shares import Shares
from aqe.engine.memory.search.weights import CODE_SHARE, PROSE_SHARE, is_prose

PROSE = "Mira asked for the total of the cart, and Jonas said that it comes on Friday."
CODE = "def total(lines):\n    return sum(line.price * line.count for line in lines if line.count > 0)\n"
ASKED: dict[str, Any] = {"query": "total", "vector": [1.0, 0.5], "embedder_id": "own"}


def shares(store: Store, namespace: str | None = None) -> dict[str, float]:
    """The weight of the vector in the score of each memory that an answer explains, by id."""
    hits = store.search(**ASKED, k=50, namespace=namespace, explain=True).hits
    return {hit.memory.id: hit.explained.vector_share for hit in hits if hit.explained}


def fill(store: Store, namespace: str, text: str, count: int = 3, name: str = "") -> None:
    store.add_many(
        NewMemory(f"{text}\nnumber {n}", namespace, f"{name or namespace} {n}", vector=[1.0, n / 9], embedder_id="own")
        for n in range(count)
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [(PROSE, True), (CODE, False), ("", True), ("{" * 3000 + PROSE * 100, False), (PROSE * 40 + "{" * 9000, True)],
)
def test_code_and_prose_are_told_apart(text: str, wanted: bool) -> None:
    """By its brackets and operators, of the first 2,000 characters."""
    assert is_prose(text) is wanted


@pytest.mark.parametrize(
    "text",
    ["Mira: ok", "Dr. O'Neil: Yes, on Friday", "Ben: at 9:30 :)", "ok ;-)", "50% sure", "@Ben and Ada?", "#12 is done"],
)
def test_a_few_words_of_talk_are_prose(text: str) -> None:
    """Who speaks, the time of day, a smiley and a single sign make no code of a turn of a few words."""
    assert is_prose(text)


@pytest.mark.parametrize("text", ["foo()", "x = 3", "x[1:3]", "retry_count", "a: int = b", "if a: return {}", "</div>"])
def test_a_few_characters_of_code_are_code(text: str) -> None:
    """What talk has not is code in the shortest text too."""
    assert not is_prose(text)


def test_each_memory_is_weighed_by_what_it_is(store: Store) -> None:
    """In one namespace, whatever it holds more of, and over several, words have more weight in prose than in code."""
    fill(store, "mixed", CODE, 9, "code")
    fill(store, "mixed", PROSE, 1, "prose")
    fill(store, "talks", PROSE)
    found = shares(store)
    assert {id.split()[0]: share for id, share in found.items()} == {
        "code": CODE_SHARE,
        "prose": PROSE_SHARE,
        "talks": PROSE_SHARE,
    }
    assert shares(store, "mixed") == {id: share for id, share in found.items() if not id.startswith("talks")}


def test_hardly_any_code_gives_one_weight(store: Store) -> None:
    """Where fewer than three in ten are code all memories have one weight, between that of prose and that of code."""
    fill(store, "notes", PROSE, 8, "prose")
    fill(store, "notes", CODE, 2, "code")
    found = {round(share, 9) for share in shares(store, "notes").values()}
    assert found == {round(PROSE_SHARE + 0.2 * (CODE_SHARE - PROSE_SHARE), 9)}


def test_little_memory_is_looked_at_again_when_it_grows(store: Store) -> None:
    """What a few memories said does not hold when others come."""
    fill(store, "notes", PROSE, 1, "prose")
    assert {*shares(store, "notes").values()} == {PROSE_SHARE}
    for n in range(9):
        store.add_many([NewMemory(f"{CODE}# {n}", "notes", f"code {n}", vector=[0.5, 1.0], embedder_id="own")])
    assert {*shares(store, "notes").values()} == {PROSE_SHARE, CODE_SHARE}


@pytest.mark.parametrize("others", [0, 900])
def test_newer_memories_count_as_the_older_do(store: Store, others: int) -> None:
    """A namespace that began with prose and went on with far more code is looked at anew, also where its rows are few
    among those of others."""
    fill(store, "notes", PROSE, 45)
    store.add_many(NewMemory(f"{PROSE} {n}", "elsewhere") for n in range(others))
    assert {*shares(store, "notes").values()} == {PROSE_SHARE}
    count = 300 if not others else 60
    store.add_many(
        NewMemory(f"{CODE}# {n}", "notes", f"x{n}", vector=[0.5, 1.0], embedder_id="own") for n in range(count)
    )
    store.add_many(NewMemory(f"{PROSE} again {n}", "elsewhere") for n in range(300))
    assert CODE_SHARE in shares(store, "notes").values()


def test_prose_is_found_by_its_words_among_code(store: Store) -> None:
    """The one note that has the word stands first, though all the code is nearer."""
    fill(store, "mixed", CODE.replace("total", "sums"), 20, "code")
    store.add(PROSE, namespace="mixed", id="note", vector=[-1.0, 0.4], embedder_id="own")
    for _ in range(6):  # by the database, then by what is at hand
        hits = store.search(**ASKED, k=3, namespace="mixed").hits
        assert hits[0].memory.id == "note"


def test_project_index_keeps_the_weight_that_it_was_measured_with(store: Store) -> None:
    """The index is weighed as code, its docs too."""
    fill(store, "index/docs", PROSE)
    assert {*shares(store, "index/docs").values(), *shares(store, "index/").values()} == {CODE_SHARE}


def test_set_share_holds_whatever_the_memories_are(tmp_path: Path) -> None:
    """Where a share was set nothing is looked at; where one namespace has its own the others go by what they hold."""
    with Store.open(tmp_path / "aqe.db", shares=Shares(0.6)) as store:
        fill(store, "talks", PROSE)
        assert {*shares(store).values()} == {0.6}
    with Store.open(tmp_path / "aqe.db", shares=Shares(None, {"named": 0.4})) as store:
        fill(store, "named", CODE)
        found = shares(store)
        assert (found["named 0"], found["talks 0"]) == (0.4, PROSE_SHARE)
        assert {*shares(store, "talks").values()} == {PROSE_SHARE}


def scored(store: Store, namespace: str | None) -> list[tuple[str, float]]:
    return [(hit.memory.id, round(hit.score, 9)) for hit in store.search(**ASKED, k=9, namespace=namespace).hits]


def explained(store: Store, namespace: str | None) -> list[tuple[str, float]]:
    hits = store.search(**ASKED, k=9, namespace=namespace, explain=True).hits
    return [(hit.memory.id, round(hit.score, 9)) for hit in hits]


@pytest.mark.parametrize("aside", [1, 5000])
def test_what_is_at_hand_weighs_as_the_texts_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aside: int) -> None:
    """Before and after all rows were read, at once or in the background, and after changes by another connection, an
    answer is the one that reading the texts of its candidates gives."""
    monkeypatch.setattr(kinds, "ASIDE", aside)
    path = tmp_path / "aqe.db"
    with Store.open(path) as store, Store.open(path) as other:
        fill(store, "mixed", CODE, 30, "code")
        fill(store, "mixed", PROSE, 5, "prose")
        for turn in range(12):
            if turn > 6:
                fill(other, "mixed", PROSE if turn % 2 else CODE, 40, f"later {turn}")
                other.delete(f"later {turn} 3", namespace="mixed", erase=turn == 9)
            for place in ("mixed", None):
                with Store.open(path) as fresh:
                    wanted = explained(fresh, place)
                assert scored(store, place) == wanted
                assert explained(store, place) == wanted
            for thread in threading.enumerate():
                if thread.name == "aqe-kinds":
                    thread.join()


def test_the_past_is_weighed_as_it_was(store: Store) -> None:
    """Memories that have ended are weighed by what they were."""
    fill(store, "mixed", CODE, 4, "code")
    fill(store, "mixed", PROSE, 4, "prose")
    wanted = [hit.memory.id for hit in store.search(**ASKED, k=8, namespace="mixed").hits]
    at = store.now()
    store.delete_many([f"prose {n}" for n in range(4)], namespace="mixed")
    for _ in range(5):
        store.search(**ASKED, namespace="mixed")
    asked = dict(ASKED)
    then = search_as_of(store, at, asked.pop("query"), k=8, namespace="mixed", **asked)
    assert [hit.memory.id for hit in then.hits] == wanted
