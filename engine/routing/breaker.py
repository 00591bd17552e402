"""A circuit breaker for one model of one provider: a value and pure functions of it, the time and what happened.

closed       calls go through; failures and slow calls are counted over a sliding window of time buckets; it opens at
             their rate, or when as many calls as the minimum failed one after the other, however good it was before
open         no call goes through until `open_until`; each opening in a row doubles that time, up to 16 times the first
             (a server on this machine that takes no connection, which asking costs nothing, is not left so long)
half-open    one probe at a time goes through; `PROBES` good ones in a row close it, one bad one opens it again

A probe is lent for a limited time, so that a process that dies with it does not block the others; only the call that
has it gives it back. The method is Nygard's ("Release It!", 2007) with the failure-rate window of resilience
libraries. Times are UTC microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from aqe.engine.budget import LONGEST_S

State = Literal["closed", "open", "half-open"]
Outcome = Literal["ok", "failed"]

BUCKETS = 12
PROBES = 2
MOST_DOUBLINGS = 4
LONGEST_REST_S = 600.0
LONGEST_US = round(1e6 * LONGEST_S)
"""The longest time that a setting allows, and so the longest call."""
LONGEST_OPEN_US = LONGEST_US * 2**MOST_DOUBLINGS
LAST_US = 2**63 - 1
"""The last moment that the store can keep."""
MOST_COUNTED = 2**53
"""More than was ever counted; the digits of a larger number may be too many for JSON."""


@dataclass(frozen=True)
class BreakerPolicy:
    """When a breaker opens: `min_calls` in the window of `window_us`, and of them the share that failed at
    `failure_rate` or the share slower than `slow_us` at `slow_rate`. It stays open `open_us` at first, twice as long
    with each opening in a row, `doublings` times; a probe may take `probe_us`."""

    failure_rate: float = 0.5
    slow_rate: float = 0.8
    slow_us: int = 20_000_000
    window_us: int = 60_000_000
    min_calls: int = 5
    open_us: int = 15_000_000
    doublings: int = MOST_DOUBLINGS
    probe_us: int = 60_000_000


@dataclass(frozen=True)
class Bucket:
    """What happened in one slice of the window that begins at `start`."""

    start: int
    calls: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(frozen=True)
class Circuit:
    """The state of one breaker; `opened` counts openings in a row, `resting_until` is what a Retry-After asked for,
    `latency_us` a running mean of good calls (0: none
    yet), `failed_in_row` the failures since the last good call."""

    state: State = "closed"
    buckets: tuple[Bucket, ...] = ()
    open_until: int = 0
    opened: int = 0
    probe_until: int = 0
    good_probes: int = 0
    resting_until: int = 0
    latency_us: int = 0
    failed_in_row: int = 0

    def to_json(self) -> str:
        """The form that the store keeps."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes, kept_at: int = LAST_US) -> Circuit:
        """A circuit as `to_json` wrote it; a fresh one where `parsed` finds none."""
        return parsed(text, kept_at) or cls()


@dataclass(frozen=True)
class Permission:
    """Whether a call may go through, as a probe or not, and why not or until when."""

    allowed: bool
    probe: bool = False
    reason: str = ""
    until: int = 0


ALLOWED = Permission(True)
"""What a model without a breaker has."""


