"""A project's store for the tests of its care: memories with vectors of their own, in clear and encrypted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place

Make = Callable[..., Place]


@pytest.fixture
def make_place(tmp_path: Path) -> Make:
    """Make a store with memories `0`, `1`... in a folder of its own; gives its place."""

    def make(count: int = 20, *, key: str | None = None, name: str = "project") -> Place:
        folder = tmp_path / name / ".aqe"
        folder.mkdir(parents=True)
        place = Place(folder / "aqe.db", key)
        with Store.open(place.path, key=key) as store:
            store.add_many(memories(count))
        return place

    return make


def memories(count: int, first: int = 0) -> list[NewMemory]:
    """Memories with ids of their own, a text of some words, a number and a vector that nobody can compute anew."""
    return [
        NewMemory(
            f"note {number} says that part {number * 7} is kept",
            id=str(number),
            metadata={"n": number},
            vector=[float(number), 1.0, 2.0],
            embedder_id="toy",
        )
        for number in range(first, first + count)
    ]


@pytest.fixture(params=[None, pytest.param("a key", marks=pytest.mark.services)], ids=["clear", "encrypted"])
def place(request: pytest.FixtureRequest, make_place: Make) -> Place:
    """A store of 20 memories, in clear, and (each opening takes a third of a second) encrypted in the slow tier."""
    return make_place(key=request.param)
