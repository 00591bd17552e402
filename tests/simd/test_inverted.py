"""The inverted file of `Vectors` against brute force: built, added to, deleted from, folded, saved and broken off."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Vectors, _clusters, _funnel_path, _ivf, _vectors_file
from aqe.simd._upkeep import Stopped

Floats = np.ndarray[Any, np.dtype[np.float32]]
METRICS = ("cosine", "dot", "l2")
PATHS = [name for name in simd.PATHS if name in simd.paths()]
DIM = 128


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path that every store made in the test uses; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    return str(request.param)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """An inverted file is due from 500 rows on, and worth it where it looks at every code six times."""
    monkeypatch.setattr(_ivf, "WORTH_ROWS", 500)
    monkeypatch.setattr(_ivf, "WORTH_SHARE", 6.0)


@cache
def clustered(count: int, seed: int = 0) -> Floats:
    """Rows about 60 centres that lie to one side, as embeddings do."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0.3, 1, (60, DIM))
    return (centres[chance.integers(0, 60, count)] + chance.normal(0, 0.5, (count, DIM))).astype(np.float32)


def scores(rows: Floats, query: Floats, metric: str) -> Floats:
    """The score of each row to float32's rounding, higher is better."""
    if metric == "l2":
        gaps = rows - query
        return -np.einsum("ij,ij->i", gaps, gaps)
    products = np.einsum("ij,j->i", rows, query)
    if metric == "dot":
        return products
    return products / np.sqrt(np.einsum("ij,ij->i", rows, rows) * (query @ query))


def filled(count: int, metric: Any = "cosine", nlist: int | None = 16) -> Vectors:
    """A store of clustered rows under the ids 0, 10, 20 and so on, with an inverted file unless `nlist` is None."""
    vectors = Vectors(DIM, metric)
    vectors.add(np.arange(count) * 10, clustered(count))
    if nlist is not None:
        vectors.build(nlist)
    return vectors


@cache
def shared(count: int, nlist: int) -> Vectors:
    """The same for tests that change nothing."""
    return filled(count, nlist=nlist)


def share_found(vectors: Vectors, rows: Floats, queries: Floats, k: int = 10) -> float:
    """The share of the exact k nearest that searches give."""
    found = 0
    for query in queries:
        truth = np.sort(scores(rows, query, vectors.metric))[::-1][:k]
        got = vectors.search(query, k)[1] * (-1 if vectors.metric == "l2" else 1)
        found += int((got >= truth[-1] - 1e-4 * max(1.0, abs(truth[-1]))).sum())
    return found / (k * len(queries))


def test_each_path_finds_what_brute_force_finds(path: str) -> None:
    """On every path the lists find .99 of the exact nearest."""
    vectors = filled(1500)
    assert vectors.structure == "ivf"
    assert share_found(vectors, clustered(1500), clustered(12, seed=5)) >= 0.99


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_each_metric_finds_what_brute_force_finds(metric: Any) -> None:
    """By every metric the lists find .99 of the exact nearest."""
    assert share_found(filled(1500, metric), clustered(1500), clustered(12, seed=5)) >= 0.99


def test_a_search_stops_before_the_last_list() -> None:
    """Of many lists a search looks at a part, says how large it was, and still finds .99."""
    vectors = shared(4000, 300)
    shares = []
    for query in clustered(40, seed=5):
        vectors.search(query, 10)
        shares.append(vectors.last_scanned)
    slots = vectors.nbytes["lists"] / 4000 / (DIM / 8 + 8)
    assert 0 < np.mean(shares) < 0.8 * slots
    assert share_found(vectors, clustered(4000), clustered(40, seed=5)) >= 0.99


@pytest.mark.parametrize("k", [1, 5, 50, 100])
def test_each_k_finds_enough(k: int) -> None:
    """For one answer and for a hundred, .99 of the nearest are found."""
    assert share_found(shared(4000, 300), clustered(4000), clustered(40, seed=5), k) >= 0.99


def test_what_changes_after_the_build_is_seen_at_once() -> None:
    """A row added after the lists were made is found, a replaced one by its new row alone, a deleted one no more."""
    vectors, rows = filled(2000), clustered(2000)
    vectors.add([7], rows[100:101])
    vectors.add([1000], -rows[100:101])
    vectors.delete([2000])
    assert vectors.search(rows[100], 1)[0].tolist() == [7]
    assert vectors.search(-rows[100], 1)[0].tolist() == [1000]
    assert 2000 not in vectors.search(rows[200], 50)[0]
    assert vectors.structure == "ivf"


