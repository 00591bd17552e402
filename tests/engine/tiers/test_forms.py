"""The forms of a vector below float32."""

from __future__ import annotations

import numpy as np
import pytest

from aqe.engine.memory.tiers.forms import pack, unpack, unpack_many, unpack_mixed


def _vectors(count: int = 40, dimension: int = 37) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, dimension)).astype(np.float32)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@pytest.mark.parametrize(("tier", "least"), [(1, 0.999999), (2, 0.9999), (3, 0.99)])
def test_each_form_points_the_way_of_the_vector(tier: int, least: float) -> None:
    """Float16 and int8 hardly turn a vector; four bits a number turn it by a few degrees."""
    for vector in _vectors():
        assert _cosine(vector, unpack(pack(vector.tobytes(), tier), tier)) >= least


@pytest.mark.parametrize(("tier", "size"), [(1, 74), (2, 41), (3, 25)])
def test_each_form_takes_less_room(tier: int, size: int) -> None:
    """37 numbers take 148 bytes as float32."""
    assert len(pack(_vectors(1)[0].tobytes(), tier)) == size


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_many_at_once_are_what_each_is(tier: int) -> None:
    """A matrix of many is row for row what each one gives, in mixed order too."""
    packed = [pack(vector.tobytes(), tier) for vector in _vectors()]
    assert np.array_equal(unpack_many(packed, tier), np.stack([unpack(one, tier) for one in packed]))
    mixed = [
        (number, 1 + number % 3, pack(vector.tobytes(), 1 + number % 3)) for number, vector in enumerate(_vectors())
    ]
    rows, values = unpack_mixed(mixed)
    for row, found in zip(rows.tolist(), values, strict=True):
        assert np.array_equal(found, unpack(mixed[row][2], mixed[row][1]))


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_extreme_numbers_stay_finite(tier: int) -> None:
    """Huge, tiny and zero numbers come back finite."""
    vector = np.array([3e38, -3e38, 1e-40, 0.0, 1.0], np.float32)
    assert np.isfinite(unpack(pack(vector.tobytes(), tier), tier)).all()
    assert np.isfinite(unpack(pack(np.zeros(5, np.float32).tobytes(), tier), tier)).all()
