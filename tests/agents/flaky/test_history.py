"""Flips in what earlier runs recorded."""

from __future__ import annotations

from aqe.agents.flaky.history import Past, flips

NOW = '{"code": "now"}'


def test_both_outcomes_of_the_present_code_are_a_flip() -> None:
    """A test that passed and failed on the same digest of the code flipped."""
    rows = [("t", "passed", NOW), ("t", "failed", NOW), ("t", "error", NOW), ("t", "skipped", NOW)]
    assert flips(rows, "now") == {"t": Past(1, 2)}


def test_a_test_that_was_mended_in_between_did_not_flip() -> None:
    """Outcomes of other code, and of rows without a digest, are no proof."""
    rows = [("t", "failed", '{"code": "before"}'), ("t", "passed", NOW), ("u", "failed", "{}"), ("u", "passed", NOW)]
    assert flips(rows, "now") == {}
