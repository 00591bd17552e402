"""What the store kept of a breaker is read whatever became of it: a damaged or a later form is a fresh circuit."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Any, get_args

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aqe.engine.memory import Store
from aqe.engine.providers import CompletionRequest, Message
from aqe.engine.providers.scripted import Scripted
from aqe.engine.routing import Router, RouteRequest, breaker
from aqe.engine.routing.breaker import BreakerPolicy, Bucket, Circuit, State
from aqe.engine.routing.circuits import Circuits, Key
from aqe.engine.settings import Settings

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
POLICY = BreakerPolicy()
KEY: Key = ("first", "script")
REAL = Circuit(
    state="half-open",
    buckets=(Bucket(START - 9 * SECOND, 7, 3, 1), Bucket(START, 2, 2)),
    open_until=START + 15 * SECOND,
    opened=2,
    probe_until=START + 60 * SECOND,
    good_probes=1,
    resting_until=START + 3 * SECOND,
    latency_us=431_000,
    failed_in_row=2,
)
TEXT = REAL.to_json()
FIELDS = tuple(asdict(REAL))
ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
ANY = st.recursive(ODD, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
BUCKET = st.dictionaries(st.sampled_from(("start", "calls", "failed", "slow", "more")), st.integers() | ANY, max_size=5)
VALUE = st.sampled_from(get_args(State)) | st.integers() | st.lists(BUCKET, max_size=3) | ANY
LIKE_REAL = st.dictionaries(st.sampled_from((*FIELDS, "more")), VALUE).map(lambda some: asdict(REAL) | some)


def assert_sound(circuit: Circuit, now: int = START) -> None:
    """Its fields are of their types and ranges, and everything that is done with a circuit can be done with it."""
    assert circuit.state in get_args(State)
    numbers = [value for name, value in asdict(circuit).items() if name not in ("state", "buckets")]
    for bucket in circuit.buckets:
        assert max(bucket.failed, bucket.slow) <= bucket.calls
        numbers += asdict(bucket).values()
    assert all(type(number) is int and number >= 0 for number in numbers)
    assert len(circuit.buckets) <= breaker.BUCKETS + 1
    assert circuit.good_probes < breaker.PROBES
    assert Circuit.from_json(circuit.to_json()) == circuit
    asked, permission = breaker.ask(circuit, POLICY, now)
    for outcome in ("ok", "failed"):
        after = breaker.record(asked, POLICY, now, outcome, 1, probe=permission.probe)
        assert breaker.counts(after, POLICY, now).calls >= 0
    assert breaker.rest(breaker.moved(circuit, -SECOND), now, 5.0).resting_until >= now


@given(ANY | LIKE_REAL)
@example(asdict(REAL) | {"opun_until": 0})
@example(asdict(REAL) | {"open_until": "soon"})
@example(asdict(REAL) | {"opened": True})
@example(asdict(REAL) | {"opened": 10**4290})
@example(asdict(REAL) | {"good_probes": breaker.PROBES})
@example(asdict(REAL) | {"state": "ajar"})
@example(asdict(REAL) | {"state": []})
@example(asdict(REAL) | {"buckets": [{"calls": 1}]})
@example(asdict(REAL) | {"buckets": [{"start": 1, "calls": 1, "failed": 2}]})
@example(asdict(REAL) | {"buckets": [{"start": START}] * 99})
def test_any_json_is_a_circuit(found: Any) -> None:
    """Whatever JSON is found, it is read as a circuit of sound fields."""
    assert_sound(Circuit.from_json(json.dumps(found)))


@given(st.binary() | st.text())
@example("[" * 100_000)
@example('{"opened":' + "9" * 5000 + "}")
@example("")
def test_any_bytes_are_a_circuit(found: str | bytes) -> None:
    """What is no JSON at all, cannot be decoded or goes too deep is a fresh circuit."""
    assert_sound(Circuit.from_json(found))


@given(st.lists(st.tuples(st.integers(0, len(TEXT) - 1), st.integers(0, 7)), min_size=1, max_size=3))
def test_flipped_bits_are_a_circuit(flips: list[tuple[int, int]]) -> None:
    """With a few bits flipped a kept circuit is read as one of sound fields, none of which keeps a model away for
    longer than any setting would."""
    damaged = bytearray(TEXT.encode())
    for place, bit in flips:
        damaged[place] ^= 1 << bit
    circuit = Circuit.from_json(bytes(damaged), START)
    assert_sound(circuit)
    assert max(circuit.open_until, circuit.probe_until) <= START + breaker.LONGEST_OPEN_US
    assert circuit.resting_until <= START + 600 * SECOND
    assert all(bucket.start <= START for bucket in circuit.buckets)


@pytest.mark.parametrize(
    "damaged",
    [
        TEXT.replace("open_until", "opun_until"),
        TEXT.replace("}", ',"of_a_later_aqe":1}', 1),
        TEXT.replace('"half-open"', '"half-opeN"'),
        TEXT.replace('"opened":2', '"opened":"2"'),
        "[]",
    ],
    ids=["key", "later", "state", "type", "other"],
)
def test_what_is_no_circuit_is_a_fresh_one(damaged: str) -> None:
    """A key, a state or a type that is none gives a circuit that lets calls through; the real one is read as it was."""
    assert damaged != TEXT
    assert Circuit.from_json(damaged) == Circuit()
    assert Circuit.from_json(TEXT) == Circuit.from_json(TEXT.encode(), START) == REAL


def keep(store: Store, kept: bytes, changed_at: int = START) -> None:
    """Put these bytes where the store keeps the circuit, as a damaged disk would."""
    with store.writing() as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        sql = "INSERT OR REPLACE INTO circuits VALUES (?, ?, CAST(? AS TEXT), ?)"
        connection.execute(sql, (*KEY, kept, changed_at))
        connection.execute("PRAGMA ignore_check_constraints = 0")


DAMAGED = {
    "key": TEXT.replace("open_until", "opun_until").encode(),
    "no UTF-8": TEXT.encode().replace(b"half", b"h\xe1lf"),
    "no JSON": TEXT.encode()[1:],
    "nothing": b"",
}


@pytest.mark.parametrize("kept", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_row_stops_no_request(store: Store, kept: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """With a row that is none a route is explained, a model is asked and its call counted; one line says so."""
    caplog.set_level(logging.INFO, "aqe.engine.routing")
    keep(store, kept)
    router = Router([Scripted(["good"], name="first")], store=store, settings=Settings())
    request = RouteRequest("hello", needs_model=True)
    assert router.decide(request).model == router.plan(request).model == "script"

    async def ask() -> str:
        completion = CompletionRequest((Message("user", "hello"),), timeout_s=30)
        return (await router.run(request, completion)).completion.text

    assert anyio.run(ask) == "good"
    circuit = router.circuits.all()[KEY]
    assert (circuit.state, [bucket.calls for bucket in circuit.buckets]) == ("closed", [1])
    (told,) = [record.getMessage() for record in caplog.records if "first/script" in record.getMessage()]
    assert "counted anew" in told


@pytest.mark.parametrize("kept", DAMAGED.values(), ids=DAMAGED)
def test_each_change_of_a_damaged_row_makes_it_anew(store: Store, kept: bytes) -> None:
    """Asking, counting, resting and giving back begin with a fresh circuit, each without a look at all of them."""
    circuits = Circuits(store)
    for change in (
        lambda: circuits.ask(KEY, POLICY).allowed,
        lambda: [one.calls for one in circuits.record(KEY, POLICY, "ok", 5, probe=True).buckets] == [1],
        lambda: circuits.rest(KEY, 5).state == "closed",
        lambda: circuits.give_back(KEY) == Circuit(),
    ):
        keep(store, kept)
        assert change()


@pytest.mark.parametrize("changed_at", [-(2**63), 0, 2**63 - 1])
def test_a_damaged_time_keeps_no_model_away(store: Store, changed_at: int) -> None:
    """A time of the row that is far too early or too late leaves no model alone."""
    keep(store, Circuit(state="open", opened=1, open_until=START + 999_999 * SECOND).to_json().encode(), changed_at)
    assert Circuits(store).ask(KEY, POLICY).allowed
    assert_sound(Circuits(store).all()[KEY])


def test_a_name_that_is_none_is_nobodys(store: Store) -> None:
    """A row whose provider cannot be read is left out, and the others are read."""
    keep(store, TEXT.encode())
    with store.writing() as connection:
        connection.execute("INSERT INTO circuits VALUES (CAST(x'66ff' AS TEXT), 'm', '{}', 0)")
    assert list(Circuits(store).all()) == [KEY]
