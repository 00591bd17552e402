"""An engine behind an aqe server: the calls that agents may make, over MCP.

    async with connected("http://127.0.0.1:8765/mcp", token) as engine:
        found = await engine.search("how are refunds rounded")

The server listens on loopback only, so an engine elsewhere is reached through a tunnel. The objects are the engine's
own: the server sends them in `_meta` beside the short answer, after its privacy guard.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

from aqe.engine.answer import Answer, QueryConfig, Validate
from aqe.engine.errors import CODES, AqeError, UserError
from aqe.engine.figures import EngineStats
from aqe.engine.learning import FeedbackKept, Signal
from aqe.engine.memory import Kept, SearchAnswer, rfc3339
from aqe.engine.moments import moment_of
from aqe.engine.portals import PortalThread, awaited
from aqe.engine.routing import Decision

if TYPE_CHECKING:
    from datetime import datetime

    from anyio.from_thread import BlockingPortal
    from mcp import Client
    from mcp_types import RequestParamsMeta

    from aqe.engine.memory.entry import Numbers

WHOLE = "aqe/whole"
"""The key in a request's `_meta` that asks for the object itself, and under which the answer's `_meta` holds it."""

CALL_S = 120.0
T = TypeVar("T")


class RemoteEngine:
    """Made by `connected`: an `aqe.engine.AgentEngine` over one MCP connection.

    What a call cannot say over MCP is refused: a `config` beyond its namespace, a check (`validate`), and a vector.
    """

    def __init__(self, client: Client, ends: float = math.inf) -> None:
        self._client = client
        self._ends = ends

    async def query(
        self,
        prompt: str,
        *,
        session: str | None = None,
        task: str | None = None,
        config: QueryConfig | None = None,
        validate: Validate | None = None,
    ) -> Answer:
        """Answer a question from what the server's project remembers, knows and indexed."""
        if validate is not None:
            raise UserError("A check cannot be sent to a server.", code="bad-argument", fix="Check the answer here.")
        wanted = {"session": session, "namespace": _namespace_of(config), "task": task}
        return await self._call("query", Answer, prompt=prompt, **wanted)

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
        """The `k` best memories of the server by words and meaning, at most 50; with `as_of` of those of then."""
        if query is None or vector is not None or embedder_id is not None:
            raise UserError(
                "A server is asked with words, not with a vector.", code="bad-argument", fix="Give the query's text."
            )
        return await self._call(
            "memory_search",
            SearchAnswer,
            query=query,
            k=k,
            namespace=namespace,
            metadata=_plain(filter),
            explain=explain or None,
            as_of=as_of if as_of is None or isinstance(as_of, str) else rfc3339(moment_of(as_of)),
        )

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
        """Keep a text on the server."""
        lasts = ttl if ttl is None or isinstance(ttl, str) else f"{ttl}s"
        place = {"file": file or None, "line": line or None, "ttl": lasts}
        return await self._call(
            "memory_add", Kept, text=text, namespace=namespace, id=id, metadata=_plain(metadata), **place
        )

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
        """Say how an answer of the server was; of `metadata` only `used` goes there."""
        said = {"rating": rating, "success": task_success, "correction": correction, "signal": signal_type}
        return await self._call(
            "feedback", FeedbackKept, request_id=request_id, used=(metadata or {}).get("used"), **said
        )

    async def route(
        self,
        prompt: str,
        *,
        task: str | None = None,
        config: QueryConfig | None = None,
        needs_model: bool = False,
    ) -> Decision:
        """Where the server would send a request now, and why."""
        if config is not None and config != QueryConfig():
            raise _unsendable()
        return await self._call("route", Decision, prompt=prompt, task=task, needs_model=needs_model)

    async def stats(self) -> EngineStats:
        """What the server was asked and holds."""
        return await self._call("stats", EngineStats)

    async def _call(self, tool: str, kind: type[T], **arguments: Any) -> T:
        from pydantic import TypeAdapter

        given = {name: value for name, value in arguments.items() if value is not None}
        if time.monotonic() > self._ends:
            raise _unreachable("it took too long")
        try:
            result = await self._client.call_tool(tool, given, meta=cast("RequestParamsMeta", {WHOLE: True}))
        except Exception as error:
            raise _unreachable(str(error) or type(error).__name__) from error
        data = result.structured_content or {}
        if result.is_error:
            raise _their_error(tool, data, " ".join(getattr(part, "text", "") for part in result.content))
        whole = (result.meta or {}).get(WHOLE)
        if whole is None:
            raise _unreachable(f"its tool {tool} is of another version of aqe")
        try:
            return TypeAdapter(kind).validate_python(whole)
        except ValueError as error:
            raise _unreachable(f"its tool {tool} answers otherwise than this version of aqe expects") from error


