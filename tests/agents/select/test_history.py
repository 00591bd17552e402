"""The order of the tests: by risk, then by time, and what was never timed last."""

from __future__ import annotations

from aqe.agents.select.history import Past
from aqe.agents.select.run import _ordered


def test_what_was_never_timed_comes_last_in_the_suites_order() -> None:
    """Among tests of one risk the fastest known ones are first; the others keep the order of the suite."""
    past = Past({}, {"t::slow": 9.0, "t::fast": 0.1})
    chosen = dict.fromkeys(("t::z_new", "t::slow", "t::a_new", "t::fast"), (0.5, "why"))
    assert [one.nodeid for one in _ordered(chosen, past, None)] == ["t::fast", "t::slow", "t::z_new", "t::a_new"]
