"""A process is forked while others of its threads search and change what it has: the child answers, or says why not."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

from aqe import simd
from aqe.simd import Hybrid, Lexicon, Postings, Vectors, _forks, _funnel_path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PATIENCE_S = 60
DIM = 128
WORDS = (b"even", b"odd")


@pytest.fixture(params=[*dict.fromkeys((simd.paths()[0], "numpy"))])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path, C or NumPy, that all vectors and postings made in the test use; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    monkeypatch.setattr(simd, "active", lambda: request.param)
    return str(request.param)


@contextlib.contextmanager
def at_work(*works: Callable[[], object]) -> Iterator[None]:
    """Threads of which each does its work again and again, changing over as often as can be."""
    over = threading.Event()

    def repeat(work: Callable[[], object]) -> None:
        while not over.is_set():
            work()

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(usual)


def in_child(work: Callable[[], object]) -> object:
    """What `work` gives in a forked process, or its error."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def answer() -> None:
        try:
            sender.send(work())
        except Exception as error:
            sender.send(error)

    child = context.Process(target=answer)
    child.start()
    try:
        assert receiver.poll(PATIENCE_S), "the child hangs"
        return receiver.recv()
    finally:
        child.kill()
        child.join()


class Changing:
    """Postings and vectors that a thread takes from one state to the other and back, each time in one call: all
    documents say the one word, and all rows point one way, or the other."""

    def __init__(self, path: str) -> None:
        self.count = 40_000 if path != "numpy" else 300
        self.ids = np.arange(self.count)
        near = np.random.default_rng(3).normal(1, 1, (1500, DIM)).astype(np.float32)
        self.rows = near, -near
        self.postings, self.vectors, self._state = Postings(), Vectors(DIM), 0
        self.turn()
        self.both = Hybrid(self.vectors, self.postings)
        self.lexicon = Lexicon(lambda word: [word])
        self.scores = float(self.postings.search([b"common"], 1)[1][0])

    def turn(self) -> None:
        self._state = 1 - self._state
        self.postings.add(self.ids, [b"common common " + WORDS[self._state]] * self.count)
        self.vectors.add(np.arange(1500), self.rows[self._state])

    def search(self) -> None:
        """Long enough that others may run meanwhile."""
        self.postings.search([b"common", *WORDS], 10)
        self.both.search(self.rows[0][0], (b"common", *WORDS), 5, 0.5)

    def look(self) -> None:
        """See each side in one of its two states, and change it."""
        found = [len(self.postings.search([word], self.count)[0]) for word in WORDS]
        assert sorted(found) == [0, self.count]
        assert self.postings.search([b"common"], 3)[1].tolist() == [self.scores] * 3
        chosen = self.lexicon.choose(self.postings, "common even odd", few=0)
        assert chosen is not None
        assert set(chosen[1]) == {WORDS[found.index(0)]}
        best = self.vectors.search(self.rows[0][7], 1)
        assert (best[0].tolist() == [7]) is bool(best[1][0] > 0.999)
        assert len(self.both.search(self.rows[0][7], (b"common",), 5, 0.5)) == 5
        self.postings.add([-1], [b"own"])
        self.vectors.add([-1], self.rows[0][:1] * 0 + np.eye(1, DIM, dtype=np.float32))
        assert self.both.search(np.eye(1, DIM, dtype=np.float32)[0], (b"own",), 1, 0.5)[0][0] == -1
        assert self.postings.delete([-1]) == self.vectors.delete([-1]) == 1
        self.turn()
        assert len(self.postings.search([b"common"], self.count)[0]) == self.count


@pytest.mark.services
def test_a_child_answers_whatever_threads_of_its_parent_were_at(path: str) -> None:
    """Forked again and again amid searches and changes, each child sees a whole state and changes its own."""
    shared = Changing(path)
    with at_work(shared.search, shared.search, shared.turn):
        for _ in range(12):
            assert in_child(shared.look) is None
    assert in_child(shared.look) is None
    shared.look()


_of_workers: list[Changing] = []


def _found(_: int) -> int:
    return len(_of_workers[0].postings.search([b"common"], 50)[0])


