"""The probability that a test is flaky, and how many runs show a failure."""

from __future__ import annotations

import pytest

from aqe.agents.flaky.statistics import GLITCH, PRIOR_FLAKY, flakiness, runs_to_see


def test_nothing_seen_leaves_the_share_of_flaky_tests() -> None:
    """Before any run the score is the prior."""
    assert flakiness(0, 0) == PRIOR_FLAKY


def test_green_runs_only_lower_the_score_and_never_to_zero() -> None:
    """Each green run makes flakiness less probable, and no number of them excludes it."""
    scores = [flakiness(runs, 0) for runs in (1, 5, 12, 100, 1000)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


@pytest.mark.parametrize(("passed", "failed"), [(11, 1), (1, 11), (6, 6), (500, 500), (3, 2000)])
def test_both_outcomes_make_it_probable(passed: int, failed: int) -> None:
    """A test that passed and failed is probably flaky, also after very many runs."""
    assert 0.8 < flakiness(passed, failed) <= 1


def test_red_runs_alone_speak_for_a_broken_test() -> None:
    """A test that never passed is sooner broken than flaky, the more so the more runs there were."""
    assert flakiness(0, 12) < flakiness(0, 3) < 0.5


def test_the_score_is_bayes_rule_with_the_stated_model() -> None:
    """For one pass and one failure the score is that of the three kinds, worked out by hand."""
    flaky = PRIOR_FLAKY / 6  # the mean of q(1 - q) over a uniform q
    others = (1 - PRIOR_FLAKY) * GLITCH * (1 - GLITCH)
    assert flakiness(1, 1) == pytest.approx(flaky / (flaky + others), rel=1e-9)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.25, 0.5, 0.9])
def test_that_many_runs_show_it_and_one_less_does_not(rate: float) -> None:
    """The number of runs is the smallest that misses the failure with at most the remaining chance, or the most."""
    runs = runs_to_see(rate, 0.95)
    assert (1 - rate) ** runs <= 0.05 or runs == 200
    assert (1 - rate) ** (runs - 1) > 0.05
