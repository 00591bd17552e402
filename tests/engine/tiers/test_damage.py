"""A damaged form of a vector is named by `verify`, harms no search, and is made anew after `repair`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aqe.engine.memory import NewMemory, Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.growth.access import DAY_US
from aqe.engine.memory.tiers.moving import retier
from aqe.engine.memory.tiers.policy import Thresholds
from aqe.engine.retrieval import find, keep


class Lines:
    """An embedder of the engine's own kind: each text has a direction."""

    id = "aqe-static-lines"
    dimension = 32

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        made = [np.random.default_rng(zlib.crc32(text.encode())).standard_normal(32) for text in texts]
        rows = np.array(made, np.float32).reshape(len(made), 32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE demoted SET vector = x'00' WHERE tier = 2",
        "UPDATE demoted SET vector = zeroblob(length(vector)) WHERE tier = 3",
        "UPDATE demoted SET vector = zeroblob(2 * length(vector)) WHERE tier = 1",
        "UPDATE demoted SET vector = CAST(x'007e' || substr(vector, 3) AS BLOB) WHERE tier = 1",
    ],
)
def test_damaged_forms_are_named_passed_over_and_made_anew(tmp_path: Path, damage: str) -> None:
    """A wrong length, zeros, or a NaN in any tier."""
    clock = [1_700_000_000_000_000]
    path = tmp_path / "aqe.db"
    with Store.open(path, now=lambda: clock[0]) as store:
        for number in range(40):
            clock[0] += DAY_US
            keep(store, Lines(), [NewMemory(f"note{number} of the day", id=str(number))])
        retier(store, Lines(), Thresholds())
        with store.writing() as connection:
            connection.execute(damage)
            bad = connection.changes()
    report = verify(Place(path))
    assert not report.sound
    assert {finding.check for finding in report.findings} == {"vectors"}
    with Store.open(path) as store:
        for number in range(40):
            assert str(number) in {hit.memory.id for hit in find(store, None, f"note{number}").hits}
            assert find(store, Lines(), None, vector=Lines().embed([f"note{number} of the day"])[0]).hits
    assert bad > 0
    assert repair(Place(path)).sound
    assert verify(Place(path)).sound
    with Store.open(path) as store:
        for number in range(40):
            assert find(store, Lines(), f"note{number} of the day").hits[0].memory.id == str(number)
