"""Starter knowledge: shipped with its sources, brought up to date, removed for good."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.knowledge import (
    NAMESPACES,
    Entry,
    add_entry,
    list_entries,
    refresh,
    remove_entries,
    restore_entries,
    starter_entries,
)
from aqe.engine.memory import Store

DATA = Path(__file__).resolve().parents[3] / "benchmarks" / "data"


def test_each_namespace_has_twenty_entries_with_their_sources() -> None:
    """Four namespaces hold at least 20 entries each; every one has a title, a text and a source, and no id repeats."""
    entries = starter_entries()
    assert min(Counter(entry.namespace for entry in entries).values()) >= 20
    assert {entry.namespace for entry in entries} == set(NAMESPACES)
    assert len({entry.id for entry in entries}) == len(entries)
    assert all(entry.title and 60 < len(entry.text) < 600 and len(entry.source) > 8 for entry in entries)


def asked_of(name: str) -> list[str | None]:
    """The entries that answer the questions of a file."""
    questions = tomllib.loads((DATA / name).read_text(encoding="utf-8"))["question"]
    return [question.get("entry") for question in questions]


def test_questions_name_entries_that_exist() -> None:
    """Each of the 30 questions, and half of the 40 fresh ones, has a shipped entry that answers it and no other, that
    none of the questions is about which the confidence is fitted on."""
    first, fresh, fitted = map(asked_of, ("knowledge_questions.toml", "knowledge_fresh.toml", "knowledge_train.toml"))
    asked = [entry for entry in (*first, *fresh) if entry]
    assert (len(first), len(fresh), len(asked)) == (30, 40, 50)
    assert len(set(asked)) == 50
    assert {*asked, *filter(None, fitted)} <= {entry.id for entry in starter_entries()}
    assert set(asked).isdisjoint(fitted)


def test_shipped_entries_replace_those_of_the_version_before(store: Store) -> None:
    """A shelf of the first version is brought up to the shipped one, and what it had removed stays removed."""
    shipped = [entry for entry in starter_entries() if entry.id in ("eager-test", "sleepy-test", "flaky-test")]
    refresh(store, None, [replace(entry, text="first words", version=1) for entry in shipped[:2]])
    remove_entries(store, ["sleepy-test"])
    assert all(entry.version > 1 for entry in shipped)
    refresh(store, None)
    texts = {entry.id: entry.text for entry in list_entries(store)}
    assert texts["eager-test"] == next(entry.text for entry in shipped if entry.id == "eager-test")
    assert "sleepy-test" not in texts
    assert "flaky-test" in texts


def test_refresh_fills_the_shelf_once(store: Store) -> None:
    """The first refresh puts every entry where a search finds it; the second has nothing to do."""
    assert refresh(store, None) == len(starter_entries())
    assert refresh(store, None) == 0
    found = store.search("which polluter leaves state behind for the victim", namespace="knowledge/", k=3)
    assert "victim-and-polluter" in [hit.memory.id for hit in found.hits]


def test_removed_entry_stays_removed_until_it_is_put_back(store: Store) -> None:
    """A removed entry is not brought back by a refresh or a newer version, only by the user."""
    refresh(store, None)
    assert remove_entries(store, ["sleepy-test"]) == ["sleepy-test"]
    newer = [replace(entry, version=entry.version + 1) for entry in starter_entries()]
    assert refresh(store, None, newer) == len(newer) - 1
    assert "sleepy-test" not in {entry.id for entry in list_entries(store)}
    assert restore_entries(store, None) == ["sleepy-test"]
    assert "sleepy-test" in {entry.id for entry in list_entries(store)}


def test_new_version_replaces_what_was_shipped_and_leaves_what_was_rewritten(store: Store) -> None:
    """A newer text comes in; an entry that the user rewrote keeps the user's words."""
    old = [Entry("one", NAMESPACES[0], "One", "first words", "a book", 1), Entry("two", *_two())]
    refresh(store, None, old)
    store.update("two", namespace=NAMESPACES[0], text="Two\nmy own words", metadata={})
    newer = [replace(entry, text="second words", version=2) for entry in old]
    assert refresh(store, None, newer) == 1
    texts = {entry.id: entry.text for entry in list_entries(store, namespace="patterns")}
    assert (texts["one"], texts["two"]) == ("second words", "my own words")


def _two() -> tuple[str, str, str, str, int]:
    return NAMESPACES[0], "Two", "first words", "a book", 1


def test_own_entry_stands_beside_the_shipped_ones(store: Store) -> None:
    """An entry of the project's own is listed with version 0 and its source."""
    refresh(store, None)
    id = add_entry(store, None, "Use the fake clock.", namespace="quality", title="Our clock", source="team handbook")
    (own,) = [entry for entry in list_entries(store) if entry.version == 0]
    assert (own.id, own.title, own.text, own.source) == (id, "Our clock", "Use the fake clock.", "team handbook")


def test_whole_part_can_be_removed(store: Store) -> None:
    """Removing a namespace takes its entries and no others."""
    refresh(store, None)
    removed = remove_entries(store, namespace="smells")
    assert len(removed) >= 20
    assert {entry.namespace for entry in list_entries(store)} == set(NAMESPACES) - {"knowledge/smells"}


def test_mistakes_change_nothing(store: Store) -> None:
    """An unknown id, part or an empty title is refused, and the shelf stays as it was."""
    refresh(store, None)
    before = list_entries(store)
    for code, act in {
        "unknown-id": lambda: remove_entries(store, ["sleepy-test", "no-such"]),
        "bad-namespace": lambda: add_entry(store, None, "text", namespace="poems", title="t"),
        "bad-text": lambda: add_entry(store, None, "text", namespace="flaky", title=" "),
    }.items():
        with pytest.raises(UserError) as caught:
            act()
        assert caught.value.code == code
    with pytest.raises(UserError, match="ships no entry 'mine'"):
        restore_entries(store, None, ["mine"])
    assert list_entries(store) == before
