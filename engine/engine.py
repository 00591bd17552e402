"""The engine's front door: one open engine for a project, async; `aqe.engine.sync` has its twin.

    async with await Engine.open("path/of/project") as engine:
        answer = await engine.query("How are refunds rounded?")

Blocking work (SQLite, vectors) runs in worker threads; a cancelled call lets the few milliseconds of it end.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from aqe.engine import door
from aqe.engine.answer import Answer, BatchItem, QueryConfig, Validate
from aqe.engine.answering import Answering
from aqe.engine.asking import Asking
from aqe.engine.batches import in_batches
from aqe.engine.completing import Prompt, as_messages, check_samples, route_request
from aqe.engine.embedding import open_embedder, similarity
from aqe.engine.embedding.checked import checked
from aqe.engine.figures import EngineStats, read_figures
from aqe.engine.index import IndexReport, index_project
from aqe.engine.knowledge import refresh
from aqe.engine.learning import Feedback, FeedbackKept, Signal, file_feedback, success_prior
from aqe.engine.memory import Kept, NewMemory, SearchAnswer
from aqe.engine.memory.embeddings import KeptEmbedder
from aqe.engine.memory.entry import check_id, check_text
from aqe.engine.memory.growth.expiry import read_ttl
from aqe.engine.memory.growth.upkeep import start_upkeep
from aqe.engine.memory.opening import follow_settings, open_or_read
from aqe.engine.memory.search.as_of import past_moment
from aqe.engine.memory.store import Store, utc_now
from aqe.engine.privacy import Guard, open_guard
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.project import find_project
from aqe.engine.providers import CompletionRequest, Provider, open_providers
from aqe.engine.providers.protocol import as_stops, estimated_tokens
from aqe.engine.recall import CachedEmbedder, Recall
from aqe.engine.requests import RequestTable
from aqe.engine.retrieval import find, find_as_of, find_at_hand, reembed, remember
from aqe.engine.routing import Decision, Router, live_settings
from aqe.engine.routing.switches import LiveSettings
from aqe.engine.scopes import run_cancellable
from aqe.engine.sessions.conversations import Conversations
from aqe.engine.sessions.face import Sessions
from aqe.engine.sessions.table import SessionLimits
from aqe.engine.streaming import AnswerStream

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Numbers
    from aqe.engine.memory.transfer import StateExported, StateImported
    from aqe.engine.memory.transfer.importing import Conflict
    from aqe.engine.settings import Settings

_log = logging.getLogger(__name__)


class Engine:
    """Made by `Engine.open`; close it. Belongs to the event loop that it was opened in."""

    def __init__(
        self,
        project: Path,
        store: Store,
        settings: Callable[[], Settings],
        embedder: Embedder,
        guard: Guard,
        providers: Sequence[Provider],
        count_tokens: Callable[[str], int],
    ) -> None:
        now = settings()
        self.project = project
        self._settings = settings
        self._store = store
        self._guard = guard
        self._embedder = CachedEmbedder(KeptEmbedder(embedder, store))
        self._router = Router(providers, store=store, settings=settings, guard=guard)
        self._recall = Recall(store, self._embedder, settings)
        self._requests = RequestTable(store, kept=now.requests.kept)
        limits = SessionLimits(now.sessions.expire_days, now.sessions.size_kb, now.sessions.token_budget)
        counted = count_tokens if count_tokens is estimated_tokens else lambda text: int(count_tokens(text))
        conversations = Conversations(store, self._embedder, limits=limits, count_tokens=counted)
        self._conversations = conversations
        asking = Asking(
            store,
            self._embedder,
            recall=self._recall,
            requests=self._requests,
            conversations=conversations,
            router=self._router,
            guard=guard,
        )
        self._asking = asking
        self._answering = Answering(store, self._embedder, asking=asking, requests=self._requests, router=self._router)
        self.sessions = Sessions(conversations, self.query)
        self._end_upkeep = start_upkeep(project, settings)

    @classmethod
    async def open(
        cls,
        project: str | Path | None = None,
        *,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        providers: Sequence[Provider] | None = None,
        count_tokens: Callable[[str], int] = estimated_tokens,
        now: Callable[[], int] = utc_now,
    ) -> Self:
        """The engine of a project (found from the working directory upwards where None).

        Takes in what test runs left in the spool, and brings the starter knowledge up to date. Without `settings`
        those in force are read, and read anew when their files change; `embedder` and `providers` stand in for those
        that the settings name; what another embedder made is embedded anew at the first search. `count_tokens` weighs
        texts (UTF-8 bytes / 4 by default); `now` gives UTC microseconds. A store that cannot be written (a full disk, a
        folder of somebody else) is read: the log says so, and what would change it raises. Raises what `load_settings`,
        `open_store`, `open_embedder` and `open_guard` raise, and `UserError` (bad-embedder), as does each call that
        embeds, for an embedder that does not keep what `Embedder` promises.
        """
        door.given_settings(settings)
        door.given_callable("count_tokens", count_tokens)
        door.given_callable("now", now)
        own_providers = door.given_providers(providers)

        def opened() -> tuple[Path, Store, Callable[[], Settings], Embedder, Guard, Sequence[Provider]]:
            named = None if project is None else str(door.given_path(project))
            root = find_project(explicit=named, given_by="Engine.open")
            current: Callable[[], Settings] = live_settings(root) if settings is None else lambda: settings
            with ExitStack() as undo:
                store, unwritable = open_or_read(root, settings=current(), now=now)
                undo.callback(store.close)
                if isinstance(current, LiveSettings):
                    current.told = partial(follow_settings, store, root)
                guard = open_guard(root, current(), store)
                undo.callback(guard.close)
                found = open_providers(current(), guard=guard) if own_providers is None else own_providers
                own = open_embedder(current()) if embedder is None else checked(embedder)
                if unwritable is not None:
                    _log.warning("Nothing is kept for now, what is there is only read: %s", unwritable.message)
                elif current().knowledge.enabled:
                    refresh(store, own)
                undo.pop_all()
                return root, store, current, own, guard, found

        engine = cls(*await anyio.to_thread.run_sync(opened), count_tokens)
        try:
            await anyio.to_thread.run_sync(engine._conversations.table.prune)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await engine.close()
            raise
        return engine

    @property
    def database(self) -> Path:
        """The file behind the engine."""
        return self._store.path

    async def close(self) -> None:
        """Close the providers, the guard and the store; closing twice is nothing."""
        self._end_upkeep()
        try:
            await anyio.to_thread.run_sync(self._asking.close)
            await self._router.close()
        finally:
            self._guard.close()
            self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.close()

    async def query(
        self,
        prompt: str,
        *,
        session: str | None = None,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> Answer:
        """Answer a question from what is remembered, known and indexed, by the passages themselves or a model.

        A `session` of a new name is made. `task` (such as `unit_test`) is what the rule table routes by. `validate`
        checks the answer; its verdict is filed as feedback. Where every model fails the passages answer. Raises
        `UserError` (bad-text, text-too-long, session-ended, session-full, no-route, bad-argument).
        """
        return await self._answering.query(prompt, session, task, door.given_config(config), validate)

    async def complete(
        self,
        prompt: Prompt,
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
        json_schema: Mapping[str, Any] | None = None,
        n: int = 1,
        validate: Validate | None = None,
        task: str | None = None,
        timeout_s: float = 60.0,
    ) -> Answer:
        """What a model says to a text or to OpenAI-style messages, without retrieval.

        The answer says something, and with a `json_schema` it is JSON that fits it (a fence around it is taken off);
        a model whose answer is none has failed. `stop` is a text or several. With `n` above 1 the samples vote: those
        that pass `validate` by the `output` of its verdict, JSON by its value, free text by likeness. Raises
        `UserError` (no-model, no-route, strict-mode, provider-failed, bad-argument, bad-limit) and `OutOfTime`.
        """
        request = CompletionRequest(
            as_messages(prompt), temperature, top_p, max_tokens, as_stops(stop), seed, json_schema, timeout_s
        )
        return await self._answering.complete(request, task, check_samples(n), validate)

    def stream(
        self,
        prompt: Prompt,
        *,
        retrieve: bool = True,
        session: str | None = None,
        task: str | None = None,
        config: QueryConfig | None = None,
        top_p: float | None = None,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> AnswerStream:
        """As `query`, or with `retrieve=False` as `complete`, piece by piece as the provider makes it.

        The passages themselves answer sentence by sentence. Of messages the last one of the user is the question.
        Nothing begins before the stream is read; it raises then what `query` and `complete` raise.
        """
        settings = door.given_config(config)
        extra = {"top_p": top_p, "stop": as_stops(stop), "seed": seed}
        if door.given_flag("retrieve", retrieve):
            return AnswerStream(self._answering.stream_query(prompt, session, task, settings, extra))
        return AnswerStream(self._answering.stream_completion(prompt, task, settings, extra))

    async def query_batch(
        self,
        prompts: Iterable[str] | AsyncIterable[str],
        *,
        parallel: int = 4,
        window_ms: float = 50.0,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> list[BatchItem]:
        """Answer many questions, in order; one that fails is an item with its error and the rest goes on.

        At most `parallel` are worked on together: embedded as one, stored as one, and their models asked at once. From
        an async source a question waits at most `window_ms` for others. A text alone is no list of questions: `query`
        answers one. Raises `UserError` (bad-limit, bad-argument).
        """
        window_s = door.given_window_s(parallel, window_ms)
        items: list[BatchItem] = []
        settings = door.given_config(config)

        async def handle(group: list[str]) -> None:
            items.extend(await self._answering.group(group, task, settings, validate))

        await in_batches(door.given_prompts(prompts), handle, size=parallel, window_s=window_s)
        return items

    async def search(
        self,
        query: str | None = None,
        *,
        vector: Numbers | None = None,
        k: int = 10,
        namespace: str | None = None,
        filter: Mapping[str, Any] | None = None,
        embedder_id: str | None = None,
        explain: bool = False,
        as_of: str | int | datetime | None = None,
    ) -> SearchAnswer:
        """The `k` best memories by words, meaning or both; `namespace` and `filter` as in `Store.search`.

        `vector` is the query's where the caller has it, of the engine's own embedder or of the space `embedder_id`.
        With `explain` each hit by both says what its score is made of. With `as_of`, a moment (`2026-03-01`, `3h ago`,
        a datetime, or UTC microseconds as in `Memory.valid_from`), it finds among what held then, without feedback.
        Raises `UserError` (bad-query, bad-text, text-too-long, bad-limit, bad-filter, bad-vector, unknown-embedder,
        bad-namespace, bad-moment; bad-argument for `explain` of the past).
        """
        if explain is not False:
            door.given_flag("explain", explain)
        if query is None and vector is not None and filter is None and as_of is None:
            found = self._at_hand(vector, k=k, namespace=namespace, embedder_id=embedder_id)
            if found is not None:
                return found
        door.given_search(query, vector, embedder_id)
        at = None if as_of is None else past_moment(as_of, self._store.now(), explain=explain)

        def work() -> SearchAnswer:
            if at is not None:
                return find_as_of(
                    self._store,
                    self._embedder,
                    query,
                    at,
                    k=k,
                    namespace=namespace,
                    filter=filter,
                    vector=vector,
                    embedder_id=embedder_id,
                )
            prior = success_prior(self._store, self._settings()) if query is not None else None
            return find(
                self._store,
                self._embedder,
                query,
                vector=vector,
                k=k,
                namespace=namespace,
                filter=filter,
                embedder_id=embedder_id,
                prior=prior,
                explain=explain,
            )

        return await anyio.to_thread.run_sync(work)

    def _at_hand(
        self, vector: Numbers, *, k: int, namespace: str | None, embedder_id: str | None
    ) -> SearchAnswer | None:
        """A search that is done before a thread would have begun with it; None where it might take longer."""
        if embedder_id is not None and embedder_id.__class__ is not str:
            check_id(embedder_id)
        return find_at_hand(self._store, self._embedder, vector, k=k, namespace=namespace, embedder_id=embedder_id)

    async def remember(
        self,
        text: str,
        *,
        namespace: str = "default",
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        file: str = "",
        line: int = 0,
        ttl: str | float | None = None,
    ) -> Kept:
        """Keep a text with its vector, for a time where a `ttl` is given (`30d`, `12h`, seconds, or `never`).

        The same text twice is one memory unless it has an id of yours; one that says nothing beyond what was just
        recalled is answered with that memory's id. Raises `UserError` (bad-ttl and those of `Store.add`).
        """
        origin = door.given_place(file, line)
        ttl_s = None if ttl is None else read_ttl(ttl)
        memory = NewMemory(text, namespace, id, door.given_metadata(metadata), provenance=origin, ttl_s=ttl_s)
        kept = await anyio.to_thread.run_sync(partial(remember, self._store, self._embedder, [memory]))
        return kept[0]

    async def forget(self, id: str, *, namespace: str = "default", erase: bool = False) -> None:
        """End a memory; with `erase` no word of it stays in the file. Raises `UserError` (unknown-id)."""
        door.given_flag("erase", erase)
        await anyio.to_thread.run_sync(partial(self._store.delete, id, namespace=namespace, erase=erase))

    async def feedback(
        self,
        request_id: str,
        *,
        rating: int | None = None,
        task_success: bool | None = None,
        correction: str | None = None,
        signal_type: Signal | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> FeedbackKept:
        """Say how an answer was; a correction becomes a memory. Raises `UserError` (unknown-request, bad-feedback)."""
        said = Feedback(request_id, rating, task_success, correction, signal_type, door.given_metadata(metadata))

        def work() -> FeedbackKept:
            self._requests.flush()
            return file_feedback(self._store, self._embedder, said)

        return await anyio.to_thread.run_sync(work)

    async def route(
        self,
        prompt: str,
        *,
        task: str | None = None,
        config: QueryConfig | None = None,
        needs_model: bool = False,
    ) -> Decision:
        """Where a request would go now, and why; none is asked. Raises `UserError` (bad-text, text-too-long, no-model,
        no-route)."""
        asked = route_request(check_text(prompt), task, door.given_config(config))
        request = replace(asked, needs_model=door.given_flag("needs_model", needs_model))
        return await anyio.to_thread.run_sync(partial(self._router.decide, request))

    async def embed(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """One unit vector for a text, or one row for each of several; zeros where a text says nothing to the embedder.

        Raises `UserError` (bad-text, text-too-long).
        """
        rows = await anyio.to_thread.run_sync(partial(self._embedder.embed, door.given_texts(texts)))
        return rows[0] if isinstance(texts, str) else rows

    async def similarity(self, a: str, b: str) -> float:
        """How alike two texts are, from 0 to 1: the cosine of their vectors, and 0 where that is below.

        Raises `UserError` (bad-text, text-too-long).
        """
        return await anyio.to_thread.run_sync(partial(similarity, self._embedder, check_text(a), check_text(b)))

    async def index(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        progress: Progress = silent,
        cancel: CancelToken | None = None,
    ) -> IndexReport:
        """Bring the passages of the project's docs, code and tests (or of `paths`, one or several) up to date.

        `progress` is called in a worker thread. A cancelled scope ends it between two files; what was done stays.
        Raises `UserError` (outside-project, no-such-path, bad-argument) and `Cancelled`.
        """
        wanted = door.given_paths(paths)
        door.given_callable("progress", progress)

        def work(token: CancelToken) -> IndexReport:
            return index_project(
                self._store, self._embedder, self.project, paths=wanted, progress=progress, cancel=token
            )

        return await run_cancellable(work, door.given_cancel(cancel))

    async def export_state(
        self, target: str | Path, *, force: bool = False, progress: Progress = silent, cancel: CancelToken | None = None
    ) -> StateExported:
        """Write memories with their history and vectors, sessions, answers and feedback into one archive.

        It is the state at one moment, while others go on writing. A file that is there is written over only with
        `force`. Raises `UserError` (bad-output, project-read-only, disk-full, bad-argument).
        """
        from aqe.engine.memory.transfer import export_state

        file = door.given_path(target)
        door.given_flag("force", force)
        door.given_callable("progress", progress)

        def work(token: CancelToken) -> StateExported:
            return export_state(self._store, file, force=force, progress=progress, cancel=token)

        return await run_cancellable(work, door.given_cancel(cancel))

    async def import_state(
        self,
        source: str | Path,
        *,
        conflict: Conflict = "keep",
        dry_run: bool = False,
        progress: Progress = silent,
        cancel: CancelToken | None = None,
    ) -> StateImported:
        """Take in what `export_state` wrote; what is there already stays, and a memory that differs is kept as it is
        here ("keep"), revised with the archive's text ("take") or refused ("fail").

        Raises `UserError` (no-such-path, state-broken, state-newer, import-conflict); then nothing was taken in.
        """
        from aqe.engine.memory.transfer import import_state

        file = door.given_path(source)
        door.given_callable("progress", progress)
        door.given_flag("dry_run", dry_run)

        def work(token: CancelToken) -> StateImported:
            told = import_state(self._store, file, conflict=conflict, dry_run=dry_run, progress=progress, cancel=token)
            if not dry_run:
                reembed(self._store, self._embedder, ended=True, progress=progress, cancel=token)
            return told

        return await run_cancellable(work, door.given_cancel(cancel))

    async def stats(self) -> EngineStats:
        """What was asked, what feedback said, what caches saved, and what the store holds by component."""
        return await anyio.to_thread.run_sync(
            partial(read_figures, self._store, self._requests, self._embedder, self._recall)
        )
