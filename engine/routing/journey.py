"""One request on its way: which model is asked next, how long it may take, and what a failure leads to.

Within a round every kept model is asked once, the best first and without a pause. Only when all have failed comes a
pause with jitter, or the rest that a server asked for, and the next round. Before each call the decision is taken anew,
so breakers and kill switches act on it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from aqe.engine.errors import AqeError, OutOfTime, UserError
from aqe.engine.providers.protocol import Completion, CompletionRequest, Provider, ProviderFailure
from aqe.engine.routing.circuits import Key, breaker_policy
from aqe.engine.routing.decision import Attempt, Candidate, Decision, RouteRequest

if TYPE_CHECKING:
    from aqe.engine.routing.router import Router

TIMEOUT_S = 30.0
PLACES = 4
"""Longest call and calls at a time of a provider that no setting describes."""
NEVER_AGAIN = ("request", "auth")
"""Kinds of failure that the same request would meet again."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Journey:
    """The calls of one request; `attempts` grows with each of them."""

    def __init__(
        self, router: Router, request: RouteRequest, completion: CompletionRequest, decision: Decision
    ) -> None:
        self.request = request
        self.decision = decision
        self.attempts: list[Attempt] = []
        self._router = router
        self._completion = completion
        self._need = decision.score
        self._deadline = time.monotonic() + completion.timeout_s
        self._refused: set[Key] = set()
        self._refusal: AqeError | None = None
        self._round = 0  # of those in which a model was asked; waiting for a breaker is none

    async def complete(self) -> Completion:
        """The first whole answer that comes. Raises as `Router.run`."""

        async def ask(provider: Provider, model: str, completion: CompletionRequest) -> Completion:
            return await provider.complete(completion, model)

        call, answer = await self._rounds(ask)
        call.took(answer.latency_ms)
        call.end_well()
        return answer

    async def stream(self) -> AsyncGenerator[tuple[Key, str], None]:
        """The pieces of the first answer of which one comes, each with who sent it. Raises as `Router.run`."""
        limit_s = TIMEOUT_S

        async def ask(
            provider: Provider, model: str, completion: CompletionRequest
        ) -> tuple[str | None, AsyncIterator[str]]:
            nonlocal limit_s
            limit_s = completion.timeout_s
            pieces = provider.stream(completion, model)
            try:
                return await anext(pieces, None), pieces
            except BaseException:
                await _close(pieces)
                raise

        call, (piece, pieces) = await self._rounds(ask)
        call.first_piece()
        try:
            while piece is not None:
                yield call.key, piece
                with anyio.fail_after(max(0.001, min(limit_s, self._left_s()))):
                    piece = await anext(pieces, None)
            call.end_well()
        except (ProviderFailure, TimeoutError) as exc:
            failure = exc if isinstance(exc, ProviderFailure) else ProviderFailure("timeout", "the stream stopped")
            call.end_badly(failure)
            raise _all_failed(self.attempts) from exc
        finally:
            call.let_go()
            await _close(pieces)

    async def _rounds(self, ask: Callable[[Provider, str, CompletionRequest], Awaitable[T]]) -> tuple[_Call, T]:
        jitter = wait_random_exponential(multiplier=0.25, max=5.0)

        def pause_s(state: RetryCallState) -> float:
            failed = state.outcome.exception() if state.outcome is not None else None
            return max(float(jitter(state)), failed.rest_s if isinstance(failed, _RoundFailed) else 0.0)

        def enough(state: RetryCallState) -> bool:
            return self._round >= rounds or state.upcoming_sleep >= self._left_s()

        # found passages are a query's own way out: no pause before it
        rounds = self._router.settings_now().router.rounds if self.request.needs_model else 1
        retrying = AsyncRetrying(
            sleep=anyio.sleep,
            wait=pause_s,
            stop=enough,
            retry=retry_if_exception_type(_RoundFailed),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    return await self._one_round(ask)
        except _RoundFailed as failed:
            raise self._end(failed) from failed.__cause__
        raise AssertionError("tenacity ends with a result or an error")

    async def _one_round(self, ask: Callable[[Provider, str, CompletionRequest], Awaitable[T]]) -> tuple[_Call, T]:
        done: set[Key] = set()
        while True:
            waiting = self._candidates(done)
            if not waiting:
                raise _RoundFailed(self._rest_s())
            if self._left_s() <= 0:
                raise self._out_of_time()
            candidate, key = waiting[0], (waiting[0].provider, waiting[0].model)
            self._round += not done
            done.add(key)
            call = _Call(
                self._router, self._router.providers[candidate.provider], candidate, self.attempts, self._round
            )
            limit_s = min(call.limit_s, self._left_s() / 2 if len(waiting) > 1 else self._left_s())
            try:
                answer = await call.make(ask, self._completion, limit_s)
            except ProviderFailure as failure:
                call.end_badly(failure)
                if failure.kind in NEVER_AGAIN:
                    self._refused.add(key)
            except AqeError as error:  # the privacy guard or a missing extra: another model may still answer
                call.refuse(error)
                self._refused.add(key)
                self._refusal = self._refusal or error
            except BaseException:
                call.let_go()
                raise
            else:
                if answer is not None:
                    return call, answer[0]

    def _candidates(self, done: set[Key]) -> list[Candidate]:
        """The models still to be asked in this round, as things are now."""
        try:
            decision = self._router.weigh(self.request, self._need)
        except UserError as error:
            if error.code != "no-route" or (not self.attempts and not self._only_breakers()):
                raise
            return []
        return [
            one
            for one in decision.kept
            if one.tier != "extractive" and (one.provider, one.model) not in done | self._refused
        ]

    def _only_breakers(self) -> bool:
        try:
            self._router.weigh(self.request, self._need, heed_breakers=False)
        except UserError:
            return False
        return True

    def _rest_s(self) -> float:
        """Seconds until the first breaker or rest is over; 0 where one may be asked already."""
        if not self.request.needs_model:
            return 0.0
        try:
            kept = self._router.weigh(self.request, self._need, heed_breakers=False).kept
        except UserError:
            return float("inf")
        waiting = {(one.provider, one.model) for one in kept if one.tier != "extractive"} - self._refused
        return min((self._router.rest_s(key) for key in waiting), default=float("inf"))

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()

    def _end(self, failed: _RoundFailed) -> AqeError:
        answered = [one for one in self.attempts if self._refusal is None or one.outcome != self._refusal.code]
        if self._refusal is not None and not answered:
            return self._refusal
        if self._left_s() <= 0:
            return self._out_of_time()
        if not self.attempts:
            try:
                self._router.weigh(self.request, self._need)
            except UserError as error:
                return error
        return _all_failed(self.attempts)

    def _out_of_time(self) -> OutOfTime:
        return OutOfTime(
            f"No model answered within {self._completion.timeout_s:g} s ({_told(self.attempts)}).",
            code="out-of-time",
            fix="Allow more time, or look at `aqe route --explain` for what was tried.",
        )


class _RoundFailed(Exception):
    """Every model was asked and failed; `rest_s` is how long the first of them wants to be left alone."""

    def __init__(self, rest_s: float) -> None:
        super().__init__("every model failed")
        self.rest_s = rest_s


class _Call:
    """One call to one model: its place, its breaker, its time, and its line among the attempts."""

    def __init__(
        self, router: Router, provider: Provider, candidate: Candidate, attempts: list[Attempt], round: int
    ) -> None:
        table = router.table_of(provider.name)
        self.key: Key = (candidate.provider, candidate.model)
        self.limit_s = TIMEOUT_S if table is None else table.timeout_s
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
    ) -> tuple[T] | None:
        """Ask; None where there was no free place, or the breaker had closed the way meanwhile."""
        permission = self._router.circuits.ask(self.key, self._policy)
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

    def end_badly(self, failure: ProviderFailure) -> None:
        """The call failed: count it, unless the failure says nothing about the model."""
        self._told(failure.kind, failure.message)
        circuits, rest_s = self._router.circuits, failure.retry_after_s
        if failure.kind != "request" and (failure.kind != "rate-limit" or rest_s is None):
            self._record(lambda: circuits.record(self.key, self._policy, "failed", self._us(), probe=self._probe))
            self._probe = False
        if rest_s is not None:
            self._record(lambda: circuits.rest(self.key, rest_s))
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


def _all_failed(attempts: list[Attempt]) -> UserError:
    return UserError(
        f"Every model that was asked failed ({_told(attempts)}).",
        code="provider-failed",
        fix="See whether its server runs; `aqe route --explain` shows what was tried.",
    )


def _told(attempts: list[Attempt]) -> str:
    """What each model said last."""
    last = {f"{one.provider}/{one.model}": f"{one.outcome}: {one.message}".rstrip(": ") for one in attempts}
    return "; ".join(f"{name} {said}" for name, said in list(last.items())[:4]) or "none was asked"


async def _close(pieces: AsyncIterator[str]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        with contextlib.suppress(ProviderFailure):
            await close()
