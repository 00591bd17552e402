"""`Vectors` against brute force in NumPy: what is added, replaced, deleted and allowed, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Vectors, _funnel_path, _rows

Floats = np.ndarray[Any, np.dtype[np.float32]]
METRICS = ("cosine", "dot", "l2")
PATHS = [name for name in simd.PATHS if name in simd.paths()]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path that every store made in the test uses; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    return str(request.param)


def unit(rows: Floats) -> Floats:
    """Rows of length one."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-30)


def scores(rows: Floats, query: Floats, metric: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The score of each row in float64."""
    wide, target = rows.astype(np.float64), query.astype(np.float64)
    products = wide @ target
    if metric == "dot":
        return products
    squares = np.einsum("ij,ij->i", wide, wide)
    if metric == "l2":
        return squares - 2 * products + target @ target
    norms = np.sqrt(squares * (target @ target))
    return np.divide(products, norms, out=np.zeros(len(wide)), where=norms > 0)


def best(rows: Floats, query: Floats, metric: str, k: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The best k scores, best first."""
    found = np.sort(scores(rows, query, metric))
    return found[:k] if metric == "l2" else found[::-1][:k]


@cache
def clustered(count: int, dim: int, seed: int = 0) -> Floats:
    """Rows about 40 centres that lie to one side, as embeddings do."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(0.3, 1, (40, dim))
    return (centres[chance.integers(0, 40, count)] + chance.normal(0, 0.7, (count, dim))).astype(np.float32)


def filled(rows: Floats, metric: Any = "cosine") -> Vectors:
    """A store of rows under the ids 0, 10, 20 and so on."""
    vectors = Vectors(rows.shape[1], metric)
    vectors.add(np.arange(len(rows)) * 10, rows)
    return vectors


numbers = st.lists(st.integers(0, 12), max_size=8)
steps = st.lists(st.tuples(st.sampled_from(["add", "delete", "compact"]), numbers, st.integers(0, 9)), max_size=12)


@pytest.mark.parametrize("metric", METRICS)
@given(history=steps, k=st.integers(1, 15), seed=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_any_history_answers_as_brute_force(metric: Any, history: list[Any], k: int, seed: int) -> None:
    """After any adds, replacements, deletions and compactions a search answers as brute force over what is left."""
    vectors, held = Vectors(3, metric), dict[int, Floats]()
    for what, ids, number in history:
        if what == "add":
            rows = np.random.default_rng(number).normal(size=(len(ids), 3)).astype(np.float32)
            vectors.add(ids, rows)
            held.update(zip(ids, rows, strict=True))
        elif what == "delete":
            assert vectors.delete(ids) == len(set(ids) & set(held))
            held = {one: row for one, row in held.items() if one not in ids}
        else:
            vectors.compact()
    query = np.random.default_rng(seed).normal(size=3).astype(np.float32)
    found, got = vectors.search(query, k)
    assert len(vectors) == len(held)
    assert sorted(vectors.ids) == sorted(held)
    assert len(found) == min(k, len(held)) == len(set(found.tolist()))
    if held:
        rows = np.array(list(held.values()))
        np.testing.assert_allclose(got, best(rows, query, metric, k), rtol=1e-5, atol=1e-5)
        own = np.array([held[one] for one in found.tolist()])
        np.testing.assert_allclose(got, scores(own, query, metric), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_the_codes_find_what_brute_force_finds(path: str, metric: Any) -> None:
    """A store that is searched by codes finds all but a few of the nearest rows, with their exact scores."""
    rows = clustered(1500, 131)
    vectors = filled(rows, metric)
    assert vectors.structure == "linear"
    found = 0
    for query in clustered(12, 131, seed=1):
        ids, got = vectors.search(query, 10)
        np.testing.assert_allclose(got, scores(rows[ids // 10], query, metric), rtol=1e-4, atol=1e-4)
        border = best(rows, query, metric, 10)[-1]
        found += int((got <= border + 1e-3 if metric == "l2" else got >= border - 1e-3).sum())
    assert found >= 118


@pytest.mark.parametrize("metric", METRICS)
def test_rows_without_any_structure_are_found_too(metric: Any) -> None:
    """Isotropic noise, which is hard on 1-bit codes, is searched with a recall of .98 or more."""
    rows = np.random.default_rng(2).normal(size=(4000, 128)).astype(np.float32)
    vectors = filled(rows, metric)
    assert vectors.recall(60, queries=np.random.default_rng(3).normal(size=(60, 128)).astype(np.float32)) >= 0.98


ODD: dict[str, Callable[[Floats], Floats]] = {
    "far from the origin": lambda rows: rows + 1000,
    "a few long ones": lambda rows: np.concatenate([rows[:3] * np.float32(1e13), rows[3:]]),
    "lengths of all sizes": lambda rows: rows * np.exp(np.random.default_rng(5).normal(0, 2, (len(rows), 1))),
    "tiny": lambda rows: rows * np.float32(1e-12),
    "one large item": lambda rows: np.concatenate([rows[:, :-1], rows[:, -1:] + 200], axis=1),
    "all the same": lambda rows: np.repeat(rows[:1], len(rows), axis=0),
    "nothing in every other one": lambda rows: rows * (np.arange(len(rows)) % 2)[:, None],
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ODD)
def test_odd_rows_are_found(kind: str, metric: Any) -> None:
    """Rows that are hard on codes, int8 or half floats are found all the same, with a recall of .97 or more."""
    vectors = filled(ODD[kind](clustered(1500, 128)).astype(np.float32), metric)
    queries = np.concatenate([clustered(10, 128, seed=1), ODD[kind](clustered(10, 128, seed=2)).astype(np.float32)])
    assert vectors.recall(queries=queries) >= 0.97


def test_all_paths_find_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of a search do not depend on the path."""
    rows, queries = clustered(1200, 160), clustered(5, 160, seed=1)
    answers = []
    for name in PATHS:
        monkeypatch.setattr(_funnel_path, "chosen", lambda name=name: _funnel_path.of(name))
        vectors = filled(rows)
        answers.append([vectors.search(query, 5)[0].tolist() for query in queries])
    assert all(answer == answers[0] for answer in answers)


def test_scores_are_ordered_best_first(path: str) -> None:
    """Scores descend for cosine and dot and ascend for l2."""
    rows = clustered(1100, 128)
    for metric in METRICS:
        got = filled(rows, metric).search(rows[0], 30)[1]
        assert (np.diff(got) >= 0).all() if metric == "l2" else (np.diff(got) <= 0).all()


def test_an_id_added_twice_replaces(path: str) -> None:
    """The vector of an id is the last one added under it, also within one call."""
    vectors = Vectors(2)
    vectors.add([1, 2, 1], np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    assert vectors.get([1]).tolist() == [[0, 1]]
    vectors.add([2], np.array([[0, 5]], np.float32))
    ids, got = vectors.search(np.array([1, 0], np.float32), 9)
    assert (len(vectors), sorted(ids), got.tolist()) == (2, [1, 2], [0, 0])


def test_rows_that_come_later_are_searched_at_once(path: str) -> None:
    """A row added to a store that has codes is found by the next search."""
    rows = clustered(1100, 128)
    vectors = filled(rows)
    for number in range(70):
        new = np.random.default_rng(number).normal(size=(1, 128)).astype(np.float32)
        vectors.add([-1 - number], new)
        assert vectors.search(new[0], 1)[0].tolist() == [-1 - number]


def test_codes_follow_rows_that_move(path: str) -> None:
    """A store whose rows came to lie elsewhere is searched as well as before."""
    rows = np.concatenate([clustered(1100, 128), clustered(1600, 128, seed=4) - 5])
    vectors = Vectors(128)
    for start in range(0, len(rows), 540):
        vectors.add(np.arange(start, min(start + 540, len(rows))), rows[start : start + 540])
    assert vectors.recall(10) >= 0.99


def test_segments_do_not_show(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in many segments are found, replaced, deleted and compacted like rows in one."""
    monkeypatch.setattr(_rows, "MOST_ROWS", 192)
    rows = clustered(1300, 128)
    vectors = filled(rows)
    vectors.add([10, 5000], rows[[700, 701]])
    vectors.delete(np.arange(3000, 4000, 10))
    asked = (rows[0], rows[700], rows[1299])
    before, held = [vectors.search(query, 5) for query in asked], sum(vectors.nbytes.values())
    assert [scores[0] for _, scores in before] == pytest.approx([1, 1, 1], abs=1e-5)
    vectors.compact()
    assert sum(vectors.nbytes.values()) < held
    assert [vectors.search(query, 5)[0].tolist() for query in asked] == [ids.tolist() for ids, _ in before]
    vectors.demote(vectors.ids, "bits")  # what is left of the rows are their codes
    assert [vectors.search(query, 1)[0].tolist() for query in asked] == [ids[:1].tolist() for ids, _ in before]


@pytest.mark.parametrize("share", [0.002, 0.1, 0.6])
def test_allow_is_exact(path: str, share: float) -> None:
    """A search among allowed ids answers as brute force over them alone, be they few or many."""
    rows = clustered(1500, 128)
    vectors = filled(rows)
    chosen = np.flatnonzero(np.random.default_rng(0).random(1500) < share)
    allowed = vectors.allowed(chosen * 10)
    for query in clustered(8, 128, seed=1):
        ids, got = vectors.search(query, 5, allow=allowed)
        assert set(ids.tolist()) <= set((chosen * 10).tolist())
        np.testing.assert_allclose(got, best(rows[chosen], query, "cosine", 5), atol=1e-4)


def test_allow_takes_any_ids(path: str) -> None:
    """What is allowed may be a list, a set, a range, a generator or an array, with ids that are not held."""
    vectors = filled(clustered(30, 4))
    query = np.ones(4, np.float32)
    for allow in ([10, 20, 7], {10, 20}, range(10, 21, 10), (one for one in (10, 20)), np.array([20, 10], np.int32)):
        assert sorted(vectors.search(query, 9, allow=allow)[0]) == [10, 20]


def test_allow_that_matches_nothing_gives_nothing(path: str) -> None:
    """With no allowed id held the answer is two empty arrays."""
    vectors = filled(clustered(1100, 128))
    for allow in ([], [7], vectors.allowed([1, 2, 3])):
        ids, got = vectors.search(np.ones(128, np.float32), 3, allow=allow)
        assert (ids.dtype, got.dtype, len(ids), len(got)) == (np.int64, np.float32, 0, 0)


def test_a_prepared_allow_follows_the_store() -> None:
    """Prepared ids mean ids: what is added, replaced or deleted under them later counts."""
    vectors = filled(clustered(20, 4))
    allowed = vectors.allowed([0, 10, 999])
    query = np.ones(4, np.float32)
    assert sorted(vectors.search(query, 9, allow=allowed)[0]) == [0, 10]
    vectors.add([999, 0], clustered(2, 4, seed=1))
    assert sorted(vectors.search(query, 9, allow=allowed)[0]) == [0, 10, 999]
    vectors.delete([10])
    assert sorted(vectors.search(query, 9, allow=allowed)[0]) == [0, 999]


@given(history=steps, allowed=numbers)
@settings(max_examples=20, deadline=None)
def test_a_prepared_allow_survives_any_history(history: list[Any], allowed: list[int]) -> None:
    """Whatever happens between its searches, a prepared allow finds what the same ids find when they are given anew."""
    vectors = Vectors(2)
    vectors.add(range(13), np.ones((13, 2), np.float32))
    prepared, query = vectors.allowed(allowed), np.ones(2, np.float32)
    for what, ids, number in history:
        if what == "add":
            vectors.add(ids, np.full((len(ids), 2), number + 1, np.float32))
        elif what == "delete":
            vectors.delete(ids)
        else:
            vectors.compact()
        found = vectors.search(query, 20, allow=prepared)[0]
        assert (
            sorted(found)
            == sorted(vectors.search(query, 20, allow=allowed)[0])
            == sorted(set(allowed) & {*vectors.ids})
        )


def test_zero_vectors_have_cosine_zero(path: str) -> None:
    """A row of zeros has cosine 0 with everything, and a query of zeros with every row."""
    vectors = Vectors(3)
    vectors.add([1, 2], np.array([[0, 0, 0], [-1, 0, 0]], np.float32))
    ids, got = vectors.search(np.array([1, 0, 0], np.float32), 2)
    assert (ids.tolist(), got.tolist()) == ([1, 2], [0, -1])
    assert vectors.search(np.zeros(3, np.float32), 2)[1].tolist() == [0, 0]


def test_cosine_knows_no_scale(path: str) -> None:
    """For cosine, rows and queries of any finite size count by their direction."""
    vectors = Vectors(2)
    vectors.add([1, 2], np.array([[3e38, 3e38], [1e-40, -1e-40]], np.float32))
    ids, got = vectors.search(np.array([2e-42, 2e-42], np.float32), 2)
    assert ids.tolist() == [1, 2]
    np.testing.assert_allclose(got, [1, 0], atol=1e-3)


def test_an_empty_store_answers(path: str) -> None:
    """Nothing held, nothing found, and nothing to complain of."""
    vectors = Vectors(4, "l2")
    ids, got = vectors.search(np.ones(4, np.float32), 5)
    assert (len(ids), len(got), len(vectors), vectors.delete([1]), len(vectors.ids)) == (0, 0, 0, 0, 0)
    assert vectors.recall() == 1.0


def test_what_is_deleted_comes_back_only_when_added(path: str) -> None:
    """A deleted id is not found, cannot be got, and may be added again."""
    vectors = filled(clustered(1100, 128))
    row = vectors.get([500])
    assert vectors.delete([500, 500, 7]) == 1
    assert 500 not in vectors.search(row[0], 20)[0]
    with pytest.raises(ValueError, match="id 500 is not held"):
        vectors.get([500])
    vectors.add([500], row)
    assert vectors.search(row[0], 1)[0].tolist() == [500]


def test_room_of_deleted_rows_is_taken_back() -> None:
    """A store that is rewritten again and again stays small and answers right."""
    vectors, rows = Vectors(4), clustered(500, 4)
    for _ in range(12):
        vectors.add(np.arange(500), rows)
    assert vectors.nbytes["f32"] <= 4 * 500 * 16
    vectors.compact()
    assert vectors.nbytes["f32"] == 500 * 16
    assert vectors.search(rows[3], 1)[1][0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("given", ["float16", "lists", "columns", "read-only", "every other row"])
def test_what_holds_the_same_numbers_is_taken(given: str) -> None:
    """Half floats, nested lists, strided and read-only arrays are taken as the numbers that they hold."""
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    kinds: dict[str, Callable[[], Any]] = {
        "float16": lambda: rows.astype(np.float16),
        "lists": rows.tolist,
        "columns": lambda: np.asfortranarray(rows),
        "read-only": lambda: np.frombuffer(rows.tobytes(), np.float32).reshape(4, 3),
        "every other row": lambda: np.repeat(rows, 2, axis=0)[::2],
    }
    vectors = Vectors(3, "dot")
    vectors.add(range(4), kinds[given]())
    assert vectors.get([0, 1, 2, 3]).tolist() == rows.tolist()
    found = vectors.search(kinds[given]()[2], 1)
    assert (found[0].tolist(), found[1].tolist()) == ([3], [6 * 9 + 7 * 10 + 8 * 11])


@pytest.mark.parametrize(
    ("ids", "array", "error", "said"),
    [
        ([1], [[1.0, np.nan]], ValueError, "NaN or infinity, first in row 0"),
        ([1, 2], [[1.0, 2], [np.inf, 2]], ValueError, "NaN or infinity, first in row 1"),
        ([1], [[1e39, 1]], ValueError, "NaN or infinity"),
        ([1], [[1e16, 1]], ValueError, "beyond 1e\\+15"),
        ([1], [[1.0, 2, 3]], ValueError, "array must be 1 x 2.*got 1 x 3"),
        ([1, 2], [[1.0, 2]], ValueError, "array must be 2 x 2.*got 1 x 2"),
        ([1], [1.0, 2], ValueError, "array must be 1 x 2.*got 2"),
        ([1, 2], [[1.0, 2], [3]], ValueError, "rows of one length"),
        ([1], np.ones((1, 2)), TypeError, "must be float32 or float16, got float64"),
        ([1], np.ones((1, 2), int), TypeError, "must be float32 or float16, got int64"),
        ([1], [["1", "2"]], TypeError, "must be numbers"),
        ([1.5], [[1.0, 2]], TypeError, "whole numbers \\(int64\\), got float"),
        (np.array([1.0]), [[1.0, 2]], TypeError, "whole numbers \\(int64\\), got float64"),
        (np.array([[1]]), [[1.0, 2]], ValueError, "ids must have 1 dimension, got 2"),
        ([2**63], [[1.0, 2]], ValueError, "ids must fit int64"),
        (np.array([2**63], np.uint64), [[1.0, 2]], ValueError, "ids must fit int64"),
        ("12", [[1.0, 2]], TypeError, "whole numbers \\(int64\\), got str"),
        (5, [[1.0, 2]], TypeError, "whole numbers \\(int64\\), got int"),
    ],
)
def test_what_cannot_be_added_is_refused(ids: Any, array: Any, error: type[Exception], said: str) -> None:
    """Rows and ids that do not fit are refused in one sentence, and nothing of the call is held."""
    vectors = Vectors(2, "dot")
    vectors.add([7], np.ones((1, 2), np.float32))
    with pytest.raises(error, match=said):
        vectors.add(ids, array)
    assert vectors.ids.tolist() == [7]


@pytest.mark.parametrize(
    ("query", "k", "error", "said"),
    [
        (np.array([1, np.nan], np.float32), 1, ValueError, "NaN, infinity"),
        (np.array([np.inf, 1], np.float32), 1, ValueError, "NaN, infinity"),
        (np.array([1e16, 1], np.float32), 1, ValueError, "beyond 1e15"),
        (np.ones(3, np.float32), 1, ValueError, "query must have 2 items, got 3"),
        (np.ones((1, 2), np.float32), 1, ValueError, "query must have 2 items, got 1 x 2"),
        (np.ones(2), 1, TypeError, "query must be float32 or float16, got float64"),
        (np.ones(2, np.float32), 0, ValueError, "k must be at least 1, got 0"),
        (np.ones(2, np.float32), -1, ValueError, "k must be at least 1, got -1"),
        (np.ones(2, np.float32), 1.0, TypeError, "k must be a whole number, got float"),
        (np.ones(2, np.float32), True, TypeError, "k must be a whole number, got bool"),
    ],
)
def test_what_cannot_be_asked_is_refused(path: str, query: Any, k: Any, error: type[Exception], said: str) -> None:
    """Queries and k that make no sense are refused in one sentence on every path."""
    vectors = Vectors(2, "dot")
    vectors.add([7, 8], np.ones((2, 2), np.float32))
    with pytest.raises(error, match=said):
        vectors.search(query, k)


@pytest.mark.parametrize(("dim", "metric"), [(0, "dot"), (16385, "dot"), (4, "euclid")])
def test_a_store_that_cannot_be_is_refused(dim: int, metric: Any) -> None:
    """A dimension out of range and an unknown metric are refused at once."""
    with pytest.raises(ValueError, match=r"dim must be from 1 to 16384|metric must be"):
        Vectors(dim, metric)
