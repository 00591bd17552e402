"""Vectors in a forked process, in a pickle and in a copy."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aqe.simd import Vectors, _forks

PATIENCE_S = 60


def some(rows: int = 1500, dim: int = 128) -> tuple[Vectors, np.ndarray]:
    """Vectors that are searched by codes, and their rows."""
    made = np.random.default_rng(3).standard_normal((rows, dim)).astype(np.float32)
    vectors = Vectors(dim, "dot")
    vectors.add(np.arange(rows), made)
    return vectors, made


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_and_its_origin_know_nothing_of_each_other(again: Callable[[Vectors], Vectors]) -> None:
    """What is added to, replaced in or deleted from one of them stays out of the other."""
    vectors, rows = some()
    vectors.demote([3], "f16")
    other = again(vectors)
    assert other.level([3, 4]) == ["f16", "f32"]
    assert other.search(rows[5], 10)[0].tolist() == vectors.search(rows[5], 10)[0].tolist()
    vectors.add([9000, 7], rows[:2])
    vectors.delete([9])
    other.add([8000], rows[2:3])
    assert np.array_equal(other.get([7, 9]), rows[[7, 9]])
    assert other.delete([9000]) == 0
    assert vectors.delete([8000]) == 0
    assert (len(vectors), len(other)) == (1500, 1501)
    assert np.array_equal(other.search(rows[9], 5)[0], other.exact(rows[9], 5)[0])
    assert 9 not in vectors.search(rows[9], 1500)[0]
    other.verify()


def test_a_pickle_needs_no_room_for_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no file can be made vectors are pickled and copied all the same, and their bytes are those of a file."""
    vectors, rows = some()
    vectors.tend()
    vectors.save(tmp_path / "v")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    made, (content,) = vectors.__reduce_ex__(4)
    assert content == (tmp_path / "v").read_bytes()
    assert made(content).search(rows[5], 10)[0].tolist() == vectors.search(rows[5], 10)[0].tolist()
    assert len(copy.copy(Vectors(4))) == 0


def test_bytes_of_a_pickle_can_go_beside_it() -> None:
    """With protocol 5 the rows travel as a buffer of their own, from which the vectors are read without a copy; what
    receives them changes nothing of it."""
    vectors, rows = some()
    beside: list[pickle.PickleBuffer] = []
    small = pickle.dumps(vectors, protocol=5, buffer_callback=beside.append)
    held = [bytearray(one) for one in beside]
    assert (len(held), len(small) < 500, len(held[0]) > rows.nbytes) == (1, True, True)
    before = bytes(held[0])
    other = pickle.loads(small, buffers=held)
    other.add([5, 9000], rows[:2])
    other.delete([6])
    assert len(other) == 1500
    assert bytes(held[0]) == before
    held[0][5000] ^= 255
    with pytest.raises(ValueError, match="the pickle of these vectors is damaged"):
        pickle.loads(small, buffers=held)


def _write(vectors: Vectors, rows: np.ndarray) -> None:
    assert len(vectors.search(rows[0], 5)[0]) == 5
    vectors.add([5], rows[:1])
    assert np.array_equal(vectors.get([5])[0], rows[0])
    assert vectors.delete([5]) == 1
    vectors.tend()


def test_a_forked_process_writes_while_its_parent_did() -> None:
    """A child that was forked while another thread held the writers' lock searches, adds and deletes all the same."""
    vectors, rows = some()
    over = threading.Event()

    def writing() -> None:
        while not over.is_set():
            vectors.add(np.arange(10_000, 10_200), rows[:200])

    writer = threading.Thread(target=writing)
    writer.start()
    try:
        for _ in range(4):
            with vectors._lock:
                child = multiprocessing.get_context("fork").Process(target=_write, args=(vectors, rows))
                held = threading.Thread(target=child.start)
                held.start()
                held.join()
            child.join(PATIENCE_S)
            ended = child.exitcode
            child.kill()
            assert ended == 0
    finally:
        over.set()
        writer.join()
    assert 5 in vectors.ids


def test_a_fork_waits_while_threads_make_vectors() -> None:
    """What is known to a fork may grow and shrink under it: it waits for all that are there, and says nothing."""
    kept, over = [Vectors(4) for _ in range(1000)], threading.Event()

    def making() -> None:
        while not over.is_set():
            assert len([Vectors(4) for _ in range(50)]) == 50

    maker, usual = threading.Thread(target=making), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    maker.start()
    try:
        for _ in range(30):
            _forks._wait()
            held = all(vectors._publishing.locked() for vectors in kept)
            _forks._go_on()
            assert held
    finally:
        over.set()
        maker.join()
        sys.setswitchinterval(usual)
    assert not any(vectors._publishing.locked() for vectors in kept)


def test_threads_that_fork_at_once_give_back_what_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork that lost its patience leaves the locks of another one that is under way alone."""
    vectors, _ = some(10, 4)
    monkeypatch.setattr(_forks, "PATIENCE_S", 0.01)
    _forks._wait()

    def fork() -> None:
        _forks._wait()
        _forks._go_on()

    other = threading.Thread(target=fork)
    other.start()
    other.join()
    held = vectors._publishing.locked()
    _forks._go_on()
    assert (held, vectors._publishing.locked()) == (True, False)
