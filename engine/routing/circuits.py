"""The breakers of all models, kept in the store, so that every process on a project shares them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aqe.engine.errors import AqeError
from aqe.engine.routing import breaker
from aqe.engine.routing.breaker import BreakerPolicy, Circuit, Permission

if TYPE_CHECKING:
    import apsw

    from aqe.engine.memory import Store
    from aqe.engine.settings import BreakerSettings

Key = tuple[str, str]
"""A provider's name and a model."""
Watch = Callable[[Key, Circuit, Circuit, int], None]
"""Told of each change of state: the model, before, after, and when (UTC microseconds)."""

_KEPT = "CAST(circuit AS BLOB), CAST(changed_at AS INTEGER)"
"""A circuit's text and its time, readable whatever a damaged row holds."""

_log = logging.getLogger(__name__)


def breaker_policy(settings: BreakerSettings) -> BreakerPolicy:
    """The settings in the breaker's units."""
    return BreakerPolicy(
        failure_rate=settings.failure_percent / 100,
        slow_rate=settings.slow_percent / 100,
        slow_us=round(settings.slow_s * 1e6),
        window_us=round(settings.window_s * 1e6),
        min_calls=settings.min_calls,
        open_us=round(settings.open_s * 1e6),
    )


class Circuits:
    """Reads and changes circuits in single transactions; a change of state is logged and told to `watch`."""

    def __init__(self, store: Store, *, watch: Watch | None = None) -> None:
        self._store = store
        self._watch = watch

    def all(self) -> dict[Key, Circuit]:
        """Every circuit that is kept; a model without one has never been called."""
        with self._store.reading() as connection:
            sql = f"SELECT CAST(provider AS BLOB), CAST(model AS BLOB), {_KEPT} FROM circuits"
            rows: list[Any] = connection.execute(sql).fetchall()
        now = self._store.now()
        found: dict[Key, Circuit] = {}
        for provider, model, text, changed_at in rows:
            try:
                key: Key = (bytes(provider).decode(), bytes(model).decode())
            except (TypeError, UnicodeDecodeError):  # bits flipped in the name: nobody's
                continue
            found[key], why = _as_of(now, text, changed_at)
            if why:
                with suppress(AqeError):  # what cannot be written now is put right when it can
                    self._change(key, lambda circuit, _: circuit)
        return found

    def ask(self, key: Key, policy: BreakerPolicy) -> Permission:
        """Ask to call now; a probe that is let through is lent to this caller alone. Where that cannot be kept, the
        call may go through as it would with a closed circuit, and is no probe: a store that can only be read, or has no
        room, keeps no model away."""
        with self._store.reading() as connection:
            circuit, _, now = _read(connection, key, self._store)
            permission = breaker.look(circuit, now)
        if not permission.probe:
            return permission
        answers: list[Permission] = []

        def lend(circuit: Circuit, now: int) -> Circuit:
            changed, permission = breaker.ask(circuit, policy, now)
            answers.append(permission)
            return changed

        try:
            self._change(key, lend)
        except AqeError as error:
            _log.info("No probe of %s/%s is lent, since that cannot be kept: %s", *key, error)
            return replace(answers[-1] if answers else permission, probe=False)
        return answers[-1]

    def record(
        self, key: Key, policy: BreakerPolicy, outcome: breaker.Outcome, duration_us: int, *, probe: bool
    ) -> Circuit:
        """Count a call that ended."""
        return self._change(
            key, lambda circuit, now: breaker.record(circuit, policy, now, outcome, duration_us, probe=probe)
        )

    def rest(self, key: Key, seconds: float, *, probe: bool = False) -> Circuit:
        """Leave the model alone for as long as its server asked a call, which gives back its probe if it has one."""
        return self._change(key, lambda circuit, now: breaker.rest(circuit, now, seconds, probe=probe))

    def give_back(self, key: Key) -> Circuit:
        """Take back a probe that told nothing."""
        return self._change(key, lambda circuit, _: breaker.give_back(circuit))

    def _change(self, key: Key, change: Callable[[Circuit, int], Circuit]) -> Circuit:
        with self._store.writing() as connection:
            before, why, now = _read(connection, key, self._store)
            after = change(before, now)
            if why or after != before:
                connection.execute(
                    "INSERT INTO circuits VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                    " circuit = excluded.circuit, changed_at = excluded.changed_at",
                    (*key, after.to_json(), now),
                )
        if why:
            _log.info("The breaker of %s/%s was kept anew: %s", *key, why)
        if after.state != before.state:
            _log.info("The breaker of %s/%s went from %s to %s", *key, before.state, after.state)
            if self._watch is not None:
                self._watch(key, before, after, now)
        return after


def permissions(circuits: Mapping[Key, Circuit], now: int) -> dict[Key, Permission]:
    """What each circuit would say now."""
    return {key: breaker.look(circuit, now) for key, circuit in circuits.items()}


def _read(connection: apsw.Connection, key: Key, store: Store) -> tuple[Circuit, str, int]:
    """A circuit, why it is another than was kept, and the time now. That is after whatever the transaction had to
    wait for, so that what others kept meanwhile is not taken for kept by a clock ahead."""
    sql = f"SELECT {_KEPT} FROM circuits WHERE provider = ? AND model = ?"
    row: Any = connection.execute(sql, key).fetchone()
    now = store.now()
    return (Circuit(), "", now) if row is None else (*_as_of(now, row[0], row[1]), now)


def _as_of(now: int, text: bytes | None, changed_at: int | None) -> tuple[Circuit, str]:
    """A circuit as it was kept, and why it is another than that, if it is: a fresh one where what was kept is none; and
    what was kept later than now was kept before the clock was put back. Then its times are put back as well, so that a
    model is not left alone for as long as the clock was ahead."""
    circuit = None if text is None or changed_at is None else breaker.parsed(text, changed_at)
    if circuit is None or changed_at is None:
        return Circuit(), "what was kept is damaged or of another version of aqe, and calls are counted anew"
    if changed_at <= now:
        return circuit, ""
    return breaker.moved(circuit, now - changed_at), "the clock was put back"
