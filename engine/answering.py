"""How questions and prompts become answers: the blocking steps in worker threads, models awaited in between."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from aqe.engine.answer import Answer, BatchItem, QueryConfig, Validate, Verdict
from aqe.engine.asking import Asking, Prepared, Said
from aqe.engine.completing import (
    Prompt,
    as_messages,
    check_validate,
    completed,
    completion_route,
    interaction_of,
    judged,
    tier_of,
    vote,
)
from aqe.engine.errors import AqeError, OutOfTime, UserError
from aqe.engine.learning import Feedback, file_feedback
from aqe.engine.memory.store import Store
from aqe.engine.providers.protocol import CompletionRequest, Message, Usage
from aqe.engine.recall import CachedEmbedder
from aqe.engine.requests import RequestTable
from aqe.engine.routing import Routed, RoutedStream, Router

NO_MODEL_DID = "the passages themselves answer, since no model did"
"""What an answer's `route_reason` begins with where every model that was asked failed; why follows."""


class Answering:
    """The steps of `Engine.query`, `complete`, `stream` and `query_batch` on one event loop."""

    def __init__(
        self, store: Store, embedder: CachedEmbedder, *, asking: Asking, requests: RequestTable, router: Router
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._asking = asking
        self._requests = requests
        self._router = router

    async def query(
        self, prompt: str, session: str | None, task: str | None, config: QueryConfig, validate: Validate | None
    ) -> Answer:
        """One answer; where the passages themselves answer and nothing is checked, in one go in one thread."""
        _check_asked(config, validate)
        if (found := self.at_hand(prompt, session, task, config)) is not None:
            return found
        if not config.answer and session is None:
            return await anyio.to_thread.run_sync(partial(self._asking.alone, prompt, task=task, config=config))
        prepared, answer = await anyio.to_thread.run_sync(
            partial(self._begin, prompt, session, task, config, keep=validate is None)
        )
        if answer is not None and validate is None:
            return answer
        return await self._finish(prepared, answer, validate)

    def at_hand(self, prompt: str, session: str | None, task: str | None, config: QueryConfig) -> Answer | None:
        """A query without an answer that is done before a thread would have begun with it; None for any other."""
        if config.answer or session is not None:
            return None
        return self._asking.at_hand(prompt, task=task, config=config)

    async def group(
        self, prompts: Sequence[str], task: str | None, config: QueryConfig, validate: Validate | None
    ) -> list[BatchItem]:
        """The answers of some questions that are worked on together."""
        _check_asked(config, validate)
        begun = await anyio.to_thread.run_sync(partial(self._begin_all, prompts, task, config, keep=validate is None))
        items: list[BatchItem] = []
        waiting: list[tuple[int, Prepared, Answer | None]] = []
        for place, (prompt, found) in enumerate(zip(prompts, begun, strict=True)):
            if isinstance(found, AqeError):
                items.append(BatchItem(prompt, None, found))
                continue
            items.append(BatchItem(prompt, found[1], None))
            if found[1] is None or validate is not None:
                waiting.append((place, *found))

        async def finish(place: int, prepared: Prepared, answer: Answer | None) -> None:
            try:
                items[place] = BatchItem(prepared.prompt, await self._finish(prepared, answer, validate), None)
            except AqeError as error:
                items[place] = BatchItem(prepared.prompt, None, error)

        if waiting:
            async with anyio.create_task_group() as tasks:
                for one in waiting:
                    tasks.start_soon(finish, *one)
        return items

    async def complete(self, request: CompletionRequest, task: str | None, n: int, validate: Validate | None) -> Answer:
        """What a model says, once or the majority of `n` times."""
        check_validate(validate)
        began, id = time.perf_counter(), self._requests.new_id()
        route = completion_route(request.messages, task)

        async def check(routed: Routed, text: str) -> Verdict:
            assert validate is not None
            return await judged(validate, _sampled(id, routed, began))

        voted = await vote(
            self._router, self._embedder, route, request, request_id=id, n=n, check=check if validate else None
        )
        routed = voted.routed
        answer = replace(
            _sampled(id, routed, began),
            usage=voted.usage,
            cost_usd=voted.cost_usd,
            confidence=voted.agreement,
            samples=voted.samples,
            verdict=voted.verdict,
        )
        await anyio.to_thread.run_sync(self._keep_completion, request.messages, answer, task)
        return answer

    async def stream_query(
        self, prompt: Prompt, session: str | None, task: str | None, config: QueryConfig, extra: dict[str, Any]
    ) -> AsyncGenerator[str | Answer, None]:
        """The pieces of a query's answer, then the answer."""
        _check_asked(config, None)
        question, talk = _question(prompt)
        prepared = await anyio.to_thread.run_sync(
            partial(self._asking.prepare, question, session=session, task=task, config=config, talk=talk)
        )
        reason, start = prepared.decision.reason, time.perf_counter()
        if not config.answer:
            yield await anyio.to_thread.run_sync(self._asking.found_alone, prepared)
            return
        if prepared.needs_model:
            completion = replace(self._asking.completion(prepared), **extra)
            try:
                stream = self._router.stream(prepared.request, completion, request_id=prepared.request_id)
                async with aclosing(stream):
                    async for piece in stream:
                        yield piece
            except (UserError, OutOfTime) as error:
                if stream.text:
                    raise
                reason = _fallen_back(error)
            else:
                said = self._streamed(prepared, stream, completion, start)
                yield await anyio.to_thread.run_sync(self._kept, prepared, said)
                return
        prepared, said = await anyio.to_thread.run_sync(self._found, prepared, reason)
        for line in said.text.splitlines(keepends=True):
            yield line
        yield await anyio.to_thread.run_sync(self._kept, prepared, said)

    async def stream_completion(
        self, prompt: Prompt, task: str | None, config: QueryConfig, extra: dict[str, Any]
    ) -> AsyncGenerator[str | Answer, None]:
        """The pieces of a completion, then the answer."""
        _check_asked(config, None)
        began, id = time.perf_counter(), self._requests.new_id()
        messages = as_messages(prompt)
        completion = CompletionRequest(
            messages, config.temperature, max_tokens=config.max_tokens, timeout_s=config.timeout_s, **extra
        )
        stream = self._router.stream(completion_route(messages, task, config), completion, request_id=id)
        start = time.perf_counter()
        async with aclosing(stream):
            async for piece in stream:
                yield piece
        took_ms = 1000 * (time.perf_counter() - start)
        usage, cost = self._weighed(stream, messages)
        provider, model = stream.answered_by
        answer = completed(
            id,
            stream.text,
            stream.decision,
            (provider, model),
            usage,
            cost,
            began=began,
            answer_ms=took_ms,
            finish_reason=stream.end.finish_reason,
        )
        await anyio.to_thread.run_sync(self._keep_completion, messages, answer, task)
        yield answer

    def _begin(
        self, prompt: str, session: str | None, task: str | None, config: QueryConfig, *, keep: bool
    ) -> tuple[Prepared, Answer | None]:
        prepared = self._asking.prepare(prompt, session=session, task=task, config=config)
        if not config.answer:
            return prepared, self._asking.found_alone(prepared)
        if prepared.needs_model:
            return prepared, None
        prepared, said = self._found(prepared)
        answer = self._asking.answer(prepared, said)
        if keep:
            self._asking.keep([(prepared, answer)])
        return prepared, answer

    def _found(self, prepared: Prepared, reason: str = "") -> tuple[Prepared, Said]:
        """The extractive answer; where a session's own passages give none, the store is asked after all."""
        said = self._asking.found(prepared, reason=reason)
        if prepared.recalled.reused and not said.answered:
            prepared = self._asking.anew(prepared)
            said = self._asking.found(prepared, reason=reason)
        return prepared, said

    def _begin_all(
        self, prompts: Sequence[str], task: str | None, config: QueryConfig, *, keep: bool
    ) -> list[tuple[Prepared, Answer | None] | AqeError]:
        self._embedder.embed([prompt for prompt in prompts if isinstance(prompt, str)])
        found: list[tuple[Prepared, Answer | None] | AqeError] = []
        for prompt in prompts:
            try:
                found.append(self._begin(prompt, None, task, config, keep=False))
            except AqeError as error:
                found.append(error)
        if keep and config.answer:
            done = [one for one in found if not isinstance(one, AqeError)]
            self._asking.keep([(prepared, answer) for prepared, answer in done if answer is not None])
        return found

    async def _finish(self, prepared: Prepared, answer: Answer | None, validate: Validate | None) -> Answer:
        if answer is None:
            said = await self._ask_model(prepared)
            answer = await anyio.to_thread.run_sync(self._asking.answer, prepared, said)
        if validate is not None:
            verdict = await judged(validate, answer)
            answer = replace(answer, verdict=verdict)
        await anyio.to_thread.run_sync(self._keep_judged, prepared, answer)
        return answer

    async def _ask_model(self, prepared: Prepared) -> Said:
        start = time.perf_counter()
        try:
            routed = await self._router.run(
                prepared.request, self._asking.completion(prepared), request_id=prepared.request_id
            )
        except (UserError, OutOfTime) as error:
            found = partial(self._asking.found, prepared, reason=_fallen_back(error))
            return await anyio.to_thread.run_sync(found)
        completion = routed.completion
        return Said(
            text=completion.text,
            provider=completion.provider,
            model=completion.model,
            tier=tier_of(routed.decision, (completion.provider, completion.model)),
            usage=completion.usage,
            cost_usd=routed.cost_usd,
            reason=routed.decision.reason,
            took_ms=1000 * (time.perf_counter() - start),
            finish_reason=completion.finish_reason,
        )

    def _streamed(self, prepared: Prepared, stream: RoutedStream, completion: CompletionRequest, start: float) -> Said:
        usage, cost = self._weighed(stream, completion.messages)
        provider, model = stream.answered_by
        return Said(
            text=stream.text,
            provider=provider,
            model=model,
            tier=tier_of(stream.decision, stream.answered_by),
            usage=usage,
            cost_usd=cost,
            reason=stream.decision.reason,
            took_ms=1000 * (time.perf_counter() - start),
            finish_reason=stream.end.finish_reason,
        )

    def _weighed(self, stream: RoutedStream, messages: Sequence[Message]) -> tuple[Usage, float | None]:
        """The tokens of a stream, estimated where its provider did not count them, and what they cost."""
        count, usage = self._asking.count_tokens, stream.end.usage
        if usage is None:
            usage = Usage(sum(count(message.content) for message in messages), count(stream.text), estimated=True)
        provider, model = stream.answered_by
        price = self._router.providers[provider].price(model) if provider in self._router.providers else None
        return usage, None if price is None else price.of(usage)

    def _kept(self, prepared: Prepared, said: Said) -> Answer:
        answer = self._asking.answer(prepared, said)
        self._asking.keep([(prepared, answer)])
        return answer

    def _keep_judged(self, prepared: Prepared, answer: Answer) -> None:
        self._asking.keep([(prepared, answer)])
        self._file(answer)

    def _keep_completion(self, messages: Sequence[Message], answer: Answer, task: str | None) -> None:
        with self._store.writing() as connection:
            self._requests.insert(connection, [interaction_of(messages, answer, task)])
        self._file(answer)

    def _file(self, answer: Answer) -> None:
        """File the verdict of the caller's check as feedback."""
        if answer.verdict is not None:
            extra = {"by": "validate", "detail": answer.verdict.detail[:2_000]}
            said = Feedback(answer.request_id, task_success=answer.verdict.passed, metadata=extra)
            file_feedback(self._store, self._embedder, said)


def _check_asked(config: QueryConfig, validate: Validate | None) -> None:
    if not isinstance(config, QueryConfig):
        raise UserError(
            f"config is {type(config).__name__}, not a QueryConfig.", code="bad-argument", fix="Give QueryConfig(...)."
        )
    check_validate(validate)
    if validate is not None and not config.answer:
        raise UserError(
            "A query without an answer has nothing that could be validated.",
            code="bad-argument",
            fix="Leave out `validate`, or ask with QueryConfig(answer=True).",
        )


def _sampled(id: str, routed: Routed, began: float) -> Answer:
    """One sample as an answer of its own, as the caller's check sees it."""
    one = routed.completion
    return completed(
        id,
        one.text,
        routed.decision,
        (one.provider, one.model),
        one.usage,
        routed.cost_usd,
        began=began,
        answer_ms=one.latency_ms,
        finish_reason=one.finish_reason,
    )


def _question(prompt: Prompt) -> tuple[str, tuple[Message, ...]]:
    """The question of a prompt, and the conversation before it: the last message of the user, and those before."""
    if isinstance(prompt, str):
        return prompt, ()
    messages = as_messages(prompt)
    last = max(place for place, message in enumerate(messages) if message.role == "user")
    return messages[last].content, messages[:last]


def _fallen_back(error: AqeError) -> str:
    return f"{NO_MODEL_DID}: {error.message}"
