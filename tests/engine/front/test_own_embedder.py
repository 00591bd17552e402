"""An embedder of the caller's own, handed to `Engine.open`: what it made before, and what is refused of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.errors import UserError

pytestmark = pytest.mark.anyio


class Own:
    """Counts letters in `dimension` places, in whatever way `spoil` changes the rows."""

    def __init__(self, dimension: Any = 8, *, id: Any = "own", spoil: Any = None) -> None:
        self.id, self.dimension, self._spoil = id, dimension, spoil

    def embed(self, texts: Sequence[str]) -> Any:
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for at, text in enumerate(texts):
            for letter in text.lower():
                rows[at, ord(letter) % self.dimension] += 1
        return rows if self._spoil is None else self._spoil(rows)


def burning(rows: NDArray[np.float32]) -> Any:
    """What fails on its own."""
    raise RuntimeError("the device is on fire")


SPOILT: dict[str, tuple[Any, str]] = {
    "five of eight": (lambda rows: rows[:, :5], "rows of 5 where"),
    "NaN": (lambda rows: rows * np.nan, "not finite"),
    "too large for float32": (lambda rows: rows.astype(np.float64) * 1e300, "not finite"),
    "one row more": (lambda rows: np.vstack([rows, rows[:1]]), "were asked for"),
    "one row for all": (lambda rows: rows[0], "an array of 1 dimension where"),
    "nothing": (lambda rows: None, "gave nothing where"),
    "no numbers": (lambda rows: [["a"] * 8 for _ in rows], "gave list, not rows of numbers"),
    "uneven": (lambda rows: [[1.0], *([2.0, 3.0] for _ in rows)], "gave list, not rows of numbers"),
    "an error": (burning, "failed with RuntimeError: the device is on fire"),
}


async def test_another_embedder_of_ones_own_finds_by_meaning_what_the_first_made(opened: Any) -> None:
    """What one embedder made is embedded anew by the next one that is handed in, and none waits for a vector."""
    async with opened(embedder=Own(8, id="own-8")) as engine:
        await engine.remember("the melon is green", id="melon")
    async with opened(embedder=Own(16, id="own-16")) as engine:
        (hit,) = (await engine.search("the melon is green")).hits
        assert hit.vector_score == pytest.approx(1.0, abs=1e-3)
        assert (hit.memory.embedder_id, hit.memory.dimension) == ("own-16", 16)


async def test_rows_are_brought_to_length_1(opened: Any) -> None:
    """Counts of letters are as good as unit vectors: the same text is alike in full, and none is more alike."""
    async with opened(embedder=Own()) as engine:
        assert np.linalg.norm(await engine.embed("a melon")) == pytest.approx(1.0, abs=1e-5)
        assert await engine.similarity("a melon", "a melon") == pytest.approx(1.0, abs=1e-5)
        assert await engine.similarity("a melon", "zzz") < 1.0


@pytest.mark.parametrize("how", SPOILT)
async def test_rows_that_are_none_are_refused_and_nothing_is_stored(opened: Any, how: str) -> None:
    """Each call that embeds says what the embedder did wrong; what was kept before is found as before."""
    spoil, told = SPOILT[how]
    async with opened() as engine:
        await engine.remember("keep this", id="first")
    async with opened(embedder=Own(id="spoilt", spoil=spoil)) as engine:
        for call in (engine.embed, engine.remember, engine.search, engine.query):
            with pytest.raises(UserError, match="'spoilt'") as raised:
                await call("x y")
            assert raised.value.code == "bad-embedder"
            assert told in raised.value.message
    async with opened() as engine:
        assert (await engine.stats()).store.memories == 1
        (hit,) = (await engine.search("keep this")).hits
        assert (hit.memory.id, hit.memory.dimension) == ("first", 64)


@pytest.mark.parametrize(
    "odd",
    [
        5,
        Own(id=""),
        Own(id=7),
        Own(id="x" * 201),
        Own(id="a\0b"),
        Own(0),
        Own(-3),
        Own(2.5),
        Own(True),
        Own(10**6),
        Own,
    ],
)
async def test_what_is_no_embedder_is_refused_when_it_is_opened(opened: Any, odd: Any) -> None:
    """An object without a proper id, dimension or `embed` opens nothing."""
    with pytest.raises(UserError) as raised:
        async with opened(embedder=odd):
            pass
    assert raised.value.code == "bad-embedder"
