"""Plain generation: what a model says to a prompt, once or several times with a majority, without retrieval."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import anyio
import anyio.to_thread
import numpy as np

from aqe.engine.answer import Answer, QueryConfig, Sample, Timings, Validate, Verdict
from aqe.engine.errors import AqeError, UserError
from aqe.engine.majority import cluster_majority, exact_majority, executed_majority
from aqe.engine.memory.entry import check_text, made, stored_size
from aqe.engine.providers.protocol import CompletionRequest, Message, Role, Usage
from aqe.engine.recall import CachedEmbedder
from aqe.engine.requests import Interaction
from aqe.engine.routing import Decision, Routed, Router, RouteRequest
from aqe.engine.routing.decision import Tier
from aqe.engine.routing.router import together

Prompt = str | Sequence[Message | Mapping[str, str]]
MOST_SAMPLES = 32


@dataclass(frozen=True)
class Voted:
    """The chosen answer of a model, every sample with its group, and the share that agrees (None for one sample)."""

    routed: Routed
    samples: tuple[Sample, ...]
    agreement: float | None
    verdict: Verdict | None
    usage: Usage
    cost_usd: float | None


def as_messages(prompt: Prompt) -> tuple[Message, ...]:
    """A text, or OpenAI-style messages, as messages. Raises `UserError` (bad-text, text-too-long, bad-argument)."""
    if isinstance(prompt, str):
        return (Message("user", check_text(prompt)),)
    if not isinstance(prompt, Sequence):
        raise UserError(f"The prompt is {type(prompt).__name__}, not a text.", code="bad-text", fix="Give a string.")
    found = tuple(_as_message(place, one) for place, one in enumerate(prompt))
    if not any(one.role == "user" for one in found):
        raise UserError("No message is the user's.", code="bad-argument", fix="End with what the user says.")
    return found


def _as_message(place: int, message: object) -> Message:
    if isinstance(message, Message):
        message = {"role": message.role, "content": message.content}
    if not isinstance(message, Mapping):
        raise UserError(f"Message {place} is no object.", code="bad-argument", fix="Give role and content.")
    said = message.get("role")
    role: Role | None = next((known for known in get_args(Role) if known == said), None)
    if role is None:
        raise UserError(
            f"Message {place} has the role {said!r:.40}.", code="bad-argument", fix=f"Give {', '.join(get_args(Role))}."
        )
    return Message(role, check_text(message.get("content", "")))


def check_samples(n: int) -> int:
    """A number of samples if it is one. Raises `UserError` (bad-limit)."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_SAMPLES:
        raise UserError(f"{n!r:.40} is no number of samples.", code="bad-limit", fix=f"Give 1 to {MOST_SAMPLES}.")
    return n


def check_validate(validate: object) -> None:
    """Raises `UserError` (bad-argument) unless a caller's check can be called, or there is none."""
    if validate is not None and not callable(validate):
        raise UserError(
            f"validate is {type(validate).__name__}, which checks nothing.",
            code="bad-argument",
            fix="Give a function of the answer.",
        )


async def judged(validate: Validate, answer: Answer) -> Verdict:
    """What the caller's check says; a plain function runs in a worker thread.

    Raises `UserError` (bad-argument) where it gives neither a truth value nor a `Verdict` of one.
    """
    try:
        if inspect.iscoroutinefunction(validate):
            said = await validate(answer)
        else:
            said = await anyio.to_thread.run_sync(validate, answer)
            if isinstance(said, Awaitable):
                said = await said
    except AssertionError as error:
        return Verdict(False, str(error))
    passed = said.passed if isinstance(said, Verdict) else said
    if not isinstance(passed, int | np.bool_ | np.integer):
        raise UserError(
            f"The check gave {passed!r:.40}, which is neither yes nor no.",
            code="bad-argument",
            fix="Give True, False or a `Verdict` of one, as in `return True` behind its asserts or `bool(found)`.",
        )
    if not isinstance(said, Verdict):
        return Verdict(bool(passed))
    return replace(said, passed=bool(passed), detail=str(said.detail))


