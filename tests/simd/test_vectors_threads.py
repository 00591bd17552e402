"""Searches beside a writer: each sees the whole of a call or nothing of it."""

from __future__ import annotations

import sys
import threading
import types
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from aqe import simd
from aqe.simd import Vectors, _funnel_path

ROUNDS = 40


@pytest.fixture(params=[name for name in simd.PATHS if name in simd.paths()])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path that every store made in the test uses; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    return str(request.param)


@pytest.fixture(autouse=True)
def _restless() -> Iterator[None]:
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def beside(write: Callable[[int], None], read: Callable[[], None], readers: int = 2) -> None:
    """Run `write` for ROUNDS rounds while threads read all the time; raise what any of them raised."""
    over, failures = threading.Event(), list[BaseException]()

    def reading() -> None:
        try:
            while not over.is_set():
                read()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=reading) for _ in range(readers)]
    for thread in threads:
        thread.start()
    try:
        for number in range(ROUNDS):
            write(number)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def test_a_search_never_sees_half_an_add(path: str) -> None:
    """While all rows are replaced again and again, a search finds each id once, and all of the same round."""
    vectors, every = Vectors(4, "dot"), np.arange(90)
    vectors.add(every, np.ones((90, 4), np.float32))
    query = np.ones(4, np.float32)

    def write(number: int) -> None:
        vectors.add(every, np.full((90, 4), number + 2, np.float32))

    def read() -> None:
        ids, got = vectors.search(query, 200)
        assert sorted(ids.tolist()) == every.tolist()
        assert len(set(got.tolist())) == 1

    beside(write, read)
    assert set(vectors.search(query, 90)[1].tolist()) == {4.0 * (ROUNDS + 1)}


def test_allowed_ids_are_looked_up_in_what_is_searched(path: str) -> None:
    """An allowed id that is replaced meanwhile is found in every search, once."""
    vectors, every = Vectors(4, "dot"), np.arange(90)
    vectors.add(every, np.ones((90, 4), np.float32))
    query, allowed = np.ones(4, np.float32), vectors.allowed(range(10, 20))

    def write(number: int) -> None:
        vectors.add(every, np.full((90, 4), number + 2, np.float32))

    def read() -> None:
        for allow in (allowed, range(10, 20)):
            assert sorted(vectors.search(query, 50, allow=allow)[0].tolist()) == list(range(10, 20))

    beside(write, read)


def test_codes_are_made_and_rows_go_while_others_search(path: str) -> None:
    """Beside adds that bring codes about, deletions, demotions and compactions a search finds what was always there."""
    chance = np.random.default_rng(0)
    vectors = Vectors(128)
    anchors = chance.normal(0.1, 1, (4, 128)).astype(np.float32)
    vectors.add([-1, -2, -3, -4], anchors)

    def write(number: int) -> None:
        first = 60 * number
        vectors.add(np.arange(first, first + 60), chance.normal(0.1, 1, (60, 128)).astype(np.float32))
        if number % 5 == 4:
            vectors.demote(np.arange(first, first + 20), "int8")
            vectors.delete(np.arange(first - 180, first - 100))
        if number % 20 == 19:
            vectors.compact()

    def read() -> None:
        for number, anchor in enumerate(anchors):
            ids, got = vectors.search(anchor, 3)
            assert ids[0] == -1 - number
            assert got[0] == pytest.approx(1, abs=1e-5)

    beside(write, read)
    assert vectors.structure == "linear"


def test_numpy_ma_may_be_loaded_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another thread is still loading numpy.ma, arrays are taken as ever."""
    monkeypatch.setitem(sys.modules, "numpy.ma", types.ModuleType("numpy.ma"))
    vectors = Vectors(2)
    vectors.add(np.arange(2), np.eye(2, dtype=np.float32))
    taken = np.ones((1, 2), np.float32).view(np.recarray)
    vectors.add(np.array([7]), taken)
    assert vectors.search(np.array([1, 1], np.float32), 1)[0].tolist() == [7]
