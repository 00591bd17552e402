"""Two sightings of a call differ in what a caller would notice, and in nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from aqe.agents.review.executed.judging import breaks_hint, difference, is_crash


def returned(value: str = "v", public: str = "", private: str = "", **more: Any) -> dict[str, Any]:
    """A sighting of a call that returned: digests of all of the value, its public part, its private names."""
    base = {
        "kind": "returns",
        "type": "int",
        "value": [value, public or value, private],
        "after": ["a", "a", ""],
        "printed": "",
    }
    return {**base, "steps": 3, "fair": 1, "fits": None, **more}


def raised(type_: str = "ValueError", **more: Any) -> dict[str, Any]:
    """A sighting of a call that raised."""
    base = {"kind": "raises", "type": type_, "value": [type_, type_, ""], "after": ["a", "a", ""], "printed": ""}
    return {**base, "steps": 3, "fair": 1, "own": True, "crash": False, **more}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (returned("1"), returned("2"), "value"),
        (returned("1"), returned("2", type="str"), "type"),
        (returned(), raised(), "exception"),
        (raised(), returned(), "exception"),
        (raised("ValueError"), raised("KeyError"), "exception"),
        (returned(), returned(after=["b", "b", ""]), "arguments"),
        (returned(), returned(printed="x"), "output"),
        (returned(), {"kind": "died", "steps": 0}, "exception"),
        (returned(), {"kind": "endless", "steps": 20_000}, "exception"),
    ],
)
def test_what_a_caller_notices_is_a_difference(before: dict[str, Any], after: dict[str, Any], kind: str) -> None:
    """Value, type, exception, arguments, output and an end that never comes are told apart."""
    assert difference(before, after) == kind


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (returned(), returned()),
        (returned(), {"kind": "illegal", "steps": 0}),
        (returned(), {"kind": "hangs", "steps": 0}),
        (returned(), {"kind": "endless", "steps": 40}),
        (returned(steps=9_000), {"kind": "endless", "steps": 20_000}),
        (raised("TypeError", own=False), returned()),
        (raised("KeyError", own=False), raised("IndexError", own=False)),
        (returned(fair=0), raised("TypeError", own=False, fair=0)),
        (raised("ValueError", fair=0), raised("KeyError", fair=0)),
        (raised(), raised(value=["other", "other", ""])),
    ],
)
def test_what_no_caller_relies_on_is_none(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Calls outside of what the base is for, slow ones, other signatures and other messages raise no alarm."""
    assert difference(before, after) is None


def test_private_attributes_count_only_where_both_sides_have_them() -> None:
    """A renamed private attribute is no behaviour; another content of the same one is."""
    assert difference(returned("w1", "p", "n1"), returned("w2", "p", "n2")) is None
    assert difference(returned("w1", "p", "n"), returned("w2", "p", "n")) == "value"


def test_an_unplanned_exception_on_fair_arguments_is_a_crash() -> None:
    """A crash is what neither a raise statement nor the docstring speaks of, for arguments that a caller may give."""
    assert is_crash(returned(), raised("IndexError", own=False, crash=True))
    assert not is_crash(returned(fair=0), raised("IndexError", own=False, crash=True, fair=0))
    assert not is_crash(returned(), raised("ValueError"))


def test_a_hint_is_broken_by_the_head_alone() -> None:
    """A value that never kept to its hint is not the change's doing."""
    assert breaks_hint(returned(fits=True), returned("2", fits=False))
    assert not breaks_hint(returned(fits=False), returned("2", fits=False))
