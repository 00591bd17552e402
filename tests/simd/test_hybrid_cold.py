"""`Hybrid` where of some rows only codes are kept: those that may be among the best are scored by rows made anew."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Apart, Hybrid, Postings, Vectors, _funnel_path

DIM, COUNT = 384, 1500
WORDS = [f"w{number}".encode() for number in range(80)]
Floats = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture(params=[*dict.fromkeys((simd.paths()[0], "numpy"))])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path, C or NumPy, that all vectors and postings made in the test use; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    monkeypatch.setattr(simd, "active", lambda: request.param)
    return str(request.param)


@cache
def _drawn(path: str, seed: int, count: int) -> tuple[np.random.Generator, Floats, Any, Postings]:
    """Rows, their ids and the postings of their texts, which no search changes, made once for each path that keeps
    them; and the state of the chance that they were drawn by."""
    chance = np.random.default_rng(seed)
    rows = chance.normal(0, 1, (40, DIM))[chance.integers(0, 40, count)] + chance.normal(0, 0.8, (count, DIM))
    ids, postings = np.sort(chance.permutation(5 * count)[:count]), Postings()
    words = [[WORDS[at] for at in np.minimum(chance.zipf(1.4, 9) - 1, 79)] for _ in range(count)]
    postings.add(ids, [b" ".join(some) for some in words], groups=ids % 2)
    return chance, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), ids, postings


class Things:
    """Vectors about forty centres and texts of the same ids, each from its own tier on; rows are made anew on demand,
    and what was asked for is noted."""

    def __init__(self, seed: int, tiers: tuple[float, float, float], count: int = COUNT) -> None:
        chance, self.rows, self.ids, self.postings = _drawn(simd.active(), seed, count)
        self.vectors = Vectors(DIM)
        self.vectors.add(self.ids, self.rows)
        self.tiers = copy.deepcopy(chance).choice(4, count, p=[1 - sum(tiers), *tiers])
        for tier, level in enumerate(("f16", "int8", "bits"), 1):
            self.vectors.demote(self.ids[self.tiers == tier], level)  # type: ignore[arg-type]
        self.asked: list[int] = []

    def rescore(self, ids: Any) -> Floats:
        """The rows of these ids."""
        self.asked += ids.tolist()
        return self.rows[np.searchsorted(self.ids, ids)]

    def truth(self, query: Floats, id: int) -> float:
        """The cosine of a row with a query."""
        return float(self.rows[np.searchsorted(self.ids, id)].astype("d") @ query) / float(np.linalg.norm(query))

    def is_cold(self, id: int) -> bool:
        """Whether only the code of this row is kept."""
        return bool(self.tiers[np.searchsorted(self.ids, id)] == 3)


def question(things: Things, seed: int) -> tuple[Floats, list[bytes]]:
    """Near to some row, with words of which some are rare."""
    chance = np.random.default_rng(seed)
    query = things.rows[chance.integers(len(things.rows))] + chance.normal(0, 0.03, DIM)
    return query.astype(np.float32), [WORDS[at] for at in chance.choice(80, 4, replace=False)]


shares = st.floats(0.2, 0.8) | st.builds(
    Apart, st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.integers(0, 3).map(lambda at: np.arange(4000) % 4 == at)
)
parts = st.tuples(st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0.05, 0.4))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), tiers=parts, share=shares, k=st.integers(1, 60), grouped=st.booleans())
def test_what_is_found_has_the_cosines_of_whole_rows(
    path: str, seed: int, tiers: tuple[float, float, float], share: float | Apart, k: int, grouped: bool
) -> None:
    """No cosine of the answer is an estimate, whatever is kept of the rows; only cold ones are made anew, once each."""
    things = Things(seed % 3, tiers, 1100)
    query, terms = question(things, seed)
    groups = np.array([False, True]) if grouped else None
    both = Hybrid(things.vectors, things.postings, groups=groups)
    found = both.search(query, terms, k, share, rescore=things.rescore)
    for id, _, _, near in found:
        room = {1: 1e-3, 2: 0.01}.get(int(things.tiers[np.searchsorted(things.ids, id)]), 2e-6)
        assert near == pytest.approx(things.truth(query, id), abs=room)
    if path != "numpy":
        assert all(map(things.is_cold, things.asked))
        assert len(set(things.asked)) == len(things.asked)


@pytest.mark.parametrize("path", simd.paths()[:1], indirect=True)
@pytest.mark.parametrize("tiers", [(0.2, 0.2, 0.1), (0.2, 0.2, 0.33), (0.0, 0.0, 1.0)])
def test_what_is_found_is_what_steps_find_by_whole_rows(path: str, tiers: tuple[float, float, float]) -> None:
    """Nearly all that a search finds which makes every cold row anew that comes near, with nearly its scores, for far
    fewer rows that are made."""
    things = Things(1, tiers)
    both, same, found, gaps, few = Hybrid(things.vectors, things.postings), 0, 0, list[float](), 0
    for seed in range(60):
        query, terms = question(things, seed)
        things.asked.clear()
        fast = {one[0]: one[1:] for one in both.search(query, terms, 10, 0.6, rescore=things.rescore)}
        few += len(things.asked)
        slow = {one[0]: one[1:] for one in both._by_steps(query, tuple(terms), 10, 0.6, 50, 0.0, things.rescore)}
        least = min(score for score, *_ in slow.values())
        same, found = same + len(fast.keys() & slow.keys()), found + len(slow)
        gaps += [abs(fast[id][0] - slow[id][0]) for id in fast.keys() & slow.keys()]
        assert all(slow[id][0] - least < 0.15 for id in slow.keys() - fast.keys())
    assert same / found > (0.93 if tiers[2] < 1 else 0.85)
    assert np.quantile(gaps, 0.9) < 0.05
    if path != "numpy":
        assert few / 60 < (60 if tiers[2] < 1 else 120)


def test_estimates_count_where_nothing_is_made_anew(path: str) -> None:
    """Without `rescore` the search in one call is that of each side by itself, to the bit."""
    things = Things(2, (0.2, 0.2, 0.3))
    both = Hybrid(things.vectors, things.postings)
    for seed in range(20):
        query, terms = question(things, seed)
        assert both.search(query, terms, 10, 0.6) == both._by_steps(query, tuple(terms), 10, 0.6, 50, 0.0, None)


def test_a_floor_is_held_by_whole_rows(path: str) -> None:
    """Nothing is found where no row reaches the floor, though estimates do, and all where a row does and none does."""
    things = Things(1, (0.0, 0.0, 1.0))
    both, surprises = Hybrid(things.vectors, things.postings), 0
    for seed in range(40):
        query, terms = question(things, seed)
        query = query + np.random.default_rng(seed).normal(0, 0.05, DIM).astype(np.float32)
        best = float((things.rows @ query).max() / np.linalg.norm(query))
        seemed = float(things.vectors.search(query, 1)[1][0])
        for floor in (best - 1e-4, best + 1e-4):
            found = both.search(query, terms, 5, 0.6, floor=floor, rescore=things.rescore)
            assert bool(found) is (floor < best)
            surprises += (seemed < floor) is bool(found)
    assert surprises > 5


def test_what_cannot_be_made_anew_is_told(path: str) -> None:
    """An error of `rescore` comes through, and rows that do not fit are refused; the next search is as before."""
    things = Things(0, (0.0, 0.0, 0.5))
    both, (query, terms) = Hybrid(things.vectors, things.postings), question(things, 1)

    def fail(ids: Any) -> Floats:
        raise KeyError("no text")

    with pytest.raises(KeyError, match="no text"):
        both.search(query, terms, 5, 0.6, rescore=fail)
    for wrong in (lambda ids: things.rows[:1], lambda ids: np.full((len(ids), DIM), np.nan, np.float32)):
        with pytest.raises(ValueError, match="array"):
            both.search(query, terms, 5, 0.6, rescore=wrong)
    assert len(both.search(query, terms, 5, 0.6, rescore=things.rescore)) == 5


def test_small_stores_and_few_words_are_searched(path: str) -> None:
    """One thing, some, and those without any word of the query are found with whole rows."""
    for count in (1, 5, 300):
        things = Things(count, (0.1, 0.1, 0.6), count)
        both = Hybrid(things.vectors, things.postings)
        for terms in ([b"w0"], [b"nowhere"], []):
            found = both.search(things.rows[0], terms, 400, 0.6, rescore=things.rescore)
            assert found[0][0] == things.ids[0] or terms == [b"w0"]
            assert all(near == pytest.approx(things.truth(things.rows[0], id), abs=0.01) for id, _, _, near in found)
