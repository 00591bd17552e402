"""The open engines of a server, one for each project, on an event loop of their own.

A call is awaited from the server's loop; a cancelled one cancels the work. Nothing is imported or started before the
first call.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from aqe.engine.engine import Engine

IDLE_S = 600.0
FRESH_S = 5.0
"""A project's index is looked at again for a question when it was not for this long."""

INDEX_S = 25.0
"""The longest that a question waits for the index; what is read by then is kept, and the next question goes on."""

T = TypeVar("T")


@dataclass
class _Held:
    """An open engine, how many calls use it now, when the last one ended, and whether the last closes it."""

    engine: Engine
    calls: int = 0
    used: float = field(default_factory=time.monotonic)
    is_let_go: bool = False


class Engines:
    """Opened at the first call, closed with the server; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._opening: anyio.Lock | None = None
        self._open: dict[Path, _Held] = {}
        self._indexed: dict[Path, float] = {}

    async def call(self, project: Path, act: Callable[[Engine], Awaitable[T]], *, fresh: bool = False) -> T:
        """What `act` gives with the project's engine; with `fresh` the index is brought up to date before."""

        async def work() -> T:
            async with self._engine(project) as engine:
                if fresh:
                    await self._freshen(engine)
                return await act(engine)

        return await asyncio.wrap_future(self._started().start_task_soon(work))

    def close(self) -> None:
        """Close the engines and end their loop."""
        with self._lock:
            portal, self._portal = self._portal, None
        if portal is not None:
            portal.call(self._close_all)
            self._stack.close()

    def _started(self) -> BlockingPortal:
        from anyio.from_thread import start_blocking_portal

        with self._lock:
            if self._portal is None:
                self._portal = self._stack.enter_context(start_blocking_portal())
            return self._portal

    @asynccontextmanager
    async def _engine(self, project: Path) -> AsyncIterator[Engine]:
        """The project's engine for one call; those that idled, or whose file was taken away, are let go on the way."""
        from aqe.engine.engine import Engine

        self._opening = self._opening or anyio.Lock()
        async with self._opening:
            now = time.monotonic()
            for path, held in list(self._open.items()):
                if (now - held.used > IDLE_S and not held.calls) or not held.engine.database.exists():
                    held.is_let_go = True
                    del self._open[path]
                    if not held.calls:
                        await held.engine.close()
            held = self._open.get(project) or _Held(await Engine.open(project))
            self._open[project] = held
            held.calls += 1
        try:
            yield held.engine
        finally:
            held.calls -= 1
            held.used = time.monotonic()
            if held.is_let_go and not held.calls:
                with anyio.CancelScope(shield=True):
                    await held.engine.close()

    async def _freshen(self, engine: Engine) -> None:
        if time.monotonic() - self._indexed.get(engine.project, -FRESH_S) < FRESH_S:
            return
        with anyio.move_on_after(INDEX_S):
            await engine.index()
        self._indexed[engine.project] = time.monotonic()

    async def _close_all(self) -> None:
        while self._open:
            _, held = self._open.popitem()
            await held.engine.close()
