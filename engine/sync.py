"""The engine without async: the same calls with the same signatures, run on a thread of its own.

    with Engine.open("path/of/project") as engine:
        print(engine.query("How are refunds rounded?").text)

An engine may be shared between threads; every call waits for its answer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from anyio.from_thread import BlockingPortal

from aqe.engine import engine as asynchronous
from aqe.engine.answer import Answer, BatchItem, QueryConfig, Validate
from aqe.engine.completing import Prompt
from aqe.engine.figures import EngineStats
from aqe.engine.index import IndexReport
from aqe.engine.learning import FeedbackKept, Signal
from aqe.engine.leftover import close_at_end, closed
from aqe.engine.memory import Kept, SearchAnswer
from aqe.engine.memory.file.failures import engine_closed, engine_elsewhere
from aqe.engine.memory.store import utc_now
from aqe.engine.portals import PortalThread, awaited, begun, is_here
from aqe.engine.progress import CancelToken, Progress, silent
from aqe.engine.providers import Provider
from aqe.engine.providers.protocol import Message, estimated_tokens
from aqe.engine.routing import Decision
from aqe.engine.sessions import face
from aqe.engine.sessions.entry import Session, SessionHit, Turn
from aqe.engine.streaming import AnswerStream as AsyncAnswerStream

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from aqe.engine.embedding import Embedder
    from aqe.engine.memory.entry import Numbers
    from aqe.engine.memory.transfer import StateExported, StateImported
    from aqe.engine.memory.transfer.importing import Conflict
    from aqe.engine.settings import Settings

T = TypeVar("T")


class Engine:
    """Made by `Engine.open`; close it, or use it as a context manager. `aqe.engine.engine.Engine` says what each call
    does."""

    def __init__(self, portal: BlockingPortal, engine: asynchronous.Engine, stack: ExitStack) -> None:
        self.project = engine.project
        self.sessions = Sessions(portal, engine.sessions)
        self._portal = portal
        self._engine = engine
        self._stack = stack

    @classmethod
    def open(
        cls,
        project: str | Path | None = None,
        *,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        providers: Sequence[Provider] | None = None,
        count_tokens: Callable[[str], int] = estimated_tokens,
        now: Callable[[], int] = utc_now,
    ) -> Self:
        """The engine of a project (found from the working directory upwards where None)."""
        thread = PortalThread("aqe-engine")

        async def opening() -> asynchronous.Engine:
            engine = await asynchronous.Engine.open(
                project,
                settings=settings,
                embedder=embedder,
                providers=providers,
                count_tokens=count_tokens,
                now=now,
            )
            thread.at_end.push_async_callback(engine.close)  # whoever waits for it may be gone
            return engine

        stack = ExitStack()
        stack.callback(thread.close)
        close_at_end(stack)
        try:
            portal = thread.start()
            engine = awaited(portal, opening)
            stack.callback(portal.call, engine.close)
            return cls(portal, engine, stack)
        except BaseException:
            thread.close(cancel=True)
            closed(stack)
            raise

    @property
    def database(self) -> Path:
        """The file behind the engine."""
        return self._engine.database

    def close(self) -> None:
        """Close the engine and end its thread; closing twice is nothing."""
        if is_here(self._portal):
            self._stack.close()
            closed(self._stack)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(
        self,
        prompt: str,
        *,
        session: str | None = None,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> Answer:
        """Answer a question from what is remembered, known and indexed."""
        if isinstance(config, QueryConfig) and not config.answer and validate is None:
            found = self._engine._answering.at_hand(prompt, session, task, config)
            if found is not None:
                return found
        return self._call(
            partial(self._engine.query, prompt, session=session, task=task, config=config, validate=validate)
        )

    def complete(
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
        """What a model says, without retrieval."""
        return self._call(
            partial(
                self._engine.complete,
                prompt,
                temperature=temperature,
                top_p=top_p,
                max_tokens=max_tokens,
                stop=stop,
                seed=seed,
                json_schema=json_schema,
                n=n,
                validate=validate,
                task=task,
                timeout_s=timeout_s,
            )
        )

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
        """As `query`, or with `retrieve=False` as `complete`, piece by piece."""
        stream = self._engine.stream(
            prompt,
            retrieve=retrieve,
            session=session,
            task=task,
            config=config,
            top_p=top_p,
            stop=stop,
            seed=seed,
        )
        return AnswerStream(self._portal, stream)

    def query_batch(
        self,
        prompts: Iterable[str] | AsyncIterable[str],
        *,
        parallel: int = 4,
        window_ms: float = 50.0,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> list[BatchItem]:
        """Answer many questions, in order; one that fails is an item with its error."""
        return self._call(
            partial(
                self._engine.query_batch,
                prompts,
                parallel=parallel,
                window_ms=window_ms,
                task=task,
                config=config,
                validate=validate,
            )
        )

    def search(
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
        """The `k` best memories by words, meaning or both; with `as_of` of those that held then."""
        if as_of is None and query is None and vector is not None and filter is None and explain is False:
            found = self._engine._at_hand(vector, k=k, namespace=namespace, embedder_id=embedder_id)
            if found is not None:
                return found
        return self._call(
            partial(
                self._engine.search,
                query,
                vector=vector,
                k=k,
                namespace=namespace,
                filter=filter,
                embedder_id=embedder_id,
                explain=explain,
                as_of=as_of,
            )
        )

    def remember(
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
        """Keep a text with its vector."""
        place: dict[str, Any] = {"namespace": namespace, "id": id, "file": file, "line": line}
        return self._call(partial(self._engine.remember, text, metadata=metadata, ttl=ttl, **place))

    def forget(self, id: str, *, namespace: str = "default", erase: bool = False) -> None:
        """End a memory; with `erase` no word of it stays in the file."""
        self._call(partial(self._engine.forget, id, namespace=namespace, erase=erase))

    def feedback(
        self,
        request_id: str,
        *,
        rating: int | None = None,
        task_success: bool | None = None,
        correction: str | None = None,
        signal_type: Signal | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> FeedbackKept:
        """Say how an answer was; a correction becomes a memory."""
        return self._call(
            partial(
                self._engine.feedback,
                request_id,
                rating=rating,
                task_success=task_success,
                correction=correction,
                signal_type=signal_type,
                metadata=metadata,
            )
        )

    def route(
        self,
        prompt: str,
        *,
        task: str | None = None,
        config: QueryConfig | None = None,
        needs_model: bool = False,
    ) -> Decision:
        """Where a request would go now, and why."""
        return self._call(partial(self._engine.route, prompt, task=task, config=config, needs_model=needs_model))

    def embed(self, texts: str | Sequence[str]) -> NDArray[np.float32]:
        """One unit vector for a text, or one row for each of several."""
        return self._call(partial(self._engine.embed, texts))

    def similarity(self, a: str, b: str) -> float:
        """How alike two texts are, from 0 to 1."""
        return self._call(partial(self._engine.similarity, a, b))

    def index(
        self,
        paths: str | Path | Sequence[str | Path] = (),
        *,
        progress: Progress = silent,
        cancel: CancelToken | None = None,
    ) -> IndexReport:
        """Bring the passages of the project's docs, code and tests up to date."""
        return self._call(partial(self._engine.index, paths, progress=progress, cancel=cancel))

    def export_state(
        self, target: str | Path, *, force: bool = False, progress: Progress = silent, cancel: CancelToken | None = None
    ) -> StateExported:
        """Write memories with their history and vectors, sessions, answers and feedback into one archive; a file that
        is there only with `force`."""
        return self._call(partial(self._engine.export_state, target, force=force, progress=progress, cancel=cancel))

    def import_state(
        self,
        source: str | Path,
        *,
        conflict: Conflict = "keep",
        dry_run: bool = False,
        progress: Progress = silent,
        cancel: CancelToken | None = None,
    ) -> StateImported:
        """Take in what `export_state` wrote; what is there already stays."""
        return self._call(
            partial(
                self._engine.import_state, source, conflict=conflict, dry_run=dry_run, progress=progress, cancel=cancel
            )
        )

    def stats(self) -> EngineStats:
        """What was asked, what feedback said, what caches saved, and what the store holds."""
        return self._call(self._engine.stats)

    def _call(self, work: Callable[[], Awaitable[T]]) -> T:
        return awaited(self._portal, work)


