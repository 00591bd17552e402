"""The file of a `Vectors`: what comes back, what is refused, and that a reader never meets half a file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Vectors, _funnel_path, _rows, _vectors_file

Floats = np.ndarray[Any, np.dtype[np.float32]]
LEVELS = ("f32", "f16", "int8", "bits")


@pytest.fixture(params=dict.fromkeys([simd.paths()[0], "numpy"]))
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The best path or the twin, for every store made in the test: the file is the same on all."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    return str(request.param)


@cache
def rows_of(count: int, dim: int = 130, seed: int = 0) -> Floats:
    """Rows to one side of the origin."""
    return np.random.default_rng(seed).normal(0.2, 1, (count, dim)).astype(np.float32)


def filled(count: int, dim: int = 130, metric: Any = "cosine") -> Vectors:
    """A store of rows under descending ids."""
    vectors = Vectors(dim, metric)
    vectors.add(np.arange(count)[::-1] * 3, rows_of(count, dim))
    return vectors


def same(one: Vectors, other: Vectors) -> None:
    """Both hold the same and answer the same."""
    assert (one.dim, one.metric, len(one), one.structure) == (other.dim, other.metric, len(other), other.structure)
    assert one.ids.tolist() == other.ids.tolist()
    assert one.level(one.ids) == other.level(one.ids)
    assert (one.get(one.ids) == other.get(one.ids)).all()
    for query in rows_of(3, one.dim, seed=1):
        mine, theirs = one.search(query, 7), other.search(query, 7)
        assert mine[0].tolist() == theirs[0].tolist()
        np.testing.assert_allclose(mine[1], theirs[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("count", [0, 1, 64, 1100])
def test_what_is_saved_comes_back(path: str, tmp_path: Path, count: int, mapped: bool) -> None:
    """A store that was saved and opened holds and answers the same, mapped or read."""
    vectors = filled(count)
    vectors.save(tmp_path / "rows.vec")
    opened = Vectors.open(tmp_path / "rows.vec", mapped=mapped)
    same(vectors, opened)
    opened.verify()
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.vec"]


@given(
    gone=st.sets(st.integers(0, 80)),
    down=st.lists(st.tuples(st.integers(0, 80), st.sampled_from(LEVELS))),
    metric=st.sampled_from(["cosine", "dot", "l2"]),
)
@settings(max_examples=15, deadline=None)
def test_any_store_comes_back(
    tmp_path_factory: pytest.TempPathFactory, gone: set[int], down: list[Any], metric: Any
) -> None:
    """Whatever was deleted and demoted, the file holds what is left, each row at its level."""
    vectors = Vectors(9, metric)
    vectors.add(np.arange(80), rows_of(80, 9))
    for one, level in down:
        vectors.demote([one], level)
    vectors.delete(gone)
    file = tmp_path_factory.mktemp("saved") / "rows.vec"
    vectors.save(file)
    same(vectors, Vectors.open(file))


def test_a_store_of_many_segments_comes_back_as_one(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of several segments, with deletions between them, come back with codes that find the same."""
    monkeypatch.setattr(_rows, "MOST_ROWS", 192)
    vectors = filled(1400)
    vectors.delete(np.arange(0, 900, 21))
    vectors.save(tmp_path / "rows.vec")
    same(vectors, Vectors.open(tmp_path / "rows.vec"))


def test_an_opened_store_goes_on(path: str, tmp_path: Path) -> None:
    """What was opened may be added to, deleted from, demoted and saved over its own file."""
    file = tmp_path / "rows.vec"
    filled(1100).save(file)
    opened = Vectors.open(file)
    new = rows_of(2, seed=5)
    opened.add([1, 3], new)
    assert opened.delete([0, 6]) == 2
    assert opened.demote([9, 12], "int8") == 2
    assert [opened.search(row, 1)[0].tolist() for row in new] == [[1], [3]]
    opened.save(file)
    again = Vectors.open(file)
    same(opened, again)
    assert len(again) == 1100 + 1 - 2
    opened.compact()
    same(opened, again)


