"""Which runs a hunt makes."""

from __future__ import annotations

import re

import pytest

from aqe.agents.flaky.plan import BASE, ZONES, plan_runs


def test_the_first_run_is_the_suite_as_it_stands_and_the_second_reversed() -> None:
    """Whatever the seed, forwards and backwards come first: together they put each test before each other one."""
    for seed in range(5):
        first, second, *_ = plan_runs(12, seed)
        assert first == BASE
        assert second.order == "reversed"


def test_all_three_factors_vary_in_the_same_runs() -> None:
    """Twelve runs have twelve hash seeds, four kinds of order and several zones, none of them apart from the others."""
    plans = plan_runs(12, 1)
    assert len({plan.hash_seed for plan in plans}) == 12
    assert {plan.order for plan in plans} == {"as it stands", "reversed", "tests", "classes", "modules"}
    assert len({plan.zone for plan in plans if plan.zone}) >= 5
    assert sum(plan.zone is None for plan in plans) >= 3
    assert sum(plan.twice for plan in plans) == 1


def test_the_seed_decides_and_another_one_differs() -> None:
    """The same seed gives the same plans."""
    assert plan_runs(9, 4) == plan_runs(9, 4)
    assert plan_runs(9, 4) != plan_runs(9, 5)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 40])
def test_there_are_as_many_as_asked(count: int) -> None:
    """Any number of runs can be planned."""
    assert len(plan_runs(count, 0)) == count


def test_zones_are_posix_strings() -> None:
    """No zone needs a table on the machine: each is a name and an offset."""
    assert all(re.fullmatch(r"([A-Z]{3,4}|<[+-]\d+>)-?\d+(:\d\d)?([A-Z]{3,4})?", zone) for zone in ZONES)