def test_a_filter_is_answered_by_the_linear_pass() -> None:
    """With `allow` nothing else is in the answer, and .99 of the nearest among the allowed are, alike as these are."""
    vectors, rows = shared(4000, 300), clustered(4000)
    chosen = np.flatnonzero(scores(rows, rows[3], "cosine") > np.quantile(scores(rows, rows[3], "cosine"), 0.9))
    found = 0
    for query in clustered(20, seed=6):
        ids, got = vectors.search(query, 10, allow=chosen * 10)
        truth = np.sort(scores(rows[chosen], query, "cosine"))[::-1][:10]
        assert set(ids.tolist()) <= set((chosen * 10).tolist())
        assert vectors.last_scanned == 1.0
        found += int((got >= truth[-1] - 1e-5).sum())
    assert found >= 198


steps = st.lists(
    st.tuples(st.sampled_from(["add", "delete", "build", "fold", "compact"]), st.integers(0, 9)), max_size=8
)


@given(history=steps, metric=st.sampled_from(METRICS))
@settings(max_examples=15, deadline=None)
def test_any_history_answers_as_brute_force(history: list[tuple[str, int]], metric: Any) -> None:
    """After any adds, deletions, builds, folds and compactions the best are those of brute force over what is left."""
    vectors, held = Vectors(DIM, metric), dict(enumerate(clustered(150)))
    vectors.add(list(held), np.stack(list(held.values())))
    vectors.build(8)
    for what, number in history:
        ids = np.unique(np.random.default_rng(number).integers(0, 250, 20))
        if what == "add":
            rows = clustered(len(ids), seed=number)
            vectors.add(ids, rows)
            held |= dict(zip(ids.tolist(), rows, strict=True))
        elif what == "delete":
            vectors.delete(ids)
            held = {one: row for one, row in held.items() if one not in ids}
        elif what == "compact":
            vectors.compact()
        else:
            vectors._do(what, 8, lambda text, done, total: None)
    query, rows = clustered(1, seed=77)[0], np.stack(list(held.values()))
    ids, found = vectors.search(query, 12)
    assert len(set(ids.tolist())) == 12
    truth = np.sort(scores(rows, query, metric))[::-1][:12]
    np.testing.assert_allclose(found * (-1 if metric == "l2" else 1), truth, rtol=1e-4, atol=1e-4)
    for one, score in zip(ids.tolist(), found.tolist(), strict=True):
        own = scores(held[one][None], query, metric)[0] * (-1 if metric == "l2" else 1)
        assert score == pytest.approx(own, rel=1e-4, abs=1e-4)


def test_many_new_rows_are_folded_in() -> None:
    """When rows enough came after the lists were made a fold is due; it finds them and leaves nothing due."""
    vectors = filled(8500, nlist=8)
    assert vectors.due is None
    new = clustered(8400, seed=3)
    vectors.add(np.arange(8400) * 10 + 1, new)
    assert vectors.due == "fold"
    assert vectors.tend() == "fold"
    assert vectors.due is None
    assert vectors.structure == "ivf"
    assert share_found(vectors, np.concatenate([clustered(8500), new]), clustered(20, seed=5)) >= 0.99


def test_centroids_are_made_anew_when_the_rows_are_others(small: None) -> None:
    """When most rows are elsewhere the lists fit no more: a build is due, and searches are right meanwhile."""
    vectors = filled(1200)
    elsewhere = (clustered(1500, seed=8) * np.float32(0.4) - 3).astype(np.float32)
    vectors.add(np.arange(1500) * 10 + 5, elsewhere)
    rows = np.concatenate([clustered(1200), elsewhere])
    assert vectors.due == "build"
    assert share_found(vectors, rows, elsewhere[:10] + np.float32(0.1)) >= 0.99
    assert vectors.tend() == "build"
    assert (vectors.due, vectors.structure) == (None, "ivf")
    assert share_found(vectors, rows, elsewhere[:10] + np.float32(0.1)) >= 0.99


