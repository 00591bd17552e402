"""One call to one model on a request's way: its place, its breaker, its time, and its line among the attempts."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import anyio

from aqe.engine.errors import AqeError
from aqe.engine.providers.protocol import CompletionRequest, Provider, ProviderFailure
from aqe.engine.routing.circuits import Key, breaker_policy
from aqe.engine.routing.decision import Attempt, Candidate

if TYPE_CHECKING:
    from aqe.engine.routing.router import Router

TIMEOUT_S = 30.0
PLACES = 4
"""Longest call and calls at a time of a provider that no setting describes."""
LEAST_CALL_S = 1.0
ABSENT_S = 1.0
"""How long the breaker of a server on this machine stays open that takes no connection: it is told at once whether it
is back."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Call:
    """One call to one model: its place, its breaker, its time, and its line among the attempts."""

    def __init__(
        self, router: Router, provider: Provider, candidate: Candidate, attempts: list[Attempt], round: int
    ) -> None:
        table = router.table_of(provider.name)
        self.key: Key = (candidate.provider, candidate.model)
        self.limit_s = TIMEOUT_S if table is None else table.timeout_s
        self.usual_s = usual_s(candidate)
        self._places = PLACES if table is None else table.max_concurrency
        self._router = router
        self._provider = provider
        self._attempts = attempts
        self._round = round
        self._policy = breaker_policy(router.settings_now().breaker)
        self._probe = False
        self._began = time.monotonic()
        self._took_us: int | None = None
        self._place: anyio.CapacityLimiter | None = None

    async def make(
        self,
        ask: Callable[[Provider, str, CompletionRequest], Awaitable[T]],
        completion: CompletionRequest,
        limit_s: float,
        longest_s: float,
    ) -> tuple[T] | None:
        """Ask, for at most `limit_s`; with the pieces that may come then, a call takes at most `longest_s`, for which a
        probe is lent. None where there was no free place, or the breaker had closed the way meanwhile."""
        lease_us = max(self._policy.probe_us, round(1e6 * longest_s))
        permission = self._router.circuits.ask(self.key, replace(self._policy, probe_us=lease_us))
        if not permission.allowed:
            self._told("breaker", permission.reason)
            return None
        self._probe = permission.probe
        began = time.monotonic()
        if not await self._take_place(limit_s):
            self._told("busy", f"no free place within {limit_s:g} s")
            self.let_go()
            return None
        self._began = time.monotonic()
        limit_s = max(0.001, limit_s - (self._began - began))
        try:
            with anyio.fail_after(limit_s):
                return (await ask(self._provider, self.key[1], replace(completion, timeout_s=limit_s)),)
        except TimeoutError:
            raise ProviderFailure("timeout", f"{self.key[0]} gave no answer within {limit_s:.3g} s") from None
        except (ProviderFailure, AqeError):
            raise
        except Exception as exc:
            _log.warning("The provider %s failed in a way it should not", self.key[0], exc_info=True)
            raise ProviderFailure("answer", f"{self.key[0]} failed with {type(exc).__name__}: {exc}") from exc

    def took(self, latency_ms: float) -> None:
        """The provider's own measure, without loading its library before the first call."""
        self._took_us = round(1000 * latency_ms)

    def first_piece(self) -> None:
        """A stream's latency is the time to its first piece."""
        self._took_us = self._elapsed_us()

    def end_well(self) -> None:
        """The answer is whole."""
        self._told("ok", "")
        self._record(lambda: self._router.circuits.record(self.key, self._policy, "ok", self._us(), probe=self._probe))
        self._probe = False
        self.let_go()

    def end_badly(self, failure: ProviderFailure, *, counts: bool) -> None:
        """The call failed; it counts unless the failure says nothing about the model."""
        self._told(failure.kind, failure.message)
        circuits, rest_s = self._router.circuits, failure.retry_after_s
        policy = self._policy
        if failure.kind == "connection" and self._provider.local:
            policy = replace(policy, open_us=min(policy.open_us, round(1e6 * ABSENT_S)), doublings=0)
        if counts and (failure.kind != "rate-limit" or rest_s is None):
            self._record(lambda: circuits.record(self.key, policy, "failed", self._us(), probe=self._probe))
            self._probe = False
        if rest_s is not None:
            is_probe = self._probe
            self._record(lambda: circuits.rest(self.key, rest_s, probe=is_probe))
            self._probe = False
        self.let_go()

    def refuse(self, error: AqeError) -> None:
        """Nothing was sent: the guard or a missing library stood before it."""
        self._told(error.code, error.message)
        self.let_go()

    def let_go(self) -> None:
        """Give back the place and, where it told nothing, the probe; twice is nothing."""
        if self._place is not None:
            self._place.release_on_behalf_of(self)
            self._place = None
        if self._probe:
            self._record(lambda: self._router.circuits.give_back(self.key))
            self._probe = False

    async def _take_place(self, limit_s: float) -> bool:
        limiter = self._router.places.setdefault(self.key[0], anyio.CapacityLimiter(self._places))
        limiter.total_tokens = self._places
        with anyio.move_on_after(limit_s):
            await limiter.acquire_on_behalf_of(self)
            self._place = limiter
        return self._place is not None

    def _record(self, change: Callable[[], object]) -> None:
        try:
            change()
        except AqeError as error:  # an answer is worth more than its breaker's count
            _log.warning("The breaker of %s/%s could not be kept: %s", *self.key, error)

    def _told(self, outcome: str, message: str) -> None:
        latency_ms = round(self._us() / 1000, 1)
        self._attempts.append(Attempt(*self.key, outcome, message, latency_ms, self._round))

    def _us(self) -> int:
        return self._elapsed_us() if self._took_us is None else self._took_us

    def _elapsed_us(self) -> int:
        return round(1e6 * (time.monotonic() - self._began))


def usual_s(candidate: Candidate) -> float:
    """What a call to a model takes, in seconds: as long as its good ones took of late, and at least `LEAST_CALL_S`."""
    return max(LEAST_CALL_S, candidate.latency_ms / 1000)