class BlockingRemoteEngine:
    """A `RemoteEngine` for code without async: the same calls, each waits for its answer. Made by `open_remote`."""

    def __init__(self, portal: BlockingPortal, engine: RemoteEngine) -> None:
        self._portal = portal
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._engine, name)
        return lambda *args, **kwargs: awaited(self._portal, partial(method, *args, **kwargs))


@contextlib.asynccontextmanager
async def connected(url: str, token: str, *, timeout_s: float = CALL_S) -> AsyncIterator[RemoteEngine]:
    """The engine of the aqe server at `url` (loopback, ending in /mcp), whose `.aqe/token` holds `token`.

    No call takes longer than `timeout_s`; with less than the usual time, none begins after it either. No proxy is
    asked, whatever the environment names. Raises `UserError`: bad-argument (not a loopback address),
    engine-unreachable.
    """
    _check_loopback(url)
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    ends = math.inf if timeout_s >= CALL_S else time.monotonic() + timeout_s
    headers = {"Authorization": f"Bearer {token}"}
    async with contextlib.AsyncExitStack() as stack:
        try:
            made = httpx2.AsyncClient(headers=headers, timeout=timeout_s, trust_env=False)
            http = await stack.enter_async_context(made)
            client = await stack.enter_async_context(
                Client(streamable_http_client(url, http_client=http), read_timeout_seconds=timeout_s)
            )
        except Exception as error:
            raise _unreachable(_innermost(error)) from error
        yield RemoteEngine(client, ends)


@contextlib.contextmanager
def open_remote(url: str, token: str, *, timeout_s: float = CALL_S) -> Iterator[BlockingRemoteEngine]:
    """`connected` for code without async, on a thread of its own, which no Ctrl-C leaves waiting."""
    thread = PortalThread("aqe-remote")
    is_broken_off = True
    try:
        portal = thread.start()
        with portal.wrap_async_context_manager(connected(url, token, timeout_s=timeout_s)) as engine:
            yield BlockingRemoteEngine(portal, engine)
        is_broken_off = False
    except BaseExceptionGroup as group:  # what the connection's own tasks raised on the way out
        known = next((one for one in _leaves(group) if isinstance(one, AqeError)), None)
        raise known or _unreachable(_innermost(group)) from group
    finally:
        thread.close(cancel=is_broken_off)


def _namespace_of(config: QueryConfig | None) -> str | None:
    if config is not None and config != QueryConfig(namespace=config.namespace):
        raise _unsendable()
    return None if config is None else config.namespace


def _unsendable() -> UserError:
    return UserError(
        "A server takes its own settings: of a query's config only the namespace can be sent.",
        code="bad-argument",
        fix="Set the rest in the server's project.",
    )


def _plain(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)


def _check_loopback(url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local or parts.scheme not in ("http", "https"):
        raise UserError(
            f"{url!r:.200} is no address of an aqe server: those listen on loopback only.",
            code="bad-argument",
            fix="Open a tunnel (ssh -L 8765:127.0.0.1:8765 HOST) and name http://127.0.0.1:8765/mcp.",
        )


def _their_error(tool: str, data: Mapping[str, Any], text: str) -> AqeError:
    code = str(data.get("code", ""))
    if code not in CODES:
        return _unreachable(f"its tool {tool} failed: {text[:300]}")
    return UserError(str(data.get("message", text)), code=code, fix=str(data.get("fix", "")))


def _unreachable(why: str) -> UserError:
    return UserError(
        f"The engine's server gave no answer: {' '.join(why.split())[:300]}.",
        code="engine-unreachable",
        fix="Start it there with `aqe serve --http`, and put its `.aqe/token` into AQE_ENGINE_TOKEN.",
    )


def _leaves(group: BaseExceptionGroup) -> Iterator[BaseException]:
    for one in group.exceptions:
        yield from _leaves(one) if isinstance(one, BaseExceptionGroup) else (one,)


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return str(error) or type(error).__name__