def parsed(text: str | bytes, kept_at: int = LAST_US) -> Circuit | None:
    """The circuit that was kept as `text` at `kept_at`; None where it cannot be one: bits flipped in it, or another
    version of aqe keeps more. Whoever meets None takes a fresh one, since the next calls are counted anew anyway."""
    try:
        found: Any = json.loads(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    state, kept = found.pop("state", "closed"), found.pop("buckets", [])
    most = {
        "open_until": kept_at + LONGEST_OPEN_US,
        "opened": MOST_COUNTED,
        "probe_until": kept_at + LONGEST_US,
        "good_probes": PROBES - 1,
        "resting_until": kept_at + round(1e6 * LONGEST_REST_S),
        "latency_us": LONGEST_US,
        "failed_in_row": MOST_COUNTED,
    }
    if state not in get_args(State) or not isinstance(kept, list) or not _within(found, most):
        return None
    buckets = tuple(bucket for one in kept if (bucket := _bucket_of(one, kept_at)) is not None)
    return Circuit(state, buckets, **found) if len(buckets) == len(kept) <= BUCKETS + 1 else None


def _bucket_of(found: Any, kept_at: int) -> Bucket | None:
    most = {"start": kept_at, "calls": MOST_COUNTED, "failed": MOST_COUNTED, "slow": MOST_COUNTED}
    if not isinstance(found, dict) or "start" not in found or not _within(found, most):
        return None
    bucket = Bucket(**found)
    return bucket if max(bucket.failed, bucket.slow) <= bucket.calls else None


def _within(found: Mapping[str, Any], most: Mapping[str, int]) -> bool:
    return all(type(value) is int and 0 <= value <= most.get(name, -1) for name, value in found.items())


def look(circuit: Circuit, now: int) -> Permission:
    """Whether `ask` would let a call through now; nothing changes."""
    if circuit.resting_until > now:
        return Permission(False, reason="it asked for a rest (Retry-After)", until=circuit.resting_until)
    if circuit.state == "closed":
        return Permission(True)
    if circuit.state == "open" and circuit.open_until > now:
        return Permission(False, reason="its breaker is open", until=circuit.open_until)
    if circuit.state == "half-open" and circuit.probe_until > now:
        return Permission(False, reason="its breaker is half-open and another call is probing", until=now)
    return Permission(True, probe=True)


def ask(circuit: Circuit, policy: BreakerPolicy, now: int) -> tuple[Circuit, Permission]:
    """Ask to call now; a probe that is let through is lent until `policy.probe_us` (at most a week) from now."""
    permission = look(circuit, now)
    if not permission.probe:
        return circuit, permission
    good = circuit.good_probes if circuit.state == "half-open" else 0
    lent_until = now + min(policy.probe_us, LONGEST_US)
    return replace(circuit, state="half-open", probe_until=lent_until, good_probes=good), permission


def record(
    circuit: Circuit, policy: BreakerPolicy, now: int, outcome: Outcome, duration_us: int, *, probe: bool = False
) -> Circuit:
    """The circuit after a call ended.

    A call that began before the breaker opened changes nothing but the window; only a probe closes or reopens it. A
    slow good call counts as slow in the window, and as bad for a probe.
    """
    duration_us = min(max(duration_us, 0), LONGEST_US)
    slow = duration_us > policy.slow_us
    buckets = _counted(circuit.buckets, policy, now, failed=outcome == "failed", slow=slow)
    latency_us, in_row = circuit.latency_us, circuit.failed_in_row + 1
    if outcome == "ok":
        in_row = 0
        latency_us = duration_us if latency_us == 0 else round(0.8 * latency_us + 0.2 * duration_us)
    circuit = replace(circuit, buckets=buckets, latency_us=latency_us, failed_in_row=in_row)
    if circuit.state == "closed":
        return _open(circuit, policy, now) if in_row >= policy.min_calls or _is_bad(buckets, policy) else circuit
    if circuit.state != "half-open" or not probe:
        return circuit
    if outcome == "failed" or slow:
        return _open(circuit, policy, now)
    if circuit.good_probes + 1 >= PROBES:
        return replace(circuit, state="closed", buckets=(), opened=0, probe_until=0, good_probes=0, open_until=0)
    return replace(circuit, probe_until=0, good_probes=circuit.good_probes + 1)


def give_back(circuit: Circuit) -> Circuit:
    """The circuit after a probe ended that told nothing about the model, such as a call that its user cancelled."""
    return replace(circuit, probe_until=0) if circuit.state == "half-open" else circuit


def rest(circuit: Circuit, now: int, seconds: float, *, probe: bool = False) -> Circuit:
    """The circuit after the server asked a call to leave it alone for `seconds` (at most ten minutes are heeded). The
    call gives back what it was lent, if it was the probe; another's stays out."""
    until = now + round(1e6 * min(max(seconds, 0.0), LONGEST_REST_S))
    return replace(give_back(circuit) if probe else circuit, resting_until=max(circuit.resting_until, until))


def moved(circuit: Circuit, by: int) -> Circuit:
    """The circuit with all its times `by` later, which a clock that was put back makes earlier."""

    def at(moment: int) -> int:
        return moment and max(0, moment + by)

    return replace(
        circuit,
        buckets=tuple(replace(bucket, start=max(0, bucket.start + by)) for bucket in circuit.buckets),
        open_until=at(circuit.open_until),
        probe_until=at(circuit.probe_until),
        resting_until=at(circuit.resting_until),
    )


def counts(circuit: Circuit, policy: BreakerPolicy, now: int) -> Bucket:
    """Calls, failures and slow calls in the window that ends now."""
    return _sum(_fresh(circuit.buckets, policy, now))


def _open(circuit: Circuit, policy: BreakerPolicy, now: int) -> Circuit:
    open_us = min(policy.open_us * 2 ** min(circuit.opened, policy.doublings), LONGEST_OPEN_US)
    return replace(
        circuit,
        state="open",
        open_until=now + open_us,
        opened=circuit.opened + 1,
        probe_until=0,
        good_probes=0,
        buckets=(),
        failed_in_row=0,
    )


def _is_bad(buckets: tuple[Bucket, ...], policy: BreakerPolicy) -> bool:
    all_of_them = _sum(buckets)
    if all_of_them.calls < policy.min_calls:
        return False
    calls = all_of_them.calls
    return all_of_them.failed >= policy.failure_rate * calls or all_of_them.slow >= policy.slow_rate * calls


def _counted(
    buckets: tuple[Bucket, ...], policy: BreakerPolicy, now: int, *, failed: bool, slow: bool
) -> tuple[Bucket, ...]:
    width = max(1, policy.window_us // BUCKETS)
    start = now - now % width
    kept = _fresh(buckets, policy, now)
    last = kept[-1] if kept and kept[-1].start >= start else None  # a clock set back counts into the newest
    if last is None:
        kept, last = (*kept, Bucket(start)), Bucket(start)
    counted = Bucket(last.start, last.calls + 1, last.failed + failed, last.slow + slow)
    return (*kept[:-1], counted)[-BUCKETS - 1 :]


def _fresh(buckets: tuple[Bucket, ...], policy: BreakerPolicy, now: int) -> tuple[Bucket, ...]:
    return tuple(bucket for bucket in buckets if bucket.start > now - policy.window_us)


def _sum(buckets: tuple[Bucket, ...]) -> Bucket:
    return Bucket(
        buckets[0].start if buckets else 0,
        sum(bucket.calls for bucket in buckets),
        sum(bucket.failed for bucket in buckets),
        sum(bucket.slow for bucket in buckets),
    )