async def vote(
    router: Router,
    embedder: CachedEmbedder,
    route: RouteRequest,
    completion: CompletionRequest,
    *,
    request_id: str,
    n: int,
    check: Callable[[Routed, str], Awaitable[Verdict]] | None,
) -> Voted:
    """Ask `n` times at once (seeds count up from the given one) and choose.

    With a check the samples that pass vote by what they gave when executed; JSON votes by its value, free text by
    likeness. A sample whose model failed is left out; where all failed the first failure is raised.
    """
    found: list[Routed | AqeError | None] = [None] * n

    async def ask(place: int) -> None:
        seed = None if completion.seed is None else completion.seed + place
        try:
            found[place] = await router.run(
                route, replace(completion, seed=seed), request_id=request_id if place == 0 else None
            )
        except AqeError as error:
            found[place] = error

    async with anyio.create_task_group() as tasks:
        for place in range(n):
            tasks.start_soon(ask, place)
    routed = [one for one in found if isinstance(one, Routed)]
    if not routed:
        raise next(one for one in found if isinstance(one, AqeError))
    texts = [one.completion.text for one in routed]
    verdicts = [await check(one, one.completion.text) for one in routed] if check is not None else []
    best, samples, agreement = await anyio.to_thread.run_sync(
        partial(_choose, texts, verdicts, embedder, is_json=completion.json_schema is not None)
    )
    costs = [one.cost_usd for one in routed]
    return Voted(
        routed=routed[best],
        samples=samples if n > 1 else (),
        agreement=agreement if n > 1 else None,
        verdict=verdicts[best] if verdicts else None,
        usage=together([one.completion.usage for one in routed]),
        cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
    )


def _choose(
    texts: Sequence[str], verdicts: Sequence[Verdict], embedder: CachedEmbedder, *, is_json: bool
) -> tuple[int, tuple[Sample, ...], float]:
    if verdicts:
        return executed_majority(texts, verdicts)
    if is_json or len(texts) == 1:
        return exact_majority(texts)
    return cluster_majority(texts, embedder.embed(texts))


def completion_route(messages: Sequence[Message], task: str | None, config: QueryConfig | None = None) -> RouteRequest:
    """What the router is told of a completion: the last thing that the user says, and that a model is needed."""
    prompt = next(message.content for message in reversed(messages) if message.role == "user")
    return replace(route_request(prompt, task, config or QueryConfig()), needs_model=True)


def route_request(prompt: str, task: str | None, config: QueryConfig) -> RouteRequest:
    """What the router is told of a query. Raises `UserError` (bad-argument)."""
    if task is not None:
        stored_size(task, "The task", "bad-argument")
    return made(
        RouteRequest,
        {
            "prompt": prompt,
            "task": task,
            "privacy": config.privacy,
            "max_cost_usd": config.max_cost_usd,
            "max_latency_ms": config.max_latency_ms,
            "strategy": config.strategy,
            "force": config.force,
            "needs_model": False,
        },
    )


def tier_of(decision: Decision, answered_by: tuple[str, str]) -> Tier:
    """The tier of the provider and model that answered, which may not be the one decided for."""
    tiers = {(one.provider, one.model): one.tier for one in decision.candidates}
    return tiers.get(answered_by, decision.tier)


def completed(
    request_id: str,
    text: str,
    decision: Decision,
    answered_by: tuple[str, str],
    usage: Usage,
    cost_usd: float | None,
    *,
    began: float,
    answer_ms: float,
    finish_reason: str = "stop",
) -> Answer:
    """An answer that rests on no memory; `answered_by` is provider and model."""
    total = 1000 * (time.perf_counter() - began)
    return Answer(
        text=text,
        answered=True,
        confidence=None,
        provider=answered_by[0],
        model=answered_by[1],
        tier=tier_of(decision, answered_by),
        route_reason=decision.reason,
        request_id=request_id,
        session=None,
        context=(),
        context_tokens=0,
        citations=(),
        usage=usage,
        cost_usd=cost_usd,
        latency_ms=total,
        timings=Timings(0.0, 0.0, max(0.0, total - answer_ms), answer_ms, total),
        finish_reason=finish_reason,
    )


def interaction_of(messages: Sequence[Message], answer: Answer, task: str | None) -> Interaction:
    """The row of a completion; a conversation stands in it with a role before each message."""
    plain = len(messages) == 1
    return Interaction(
        id=answer.request_id,
        kind="complete",
        prompt=messages[0].content if plain else "\n".join(f"{one.role}: {one.content}" for one in messages),
        answer=answer.text,
        task=task,
        provider=answer.provider,
        model=answer.model,
        tier=answer.tier,
        route_reason=answer.route_reason,
        confidence=answer.confidence,
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        latency_ms=answer.latency_ms,
        cost_usd=answer.cost_usd or 0.0,
        verdict=None if answer.verdict is None else answer.verdict.passed,
    )
