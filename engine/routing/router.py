"""The router: decides, asks, falls back at once, and backs off only when every model has failed.

The decision is pure (`policy`), the breakers are pure (`breaker`); here they meet clocks, the store and the providers.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from aqe.engine.errors import AqeError, UserError
from aqe.engine.providers.configured import Egress, Recipient
from aqe.engine.providers.protocol import Completion, CompletionRequest, Provider, StreamEnd, Usage
from aqe.engine.routing.breaker import ALLOWED
from aqe.engine.routing.circuits import Circuits, Key, Watch, permissions
from aqe.engine.routing.decision import Attempt, Decision, Routed, RouteRequest
from aqe.engine.routing.journey import Journey
from aqe.engine.routing.log import log_route
from aqe.engine.routing.policy import Course, Option, Switches, course_of
from aqe.engine.routing.rules import RuleTable, shipped_rules
from aqe.engine.routing.scorer import need_of
from aqe.engine.routing.switches import recent

if TYPE_CHECKING:
    from aqe.engine.memory import Store
    from aqe.engine.settings import ProviderSettings, Settings

MOST_COURSES = 64
_log = logging.getLogger(__name__)


class Router:
    """Routes requests over `providers`, with breakers and log in `store`.

    `settings` may be a function (`live_settings`), so that kill switches act on the next call, also within a request
    that is already on its way. With a guard whose mode is strict no model elsewhere is ever a candidate. Belongs to
    one event loop; `decide` alone may be called from anywhere.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        store: Store,
        settings: Settings | Callable[[], Settings],
        guard: Egress | None = None,
        rules: RuleTable | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self.circuits = Circuits(store, watch=watch)
        self._store = store
        self._settings: Callable[[], Settings] = settings if callable(settings) else lambda: settings
        self._guard = guard
        self._rules = rules
        self._switches: tuple[Settings, str, Switches, dict[tuple[object, ...], Course]] | None = None
        self._recent = recent(self._settings)
        self.places: dict[str, anyio.CapacityLimiter] = {}

    def decide(self, request: RouteRequest, *, settings: Settings | None = None) -> Decision:
        """Where the request would go now, and why; nothing is asked or kept. `settings` are those in force where the
        caller has just looked.

        Raises `UserError` (no-model, no-route, bad-argument).
        """
        return self.weigh(request, need_of(request.prompt), settings=settings)

    def weigh(
        self, request: RouteRequest, need: float, *, heed_breakers: bool = True, settings: Settings | None = None
    ) -> Decision:
        """As `decide`, with the scorer's need already known; without `heed_breakers` as if all were closed."""
        course = self._course(request, settings or self._settings())
        options = self.options()
        if not heed_breakers:
            options = [replace(option, permission=ALLOWED) for option in options]
        return course.decide(request.prompt, options, need)

    def _course(self, request: RouteRequest, settings: Settings) -> Course:
        """What is settled of the request but for its prompt; kept while the settings stay as they are."""
        is_free = not self.providers or self._guard is None or self._guard.may_leave(False)
        barred = "" if is_free else self._strictness()
        known = self._switches
        if known is None or known[0] is not settings or known[1] != barred:
            known = self._switches = settings, barred, Switches.of(settings, cloud_barred=barred), {}
        switches, courses = known[2:]
        asked = (request.task, request.privacy, request.strategy, request.force, request.needs_model)
        key = (*asked, request.max_cost_usd, request.max_latency_ms)
        course = courses.get(key)
        if course is None:
            if len(courses) >= MOST_COURSES:
                courses.clear()
            course = courses[key] = course_of(request, self._rules or shipped_rules(), switches)
        return course

    def plan(self, request: RouteRequest) -> Decision:
        """As `decide`, and where breakers alone leave nothing, the decision that would hold without them."""
        need = need_of(request.prompt)
        try:
            return self.weigh(request, need)
        except UserError as error:
            if error.code != "no-route":
                raise
            return self.weigh(request, need, heed_breakers=False)

    async def run(
        self, request: RouteRequest, completion: CompletionRequest, *, request_id: str | None = None
    ) -> Routed:
        """Ask the best model; when it fails the next one at once; when all have failed again after a jittered pause.

        Ends within `completion.timeout_s`. With a `request_id` the route is logged under it. Usage and cost count
        answers that were thrown away on the way too. Raises `UserError` (no-model, no-route, strict-mode,
        provider-failed, and what the privacy guard raises) and `OutOfTime`.
        """
        journey = Journey(self, request, completion, self._planned(request, completion))
        try:
            answer = await journey.complete()
        except AqeError as error:
            self._keep(journey, request_id, error.code)
            raise
        self._keep(journey, request_id, "ok", answered_by=(answer.provider, answer.model))
        answers = (*journey.spent, answer)
        costs = [self.cost_usd(one) for one in answers]
        whole = None if None in costs else sum(cost for cost in costs if cost is not None)
        usage = together([one.usage for one in answers])
        return Routed(replace(answer, usage=usage), journey.told(), tuple(journey.attempts), whole)

    def stream(
        self, request: RouteRequest, completion: CompletionRequest, *, request_id: str | None = None
    ) -> RoutedStream:
        """As `run`, piece by piece. Another model is asked only while no piece has come yet.

        Raises `UserError` at once as `decide` does, the rest while it is read.
        """
        journey = Journey(self, request, completion, self._planned(request, completion))
        return RoutedStream(journey, self._keep, request_id)

    def _planned(self, request: RouteRequest, completion: CompletionRequest) -> Decision:
        """As `plan`; where the privacy mode alone stands before every model, that is written to the audit log."""
        try:
            return self.plan(request)
        except UserError as error:
            if error.code == "strict-mode" and self._guard is not None:
                for provider in self.providers.values():
                    to = getattr(provider, "recipient", None) or Recipient(provider.name, "")
                    with contextlib.suppress(AqeError):
                        self._guard.outgoing(completion.messages, to=to, purpose=completion.purpose)
            raise

    def note(self, decision: Decision, *, request_id: str, task: str | None = None, outcome: str = "ok") -> None:
        """Log a decision that was carried out elsewhere, such as an answer from found passages."""
        log_route(self._store, decision, request_id=request_id, task=task, outcome=outcome)

    def cost_usd(self, completion: Completion) -> float | None:
        """What an answer cost by its usage; None where nobody says the price."""
        provider = self.providers.get(completion.provider)
        price = None if provider is None else provider.price(completion.model)
        return None if price is None else price.of(completion.usage)

    def recent_settings(self) -> Settings:
        """The settings that were in force a moment ago: for what asks no model (`LiveSettings.recent`)."""
        return self._recent()

    def settings_now(self) -> Settings:
        """The settings in force now."""
        return self._settings()

    def table_of(self, provider: str) -> ProviderSettings | None:
        """The provider's own settings, None for one that was made in Python."""
        return self._settings().providers.get(provider)

    def options(self) -> list[Option]:
        """What is known of every model now."""
        if not self.providers:
            return []
        circuits = self.circuits.all()
        allowed = permissions(circuits, self._store.now())
        found = []
        for provider in self.providers.values():
            table = self.table_of(provider.name)
            for model in provider.models:
                key: Key = (provider.name, model)
                latency_us = circuits[key].latency_us if key in circuits else 0
                option = Option(
                    provider=provider.name,
                    model=model,
                    tier="local" if provider.local else "cloud",
                    quality=None if table is None else table.quality,
                    price=provider.price(model),
                    latency_ms=latency_us / 1000 if latency_us else None,
                    priority=0 if table is None else table.priority,
                )
                found.append(option if key not in allowed else replace(option, permission=allowed[key]))
        return found

    def rest_s(self, key: Key) -> float:
        """Seconds until a model may be asked again; 0 where it may be now."""
        now = self._store.now()
        permission = permissions(self.circuits.all(), now).get(key, ALLOWED)
        return 0.0 if permission.allowed else max(0.0, (permission.until - now) / 1e6)

    async def close(self) -> None:
        """Close every provider."""
        for provider in self.providers.values():
            await provider.close()

    def _strictness(self) -> str:
        mode = self._guard.mode if self._guard is not None else ""
        return f"privacy mode {mode!r} lets nothing leave this machine"

    def _keep(self, journey: Journey, request_id: str | None, outcome: str, *, answered_by: Key | None = None) -> None:
        if request_id is None:
            return
        try:
            log_route(
                self._store,
                journey.decision,
                request_id=request_id,
                task=journey.request.task,
                outcome=outcome,
                attempts=journey.attempts,
                answered_by=answered_by,
            )
        except AqeError as error:  # an answer is worth more than its line in the log
            _log.warning("The route of %s is not in the log: %s", request_id, error)


