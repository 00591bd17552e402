"""What `Vectors` must stand: rows that are hard on codes, a k beyond all rows, calls that are broken off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aqe.simd import Vectors
from aqe.simd._ids import Index

Floats = np.ndarray[Any, np.dtype[np.float32]]
DIM = 128


def noise(count: int, seed: int = 0) -> Floats:
    """Rows without any structure."""
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def filled(rows: Floats, metric: Any = "cosine") -> Vectors:
    """A store of rows under the ids 0, 1, 2 and so on."""
    vectors = Vectors(DIM, metric)
    vectors.add(np.arange(len(rows)), rows)
    return vectors


def _mostly_zero(rows: Floats) -> Floats:
    return np.where(np.random.default_rng(9).random(rows.shape) < 0.05, rows, 0).astype(np.float32)


def _one_large_item(rows: Floats) -> Floats:
    return np.concatenate([rows[:, :1] * np.float32(1000), rows[:, 1:]], axis=1)


@pytest.mark.parametrize(("kind", "count"), [(_mostly_zero, 12_000), (_one_large_item, 3000)])
def test_rows_that_codes_say_little_about_are_found(kind: Callable[[Floats], Floats], count: int) -> None:
    """Where more rows are in doubt than codes can tell apart, all are scored: .99 of the nearest are found."""
    queries = noise(20, seed=1) if kind is _mostly_zero else kind(noise(20, seed=1))
    assert filled(kind(noise(count))).recall(queries=queries) >= 0.98


@pytest.mark.parametrize(
    ("metric", "large", "times"), [("cosine", 1, 5), ("dot", 1, 5), ("l2", 1, 5), ("cosine", 1, 1000)]
)
def test_queries_that_are_large_where_rows_are_are_answered_as_well(metric: Any, large: int, times: float) -> None:
    """Where a few items are larger than the others, a query that is large in them finds .99 of the nearest, too."""
    made = np.random.default_rng(1).normal(size=(3060, 768)).astype(np.float32)
    made[:, :large] *= np.float32(times)
    vectors = Vectors(768, metric)
    vectors.add(np.arange(3000), made[:3000])
    assert vectors.recall(queries=made[3000:]) >= 0.99


@pytest.mark.parametrize("lengths", [6, 12])
def test_rows_of_very_different_lengths_are_found(lengths: int) -> None:
    """By dot, rows whose lengths have many powers of ten between them are found: more than half floats hold, too."""
    powers = np.random.default_rng(4).uniform(-lengths, lengths, (3000, 1))
    vectors = filled((noise(3000) * 10.0**powers).astype(np.float32), "dot")
    assert vectors.recall(queries=noise(30, seed=1)) >= 0.99


def test_a_row_that_comes_later_may_be_the_longest() -> None:
    """Rows that are much longer than all that the codes were made of are found as soon as they are there."""
    vectors = filled(noise(1100), "dot")
    long = noise(300, seed=2) * np.logspace(9, 12, 300, dtype=np.float32)[:, None]
    vectors.add(np.arange(5000, 5300), long)
    for query in noise(5, seed=1):
        assert vectors.search(query, 20)[0].tolist() == vectors.exact(query, 20)[0].tolist()


@pytest.fixture(scope="module")
def listed() -> Vectors:
    """A store with an inverted file."""
    vectors = filled(noise(1100))
    vectors.build(4)
    assert vectors.structure == "ivf"
    return vectors


@pytest.mark.parametrize("k", [1101, 10**9, 10**12, 2**57, 2**60, 2**70])
def test_a_k_beyond_all_rows_finds_all_rows(listed: Vectors, k: int) -> None:
    """A k of any size above the number of rows answers as that number does."""
    query = noise(1, seed=1)[0]
    for ids, scores in (
        listed.search(query, k),
        listed.search(query, k, allow=range(1100)),
        listed.exact(query, k),
    ):
        assert sorted(ids) == list(range(1100))
        assert len(scores) == 1100


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_rows_of_codes_alone_are_all_found_in_lists(metric: Any) -> None:
    """A row of which only its codes are kept, and which each list estimates otherwise, takes the place of no other."""
    for seed in range(5):
        vectors = filled(noise(60, seed), metric)
        vectors.demote(range(43), "bits")
        vectors.build(4)
        assert sorted(vectors.search(noise(1, seed + 50)[0], 64)[0]) == list(range(60))


def test_an_emptied_store_with_lists_answers() -> None:
    """After every row was deleted a store with an inverted file finds nothing, and then what is added."""
    vectors = filled(noise(1100))
    vectors.build(4)
    for part in (range(1000), range(1000, 1100)):
        vectors.delete(part)
    assert len(vectors.search(noise(1)[0], 5)[0]) == 0
    vectors.add([7], noise(1))
    assert vectors.search(noise(1)[0], 5)[0].tolist() == [7]


def test_ids_belong_to_the_store_once_they_are_given() -> None:
    """What the caller writes into an id array after the call changes nothing for prepared ids."""
    vectors = filled(noise(20))
    allowed, given = vectors.allowed(range(20, 40)), np.arange(20, 24)
    vectors.search(noise(1)[0], 1, allow=allowed)
    vectors.add(given, noise(4, seed=1))
    given[:] = 0
    assert sorted(vectors.search(noise(1)[0], 9, allow=allowed)[0]) == [20, 21, 22, 23]


class _Broken(Exception):
    pass


@pytest.mark.parametrize("place", ["code_where_due", "snapshot", "put", "_encode"])
def test_an_add_that_is_broken_off_leaves_nothing(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An add that ends anywhere by an exception holds nothing of its rows, and can be done again."""
    rows, new = noise(1100), noise(50, seed=1)
    vectors = filled(rows)
    owner: Any = Index if place == "put" else type(vectors._table)
    whole = getattr(owner, place)

    def broken(*args: Any) -> None:
        monkeypatch.setattr(owner, place, whole)
        whole(*args)
        raise _Broken

    monkeypatch.setattr(owner, place, broken)
    with pytest.raises(_Broken):
        vectors.add(np.arange(1080, 1130), new)
    assert len(vectors) == 1100
    assert sorted(vectors.exact(rows[0], 2000)[0]) == list(range(1100))
    np.testing.assert_allclose(vectors.get([1090]), filled(rows[1090:1091]).get([0]), atol=1e-6)
    vectors.add(np.arange(1080, 1130), new)
    assert sorted(vectors.exact(rows[0], 2000)[0]) == sorted(vectors.ids) == list(range(1130))
    for at in (0, 49):
        assert vectors.search(new[at], 1)[0].tolist() == [1080 + at]
        assert vectors.search(new[at], 1)[1][0] == pytest.approx(1, abs=1e-5)