def test_compaction_keeps_the_lists() -> None:
    """When room is taken back the lists name the rows by their new numbers."""
    vectors, rows = filled(3000), clustered(3000)
    vectors.delete(np.arange(0, 3000, 2) * 10)
    vectors.compact()
    assert vectors.structure == "ivf"
    assert share_found(vectors, rows[1::2], clustered(20, seed=5)) >= 0.99
    assert (vectors.search(rows[1], 20)[0] // 10 % 2 == 1).all()


@pytest.mark.parametrize("mapped", [True, False])
def test_lists_are_saved_and_opened(tmp_path: Path, mapped: bool) -> None:
    """A file holds the lists of the rows that were alive, and what is opened answers the same."""
    vectors, rows = filled(1500), clustered(1500)
    vectors.delete(np.arange(500, 900) * 10)
    vectors.add([3], rows[:1])
    vectors.save(tmp_path / "vectors")
    opened = Vectors.open(tmp_path / "vectors", mapped=mapped)
    assert (opened.structure, opened.due) == ("ivf", None)
    for query in clustered(10, seed=5):
        np.testing.assert_allclose(opened.search(query, 10)[1], vectors.search(query, 10)[1], atol=1e-5)
    opened.add([12345], -rows[:1])
    assert opened.search(-rows[0], 1)[0].tolist() == [12345]


def test_lists_that_name_no_row_are_refused(tmp_path: Path) -> None:
    """A file whose lists name rows that it does not hold is damaged."""
    shared(1500, 16).save(tmp_path / "vectors")
    file = _vectors_file.File(tmp_path / "vectors", mapped=False)
    arrays = {name: (str(array.dtype), array.shape, [array]) for name, array in file.arrays.items()}
    wrong = file.arrays["lists row_of"].copy()
    wrong[wrong >= 0] = 1_000_000
    arrays["lists row_of"] = ("int32", wrong.shape, [wrong])
    _vectors_file.write(tmp_path / "wrong", file.facts, arrays)
    with pytest.raises(ValueError, match="its lists are not of its rows"):
        Vectors.open(tmp_path / "wrong")


class Breaking:
    """A cancel token that raises at the n-th look."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def check(self) -> None:
        """Raise when it is time."""
        self.looks -= 1
        if self.looks < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("looks", [0, 9, 40])
def test_a_build_that_is_broken_off_changes_nothing(looks: int) -> None:
    """Wherever a build is cancelled, searches go on as before it."""
    vectors = filled(2000, nlist=None)
    with pytest.raises(KeyboardInterrupt):
        vectors.build(16, cancel=Breaking(looks))
    assert vectors.structure == "linear"
    assert share_found(vectors, clustered(2000), clustered(5, seed=5)) >= 0.99
    vectors.build(16)
    assert vectors.structure == "ivf"


def test_a_build_says_how_far_it_is() -> None:
    """Progress has a text, and work done that never exceeds the total."""
    told: list[tuple[str, float, float | None]] = []
    vectors = filled(2000, nlist=None)
    vectors.build(16, progress=lambda text, done=0.0, total=None: told.append((text, done, total)))
    assert len({text for text, _, _ in told}) >= 3
    assert all(total is not None and 0 <= done <= total for _, done, total in told)


def test_upkeep_in_a_thread_of_its_own(small: None) -> None:
    """Upkeep that was started runs beside searches, adds and deletions, which see either state whole."""
    vectors, rows = filled(3000, nlist=None), clustered(3000)
    work = vectors.start_tending()
    assert vectors.start_tending() is work or work.done
    number = 0
    while not work.done or number < 20:
        vectors.add([9_000_000 + number], rows[number : number + 1])
        assert 9_000_000 + number in vectors.search(rows[number], 2)[0]
        vectors.delete([9_000_000 + number])
        number = (number + 1) % 3000
    assert work.wait(60)
    assert work.error is None
    assert vectors.structure == "ivf"


def test_upkeep_that_is_stopped_changes_nothing(small: None) -> None:
    """Work that is told to stop ends with the error `Stopped` and leaves the linear pass."""
    vectors, reached, go_on = filled(2000, nlist=None), threading.Event(), threading.Event()

    def progress(text: str, done: float = 0.0, total: float | None = None) -> None:
        reached.set()
        go_on.wait(60)

    work = vectors.start_tending(progress=progress)
    assert reached.wait(60)
    work.stop()
    go_on.set()
    assert work.wait(60)
    assert isinstance(work.error, Stopped)
    assert (vectors.structure, vectors.due) == ("linear", "build")


def test_where_lists_save_nothing_the_linear_pass_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows without clusters are searched linearly, and building for them is not due again."""
    monkeypatch.setattr(_ivf, "WORTH_ROWS", 500)
    vectors = Vectors(DIM)
    vectors.add(np.arange(2000), np.random.default_rng(0).normal(size=(2000, DIM)).astype(np.float32))
    assert vectors.tend() == "build"
    assert (vectors.structure, vectors.due) == ("linear", None)


def test_lists_that_are_insisted_on_still_find_enough() -> None:
    """Given a number of lists, rows without clusters get them, and searches look at as much as .99 takes."""
    rows = np.random.default_rng(0).normal(size=(1500, DIM)).astype(np.float32)
    vectors = Vectors(DIM)
    vectors.add(np.arange(1500), rows)
    vectors.build(64)
    assert vectors.structure == "ivf"
    assert share_found(vectors, rows, np.random.default_rng(1).normal(size=(20, DIM)).astype(np.float32)) >= 0.98


@pytest.mark.parametrize("nlist", [0, 1, 2001])
def test_a_number_of_lists_that_cannot_be_is_refused(nlist: int) -> None:
    """Fewer than two lists, or more than rows, are refused with the bounds."""
    with pytest.raises(ValueError, match=r"nlist must be from 2 to the number of rows \(2000\)"):
        filled(2000, nlist=None).build(nlist)


def test_short_vectors_have_no_lists() -> None:
    """Vectors whose signs say little are refused."""
    with pytest.raises(ValueError, match="needs vectors of 128 items or more, these have 8"):
        Vectors(8).build()


def test_arrays_that_do_not_fit_are_refused(path: str) -> None:
    """Lists whose blocks end elsewhere than their starts say are no lists."""
    vectors = shared(1500, 16)
    assert vectors._inverted is not None
    lists = vectors._inverted.lists
    kernels = _funnel_path.of(path)
    halves = np.zeros(len(lists.scales), np.float32)
    starts = lists.starts.copy()
    starts[-1] += 1
    with pytest.raises(ValueError, match="do not fit each other"):
        kernels.lists(lists.centroids, lists.scales, halves, starts, lists.blocks, lists.row_of)


def test_a_query_that_cannot_be_is_refused_by_the_lists() -> None:
    """A query of another length or with NaN is refused as it is without lists, and k of 0 too."""
    vectors = shared(1500, 16)
    with pytest.raises(ValueError, match="query must have 128 items"):
        vectors.search(np.zeros(3, np.float32), 5)
    with pytest.raises(ValueError, match="NaN"):
        vectors.search(np.full(DIM, np.nan, np.float32), 5)
    with pytest.raises(ValueError, match="at least 1"):
        vectors.search(np.zeros(DIM, np.float32), 0)
    assert len(vectors.search(clustered(1)[0], 5000)[0]) == 1500


def test_the_first_list_is_the_nearest_and_the_second_errs_elsewhere() -> None:
    """A row's lists are the nearest centroid and, of the others, the one with the least loss of SOAR."""
    rows, found = clustered(300), clustered(20, seed=9)
    places = _clusters.Places.of(found)
    lists = _clusters.assign(rows, places, places.pairs())
    wide, places = rows.astype(np.float64), found.astype(np.float64)
    squares = ((wide[:, None] - places[None]) ** 2).sum(axis=2)
    assert (lists.first == squares.argmin(axis=1)).all()
    rest = wide - places[lists.first]
    along = np.einsum("ij,icj->ic", rest / np.linalg.norm(rest, axis=1, keepdims=True), wide[:, None] - places[None])
    loss = squares + along**2
    loss[np.arange(300), lists.first] = np.inf
    np.testing.assert_allclose(loss[np.arange(300), lists.second], loss.min(axis=1), rtol=1e-3)


def test_no_centroid_stays_without_rows() -> None:
    """Groups that come out empty take the rows that are farthest from their own centroid."""
    rows = np.repeat(clustered(40), 5, axis=0) + np.random.default_rng(2).normal(0, 0.01, (200, DIM)).astype(np.float32)
    found = _clusters.centroids(rows.astype(np.float32), 40, lambda text, done, total: None, rounds=12)
    places = _clusters.Places.of(found)
    lists = _clusters.assign(rows.astype(np.float32), places, places.pairs())
    assert len(np.unique(lists.first)) >= 36


def test_queries_unlike_all_rows_find_the_nearest() -> None:
    """Random directions, from which all rows are nearly as far, find what a look at every row finds: the codes of all
    rows are asked where those of lists leave it open, and only there."""
    chance = np.random.default_rng(6)
    rows = (chance.normal(0.3, 1, (60, 384))[np.arange(4000) % 60] + chance.normal(0, 1, (4000, 384))).astype(
        np.float32
    )
    vectors = Vectors(384)
    vectors.add(np.arange(4000), rows)
    vectors.build(8)
    assert share_found(vectors, rows, chance.normal(0, 1, (30, 384)).astype(np.float32)) >= 0.99
    asked = vectors.last_scanned
    assert share_found(vectors, rows, rows[:5] + chance.normal(0, 0.2, (5, 384)).astype(np.float32)) >= 0.99
    assert simd.active() == "numpy" or vectors.last_scanned <= asked - 1  # which looks at every row anyway


def test_queries_of_one_item_find_the_nearest() -> None:
    """A query that is zero but for one item, to which no list is nearer than another, finds what a look at every row
    finds."""
    chance = np.random.default_rng(6)
    rows = (chance.normal(0.3, 1, (60, 384))[np.arange(4000) % 60] + chance.normal(0, 1, (4000, 384))).astype(
        np.float32
    )
    vectors = Vectors(384)
    vectors.add(np.arange(4000), rows)
    vectors.build(32)
    assert share_found(vectors, rows, np.eye(384, dtype=np.float32)[::8] * np.float32(-2)) >= 0.99
