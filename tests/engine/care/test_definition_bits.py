"""Bits that flip in the text that defines a table, an index or a trigger."""

from __future__ import annotations

from pathlib import Path

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, verify

_CHECK = b"metadata TEXT NOT NULL CHECK (json_valid(metadata)),\n    embedder"
FLIPS = {
    "memories_unsealed": (b"row_sum IS NOT NULL\nBEGIN", b"row_sum IS NOT0NULL\nBEGIN"),
    "texts": (b"contentless_delete=1, tokenize", b"contentless_delete=1, tokunize"),
    "memories": (_CHECK, _CHECK.replace(b"json_valid", b"json_v\xe1lid")),
}


@pytest.mark.parametrize("name", FLIPS)
def test_a_flipped_definition_that_stops_work_is_told_by_its_name(tmp_path: Path, name: str) -> None:
    """What cannot be done says that the file is damaged, not that aqe is; verify and repair know it, and nothing is
    lost."""
    place = Place(tmp_path / "aqe.db")
    with Store.open(place.path) as store:
        store.add("refunds round half up", id="a")
    data = place.path.read_bytes()
    sound, flipped = FLIPS[name]
    assert data.count(sound) == 1
    assert sum((one ^ other).bit_count() for one, other in zip(sound, flipped, strict=True)) == 1
    place.path.write_bytes(data.replace(sound, flipped))
    with (
        pytest.raises(UserError, match=rf"is broken: its definition of '{name}' .* \(.*\)") as told,
        Store.open(place.path) as store,
    ):
        store.add("free shipping from 50", id="b")
        store.update("a", text="refunds round down")
    assert (told.value.code, "repair" in told.value.fix) == ("database-broken", True)
    assert name in " ".join(finding.what for finding in verify(place).findings)
    repair(place)
    assert verify(place).sound
    with Store.open(place.path) as store:
        assert store.get("a").text.startswith("refunds round")
        store.update("a", text="refunds round to even")
