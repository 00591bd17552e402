"""`Hybrid`, the search by words and meaning in one call, against the same search step by step."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aqe import simd
from aqe.simd import Apart, Hybrid, Postings, Vectors, _funnel_path, fuse_sides

Floats = np.ndarray[Any, np.dtype[np.float32]]
Found = list[tuple[int, float, float | None, float | None]]
WORDS = np.array([f"w{number}".encode() for number in range(60)], object)
DIM, COUNT = 130, 1500
marks = st.integers(0, 9).map(lambda seed: np.random.default_rng(seed).random(400 * seed) < 0.5)
PATHS = [*dict.fromkeys((simd.paths()[0], "numpy"))]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path, C or NumPy, that all vectors and postings made in the test use; the id of a failing test names it."""
    monkeypatch.setattr(_funnel_path, "chosen", lambda: _funnel_path.of(request.param))
    monkeypatch.setattr(simd, "active", lambda: request.param)
    return str(request.param)


@cache
def rows() -> Floats:
    """Rows about thirty centres, every tenth of which is its neighbour's twin."""
    chance = np.random.default_rng(1)
    made = chance.normal(0, 1, (30, DIM))[chance.integers(0, 30, COUNT)] + chance.normal(0, 0.6, (COUNT, DIM))
    made[10::10] = made[9:-1:10]
    return made.astype(np.float32)


@cache
def documents() -> list[bytes]:
    """Texts of few words, so that many have the same score; every twentieth has none."""
    chance = np.random.default_rng(2)
    picked = np.minimum(chance.zipf(1.4, size=(COUNT, 9)) - 1, len(WORDS) - 1)
    return [b" ".join(WORDS[one[: at % 9 + 1]]) if at % 20 else b"" for at, one in enumerate(picked)]


def filled(count: int = COUNT, *, step: int = 3) -> tuple[Vectors, Postings]:
    """Vectors and texts of some things, of which either side lacks a few; their groups are 0 to 3."""
    vectors, postings = Vectors(DIM), Postings()
    ids = step * np.arange(count)
    vectors.add(ids[ids % 11 != 5], rows()[:count][ids % 11 != 5])
    postings.add(ids[::-1], documents()[:count][::-1], groups=ids % 4)
    postings.delete(ids[ids % 13 == 7])
    return vectors, postings


@pytest.fixture
def both(path: str) -> tuple[Vectors, Postings]:
    """Vectors with codes, and postings."""
    return filled()


def by_steps(
    vectors: Vectors, postings: Postings, query: Any, terms: Any, k: int, share: float | Apart, wide: int, **how: Any
) -> Found:
    """Each side by itself, what it says of the other's rows, and then the sum of both."""
    near = vectors.search(query, wide)
    if how.get("floor", 0) > 0 and round(float(near[1].max(initial=-1.0)), 6) < how["floor"]:
        return []
    text = postings.search(terms, wide, groups=how.get("groups"))
    return fuse_sides(text, vectors.scores(query, text[0]), near, postings.scores(terms, near[0]), share, k)


def check(vectors: Vectors, postings: Postings, query: Any, terms: Any, *asked: Any, **how: Any) -> Found:
    k, share, wide = asked or (9, 0.6, 50)
    groups = how.get("groups")
    found = Hybrid(vectors, postings, groups=groups).search(
        query, terms, k, share, wide=wide, floor=how.get("floor", 0.0)
    )
    assert found == by_steps(vectors, postings, query, terms, k, share, wide, **how)
    return found


_SHARED: dict[str, tuple[Vectors, Postings]] = {}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, COUNT - 1),
    blur=st.floats(0, 2),
    terms=st.lists(st.sampled_from([*WORDS.tolist(), b"nowhere"]), max_size=12),
    k=st.integers(1, 90),
    share=st.floats(0, 1) | st.builds(Apart, st.floats(0, 1), st.floats(0, 1), marks),
    wide=st.integers(1, 300),
    floor=st.sampled_from([0.0, 0.0, 0.2, 0.9]),
    groups=st.none() | st.lists(st.booleans(), max_size=4),
)
def test_one_call_finds_what_the_steps_find(
    path: str,
    at: int,
    blur: float,
    terms: list[bytes],
    k: int,
    share: float | Apart,
    wide: int,
    floor: float,
    groups: Any,
) -> None:
    """Rows, scores and their order are those of the search of each side by itself, to the bit and with ties."""
    if path not in _SHARED:
        _SHARED[path] = filled()
    vectors, postings = _SHARED[path]
    query = rows()[at] + np.float32(blur) * np.random.default_rng(at).standard_normal(DIM).astype(np.float32)
    mask = None if groups is None else np.array(groups, np.bool_)
    check(vectors, postings, query, terms, k, share, wide, groups=mask, floor=floor)


