"""A head of the file that says another version than its own list of steps is damaged, and costs no memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aqe.engine.errors import UserError
from aqe.engine.memory import Store
from aqe.engine.memory.care import Place, repair, verify
from aqe.engine.memory.file.steps import MIGRATIONS

Make = Callable[..., Place]
AT, NEWEST = 60, MIGRATIONS[-1].number


def says(place: Place, version: int) -> None:
    """Have the head of a closed store's file say a version."""
    data = bytearray(place.path.read_bytes())
    assert data[AT : AT + 4] == NEWEST.to_bytes(4, "big")
    data[AT : AT + 4] = version.to_bytes(4, "big")
    place.path.write_bytes(data)


@pytest.mark.parametrize("bit", range(6))
def test_no_memory_is_lost_for_a_flipped_bit_of_the_version(make_place: Make, bit: int) -> None:
    """Whether the head says an earlier version or one that is not yet, `verify` tells and a repair keeps everything."""
    place = make_place(3)
    says(place, NEWEST ^ 1 << bit)
    assert not verify(place).sound
    report = repair(place)
    assert (report.sound, report.remembered, report.mended.vectors_lost) == (True, 3, 0)


def test_a_version_that_no_step_of_the_file_made_is_no_newer_aqe(make_place: Make) -> None:
    """A head one bit away from the last step that the file lists is damage, which a repair mends and no update."""
    place = make_place(3)
    says(place, NEWEST + 64)
    with pytest.raises(UserError) as caught:
        Store.open(place.path)
    assert caught.value.code == "database-broken"
    assert f"its own list of steps {NEWEST}" in caught.value.message
