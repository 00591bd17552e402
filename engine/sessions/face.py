"""The sessions of an open engine: `engine.sessions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio.to_thread

from aqe.engine.door import given_count, given_flag, given_metadata
from aqe.engine.providers.protocol import Message
from aqe.engine.sessions.conversations import Conversations
from aqe.engine.sessions.entry import Session, SessionHit, Turn

if TYPE_CHECKING:
    from aqe.engine.answer import Answer, QueryConfig, Validate


class Ask(Protocol):
    """The engine's `query`."""

    async def __call__(
        self,
        prompt: str,
        *,
        session: str | None = None,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> Answer: ...


class Sessions:
    """Conversations that are kept in the project's store. A name or an id stands for a session."""

    def __init__(self, conversations: Conversations, ask: Ask) -> None:
        self._conversations = conversations
        self._ask = ask

    async def create(
        self, name: str | None = None, *, metadata: Mapping[str, Any] | None = None, token_budget: int | None = None
    ) -> Session:
        """A new open session; without a name it gets one. Raises `UserError` (session-exists, bad-session)."""
        table = self._conversations.table
        return await anyio.to_thread.run_sync(partial(table.create, name, metadata=metadata, token_budget=token_budget))

    async def chat(
        self,
        name: str,
        prompt: str,
        *,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> Answer:
        """Ask within a session; as the engine's `query`, but the session must be there.

        Raises `UserError` (unknown-session, session-ended, session-full).
        """
        session = await self.get(name)
        return await self._ask(prompt, session=session.id, task=task, config=config, validate=validate)

    async def add_context(self, name: str, text: str) -> Session:
        """Give an open session a text to answer from, which is no turn of the talk itself."""
        return await anyio.to_thread.run_sync(partial(self._conversations.add, name, "context", text))

    async def get(self, name: str) -> Session:
        """A session with its figures. Raises `UserError` (unknown-session)."""
        return await anyio.to_thread.run_sync(partial(self._conversations.table.get, name))

    async def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> Session:
        """Join metadata into the session's; a key whose value is None goes."""
        given = partial(self._conversations.table.set_metadata, name, given_metadata(metadata))
        return await anyio.to_thread.run_sync(given)

    async def history(self, name: str, *, last: int | None = None) -> Sequence[Turn]:
        """Every turn (the last few), oldest first, those too that a summary stands for. Raises `UserError`
        (unknown-session, bad-limit)."""
        if last is not None:
            given_count("last", last, least=0)
        return await anyio.to_thread.run_sync(partial(self._conversations.table.turns, name, last=last))

    async def messages(self, name: str) -> tuple[Message, ...]:
        """The session as OpenAI-style messages within its token budget, a summary in place of the oldest turns."""
        return await anyio.to_thread.run_sync(partial(self._conversations.messages, name))

    async def search(self, query: str, *, k: int = 10) -> Sequence[SessionHit]:
        """The turns of all sessions that are nearest to a text by words and meaning, best first."""
        return await anyio.to_thread.run_sync(partial(self._conversations.search, query, k=k))

    async def resume(self, name: str) -> Session:
        """Open an ended or expired session again."""
        return await anyio.to_thread.run_sync(partial(self._conversations.table.resume, name))

    async def end(self, name: str, *, remove: bool = False) -> Session:
        """End a session: it can be read and resumed, not talked to; with `remove` it goes with all its turns."""
        given_flag("remove", remove)
        return await anyio.to_thread.run_sync(partial(self._conversations.table.end, name, remove=remove))

    async def export(self, name: str) -> dict[str, Any]:
        """The session with all its turns as JSON types."""
        return await anyio.to_thread.run_sync(partial(self._conversations.export, name))

    async def import_session(self, document: Mapping[str, Any] | str, *, name: str | None = None) -> Session:
        """Make the session that `export` gave (or its JSON), under its own name or `name`; whole or not at all."""
        return await anyio.to_thread.run_sync(partial(self._conversations.import_session, document, name=name))

    async def list(self, *, every: bool = False, limit: int = 100) -> Sequence[Session]:
        """The open sessions (`every`: ended and expired ones too), the last used first. Raises `UserError`
        (bad-limit)."""
        given_flag("every", every)
        given_count("limit", limit, least=1)
        return await anyio.to_thread.run_sync(partial(self._conversations.table.list, every=every, limit=limit))
