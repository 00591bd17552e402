"""A mapped file whose bytes changed behind its date: no answer is made of what was not saved."""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Vectors, _funnel_path, _guard
from aqe.simd._funnel_twin import PATHS as TWIN

Floats = np.ndarray[Any, np.dtype[np.float32]]
NATIVE = [name for name in simd.paths() if name != "numpy"]


@cache
def rows_of(count: int, dim: int = 130, seed: int = 0) -> Floats:
    """Rows to one side of the origin."""
    return np.random.default_rng(seed).normal(0.2, 1, (count, dim)).astype(np.float32)


@dataclass(frozen=True)
class Saved:
    """A file and its bytes."""

    file: Path
    data: bytes = field(repr=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A file with codes, rows of every level and lists."""
    file = tmp_path_factory.mktemp("saved") / "rows.vec"
    vectors = Vectors(130)
    vectors.add(np.arange(1200) * 7, rows_of(1200))
    vectors.demote(np.arange(0, 300, 3) * 7, "int8")
    vectors.demote(np.arange(1, 300, 3) * 7, "f16")
    vectors.build(8)
    vectors.save(file)
    return Saved(file, file.read_bytes())


def answers(vectors: Vectors) -> list[Any]:
    """What some searches find: by lists, by codes, and rows themselves."""
    queries = rows_of(3, seed=1)
    found = [[part.tolist() for part in vectors.search(query, 9)] for query in queries]
    found += [[part.tolist() for part in vectors.search(query, 9, allow=range(0, 7000, 7))] for query in queries]
    return [*found, vectors.get([0, 7, 2100, 8393]).tolist()]


def outcome(file: Path) -> list[Any] | str:
    """The answers of a file, or why it was refused."""
    try:
        return answers(Vectors.open(file))
    except ValueError as refusal:
        return str(refusal)


def flipped(data: bytes, at: int, bit: int) -> bytearray:
    """The bytes with one bit changed."""
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return changed


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=25, deadline=None)
def test_a_flipped_bit_changes_no_answer(saved: Saved, at: float, bit: int) -> None:
    """Wherever one bit of a file changed under its old date, a fresh store refuses it or answers as before."""
    file, data = saved.file, saved.data
    wanted = answers(Vectors.open(file, mapped=False))
    times = file.stat()
    try:
        file.write_bytes(flipped(data, int(at * len(data)), bit))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        found = outcome(file)
        refused = isinstance(found, str) and re.search(r"is (damaged|truncated|not a file of vectors)", found)
        assert refused or found == wanted
    finally:
        file.write_bytes(data)


def test_what_a_search_meets_is_refused_for_good(saved: Saved, tmp_path: Path) -> None:
    """A search that meets a changed float32 row refuses, says so ever after, and nothing of it is saved anew."""
    data = saved.data
    file = tmp_path / "rows.vec"
    place = data.index(Vectors.open(saved.file).get([7 * 900])[0].tobytes())
    file.write_bytes(flipped(data, place + 3, 6))
    opened = Vectors.open(file)
    assert opened.is_guarded
    assert not opened.is_damaged
    if simd.active() != "numpy":  # which looks at every row
        opened.search(rows_of(1200)[1000], 1)
    for _ in range(2):
        with pytest.raises(ValueError, match="is damaged"):
            opened.search(rows_of(1200)[900], 1)
    assert opened.is_damaged
    with pytest.raises(ValueError, match=r"rows\.vec is damaged"):
        opened.save(tmp_path / "other.vec")
    assert not (tmp_path / "other.vec").exists()


def test_what_no_search_met_is_not_saved_anew(saved: Saved, tmp_path: Path) -> None:
    """A changed row that nothing has read yet is found before it is written under new sums, demoted or compacted."""
    data = saved.data
    file = tmp_path / "rows.vec"
    place = data.index(Vectors.open(saved.file).get([7 * 900])[0].tobytes())
    file.write_bytes(flipped(data, place, 0))
    with pytest.raises(ValueError, match=r"rows\.vec is damaged"):
        Vectors.open(file).save(tmp_path / "other.vec")
    with pytest.raises(ValueError, match=r"rows\.vec is damaged"):
        Vectors.open(file).demote([7 * 900], "int8")
    with pytest.raises(ValueError, match=r"rows\.vec is damaged: its f32 are not those that were saved"):
        Vectors.open(file).verify()


def test_a_file_without_sums_is_opened(saved: Saved, tmp_path: Path) -> None:
    """A file that was written before there were sums answers the same, and is checked by its other sums."""
    file = tmp_path / "rows.vec"
    file.write_bytes(saved.data.replace(b'"sums": [', b'"smus": ['))
    head = bytearray(file.read_bytes())
    length = int.from_bytes(head[8:12], "little")
    head[12:16] = zlib.crc32(head[16 : 16 + length]).to_bytes(4, "little")
    file.write_bytes(head)
    opened = Vectors.open(file)
    assert not opened.is_guarded
    assert answers(opened) == answers(Vectors.open(saved.file))
    opened.verify()
    head = bytearray(file.read_bytes())
    head[len(head) // 2] ^= 1
    file.write_bytes(head)
    with pytest.raises(ValueError, match="damaged"):
        Vectors.open(file).verify()


@pytest.mark.skipif(not NATIVE, reason="the extension is not built here")
@given(data=st.binary(max_size=200), pieces=st.integers(0, 4), shift=st.integers(0, 7))
@settings(max_examples=30, deadline=None)
def test_sums_are_those_of_the_reference(data: bytes, pieces: int, shift: int) -> None:
    """The sums in C are those of the definition in NumPy, at any address."""
    whole = (b"\0" * shift + data * (pieces * _guard.PIECE // max(1, len(data)) + 1))[: pieces * _guard.PIECE + shift]
    whole += b"\0" * (pieces * _guard.PIECE + shift - len(whole))
    part = memoryview(whole)[shift:]
    made, wanted = np.empty(pieces, np.uint64), np.empty(pieces, np.uint64)
    _funnel_path.of(NATIVE[0]).sums(part, made)
    TWIN["numpy"].sums(part, wanted)
    assert made.tolist() == wanted.tolist()


@given(parts=st.lists(st.integers(0, 3 * _guard.PIECE), max_size=6))
@settings(max_examples=20, deadline=None)
def test_sums_do_not_depend_on_how_a_file_was_written(parts: list[int]) -> None:
    """Bytes that come in parts of any length have the sums of the same bytes at once, padded with zeros."""
    data = np.random.default_rng(len(parts)).integers(0, 256, sum(parts)).astype(np.uint8)
    tally, start = _guard.Tally(TWIN["numpy"]), 0
    for length in parts:
        tally.take(data[start : start + length].data)
        start += length
    tally.pad()
    padded = np.concatenate([data, np.zeros(-len(data) % _guard.PIECE, np.uint8)])
    assert tally.sums().tolist() == _guard.sums_of(padded).tolist()


def test_any_two_bits_of_a_piece_change_its_sum() -> None:
    """Two flipped bits of one word, of neighbouring words and of words that are summed together never cancel out."""
    plain = np.random.default_rng(0).integers(0, 256, _guard.PIECE).astype(np.uint8)
    pairs = [(bit, bit + gap) for bit in (0, 63, 64, 7 * 64 + 63, 3000) for gap in (1, 63, 64, 512, 575, 8 * 512)]
    changed = np.tile(plain, (len(pairs), 1))
    for row, pair in zip(changed, pairs, strict=True):
        for bit in pair:
            row[bit // 8] ^= 1 << bit % 8
    sums = _guard.sums_of(np.concatenate([plain, changed.reshape(-1)]))
    assert len(set(sums.tolist())) == 1 + len(pairs)