@pytest.mark.parametrize("count", [0, 1, 40, 1100])
def test_stores_of_any_size_are_searched(path: str, count: int) -> None:
    """Nothing, one thing, and as many as are scored without codes or with them are found as by steps."""
    vectors, postings = filled(count)
    for terms in ([b"w0", b"w3"], [b"nowhere"], []):
        found = check(vectors, postings, rows()[5], terms)
        assert bool(found) == bool(count)


def test_what_changes_is_seen_at_once(both: tuple[Vectors, Postings]) -> None:
    """What is added, replaced and deleted between two searches counts in the second, on both sides."""
    vectors, postings = both
    asked = Hybrid(vectors, postings)
    for turn in range(6):
        id = 100_000 + turn
        query = -rows()[turn]
        vectors.add([id, 30], np.stack([query, rows()[turn + 50]]))
        postings.add([id], [b"fresh w1"])
        found = asked.search(query, [b"fresh"], 5, 0.5)
        assert found[0][0] == id
        assert found == by_steps(vectors, postings, query, [b"fresh"], 5, 0.5, 50)
        vectors.delete([id])
        postings.delete([id])
        assert id not in [one[0] for one in asked.search(query, [b"fresh"], 5, 0.5)]


@pytest.mark.parametrize("state", ["lists", "bits", "int8"])
def test_vectors_in_any_state_are_searched(both: tuple[Vectors, Postings], state: str) -> None:
    """An inverted file, rows of codes alone and rows of int8 alone are found as by steps."""
    vectors, postings = both
    if state == "lists":
        vectors.build(2)
    else:
        vectors.demote(vectors.ids[::3], "bits" if state == "bits" else "int8")
    for at in (1, 50, 700):
        assert check(vectors, postings, rows()[at], [b"w1", b"w7"])


def test_queries_are_taken_as_vectors_take_them(both: tuple[Vectors, Postings]) -> None:
    """A list, halves and a view with gaps find what the same float32 items do."""
    vectors, postings = both
    query = rows()[3].astype(np.float16).astype(np.float32)
    wanted = check(vectors, postings, query, [b"w2"])
    for same in (query.tolist(), query.astype(np.float16), np.repeat(query, 2)[::2]):
        assert Hybrid(vectors, postings).search(same, [b"w2"], 9, 0.6) == wanted


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"query": rows()[0][:9]}, "130 items"),
        ({"query": np.full(DIM, np.nan, np.float32)}, "NaN"),
        ({"query": rows()[0].astype(np.int32)}, "float32"),
        ({"k": 0}, "k must be"),
        ({"wide": 0}, "k must be"),
        ({"share": 1.5}, "share must be from 0 to 1"),
        ({"terms": ["text"]}, "bytes"),
        ({"terms": [b"x" * 70_000]}, "65535 bytes"),
    ],
)
def test_what_does_not_fit_is_refused(both: tuple[Vectors, Postings], asked: dict[str, Any], said: str) -> None:
    """Queries, terms and numbers that neither side takes raise what that side raises, and the next search answers."""
    given: dict[str, Any] = {"query": rows()[0], "terms": [b"w1"], "k": 3, "share": 0.5, "wide": 50, **asked}
    searched = Hybrid(*both)
    with pytest.raises((TypeError, ValueError), match=said):
        searched.search(given["query"], given["terms"], given["k"], given["share"], wide=given["wide"])
    assert searched.search(rows()[0], [b"w1"], 3, 0.5)


def test_vectors_that_are_not_compared_by_cosine_are_refused() -> None:
    """Distances and plain products are no cosines, so that no floor and no rounding would fit them."""
    with pytest.raises(ValueError, match="cosine"):
        Hybrid(Vectors(4, "l2"), Postings())


def test_damage_of_a_file_is_told(path: str, tmp_path: Path) -> None:
    """A bit that changed in a mapped file raises ValueError instead of an answer."""
    vectors, postings = filled()
    vectors.save(tmp_path / "vectors")
    data = bytearray((tmp_path / "vectors").read_bytes())
    for at in range(len(data) // 8, len(data) // 2, 4096):
        data[at] ^= 1
    (tmp_path / "vectors").write_bytes(data)
    opened = Vectors.open(tmp_path / "vectors")
    with pytest.raises(ValueError, match="damaged"):
        for at in range(50):
            Hybrid(opened, postings).search(rows()[at], [b"w1"], 5, 0.5)
