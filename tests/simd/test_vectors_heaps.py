"""What `Vectors` must stand: rows in a few heaps, whose codes are nearly the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from aqe.simd import Vectors

Floats = np.ndarray[Any, np.dtype[np.float32]]
Make = Callable[[np.random.Generator, int, int], Floats]
ASKED = 40


def poles(noise: float) -> Make:
    """Rows at two opposite points, with so much noise."""

    def made(draw: np.random.Generator, count: int, dim: int) -> Floats:
        pole = draw.standard_normal(dim) * draw.choice([-1, 1], (count, 1))
        return (pole + noise * draw.standard_normal((count, dim))).astype(np.float32)

    return made


def heaps(points: int, noise: float = 0.0) -> Make:
    """Rows at so many points, with so much noise."""

    def made(draw: np.random.Generator, count: int, dim: int) -> Floats:
        centres = draw.standard_normal((points, dim))[draw.integers(0, points, count)]
        return (centres + noise * draw.standard_normal((count, dim))).astype(np.float32)

    return made


def queries(rows: Floats, held_out: Floats, draw: np.random.Generator) -> Iterator[tuple[str, Floats]]:
    """Held-out rows, such with much noise, random directions, points between rows and opposites of rows."""
    noise = draw.standard_normal(held_out.shape).astype(np.float32)
    yield "held out", held_out
    yield "perturbed", held_out + noise / 2
    yield "random", noise
    yield "between", (rows[: len(held_out)] + held_out) / np.float32(2)
    yield "opposite", -held_out


def share(vectors: Vectors, asked: Floats) -> float:
    """The share of the exact ten nearest that are found, by scores that differ by less than float32 can hold."""
    found = 0
    for query in asked:
        scores, truth = vectors.search(query, 10)[1], vectors.exact(query, 10)[1]
        slack = 1e-6 * max(1.0, abs(float(truth[-1])))
        found += int((scores <= truth[-1] + slack if vectors.metric == "l2" else scores >= truth[-1] - slack).sum())
    return found / (10 * len(asked))


SETS: dict[str, Make] = {
    "two poles, noise .02": poles(0.02),
    "two poles, noise .05": poles(0.05),
    "two poles, noise .2": poles(0.2),
    "two poles, noise .5": poles(0.5),
    "3 points": heaps(3),
    "10 points": heaps(10),
    "50 points": heaps(50),
    "20 tight heaps": heaps(20, 0.03),
    "no heaps": heaps(1, 1.0),
}


@pytest.mark.parametrize(
    ("dim", "count", "metric"),
    [
        pytest.param(384, 6000, "cosine", marks=pytest.mark.services),
        pytest.param(128, 6000, "cosine", marks=pytest.mark.services),
        (384, 1300, "cosine"),
        (384, 2000, "l2"),
    ],
)
@pytest.mark.parametrize("kind", SETS)
def test_rows_in_heaps_are_found_by_queries_of_all_kinds(kind: str, dim: int, count: int, metric: Any) -> None:
    """.99 of the nearest are found whatever is asked, where the codes of whole heaps are alike."""
    draw = np.random.default_rng(4)
    rows = SETS[kind](draw, count + ASKED, dim)
    vectors = Vectors(dim, metric)
    vectors.add(np.arange(count), rows[:count])
    assert vectors.structure == "linear"
    for name, asked in queries(rows, rows[count:], draw):
        assert share(vectors, asked) >= 0.99, name


@pytest.mark.parametrize("replaced", [False, True])
def test_heaps_that_come_after_other_rows_are_found(replaced: bool) -> None:
    """Rows in heaps are found where the codes were made of rows that were none: added to them, or in their place."""
    draw = np.random.default_rng(5)
    rows, later = heaps(1, 1.0)(draw, 2000, 256), poles(0.05)(draw, 6000 + ASKED, 256)
    vectors = Vectors(256)
    vectors.add(np.arange(2000), rows)
    for start in range(0, 6000, 500):
        vectors.add(np.arange(start, start + 500) + (0 if replaced else 2000), later[start : start + 500])
    for name, asked in queries(later, later[6000:], draw):
        assert share(vectors, asked) >= 0.99, name


def test_recall_is_measured_on_queries_that_are_no_rows() -> None:
    """`recall` says what queries of other kinds than the rows would meet, too."""
    vectors, asked = Vectors(256), []
    draw = np.random.default_rng(6)
    rows = poles(0.01)(draw, 1500, 256)
    vectors.add(np.arange(1500), rows)

    class Watched(Vectors):
        def search(self, query: Any, k: int, **options: Any) -> Any:
            asked.append(query)
            return super().search(query, k, **options)

    vectors.__class__ = Watched
    assert vectors.recall(30) >= 0.99
    pole = rows[0] / np.linalg.norm(rows[0])
    nearness = np.abs([query @ pole / np.linalg.norm(query) for query in asked])
    assert (nearness < 0.4).sum() >= 10
    assert ((nearness > 0.5) & (nearness < 0.9)).sum() >= 10
