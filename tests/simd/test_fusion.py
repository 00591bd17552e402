"""`fuse` and `fuse_sides` on both paths, against standard scores of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Apart, Fused, fuse, fuse_sides

Scores = dict[int, float]
scores = st.dictionaries(st.integers(-5, 15), st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-1e6, 1e6), max_size=12)
Fuse = Callable[..., list[Fused]]


@pytest.fixture(params=[name for name in (simd.paths()[0], "numpy") if name in simd.paths()], scope="module")
def fused(request: pytest.FixtureRequest) -> Fuse:
    """`fuse` on one path; the id of a failing test names it."""

    def call(*args: Any, **kwargs: Any) -> list[Fused]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "active", lambda: request.param)
            return fuse(*args, **kwargs)

    return call


def expected(text: Scores, near: Scores, share: float, prior: Scores) -> dict[int, float]:
    """The sum of standard scores for each row, before it is placed between the worst and the best."""
    rows = [*{**text, **near}]
    if not rows:
        return {}
    words = np.array([text.get(row, 0.0) for row in rows])
    cosines = np.array([near.get(row, np.nan) for row in rows])
    by_text = np.zeros(len(rows)) if words.std() <= 1e-9 * abs(words).max() else words - words.mean()
    by_text = by_text / (words.std() or 1.0)
    there = ~np.isnan(cosines)
    by_near = np.zeros(len(rows))
    if there.any() and cosines[there].std() > 1e-9 * abs(cosines[there]).max():
        by_near[there] = (cosines[there] - cosines[there].mean()) / cosines[there].std()
    sums = share * by_near + (1 - share) * by_text + np.array([prior.get(row, 0.0) for row in rows])
    return dict(zip(rows, sums.tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(text=scores, near=scores, share=st.floats(0, 1), prior=st.dictionaries(st.integers(-5, 15), st.floats(-1, 1)))
def test_score_is_the_sum_of_standard_scores(
    fused: Fuse, text: Scores, near: Scores, share: float, prior: Scores
) -> None:
    """Candidates of either side stand in the order of the weighted sum, between 0 for the worst and 1 for the best."""
    sums = expected(text, near, share, prior)
    found = fused(text, near, share, 100, prior=prior)
    assert sorted(one.row for one in found) == sorted(sums)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    low, high = min(sums.values(), default=0.0), max(sums.values(), default=0.0)
    if high - low > 1e-6:
        for one in found:
            assert one.score == pytest.approx((sums[one.row] - low) / (high - low), abs=1e-6)
    for one in found:
        assert (one.text, one.near, one.prior) == (text.get(one.row), near.get(one.row), prior.get(one.row, 0.0))


def test_row_without_a_vector_counts_as_average_and_one_without_a_word_as_none(fused: Fuse) -> None:
    """What one side does not have is filled by what that side says of such a row."""
    found = {one.row: one for one in fused({1: 2.0, 2: 1.0}, {1: 0.5, 3: 0.9}, 0.75, 9)}
    assert (found[2].near, found[2].near_standard) == (None, 0.0)
    assert found[3].text is None
    assert found[3].text_standard == pytest.approx(-np.sqrt(1.5))


def test_equal_candidates_stand_in_the_order_of_their_rows(fused: Fuse) -> None:
    """Rows of equal sums come by their numbers, whichever side named them first."""
    assert [one.row for one in fused({9: 1.0, 4: 1.0}, {7: 0.5, 4: 0.5, 9: 0.5}, 0.0, 9)] == [4, 9, 7]


def test_share_of_each_row_weighs_that_row(fused: Fuse) -> None:
    """A row whose share is 1 is ranked by its vector alone, one whose share is 0 by its words alone."""
    text, near = {1: 3.0, 2: 2.0, 3: 0.1}, {1: 0.1, 2: 0.2, 3: 0.9}
    found = fused(text, near, {1: 0.0, 2: 0.5, 3: 1.0}, 9)
    assert {one.row: one.share for one in found} == {1: 0.0, 2: 0.5, 3: 1.0}
    assert [one.row for one in found][:2] == [3, 1]


def test_number_that_adds_candidates_while_it_is_read_adds_none(fused: Fuse) -> None:
    """The candidates are those of the call, though the conversion of a score puts thousands more beside it."""

    class Growing(int):
        def __float__(self) -> float:
            text.update(dict.fromkeys(range(10, 50_000), 0.0))
            near.update(dict.fromkeys(range(10, 50_000), 0.0))
            return 2.0

    text: Scores = {1: Growing(2), 2: 1.0}
    near: Scores = {2: 1.0, 3: 0.5}
    assert sorted(one.row for one in fused(text, near, 0.5, 9)) == [1, 2, 3]
    assert len(text) > 40_000


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda call: call({1: 1.0}, {}, 1.5, 1), ValueError),
        (lambda call: call({1: 1.0}, {}, float("nan"), 1), ValueError),
        (lambda call: call({1: 1.0}, {}, {2: 0.5}, 1), ValueError),
        (lambda call: call({1: 1.0}, {}, 0.5, 0), ValueError),
        (lambda call: call({1: 1.0}, {}, 0.5, 1.0), TypeError),
        (lambda call: call({1: "much"}, {}, 0.5, 1), TypeError),
    ],
)
def test_what_does_not_fit_is_refused(fused: Fuse, wrong: Callable[[Fuse], object], error: type[Exception]) -> None:
    """A share outside of 0 to 1, a row without a share, no results asked for, and a score that is no number raise."""
    with pytest.raises(error):
        wrong(fused)


@pytest.fixture(params=[name for name in (simd.paths()[0], "numpy") if name in simd.paths()], scope="module")
def sides(request: pytest.FixtureRequest) -> Callable[..., list[Any]]:
    """`fuse_sides` on one path; the id of a failing test names it."""

    def call(*args: Any) -> list[Any]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "active", lambda: request.param)
            return fuse_sides(*args)

    return call


def arrays(found: Scores, other: Scores, *, text: bool) -> tuple[Any, Any]:
    """What one side found as arrays, and what the other says of it."""
    ids = np.array(list(found), np.int64)
    kinds = (np.float64, np.float32, np.nan) if text else (np.float32, np.float64, 0.0)
    says = np.array([other.get(row, kinds[2]) for row in found], kinds[1])
    return (ids, np.array(list(found.values()), kinds[0])), says


@settings(max_examples=150, deadline=None)
@given(
    words=st.dictionaries(st.integers(-5, 15), st.sampled_from([0.5, 1.0]) | st.floats(1e-6, 1e3), max_size=14),
    cosines=st.dictionaries(st.integers(-5, 15), st.integers(-100, 100).map(lambda one: one / 100), max_size=14),
    by_words=st.sets(st.integers(-5, 15)),
    share=st.floats(0, 1),
    k=st.integers(1, 20),
)
def test_arrays_are_fused_as_dictionaries_are(
    sides: Callable[..., list[Any]], words: Scores, cosines: Scores, by_words: set[int], share: float, k: int
) -> None:
    """Whatever part of the candidates each side found, all have the scores that dictionaries of both sides give."""
    text = {row: score for row, score in words.items() if row in by_words}
    near = {row: score for row, score in cosines.items() if row not in by_words or row % 2}
    first, second = arrays(text, cosines, text=True), arrays(near, words, text=False)
    rows = {*text, *near}
    expected = fuse(
        {row: score for row, score in words.items() if row in rows},
        {row: score for row, score in cosines.items() if row in rows},
        share,
        k,
    )
    found = sides(*first, *second, share, k)
    assert len(found) == len(expected)
    known = {one.row: one for one in fuse({**words}, {**cosines}, share, 99)}
    for (row, score, by_text, by_near), one in zip(found, expected, strict=True):
        assert score == pytest.approx(one.score, abs=1e-9)
        assert (by_text, by_near) == (known[row].text, pytest.approx(known[row].near))
    if len({round(one.score, 9) for one in expected}) == len(expected):
        assert [row for row, *_ in found] == [one.row for one in expected]


NOTHING = np.zeros(0, np.int64), np.zeros(0, np.float32)


def test_sides_without_a_row_have_no_candidates(sides: Callable[..., list[Any]]) -> None:
    """Empty arrays are no error, and one side alone is ranked by itself; thousands of rows are no more work each."""
    empty = np.zeros(0)
    assert sides((NOTHING[0], empty), NOTHING[1], NOTHING, empty, 0.5, 3) == []
    near = np.arange(5000), np.linspace(0, 1, 5000, dtype=np.float32)
    found = sides((NOTHING[0], empty), NOTHING[1], near, np.zeros(5000), 0.5, 3)
    assert [(row, by_text) for row, _, by_text, _ in found] == [(4999, None), (4998, None), (4997, None)]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda ids, half, whole: ((ids[[0, 0]], whole[:2]), half[:2], (ids, half), whole, 0.5, 1), ValueError),
        (lambda ids, half, whole: ((ids, whole), half, (ids[[0, 2, 2]] + 9, half), whole, 0.5, 1), ValueError),
        (lambda ids, half, whole: ((ids, whole), half[:2], (ids, half), whole, 0.5, 1), ValueError),
        (lambda ids, half, whole: ((ids, whole), half, (ids, half), whole[:1], 0.5, 1), ValueError),
        (lambda ids, half, whole: ((ids, whole), half, (ids, half), whole, 1.5, 1), ValueError),
        (lambda ids, half, whole: ((ids, whole), half, (ids, half), whole, 0.5, 0), ValueError),
        (lambda ids, half, whole: ((ids.astype("f8"), whole), half, (ids, half), whole, 0.5, 1), TypeError),
    ],
)
def test_sides_that_do_not_fit_are_refused(sides: Callable[..., list[Any]], wrong: Any, error: Any) -> None:
    """A row twice on a side, arrays of other lengths or kinds, and a share or k that cannot be raise."""
    with pytest.raises(error):
        sides(*wrong(np.arange(3), np.ones(3, np.float32), np.ones(3)))


def test_marked_ids_have_their_own_share(sides: Callable[..., Any]) -> None:
    """Each id has the share that `fuse` would be given for it; ids below 0 and beyond the marks have the first."""
    text = np.array([1, 2, -3]), np.array([2.0, 1.0, 0.5])
    near = np.array([1, 3, 9]), np.array([0.5, 0.9, 0.3], np.float32)
    cosines, words = np.array([0.5, np.nan, 0.1], np.float32), np.array([2.0, 0.0, 0.0])
    marked = np.array([0, 0, 1, 1, 0], np.bool_)
    found = sides(text, cosines, near, words, Apart(0.75, 0.25, marked), 9)
    by_id = {1: 0.75, 2: 0.25, -3: 0.75, 3: 0.25, 9: 0.75}
    wanted = fuse({1: 2.0, 2: 1.0, -3: 0.5}, {1: 0.5, -3: 0.1, 3: 0.9, 9: 0.3}, by_id, 9)
    assert [(row, text, near) for row, _, text, near in found] == [(one.row, one.text, one.near) for one in wanted]
    assert [score for _, score, *_ in found] == pytest.approx([one.score for one in wanted])
    for wrong in (Apart(1.5, 0.2, marked), Apart(0.5, -0.2, marked)):
        with pytest.raises(ValueError, match="share must be from 0 to 1"):
            sides(text, cosines, near, words, wrong, 9)


def test_marks_may_be_of_any_kind(sides: Callable[..., Any]) -> None:
    """Marks that are a list, numbers or every second of others, and shares of NumPy's, give the same to the bit."""
    text = np.array([1, 2]), np.array([2.0, 1.0])
    near = np.array([1, 3]), np.array([0.5, 0.9], np.float32)
    cosines, words = np.array([0.5, 0.7], np.float32), np.array([2.0, 0.0])
    marked = np.array([False, True, False, True])
    wide = np.repeat(marked, 2)[::2]
    odd: list[Any] = [marked.tolist(), marked.astype(np.int64), wide]
    expected = sides(text, cosines, near, words, simd.Apart(0.75, 0.25, marked), 3)
    for one in odd:
        assert sides(text, cosines, near, words, simd.Apart(np.float32(0.75), 0.25, one), 3) == expected
    with pytest.raises(ValueError, match="marks"):
        sides(text, cosines, near, words, simd.Apart(0.75, 0.25, marked.reshape(2, 2)), 3)
    assert sides(text, cosines, near, words, np.float32(0.5), 3) == sides(text, cosines, near, words, 0.5, 3)
