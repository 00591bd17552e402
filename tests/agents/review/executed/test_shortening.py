"""Long values in messages."""

from __future__ import annotations

from aqe.agents.review.executed import Difference

LONG = "[" + "0, " * 50 + "0]"


def difference(call: str, before: str, after: str) -> Difference:
    return Difference("a.py", "f", 1, call, before, after, "value")


def test_long_values_keep_their_type_and_both_ends() -> None:
    """A list of many items is shown by its first and last ones, in the arguments as in the answer."""
    one = difference(f"f({LONG}, key='a')", f"returned {LONG}", "raises ValueError: " + "no " * 60 + "end")
    assert len(one.sentence) < 3 * 80 + 60
    assert one.sentence.startswith("f([0, 0, 0")
    assert "0, 0], key='a') returned [0, 0" in one.sentence
    assert "0, 0], now raises ValueError: no no" in one.sentence
    assert one.sentence.endswith("no end")
    assert one.is_cut


def test_what_differs_in_the_middle_is_shown() -> None:
    """Two long values that differ between their ends are cut around the difference."""
    other = LONG[:75] + "7" + LONG[76:]
    one = difference("f()", f"returned {LONG}", f"returns {other}")
    assert "7" in one.sentence.partition(", now ")[2]
    assert not one.is_cut


def test_short_values_stay_as_they_are() -> None:
    """A sentence that is no wall of text is not touched."""
    assert difference("x = [1]; f(x, 'é')", "returned 1", "returns 2").sentence == (
        "x = [1]; f(x, 'é') returned 1, now returns 2"
    )
