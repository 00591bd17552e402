"""Delta debugging for polluters, on orders alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from aqe.agents.flaky.polluters import ddmin, find_culprits, suspects

TESTS = [f"t{number}" for number in range(60)]


@pytest.mark.parametrize("guilty", [{"t0"}, {"t59"}, {"t7", "t8"}, {"t0", "t59"}, {"t3", "t30", "t57"}])
def test_exactly_the_guilty_are_left(guilty: set[str]) -> None:
    """Whoever is guilty, alone or together, is what is left, in the order of the run."""
    found = ddmin(TESTS, lambda part: guilty <= set(part))
    assert found == [name for name in TESTS if name in guilty]


def test_one_polluter_of_a_thousand_takes_few_runs() -> None:
    """A single polluter among a thousand tests is found in about twice as many runs as halving needs."""
    asked = 0

    def shows(part: Sequence[str]) -> bool:
        nonlocal asked
        asked += 1
        return "t617" in part

    assert ddmin([f"t{number}" for number in range(1000)], shows) == ["t617"]
    assert asked <= 24


def test_what_is_left_is_minimal_with_a_cleaner_in_between() -> None:
    """With a cleaner that undoes the polluter, what is left shows the effect and no member can be left out."""

    def shows(part: Sequence[str]) -> bool:
        return "t5" in part and ("t9" not in part or "t20" in part)

    found = ddmin(TESTS, shows)
    assert shows(found)
    assert not any(shows([name for name in found if name != left]) for left in found)


def test_suspects_stand_before_the_test_whenever_it_fails_and_never_when_it_passes() -> None:
    """Shuffled orders alone leave the true polluter among few suspects."""
    chance = random.Random(3)
    orders = [chance.sample([*TESTS, "victim"], 61) for _ in range(12)]
    failing = [order for order in orders if order.index("t42") < order.index("victim")]
    passing = [order for order in orders if order.index("t42") > order.index("victim")]
    found = suspects(TESTS, "victim", failing, passing)
    assert "t42" in found
    assert len(found) < 6


def test_wrong_suspects_are_no_dead_end() -> None:
    """Where the likely ones do not show the effect, the whole prefix is searched."""
    assert find_culprits(TESTS, ["t1", "t2"], lambda part: {"t8", "t40"} <= set(part)) == ("t8", "t40")


def test_an_effect_that_does_not_come_back_has_no_culprit() -> None:
    """Where not even the whole prefix shows the effect, nobody is blamed."""
    assert find_culprits(TESTS, ["t1"], lambda part: False) is None


def test_likely_ones_are_asked_first() -> None:
    """With the culprit among the likely ones, no run is longer than they are."""
    lengths = []

    def shows(part: Sequence[str]) -> bool:
        lengths.append(len(part))
        return "t9" in part

    assert find_culprits(TESTS, ["t8", "t9"], shows) == ("t9",)
    assert max(itertools.chain(lengths)) == 2