class Sessions:
    """`engine.sessions`; `aqe.engine.sessions.face.Sessions` says what each call does."""

    def __init__(self, portal: BlockingPortal, sessions: face.Sessions) -> None:
        self._portal = portal
        self._sessions = sessions

    def create(
        self, name: str | None = None, *, metadata: Mapping[str, Any] | None = None, token_budget: int | None = None
    ) -> Session:
        """A new open session."""
        return self._call(self._sessions.create, name, metadata=metadata, token_budget=token_budget)

    def chat(
        self,
        name: str,
        prompt: str,
        *,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> Answer:
        """Ask within a session that is there."""
        return self._call(self._sessions.chat, name, prompt, task=task, config=config, validate=validate)

    def add_context(self, name: str, text: str) -> Session:
        """Give an open session a text to answer from."""
        return self._call(self._sessions.add_context, name, text)

    def get(self, name: str) -> Session:
        """A session with its figures."""
        return self._call(self._sessions.get, name)

    def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> Session:
        """Join metadata into the session's."""
        return self._call(self._sessions.set_metadata, name, metadata)

    def history(self, name: str, *, last: int | None = None) -> Sequence[Turn]:
        """Every turn (the last few), oldest first."""
        return self._call(self._sessions.history, name, last=last)

    def messages(self, name: str) -> tuple[Message, ...]:
        """The session as OpenAI-style messages within its token budget."""
        return self._call(self._sessions.messages, name)

    def search(self, query: str, *, k: int = 10) -> Sequence[SessionHit]:
        """The turns of all sessions that are nearest to a text."""
        return self._call(self._sessions.search, query, k=k)

    def resume(self, name: str) -> Session:
        """Open an ended or expired session again."""
        return self._call(self._sessions.resume, name)

    def end(self, name: str, *, remove: bool = False) -> Session:
        """End a session; with `remove` it goes with all its turns."""
        return self._call(self._sessions.end, name, remove=remove)

    def export(self, name: str) -> dict[str, Any]:
        """The session with all its turns as JSON types."""
        return self._call(self._sessions.export, name)

    def import_session(self, document: Mapping[str, Any] | str, *, name: str | None = None) -> Session:
        """Make the session that `export` gave; whole or not at all."""
        return self._call(self._sessions.import_session, document, name=name)

    def list(self, *, every: bool = False, limit: int = 100) -> Sequence[Session]:
        """The open sessions (`every`: all), the last used first."""
        return self._call(self._sessions.list, every=every, limit=limit)

    def _call(self, method: Callable[..., Awaitable[T]], *words: Any, **options: Any) -> T:
        return awaited(self._portal, partial(method, *words, **options))


class AnswerStream:
    """The pieces of an answer, read once with `for`; `answer` is whole after the last one. A context manager."""

    def __init__(self, portal: BlockingPortal, stream: AsyncAnswerStream) -> None:
        self.answer: Answer | None = None
        self._stream = stream
        self._portal = portal
        self._pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
        self._reading: Future[None] | None = None
        self._ended = False
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not (self._ended or is_here(self._portal)):
            raise engine_elsewhere()
        with self._lock:  # a `close` in another thread comes before the reading begins, or ends it
            if self._ended:
                raise StopIteration
            if self._reading is None:
                self._reading = begun(self._portal, self._read)
                self._reading.add_done_callback(lambda _: self._pieces.put(engine_closed()))  # whoever cut it off
        piece = self._pieces.get()
        if isinstance(piece, str):
            return piece
        self._ended = True
        self.answer = self._stream.answer
        if piece is not None:
            raise piece
        raise StopIteration

    def close(self) -> None:
        """Stop reading and let go of the connection; closing twice is nothing."""
        with self._lock:
            self._ended = True
        if self._reading is not None and is_here(self._portal):
            self._reading.cancel()
            try:
                self._reading.result()
            except CancelledError:
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _read(self) -> None:
        """Read the whole stream in one task, so that its scopes are left where they were entered."""
        try:
            async with self._stream:
                async for piece in self._stream:
                    self._pieces.put(piece)
        except Exception as error:
            self._pieces.put(error)
        else:
            self._pieces.put(None)
