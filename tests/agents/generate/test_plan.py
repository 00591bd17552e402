"""The arithmetic of a budget."""

from __future__ import annotations

import pytest

from aqe.agents.generate.plan import Plan


def test_modules_share_what_is_left_of_the_search_time() -> None:
    """Less than half of the budget is for searching; a module that needs less leaves more to the others."""
    plan = Plan(20.0, 100.0)
    assert plan.search_s(100.0, 2) == pytest.approx(4.5)
    assert plan.search_s(101.0, 1) == pytest.approx(8.0)
    assert plan.may_search(108.9)
    assert not plan.may_search(109.1)


def test_everything_ends_before_one_and_a_half_budgets_and_fifteen_seconds() -> None:
    """The hard end leaves the command time to close its boxes and write."""
    end = Plan(20.0, 100.0).hard_end_s()
    assert end is not None
    assert end <= 100.0 + 1.5 * 20.0 + 12.0


def test_a_round_that_is_needed_starts_as_long_as_it_can_end() -> None:
    """A file that has not stood yet is worth time beyond the budget; more evidence is not."""
    plan = Plan(20.0, 100.0)
    assert plan.may_verify_again(110.0, 5.0, is_needed=False)
    assert not plan.may_verify_again(118.0, 5.0, is_needed=False)
    assert plan.may_verify_again(121.0, 5.0, is_needed=True)
    assert not plan.may_verify_again(139.0, 5.0, is_needed=True)


def test_counted_runs_know_no_clock() -> None:
    """With --evaluations no phase is cut by time."""
    plan = Plan(None, 100.0)
    assert plan.search_s(1e9, 1) is None
    assert plan.verify_s(1e9) is None
    assert plan.hard_end_s() is None
    assert plan.may_verify_again(1e9, 50.0, is_needed=False)
    assert plan.most_cases(1e9) is None


def test_a_busy_machine_gets_fewer_cases_to_verify() -> None:
    """What one verification can take shrinks with the time that is left and with the load, never below a handful."""
    plan = Plan(60.0, 100.0)
    early, busy, late = (plan.most_cases(*when) or 0 for when in ((127.0,), (127.0, 3.0), (159.0, 1.0)))
    assert early > busy > 8
    assert early > late > 8
