"""The vectors that callers give under one embedder's name have one length, as those of one model have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import NewMemory, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one memory, whose vector of three numbers is of the embedder "me"."""
    with Store.open(tmp_path / "aqe.db") as store:
        store.add("round half up", id="a", vector=[1, 0, 0], embedder_id="me")
        yield store


@pytest.mark.parametrize("embedder", ["me", None])
def test_vector_of_another_length_is_refused_and_nothing_kept(store: Store, embedder: str | None) -> None:
    """A vector that is shorter than the others of its embedder, named or not, is refused with all of its batch."""
    store.add("east", vector=[1, 0, 0])
    new = [NewMemory("north"), NewMemory("west", vector=[1, 0], embedder_id=embedder)]
    with pytest.raises(UserError, match=f"The vector has 2 numbers; those of '{embedder or 'given'}' have 3") as caught:
        store.add_many(new)
    assert caught.value.code == "bad-vector"
    assert len(store.list()) == 2


def test_text_that_is_there_takes_no_vector_of_another_length(store: Store) -> None:
    """Adding a text again with a vector of another length is refused, and so is a change of another memory to one."""
    store.add("east", id="b", vector=[0, 1, 0], embedder_id="me")
    for change in (store.add, store.update):
        text = {"text": "round half up"} if change == store.add else {}
        with pytest.raises(UserError) as caught:
            change(**text, id="a", vector=[1, 0], embedder_id="me")
        assert caught.value.code == "bad-vector"
    assert store.vector("a") == (1.0, 0.0, 0.0)


def test_another_embedder_has_a_length_of_its_own(store: Store) -> None:
    """Under another name vectors may have another length."""
    store.add("east", id="b", vector=[1, 0], embedder_id="you")
    assert store.vector("b") == (1.0, 0.0)


def test_length_is_free_again_when_no_memory_has_it(store: Store) -> None:
    """Once no current memory has a vector of an embedder, the next one says how long they are: by a change of the only
    memory, or after it was deleted."""
    store.update("a", vector=[1, 0], embedder_id="me")
    assert store.vector("a") == (1.0, 0.0)
    store.delete("a")
    store.add("east", id="b", vector=[1, 0, 0, 0], embedder_id="me")
    assert store.vector("b") == (1.0, 0.0, 0.0, 0.0)
