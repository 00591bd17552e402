"""What is kept of rows beside their codes: fewer bytes, nearly the same answers, and exact ones by `rescore`."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from aqe import simd
from aqe.simd import Vectors, _funnel_path

Floats = np.ndarray[Any, np.dtype[np.float32]]
LEVELS = ("f32", "f16", "int8", "bits")


@pytest.fixture(params=[name for name in simd.PATHS if name in simd.paths()])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path that every store made in the test uses; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    return str(request.param)


@cache
def rows_of(count: int, dim: int = 160, seed: int = 0) -> Floats:
    """Rows of length one, to one side of the origin."""
    rows = np.random.default_rng(seed).normal(0.2, 1, (count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def filled(rows: Floats, metric: Any = "cosine") -> Vectors:
    """A store of rows under the ids 0, 1, 2 and so on."""
    vectors = Vectors(rows.shape[1], metric)
    vectors.add(np.arange(len(rows)), rows)
    return vectors


@pytest.mark.parametrize(("level", "error"), [("f32", 0.0), ("f16", 1e-3), ("int8", 2e-2), ("bits", 1.2)])
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_each_level_keeps_what_it_promises(path: str, metric: Any, level: Any, error: float) -> None:
    """A demoted row comes back, and is scored, to the precision of its level."""
    rows = rows_of(300)
    vectors = filled(rows, metric)
    assert vectors.demote(range(100, 300), level) == (0 if level == "f32" else 200)
    assert set(vectors.level(range(100, 300))) == {level}
    assert set(vectors.level(range(100))) == {"f32"}
    gaps = np.linalg.norm(vectors.get(np.arange(300)) - rows, axis=1)
    assert gaps[:100].max() <= 1e-6
    assert gaps[100:].max() <= error + 1e-6
    ids, got = vectors.exact(rows[7], 300)
    order = np.argsort(ids)
    truth = np.square(rows - rows[7]).sum(axis=1) if metric == "l2" else rows @ rows[7]
    np.testing.assert_allclose(got[order], truth, atol=1e-5 + error * (0.3 if level == "bits" else 1))


def test_levels_take_less_room(path: str) -> None:
    """Demoting moves bytes from "f32" to "f16" and frees them, down to the code alone."""
    vectors = filled(rows_of(1024))
    assert vectors.nbytes["f32"] == 1024 * 160 * 4
    vectors.demote(range(512), "f16")
    found = vectors.nbytes
    assert found["f32"] < 1.02 * 512 * 160 * 4
    assert 512 * 160 * 2 <= found["f16"] < 1.05 * 512 * 160 * 2
    vectors.demote(range(1024), "bits")
    found = vectors.nbytes
    assert (found["f16"], found["codes"]) == (0, 1024 * 24)
    assert found["f32"] + found["int8"] < 16 * 1024


def test_a_level_is_never_raised() -> None:
    """A row that keeps less already stays as it is, and ids that are not held do not count."""
    vectors = filled(rows_of(10))
    assert vectors.demote([1, 2, 99], "bits") == 2
    assert vectors.demote([1, 2, 3], "int8") == 1
    assert vectors.level([1, 2, 3, 4]) == ["bits", "bits", "int8", "f32"]


def test_adding_again_brings_the_exact_row_back(path: str) -> None:
    """A demoted id that is added again has its float32 row, and its neighbours keep their levels."""
    rows = rows_of(1100)
    vectors = filled(rows)
    vectors.demote(range(600), "bits")
    vectors.add([5, 2000], rows[[5, 6]])
    assert vectors.level([4, 5, 6, 2000, 700]) == ["bits", "f32", "bits", "f32", "f32"]
    ids, got = vectors.search(rows[5], 1)
    assert (ids.tolist(), got[0]) == ([5], pytest.approx(1, abs=1e-6))


def test_demoted_rows_are_searched_with_little_loss(path: str) -> None:
    """With half the rows at int8 and half at half floats a search finds what the exact rows would give."""
    rows = rows_of(1500)
    vectors = filled(rows)
    vectors.demote(range(0, 1500, 2), "int8")
    vectors.demote(range(1, 1500, 2), "f16")
    found = 0
    for query in rows_of(20, seed=1):
        found += len(set(vectors.search(query, 10)[0]) & set(np.argsort(-(rows @ query))[:10]))
    assert found >= 190


def test_rows_made_anew_are_scored_exactly(path: str) -> None:
    """With `rescore` the demoted rows that came near are scored by the vectors that the caller gives."""
    rows = rows_of(1500)
    vectors = filled(rows)
    vectors.demote(range(1500), "bits")
    asked: list[int] = []

    def embed(ids: Any) -> Floats:
        asked.extend(ids.tolist())
        return 3 * rows[ids]

    ids, got = vectors.search(rows[40], 5, rescore=embed)
    assert ids[0] == 40
    np.testing.assert_allclose(got, rows[ids] @ rows[40], atol=1e-5)
    assert 5 <= len(asked) <= 100
    assert len(asked) == len(set(asked))


def test_rescore_is_not_asked_for_rows_that_are_kept() -> None:
    """Where every row is kept, `rescore` is never called."""
    vectors = filled(rows_of(30))

    def never(ids: Any) -> Floats:
        raise AssertionError(f"asked for {ids}")

    assert vectors.search(rows_of(30)[3], 1, rescore=never)[0].tolist() == [3]


def test_compaction_keeps_levels(path: str) -> None:
    """After deletions and compaction each row keeps its level and its answers."""
    rows = rows_of(1300)
    vectors = filled(rows)
    for level, start in zip(LEVELS[1:], (0, 1, 2), strict=True):
        vectors.demote(range(start, 1300, 4), level)
    vectors.delete(range(0, 1300, 3))
    kept = [one for one in range(1300) if one % 3]
    before = vectors.level(kept), vectors.exact(rows[1], 20)
    vectors.compact()
    assert vectors.level(kept) == before[0]
    after = vectors.exact(rows[1], 20)
    assert after[0].tolist() == before[1][0].tolist()
    np.testing.assert_allclose(after[1], before[1][1], atol=1e-6)


@pytest.mark.parametrize("level", ["f8", "", None])
def test_a_level_that_there_is_not_is_refused(level: Any) -> None:
    """Another level than the four is refused with their names."""
    with pytest.raises(ValueError, match="level must be one of 'f32', 'f16', 'int8', 'bits'"):
        filled(rows_of(3)).demote([1], level)