def test_workers_of_a_pool_answer_while_their_parent_searches(path: str) -> None:
    """Pools of both libraries, of processes that are forked, share what their parent had."""
    shared = Changing(path)
    context = multiprocessing.get_context("fork")
    _of_workers[:] = [shared]
    try:
        with at_work(shared.search, shared.turn):
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                assert [*pool.map(_found, range(8), timeout=PATIENCE_S)] == [50] * 8
            with context.Pool(2) as others:
                assert others.map_async(_found, range(8)).get(PATIENCE_S) == [50] * 8
    finally:
        _of_workers.clear()


def test_threads_that_fork_at_once_wait_for_each_other(path: str) -> None:
    """Two threads that fork again and again, while a third one searches, both have children that answer."""
    shared, errors = Changing(path), list[object]()

    def fork() -> None:
        for _ in range(5):
            errors.append(in_child(lambda: len(shared.postings.search([b"common"], 5)[0])))

    threads = [threading.Thread(target=fork) for _ in range(2)]
    with at_work(shared.search):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == [5] * 10


@contextlib.contextmanager
def held(hold: Callable[[], Any], let_go: Callable[[], Any]) -> Iterator[None]:
    """Another thread is at something for as long as the block takes."""
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        hold()
        begun.set()
        over.wait()
        let_go()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _all_refused(calls: list[Callable[[], object]], message: str) -> int:
    """How many calls say this, in this process and, of the first, in one that is forked from it."""
    count = 0
    for call in calls:
        with pytest.raises(RuntimeError, match=message):
            call()
        count += 1
    pid = os.fork()
    if not pid:
        try:
            calls[0]()
        except RuntimeError as error:
            os._exit(7 if message in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    return count


def test_postings_that_a_thread_did_not_leave_in_time_say_so_in_the_child(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child does not wait for a thread that it does not have, nor answer by what may be half done."""
    monkeypatch.setattr(_forks, "PATIENCE_S", 0.05)
    postings, other = Postings(), Postings()
    for one in (postings, other):
        one.add([1, 2], [b"a", b"a b"])
    calls: list[Callable[[], object]] = [
        lambda: postings.search([b"a"], 1),
        lambda: postings.add([3], [b"c"]),
        lambda: postings.scores([b"a"], [1]),
        lambda: postings.counts([b"a"]),
        lambda: postings.delete([1]),
        postings.figures,
        lambda: Lexicon(lambda word: [word]).choose(postings, "a b"),
    ]
    with held(lambda: postings._index.hold(1.0), postings._index.let_go):
        assert in_child(lambda: _all_refused(calls, "forked in the middle of work on these postings")) == len(calls)
        assert in_child(lambda: other.search([b"b"], 5)[0].tolist()) == [2]
    assert postings.search([b"b"], 5)[0].tolist() == [2]
    assert in_child(lambda: postings.search([b"b"], 5)[0].tolist()) == [2]


def test_vectors_that_a_thread_did_not_leave_in_time_say_so_in_the_child(
    path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """As postings do: nothing is found, changed or written that another thread was in the middle of publishing."""
    monkeypatch.setattr(_forks, "PATIENCE_S", 0.05)
    vectors, row = Vectors(DIM), np.ones((1, DIM), np.float32)
    vectors.add([1], row)
    calls: list[Callable[[], object]] = [
        lambda: vectors.search(row[0], 1),
        lambda: vectors.add([2], row),
        lambda: vectors.delete([1]),
        lambda: vectors.get([1]),
        lambda: vectors.save(tmp_path / "vectors"),
        lambda: len(vectors),
    ]
    with held(vectors._publishing.acquire, vectors._publishing.release):
        assert in_child(lambda: _all_refused(calls, "forked in the middle of work on these vectors")) == len(calls)
    assert vectors.search(row[0], 1)[0].tolist() == [1]
    assert not (tmp_path / "vectors").exists()


def test_a_fork_waits_while_threads_make_and_drop_postings(path: str) -> None:
    """What is known to a fork may grow and shrink under it: it waits for all that are there, and says nothing."""
    kept = [Postings() for _ in range(300)]

    def make() -> None:
        assert len([Postings() for _ in range(20)] + [Vectors(4) for _ in range(20)]) == 40

    with at_work(make):
        for _ in range(20):
            _forks._wait()
            taken = [one._index.hold(0.0) for one in kept]
            _forks._go_on()
            assert not any(taken)
    assert all(one._index.hold(0.0) for one in kept)
