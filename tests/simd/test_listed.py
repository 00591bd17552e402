"""`rank_lists` and `best_listed` on both paths, against FTS5 and against sorting."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import apsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd

LENGTHS = np.array([0, 4, 4, 200, 7], np.int32)


@pytest.fixture(params=[name for name in (simd.paths()[0], "numpy") if name in simd.paths()])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each path in turn; the id of a failing test names it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simd, "active", lambda: request.param)
        yield str(request.param)


def test_lists_are_ranked_as_fts5_ranks(path: str) -> None:
    """Texts from one word to a thousand have FTS5's BM25 to the bit, whatever words are asked for and how many."""
    rng = random.Random(4)
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(x)")
    connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab('t', 'instance')")
    words = [f"w{at}" for at in range(30)]
    texts = [rng.choices(words, weights=range(1, 31), k=rng.choice([1, 5, 40, 1000])) for _ in range(200)]
    connection.executemany(
        "INSERT INTO t (rowid, x) VALUES (?, ?)", [(3 * at, " ".join(t)) for at, t in enumerate(texts)]
    )
    lengths = np.zeros(600, np.int32)
    lengths[::3] = [len(text) for text in texts]
    for size in (1, 2, 5, 20):
        asked = rng.sample(words, size)
        sql = "SELECT coalesce(group_concat(doc), '') FROM v WHERE term = ?"
        lists = [connection.execute(sql, (word,)).get for word in asked]
        rows, scores, unknown = simd.rank_lists(lists, lengths, documents=200, tokens=int(lengths.sum()))
        said = connection.execute("SELECT rowid, -rank FROM t WHERE t MATCH ? ORDER BY rowid", (" OR ".join(asked),))
        assert list(zip(rows.tolist(), scores.tolist(), strict=True)) == said.fetchall()
        assert not len(unknown)


def test_rows_without_a_length_are_named(path: str) -> None:
    """Nothing is ranked while a length is not known; the rows that lack one are named, beyond the end too."""
    rows, scores, unknown = simd.rank_lists(["0,1,1,3", "", "3,5"], LENGTHS, documents=9, tokens=90)
    assert (len(rows), len(scores)) == (0, 0)
    assert sorted(unknown.tolist()) == [0, 5]
    assert [len(part) for part in simd.rank_lists([], LENGTHS, documents=9, tokens=90)] == [0, 0, 0]


@pytest.mark.parametrize("wrong", ["3,1", "1,,2", "1,", ",1", "-1", "1 2", "٣", "1" * 19])
def test_what_is_no_list_is_refused(path: str, wrong: str) -> None:
    """Numbers that fall, gaps, signs and numbers beyond 64 bits raise."""
    with pytest.raises(ValueError, match="row numbers, rising"):
        simd.rank_lists(["1,2", wrong], LENGTHS, documents=9, tokens=90)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: simd.rank_lists([b"1"], LENGTHS, documents=9, tokens=90), TypeError),
        (lambda: simd.rank_lists(["1"], LENGTHS, documents=0, tokens=90), ValueError),
        (lambda: simd.best_listed(np.arange(3), np.ones(2), 1), ValueError),
        (lambda: simd.best_listed(np.arange(3), np.ones(3), 0), ValueError),
        (lambda: simd.best_listed(np.arange(3), np.ones(3), 1, among=np.ones(1, np.bool_)), ValueError),
        (
            lambda: simd.best_listed(
                np.arange(3), np.ones(3), 1, groups=np.zeros(2, np.int32), among=np.ones(1, np.bool_)
            ),
            ValueError,
        ),
    ],
)
def test_what_does_not_fit_is_refused(path: str, call: Callable[[], object], error: type[Exception]) -> None:
    """Lists that are no strings, no documents, arrays of other lengths, no results and groups that lack raise."""
    with pytest.raises(error):
        call()


@settings(max_examples=60, deadline=None)
@given(
    found=st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0, 2.5]), st.integers(-1, 4)), max_size=40),
    among=st.lists(st.booleans(), max_size=4),
    k=st.integers(1, 45),
)
def test_best_are_those_of_sorting(found: list[tuple[float, int]], among: list[bool], k: int) -> None:
    """The best rows of some groups are the first of all rows in order; of equal scores the lowest."""
    rows, scores = np.arange(len(found)) * 2, np.array([score for score, _ in found], np.float64)
    groups, mask = np.array([group for _, group in found], np.int32), np.array(among, np.bool_)
    placed = sorted((-score, 2 * at, group) for at, (score, group) in enumerate(found))
    inside = [(row, -score) for score, row, group in placed if 0 <= group < len(among) and among[group]]
    for name in dict.fromkeys((simd.paths()[0], "numpy")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(simd, "active", lambda name=name: name)
            best = simd.best_listed(rows, scores, k, groups=groups, among=mask)
            every = simd.best_listed(rows, scores, k)
        assert list(zip(*(part.tolist() for part in best), strict=True)) == inside[:k]
        assert every[0].tolist() == [row for _, row, _ in placed][:k]