def test_writers_go_on_while_a_store_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come, go and are demoted while a file is written are not held up, and do not show in it."""
    vectors, before = filled(1100), filled(1100)
    vectors.build(4)
    before.build(4)
    write, over = _vectors_file.write, threading.Event()

    def change() -> None:
        vectors.add(np.arange(5000, 8000), rows_of(3000, seed=4))
        vectors.delete(np.arange(0, 300, 3))
        vectors.demote(np.arange(300, 900), "int8")
        vectors.compact()
        over.set()

    def slowly(file: Path, facts: Any, arrays: Any) -> None:
        writer = threading.Thread(target=change)
        writer.start()
        assert over.wait(timeout=300)
        writer.join()
        write(file, facts, arrays)

    monkeypatch.setattr(_vectors_file, "write", slowly)
    vectors.save(tmp_path / "rows.vec")
    same(before, Vectors.open(tmp_path / "rows.vec"))
    assert len(vectors) == 1100 + 3000 - 100


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    """A file that ends early anywhere is refused at once, in a sentence that names it."""
    file = tmp_path / "rows.vec"
    filled(200).save(file)
    os.truncate(file, int(file.stat().st_size * share))
    for mapped in (True, False):
        with pytest.raises(ValueError, match=r"rows\.vec is (not a file of vectors|damaged|truncated)"):
            Vectors.open(file, mapped=mapped)


@given(at=st.floats(0, 0.999))
@settings(max_examples=25, deadline=None)
def test_a_changed_byte_of_the_header_is_refused(tmp_path_factory: pytest.TempPathFactory, at: float) -> None:
    """A header with one byte changed is refused at once."""
    file = tmp_path_factory.mktemp("saved") / "rows.vec"
    filled(20).save(file)
    data = bytearray(file.read_bytes())
    data[int(at * (16 + int.from_bytes(data[8:12], "little")))] ^= 0x41
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"rows\.vec is (not a file of vectors|damaged)"):
        Vectors.open(file)


def test_a_changed_byte_of_the_rows_is_found(tmp_path: Path) -> None:
    """A changed byte behind the header is found by verify(), and by an open that reads everything."""
    file = tmp_path / "rows.vec"
    filled(1100).save(file)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    opened = Vectors.open(file)
    with pytest.raises(ValueError, match=r"rows\.vec is damaged: its \w+ are not those that were saved"):
        opened.verify()
    with pytest.raises(ValueError, match="is damaged"):
        Vectors.open(file, mapped=False)


def test_noise_behind_the_header_harms_nothing(path: str, tmp_path: Path) -> None:
    """A mapped file whose arrays are noise answers with something, or refuses: it never brings the process down."""
    file = tmp_path / "rows.vec"
    vectors = filled(1100)
    vectors.demote(range(0, 900, 3), "int8")
    vectors.save(file)
    data = np.fromfile(file, np.uint8)
    data[4096:] = np.random.default_rng(0).integers(0, 256, len(data) - 4096)
    data.tofile(file)
    with suppress(ValueError):
        assert len(Vectors.open(file).search(rows_of(1)[0], 5)[0]) <= 5
    with pytest.raises(ValueError, match="damaged"):
        Vectors.open(file, mapped=False)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\x00" * 500, b"aqevec1\n", b"aqevec1\n" + b"\xff" * 100])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """What is no file of vectors is refused by name."""
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(ValueError, match=r"other is (not a file of vectors|damaged)"):
        Vectors.open(tmp_path / "other")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    """A missing file and a folder that cannot be written to are the system's own errors."""
    with pytest.raises(FileNotFoundError):
        Vectors.open(tmp_path / "none")
    with pytest.raises(FileNotFoundError) as caught:
        filled(3).save(tmp_path / "none" / "rows.vec")
    assert str(caught.value) == f"[Errno 2] No such file or directory: {str(tmp_path / 'none' / 'rows.vec')!r}"


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A folder, and what is neither folder nor file, stays what it is, and one sentence says so."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match=r"saved in a file, and .*folder' names none"):
        filled(3).save(tmp_path / "folder")
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FileExistsError, match=r"saved in a file, and .*pipe' is a device or a pipe"):
            filled(3).save(tmp_path / "pipe")
        assert (tmp_path / "pipe").is_fifo()
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files is a matter of POSIX")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A save that cannot be finished leaves the file of before, and nothing beside it."""
    file = tmp_path / "rows.vec"
    filled(10).save(file)
    code = (
        "import resource, signal, sys, numpy as np; from aqe.simd import Vectors;"
        "v = Vectors(64); v.add(np.arange(3000), np.ones((3000, 64), np.float32));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "sys.exit(0 if not v.save(sys.argv[1]) else 1)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=100)
    assert "OSError" in done.stderr, done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.vec"]
    same(filled(10), Vectors.open(file))
