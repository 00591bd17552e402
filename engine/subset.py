"""What agents may call of an engine: the calls that a remote server offers too, and no more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aqe.engine.answer import Answer, QueryConfig, Validate
from aqe.engine.figures import EngineStats
from aqe.engine.learning import FeedbackKept, Signal
from aqe.engine.memory import Kept, SearchAnswer
from aqe.engine.routing import Decision

if TYPE_CHECKING:
    from datetime import datetime

    from aqe.engine.memory.entry import Numbers


class AgentEngine(Protocol):
    """An engine as agents see it, in this process or behind a server; `aqe.engine.Engine` is one, and says more of what
    arguments mean and which errors are raised."""

    async def query(
        self,
        prompt: str,
        *,
        session: str | None = None,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> Answer:
        """Answer a question from what is remembered, known and indexed."""
        ...

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
        """The `k` best memories by words, meaning or both."""
        ...

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
        """Keep a text with its vector."""
        ...

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
        """Say how an answer was."""
        ...

    async def route(
        self,
        prompt: str,
        *,
        task: str | None = None,
        config: QueryConfig | None = None,
        needs_model: bool = False,
    ) -> Decision:
        """Where a request would go now, and why."""
        ...

    async def stats(self) -> EngineStats:
        """What was asked and what is held."""
        ...


class AgentMemory(Protocol):
    """The part of an engine that holds memories, for code without async."""

    def search(
        self, query: str, *, k: int = 10, namespace: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> SearchAnswer:
        """The `k` best memories by words and meaning."""
        ...

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
        ...


@contextlib.contextmanager
def own_memory(project: Path) -> Iterator[AgentMemory]:
    """The memory of a project, opened for a while. Raises `AqeError` as opening the engine does."""
    from aqe.engine.sync import Engine

    with Engine.open(project) as engine:
        yield engine