class RoutedStream:
    """The pieces of an answer, read once with `async for`; `aclose` ends it early.

    `decision` and `attempts` say where they come from, `answered_by` which provider and model, `text` is what has come.
    """

    def __init__(self, journey: Journey, keep: Callable[..., None], request_id: str | None) -> None:
        self.text = ""
        self.answered_by: Key = (journey.decision.provider, journey.decision.model)
        self._journey = journey
        self._keep = keep
        self._request_id = request_id
        self._pieces = self._read()

    @property
    def decision(self) -> Decision:
        """The decision that began it; once it is read, with who answered in its place."""
        return self._journey.told()

    @property
    def end(self) -> StreamEnd:
        """How it ended, once it is read."""
        return self._journey.end

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every call so far."""
        return tuple(self._journey.attempts)

    def __aiter__(self) -> AsyncIterator[str]:
        return self._pieces

    async def aclose(self) -> None:
        """Stop reading and let go of the connection."""
        await self._pieces.aclose()

    async def _read(self) -> AsyncGenerator[str, None]:
        outcome = "cancelled"
        try:
            async with contextlib.aclosing(self._journey.stream()) as pieces:
                async for key, piece in pieces:
                    self.answered_by = key
                    self.text += piece
                    yield piece
            outcome = "ok"
        except AqeError as error:
            outcome = error.code
            raise
        finally:
            self._keep(self._journey, self._request_id, outcome, answered_by=self.answered_by)


def together(usages: Sequence[Usage]) -> Usage:
    """The tokens of several calls."""
    return Usage(
        sum(one.input_tokens for one in usages),
        sum(one.output_tokens for one in usages),
        any(one.estimated for one in usages),
    )
