"""`Vectors.scores`: the score of rows that are named, on every path what `exact` says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Vectors, _funnel_path
from aqe.simd._vectors import Level

PATHS = [name for name in simd.PATHS if name in simd.paths()]
QUERY = np.random.default_rng(7).standard_normal(130).astype(np.float32)


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path that every store made in the test uses; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    return str(request.param)


def filled(count: int, metric: Any, *, step: int = 7) -> Vectors:
    """Rows under ids that fall and rise."""
    vectors = Vectors(130, metric)
    rows = np.random.default_rng(count).standard_normal((count, 130)).astype(np.float32)
    vectors.add([step * (at if at % 2 else -at) for at in range(count)], rows)
    return vectors


def told(vectors: Vectors, ids: Any) -> dict[int, float]:
    """What `exact` says of those that are held."""
    found, scores = vectors.exact(QUERY, max(1, len(ids)), allow=np.array(ids, np.int64))
    return dict(zip(found.tolist(), scores.tolist(), strict=True))


def check(vectors: Vectors, ids: list[int], *, room: float = 1e-5) -> None:
    scores, truth = vectors.scores(QUERY, ids).tolist(), told(vectors, ids)
    assert len(scores) == len(ids)
    for id, score in zip(ids, scores, strict=True):
        assert score == pytest.approx(truth[id], rel=room, abs=room) if id in truth else np.isnan(score)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.sampled_from([0, 1, 63, 300]),
    metric=st.sampled_from(["cosine", "dot", "l2"]),
    ids=st.lists(st.integers(-2200, 2200) | st.sampled_from([-(2**63), 2**63 - 1]), max_size=150),
    gone=st.lists(st.integers(-300, 300), max_size=9),
)
def test_scores_are_those_of_an_exact_search(
    path: str, count: int, metric: Any, ids: list[int], gone: list[int]
) -> None:
    """Each id that is held has the score of an exact search, one that is not has NaN, in the order of the call."""
    vectors = filled(count, metric)
    check(vectors, [*ids, *(7 * one for one in gone)])
    vectors.delete([7 * one for one in gone])
    vectors.add([3], QUERY[None])
    check(vectors, [3, *ids, *(7 * one for one in gone), 3])


def test_rows_of_every_form_have_a_score(path: str) -> None:
    """A row of half floats, of int8 or of its code alone is scored by that."""
    vectors = filled(1500, "cosine")
    ids = vectors.ids.tolist()
    levels: tuple[Level, ...] = ("f16", "int8", "bits")
    for at, level in enumerate(levels):
        vectors.demote(ids[400 * at : 400 * at + 300], level)
    check(vectors, ids[::17])


def test_ids_of_a_compacted_store_are_found(path: str) -> None:
    """Where all ids stand in one sorted list they are looked up in it."""
    vectors = filled(300, "cosine")
    vectors.delete(vectors.ids[::3])
    vectors.compact()
    assert vectors._state.index.in_order() is not None
    check(vectors, [*range(-2100, 2100, 7)])


@pytest.mark.parametrize("wrong", [np.ones(129, np.float32), np.full(130, np.nan, np.float32), np.ones((1, 130), "f4")])
def test_query_that_does_not_fit_is_refused(path: str, wrong: Any) -> None:
    """Another length, NaN and more dimensions raise; numbers of float16 and in lists are taken."""
    vectors = filled(9, "cosine")
    with pytest.raises(ValueError, match="query"):
        vectors.scores(wrong, [0])
    assert vectors.scores(QUERY.astype(np.float16), [0])[0] == pytest.approx(vectors.scores(QUERY, [0])[0], abs=1e-3)
    with pytest.raises(TypeError):
        vectors.scores(QUERY, [0.5])


def test_arguments_that_do_not_fit_each_other_are_refused(path: str) -> None:
    """Room for fewer scores than ids is refused, and rows that are nowhere have no score."""
    vectors = filled(70, "cosine")
    snapshot, three = vectors._state.snapshot, np.array([1, 1 << 40, -5])
    scores = np.zeros(3, np.float32)
    snapshot.measure(QUERY, three, None, None, scores)
    assert [bool(np.isnan(one)) for one in scores] == [False, True, True]
    snapshot.measure(QUERY, three, np.array([1, 2]), np.array([1 << 33, 4]), scores)
    assert np.isnan(scores).all()
    if path != "numpy":
        with pytest.raises(ValueError, match="scores has 8 bytes"):
            snapshot.measure(QUERY, three, None, None, np.zeros(2, np.float32))
        with pytest.raises(ValueError, match="rows has 8 bytes"):
            snapshot.measure(QUERY, three, np.array([1, 2]), np.array([1]), scores)
        with pytest.raises(TypeError, match="5 arguments"):
            snapshot.measure(QUERY, three)
