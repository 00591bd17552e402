"""The circuit breaker: a pure value that opens, rests, probes and heals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqe.engine.memory import Store
from aqe.engine.routing import breaker
from aqe.engine.routing.breaker import BreakerPolicy, Circuit, Outcome
from aqe.engine.routing.circuits import Circuits, permissions

SECOND = 1_000_000
POLICY = BreakerPolicy(
    failure_rate=0.5,
    slow_rate=0.5,
    slow_us=2 * SECOND,
    window_us=60 * SECOND,
    min_calls=4,
    open_us=10 * SECOND,
    probe_us=30 * SECOND,
)
START = 1_700_000_000 * SECOND


def after(outcomes: Sequence[Outcome], *, circuit: Circuit | None = None, now: int = START, took: int = 1) -> Circuit:
    """A circuit after one call a millisecond with these outcomes."""
    found = circuit or Circuit()
    for place, outcome in enumerate(outcomes):
        found = breaker.record(found, POLICY, now + 1000 * place, outcome, took)
    return found


def opened() -> Circuit:
    return after(["failed"] * 4)


def probing(now: int) -> Circuit:
    circuit, permission = breaker.ask(opened(), POLICY, now)
    assert permission.probe
    return circuit


def test_few_failures_leave_it_closed() -> None:
    """With fewer calls in the window than the minimum, even failures alone leave it closed."""
    assert after(["failed"] * 3).state == "closed"
    assert after(["failed", "ok", "failed"]).state == "closed"


def test_it_opens_at_the_failure_rate() -> None:
    """It opens when the share of failures in the window reaches the rate, not before."""
    assert after(["ok", "ok", "ok", "failed", "failed"]).state == "closed"
    assert after(["ok", "ok", "failed", "failed"]).state == "open"


def test_failures_in_a_row_open_it_however_good_it_was() -> None:
    """As many failures in a row as the minimum open it, though the window is full of good calls."""
    assert after([*["ok"] * 50, *["failed"] * 3]).state == "closed"
    assert after([*["ok"] * 50, *["failed"] * 4]).state == "open"
    assert after([*["ok"] * 50, "failed", "failed", "failed", "ok", "failed"]).state == "closed"


def test_slow_calls_open_it_too() -> None:
    """Calls that succeed slower than the limit open it at the share for slow calls."""
    assert after(["ok"] * 4, took=2 * SECOND + 1).state == "open"
    assert after(["ok"] * 4, took=2 * SECOND).state == "closed"


@pytest.mark.parametrize("ahead_s", [90, 365 * 86_400])
def test_a_clock_that_was_put_back_keeps_no_model_away(tmp_path: Path, ahead_s: int) -> None:
    """A breaker that opened, and a rest that was asked for, last as long as they were meant to, however far ahead the
    clock was then; failures counted then are forgotten with the window."""
    clock = [START + ahead_s * SECOND]
    with Store.open(tmp_path / "aqe.db", now=lambda: clock[0]) as store:
        circuits, opened, resting, once = Circuits(store), ("a", "opened"), ("a", "resting"), ("a", "once")
        for _ in range(POLICY.min_calls):
            circuits.record(opened, POLICY, "failed", 1, probe=False)
        circuits.rest(resting, 5)
        circuits.record(once, POLICY, "failed", 1, probe=False)
        clock[0] = START
        told = permissions(circuits.all(), clock[0])
        assert (told[opened].until - START, told[resting].until - START) == (POLICY.open_us, 5 * SECOND)
        assert not circuits.ask(opened, POLICY).allowed
        clock[0] = START + POLICY.open_us
        assert circuits.ask(opened, POLICY).probe
        assert circuits.ask(resting, POLICY).allowed
        clock[0] = START + POLICY.window_us + SECOND
        assert breaker.counts(circuits.all()[once], POLICY, clock[0]).calls == 0


def test_old_failures_fall_out_of_the_window() -> None:
    """Failures older than the window no longer count."""
    later = START + POLICY.window_us + POLICY.window_us // breaker.BUCKETS
    before = after([*["ok"] * 4, "failed", "failed", "ok", "failed"])
    assert after(["failed"] * 2, circuit=before, now=START + SECOND).state == "open"
    assert after(["failed"] * 2, circuit=before, now=later).state == "closed"


def test_an_open_one_lets_nothing_through_until_its_time() -> None:
    """Open, it refuses with the time until which it does; then it lends one probe."""
    circuit = opened()
    refused = breaker.look(circuit, START + SECOND)
    assert (refused.allowed, refused.until) == (False, circuit.open_until)
    assert breaker.look(circuit, circuit.open_until).probe


def test_one_probe_at_a_time() -> None:
    """While a probe is out, nobody else is let through; when its time is over, another is lent."""
    now = opened().open_until
    circuit = probing(now)
    assert not breaker.look(circuit, now + SECOND).allowed
    assert breaker.look(circuit, now + POLICY.probe_us).probe


def test_good_probes_close_it() -> None:
    """Two good probes in a row close it, and the failures before are forgotten."""
    now = opened().open_until
    circuit = breaker.record(probing(now), POLICY, now + 1, "ok", 1, probe=True)
    assert circuit.state == "half-open"
    circuit, permission = breaker.ask(circuit, POLICY, now + 2)
    assert permission.probe
    circuit = breaker.record(circuit, POLICY, now + 3, "ok", 1, probe=True)
    assert (circuit.state, breaker.counts(circuit, POLICY, now + 4).calls) == ("closed", 0)


@pytest.mark.parametrize(("outcome", "took"), [("failed", 1), ("ok", 2 * SECOND + 1)], ids=["failed", "slow"])
def test_a_bad_probe_opens_it_for_twice_as_long(outcome: Outcome, took: int) -> None:
    """A probe that fails or is slow opens it again, each time for twice as long up to sixteen times."""
    circuit, spans = opened(), []
    for _ in range(7):
        now = circuit.open_until
        lent, _ = breaker.ask(circuit, POLICY, now)
        circuit = breaker.record(lent, POLICY, now, outcome, took, probe=True)
        spans.append((circuit.open_until - now) // POLICY.open_us)
    assert spans == [2, 4, 8, 16, 16, 16, 16]


def test_without_doublings_it_stays_open_as_long_each_time() -> None:
    """A policy without doublings opens it for the same time after every bad probe."""
    policy, circuit, spans = replace(POLICY, doublings=0), opened(), []
    for _ in range(3):
        now = circuit.open_until
        lent, _ = breaker.ask(circuit, policy, now)
        circuit = breaker.record(lent, policy, now, "failed", 1, probe=True)
        spans.append((circuit.open_until - now) // POLICY.open_us)
    assert spans == [1, 1, 1]


def test_a_call_from_before_does_not_decide_a_probe() -> None:
    """A call that began before it opened and ends while it is half-open neither closes nor opens it."""
    now = opened().open_until
    for outcome in ("ok", "failed"):
        circuit = breaker.record(probing(now), POLICY, now + 1, outcome, 1)
        assert (circuit.state, circuit.good_probes) == ("half-open", 0)


def test_a_probe_that_told_nothing_is_lent_anew() -> None:
    """A probe that was given back may be lent at once."""
    now = opened().open_until
    assert breaker.look(breaker.give_back(probing(now)), now).probe


def test_a_late_rest_leaves_anothers_probe_out() -> None:
    """A 429 of a call that began before it opened lends no second probe; that of the probe itself does, after it."""
    now = opened().open_until
    late = breaker.rest(probing(now), now, 3.0)
    assert not breaker.look(late, now + 3 * SECOND).allowed
    assert breaker.look(late, now + POLICY.probe_us).probe
    assert breaker.look(breaker.rest(probing(now), now, 3.0, probe=True), now + 3 * SECOND).probe


def test_a_rest_is_heeded_for_its_time() -> None:
    """After a Retry-After nothing is let through for as long, at most ten minutes, and nothing counts as a failure."""
    circuit = breaker.rest(Circuit(), START, 3.0)
    assert not breaker.look(circuit, START + 3 * SECOND - 1).allowed
    assert breaker.look(circuit, START + 3 * SECOND).allowed
    assert circuit.state == "closed"
    assert breaker.rest(Circuit(), START, 1e9).resting_until == START + 600 * SECOND
    assert breaker.rest(Circuit(), START, -5.0).resting_until == START


def test_latency_is_a_running_mean_of_good_calls() -> None:
    """The latency moves a fifth of the way with each good call, and not with failures."""
    circuit = breaker.record(Circuit(), POLICY, START, "ok", 100)
    circuit = breaker.record(circuit, POLICY, START, "ok", 200)
    circuit = breaker.record(circuit, POLICY, START, "failed", 9999)
    assert circuit.latency_us == 120


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ok", "failed", "slow", "late", "rest", "late rest", "give back"]),
        st.integers(-2 * SECOND, 40 * SECOND),
    ),
    max_size=60,
)


@given(STEPS)
def test_any_history_keeps_its_promises(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, also with a clock set back: an open one lends nothing before its time, at
    most one probe is out, and the stored form is the same circuit."""
    circuit, now, probe_out_until = Circuit(), START, 0
    for action, passed in steps:
        now += passed
        before = circuit
        if action == "ask":
            circuit, permission = breaker.ask(circuit, POLICY, now)
            if before.state == "open" and now < before.open_until:
                assert not permission.allowed
            if permission.probe:
                assert now >= probe_out_until
                probe_out_until = circuit.probe_until
        elif action == "rest":
            circuit, probe_out_until = breaker.rest(circuit, now, 5.0, probe=True), 0
        elif action == "late rest":
            circuit = breaker.rest(circuit, now, 5.0)
        elif action == "give back":
            circuit, probe_out_until = breaker.give_back(circuit), 0
        else:
            probe = circuit.state == "half-open" and circuit.probe_until > now and action != "late"
            took = 3 * SECOND if action == "slow" else 1
            outcome: Outcome = "failed" if action == "failed" else "ok"
            circuit = breaker.record(circuit, POLICY, now, outcome, took, probe=probe)
            probe_out_until = 0 if probe else probe_out_until
        assert Circuit.from_json(circuit.to_json()) == circuit
        assert len(circuit.buckets) <= breaker.BUCKETS + 1
        assert (circuit.opened == 0) == (circuit.state == "closed")
        assert circuit.open_until - now <= 16 * POLICY.open_us + 2 * SECOND * 60


@given(st.lists(st.sampled_from(["ok", "failed"]), min_size=1, max_size=40))
def test_within_one_window_it_opens_exactly_when_the_rate_says(outcomes: list[Outcome]) -> None:
    """In one window it is open exactly if at some point enough calls had failed, by rate or one after the other."""
    should = any(
        count >= POLICY.min_calls
        and (
            outcomes[:count].count("failed") >= POLICY.failure_rate * count
            or "ok" not in outcomes[count - POLICY.min_calls : count]
        )
        for count in range(1, len(outcomes) + 1)
    )
    assert (after(outcomes).state == "open") == should


@given(st.integers(0, 200 * SECOND))
def test_left_alone_it_always_heals(passed: int) -> None:
    """However long it was left alone after its time, two good probes close it."""
    circuit = opened()
    now = circuit.open_until + passed
    for _ in range(breaker.PROBES):
        circuit, permission = breaker.ask(circuit, POLICY, now)
        assert permission.allowed
        circuit = breaker.record(circuit, POLICY, now, "ok", 1, probe=True)
    assert circuit == replace(Circuit(), latency_us=1)
