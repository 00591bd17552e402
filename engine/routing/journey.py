"""One request on its way: which model is asked next, how long it may take, and what a failure leads to.

Within a round every kept model is asked once, the best first and without a pause. Only when all have failed comes a
pause with jitter, or the rest that a server asked for, and the next round. Before each call the decision is taken anew,
so breakers and kill switches act on it.

An answer that says nothing, or that has not the shape that was asked for, is a failure of its model too; it is asked
for another one once. What has come of a stream that breaks off is never taken for the whole.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random, wait_random_exponential

from aqe.engine.errors import AqeError, OutOfTime, UserError
from aqe.engine.providers.protocol import Completion, CompletionRequest, Loads, Provider, ProviderFailure, StreamEnd
from aqe.engine.providers.shapes import fitted
from aqe.engine.routing.call import ABSENT_S, TIMEOUT_S, Call, usual_s
from aqe.engine.routing.circuits import Key
from aqe.engine.routing.decision import Attempt, Candidate, Decision, RouteRequest

if TYPE_CHECKING:
    from aqe.engine.routing.router import Router

NEVER_AGAIN = ("request", "auth")
"""Kinds of failure that the same request would meet again."""
ONCE_AGAIN = ("empty", "misfit")
"""Kinds of failure after which a model is asked for another answer, at most once."""
FIXES = {
    "connection": "See whether its server runs and `base_url` is its address; `aqe route --explain` shows more.",
    "auth": "Give the variable that its `api_key_env` names the key of this server.",
    "request": "Change what it refuses, or add another model.",
    "empty": "Ask in other words, allow more tokens, or add another model.",
    "misfit": "Ask for a simpler shape, allow more tokens, or add a stronger model.",
}
"""What to do where all that were asked failed in one of these ways."""

BLIPS = ("connection", "server", "rate-limit")
"""Kinds of failure that may be over in seconds."""
ALONE_S = (wait_random(1.0, 2.0), wait_random(3.0, 5.0))
"""The pauses before the rounds more that a provider gets which nobody stands in for; with them it is asked for 4 to 8
seconds in all, and as often as opens a breaker by default."""

ALONE_MOST_S = 8.0
"""After so many seconds no such round begins any more."""

TOLD_S = 0.9
"""A pause of so many seconds and more is told: a warning of this module's logger, which a terminal shows."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Journey:
    """The calls of one request; `attempts` grows with each of them, `spent` with each answer that was none, and `end`
    is how the stream ended."""

    def __init__(
        self, router: Router, request: RouteRequest, completion: CompletionRequest, decision: Decision
    ) -> None:
        self.request = request
        self.decision = decision
        self.attempts: list[Attempt] = []
        self.spent: list[Completion] = []
        self.end = StreamEnd()
        self._router = router
        self._completion = completion
        self._need = decision.score
        self._deadline = time.monotonic() + completion.timeout_s
        self._refused: set[Key] = set()
        self._asked_again: set[Key] = set()
        self._refusal: AqeError | None = None
        self._streams = False
        self._round = 0  # of those in which a model was asked; waiting for a breaker is none

    async def complete(self) -> Completion:
        """The first whole answer that comes. Raises as `Router.run`."""

        async def ask(provider: Provider, model: str, completion: CompletionRequest) -> Completion:
            return await self._held(await provider.complete(completion, model))

        call, answer = await self._rounds(ask)
        call.took(answer.latency_ms)
        call.end_well()
        return answer

    async def stream(self) -> AsyncGenerator[tuple[Key, str], None]:
        """The pieces of the first answer of which one comes, each with who sent it. Raises as `Router.run`."""
        limit_s = TIMEOUT_S
        self._streams = True

        async def ask(
            provider: Provider, model: str, completion: CompletionRequest
        ) -> tuple[str, AsyncIterator[str | StreamEnd]]:
            nonlocal limit_s
            limit_s = completion.timeout_s
            pieces = provider.stream(completion, model)
            try:
                return await _begun(pieces, provider.name), pieces
            except BaseException:
                await _close(pieces)
                raise

        call, (begun, pieces) = await self._rounds(ask)
        call.first_piece()
        piece: str | StreamEnd | None = begun
        given = 0
        try:
            while piece is not None:
                if isinstance(piece, StreamEnd):
                    self.end = piece
                else:
                    given += len(piece)
                    yield call.key, piece
                piece = await _next(pieces, call.key[0], max(0.001, min(limit_s, self._left_s())))
            call.end_well()
        except ProviderFailure as failure:
            call.end_badly(failure, counts=self._counts(failure, call, limit_s))
            raise self._broken_off(call.key, given, failure) from failure
        finally:
            call.let_go()
            await _close(pieces)

    def told(self) -> Decision:
        """The decision, its reason with who did not answer where it was not the first one asked that did."""
        if not self.attempts or self.attempts[-1].outcome != "ok":
            return self.decision
        last = self.attempts[-1]
        failed = {f"{one.provider}/{one.model}": one.outcome for one in self.attempts[:-1]}
        name = f"{last.provider}/{last.model}"
        at_first = failed.pop(name, "")
        parts = [f"{other} failed ({outcome})" for other, outcome in failed.items()]
        if at_first:
            parts.append(f"{name} answered when it was asked again ({at_first} before)")
        elif failed or (last.provider, last.model) != (self.decision.provider, self.decision.model):
            parts.append(f"{name} answered")
        return replace(self.decision, reason="; ".join((self.decision.reason, *parts)))

    async def _held(self, answer: Completion) -> Completion:
        """The answer, if it says something and has the shape that was asked for."""
        schema = self._completion.json_schema
        if not answer.text.strip():
            failure = _nothing_said(answer.provider, answer.finish_reason)
        elif schema is None:
            return answer
        else:
            text, wrong = await anyio.to_thread.run_sync(fitted, answer.text, schema)
            if not wrong:
                return replace(answer, text=text)
            failure = ProviderFailure(
                "misfit", f"the answer of {answer.provider} misses its shape: {wrong}{_cut(answer.finish_reason)}"
            )
        self.spent.append(answer)
        raise failure

    def _counts(self, failure: ProviderFailure, call: Call, limit_s: float) -> bool:
        """Whether a failure tells of the model, and not of the request: its limits, its shape, its haste."""
        if failure.kind == "empty":
            return not self._completion.stop and self._completion.max_tokens is None
        if failure.kind == "timeout":
            return limit_s >= 0.9 * min(call.limit_s, 2 * call.usual_s)  # a little went by before
        return failure.kind not in ("request", "misfit")

    async def _rounds(self, ask: Callable[[Provider, str, CompletionRequest], Awaitable[T]]) -> tuple[Call, T]:
        jitter = wait_random_exponential(multiplier=0.25, max=5.0)

        def pause_s(state: RetryCallState) -> float:
            failed = state.outcome.exception() if state.outcome is not None else None
            more = self._round - rounds
            pause = ALONE_S[more] if 0 <= more < len(ALONE_S) and self._is_alone() else jitter
            return max(float(pause(state)), failed.rest_s if isinstance(failed, _RoundFailed) else 0.0)

        def enough(state: RetryCallState) -> bool:
            failed = state.outcome.exception() if state.outcome is not None else None
            call_s = failed.call_s if isinstance(failed, _RoundFailed) else 0.0
            if self._round >= rounds and not (self._is_alone() and self._may_go_on(state, rounds)):
                return True
            return state.upcoming_sleep + call_s >= self._left_s()

        # found passages are a query's own way out: no pause before it
        rounds = self._router.settings_now().router.rounds if self.request.needs_model else 1
        retrying = AsyncRetrying(
            sleep=anyio.sleep,
            wait=pause_s,
            stop=enough,
            before_sleep=self._tell,
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

    def _tell(self, state: RetryCallState) -> None:
        if state.upcoming_sleep >= TOLD_S:
            left_alone = "after failures a model is left alone for a while"
            why = _told(self.attempts) if self.attempts else left_alone
            _log.warning("No model has answered yet (%s). The next try is in %.0f s.", why, state.upcoming_sleep)

    def _is_alone(self) -> bool:
        """Whether in the last round one provider alone was asked, and failed in ways that may soon be over."""
        last = [one for one in self.attempts if one.round == self._round]
        return len({one.provider for one in last}) == 1 and all(one.outcome in BLIPS for one in last)

    def _may_go_on(self, state: RetryCallState, rounds: int) -> bool:
        """Whether a provider that nobody stands in for is asked once more: not where the settings want it asked only
        once, nor after long calls or rests."""
        waited_s = (state.seconds_since_start or 0.0) + state.upcoming_sleep
        return rounds > 1 and self._round < rounds + len(ALONE_S) and waited_s <= ALONE_MOST_S

    async def _one_round(self, ask: Callable[[Provider, str, CompletionRequest], Awaitable[T]]) -> tuple[Call, T]:
        done: set[Key] = set()
        while True:
            waiting = self._candidates(done)
            if not waiting:
                raise _RoundFailed(*self._rest())
            if self._left_s() <= 0:
                raise self._out_of_time()
            candidate, key = waiting[0], (waiting[0].provider, waiting[0].model)
            self._round += not done
            done.add(key)
            provider = self._router.providers[candidate.provider]
            await self._load(provider)
            call = Call(self._router, provider, candidate, self.attempts, self._round)
            limit_s = min(call.limit_s, self._left_s() / 2 if len(waiting) > 1 else self._left_s())
            try:
                answer = await call.make(ask, self._completion, limit_s, self._left_s() if self._streams else limit_s)
            except ProviderFailure as failure:
                call.end_badly(failure, counts=self._counts(failure, call, limit_s))
                if failure.kind in NEVER_AGAIN or key in self._asked_again:
                    self._refused.add(key)
                elif failure.kind in ONCE_AGAIN:
                    self._asked_again.add(key)
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

    async def _load(self, provider: Provider) -> None:
        """What a provider loads before its first call takes nothing of the time that models have."""
        if isinstance(provider, Loads):
            began = time.monotonic()
            await provider.load()
            self._deadline += time.monotonic() - began

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

    def _rest(self) -> tuple[float, float]:
        """Seconds until the first breaker or rest is over, and those that a call then needs; both 0 where a model may
        be asked already."""
        if not self.request.needs_model:
            return 0.0, 0.0
        kept = self._waiting(heed_breakers=False)
        ready = {(one.provider, one.model) for one in self._waiting(heed_breakers=True)}
        if any((one.provider, one.model) in ready for one in kept):
            return 0.0, 0.0
        rests = [(self._router.rest_s((one.provider, one.model)), usual_s(one)) for one in kept]
        return min(rests, default=(math.inf, 0.0))

    def _waiting(self, *, heed_breakers: bool) -> list[Candidate]:
        try:
            kept = self._router.weigh(self.request, self._need, heed_breakers=heed_breakers).kept
        except UserError:
            return []
        return [one for one in kept if one.tier != "extractive" and (one.provider, one.model) not in self._refused]

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()

    def _end(self, failed: _RoundFailed) -> AqeError:
        answered = [one for one in self.attempts if self._refusal is None or one.outcome != self._refusal.code]
        if self._refusal is not None and not answered:
            return self._refusal
        if self._left_s() <= 0:
            return self._out_of_time()
        error = _all_failed(self.attempts)
        if not self.attempts:
            try:
                self._router.weigh(self.request, self._need)
            except UserError as barred:
                error = barred
        if failed.call_s == 0.0 or (self.attempts and failed.rest_s <= ABSENT_S):
            return error
        soon = f"in {math.ceil(failed.rest_s)} s" if failed.rest_s > 0 else "in a moment"
        fix = f"It may be asked again {soon}: ask then, allow more time than that now, or add another model."
        return UserError(error.message, code=error.code, fix=fix)

    def _broken_off(self, key: Key, given: int, failure: ProviderFailure) -> AqeError:
        """The error of a stream of which a part is out."""
        kind, code = (OutOfTime, "out-of-time") if self._left_s() <= 0 else (UserError, "provider-failed")
        return kind(
            f"The answer of {key[0]}/{key[1]} broke off after {given} characters, which are not the whole of it"
            f" ({failure.kind}: {failure.message}).",
            code=code,
            fix="Ask again; once a part of an answer is out no other model is asked for the rest.",
        )

    def _out_of_time(self) -> OutOfTime:
        return OutOfTime(
            f"No model answered within {self._completion.timeout_s:g} s ({_told(self.attempts)}).",
            code="out-of-time",
            fix="Allow more time, or look at `aqe route --explain` for what was tried.",
        )


class _RoundFailed(Exception):
    """Every model was asked and failed; `rest_s` is how long the first of them wants to be left alone, `call_s` what a
    call takes then."""

    def __init__(self, rest_s: float, call_s: float) -> None:
        super().__init__("every model failed")
        self.rest_s = rest_s
        self.call_s = call_s


def _all_failed(attempts: list[Attempt]) -> UserError:
    kinds = {kind for _, kind, _ in _last(attempts)}
    usual = "See whether its server runs; `aqe route --explain` shows what was tried."
    return UserError(
        f"Every model that was asked failed ({_told(attempts)}).",
        code="provider-failed",
        fix=FIXES.get(kinds.pop(), usual) if len(kinds) == 1 else usual,
    )


def _last(attempts: list[Attempt]) -> list[tuple[str, str, str]]:
    """The name of each model, how its last call ended and what was said of it."""
    last = {f"{one.provider}/{one.model}": one for one in attempts}
    return [(name, one.outcome, one.message) for name, one in last.items()]


def _told(attempts: list[Attempt]) -> str:
    """What each model said last."""
    told = [f"{name} {kind}: {message}".rstrip(": ") for name, kind, message in _last(attempts)[:4]]
    return "; ".join(told) or "none was asked"


def _nothing_said(provider: str, finish_reason: str) -> ProviderFailure:
    return ProviderFailure("empty", f"{provider} said nothing{_cut(finish_reason)}")


def _cut(finish_reason: str) -> str:
    return "" if finish_reason in ("", "stop") else f" (it ended with {finish_reason:.40})"


async def _begun(pieces: AsyncIterator[str | StreamEnd], provider: str) -> str:
    """The pieces up to the first that says something, as one."""
    begun, reason = "", ""
    while not begun.strip():
        piece = await anext(pieces, None)
        if piece is None:
            raise _nothing_said(provider, reason)
        if isinstance(piece, StreamEnd):
            reason = piece.finish_reason
        else:
            begun += piece
    return begun


async def _next(pieces: AsyncIterator[str | StreamEnd], provider: str, limit_s: float) -> str | StreamEnd | None:
    """The next piece of a stream that has begun, None after the last."""
    try:
        with anyio.fail_after(limit_s):
            return await anext(pieces, None)
    except TimeoutError:
        raise ProviderFailure("timeout", f"nothing came for {limit_s:.3g} s") from None
    except (ProviderFailure, AqeError):
        raise
    except Exception as exc:
        _log.warning("The provider %s failed in a way it should not", provider, exc_info=True)
        raise ProviderFailure("answer", f"{provider} failed with {type(exc).__name__}: {exc}") from exc


async def _close(pieces: AsyncIterator[str | StreamEnd]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        with contextlib.suppress(ProviderFailure):
            await close()
