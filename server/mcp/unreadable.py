"""Answers what a client sent and nobody can read: the SDK drops such a line, and the client would wait for ever."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any, Self

import anyio
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError
from pydantic import ValidationError

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class Readable:
    """The messages of a client that could be read; what could not be is answered on the way, by its id where it has
    one (JSON-RPC 2.0, section 5: `-32700` for what is no JSON, `-32600` for JSON that is no message)."""

    def __init__(self, received: ReadStream[SessionMessage | Exception], answers: WriteStream[SessionMessage]) -> None:
        self._received = received
        self._answers = answers

    @property
    def last_context(self) -> Context | None:
        """The context of the last message's sender, as the SDK asks for it."""
        return getattr(self._received, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """The next message that can be read; raises as the stream behind it does."""
        while True:
            item = await self._received.receive()
            if not isinstance(item, ValidationError):
                return item
            answer = answer_of(item)
            if answer is not None:
                with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                    await self._answers.send(SessionMessage(answer))

    def __aiter__(self) -> Readable:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Close the stream behind it."""
        await self._received.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        await self.aclose()


def answer_of(error: ValidationError) -> JSONRPCError | None:
    """The answer to a line that is no message; None to an empty line, to a notification and to an answer of theirs."""
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    found: Mapping[str, Any] = {}
    if first["type"] == "json_invalid":
        if not first["input"].strip():
            return None
        code, why, found = PARSE_ERROR, first["msg"].removeprefix("Invalid JSON: "), top_of(first["input"])
    else:
        code, why = INVALID_REQUEST, first["msg"]
        if first["loc"][1:]:
            why = f"{first['loc'][1]!r}: {why}"
        whole = (one["input"] for one in problems if one["type"] == "missing" and len(one["loc"]) == 2)
        found = next(whole, found)
    if found and ("id" not in found or "result" in found or "error" in found):
        return None
    told = ErrorData(code=code, message=f"The message cannot be read: {why}. Nothing was done.")
    return JSONRPCError(jsonrpc="2.0", id=_usable(found.get("id")), error=told)


def top_of(line: str) -> dict[str, Any]:
    r"""The keys of a JSON object's first level that tell what message it is, however broken the rest.

    >>> top_of('{"id": 7, "method": "tools/call", "params": {"id": 8, "text": "a\\ud800"}}')
    {'id': 7, 'method': 'tools/call'}
    """
    found: dict[str, Any] = {}
    depth, key, before = 0, "", ""
    for match in _TOKEN.finditer(line):
        token = match[0]
        if token in "{[":
            depth += 1
        elif token in "}]":
            depth -= 1
        elif depth == 1 and before == ":" and key in ("id", "method"):
            found[key] = _scalar(token)
        elif depth == 1 and token[0] == '"':
            key = str(_scalar(token))
            if key in ("result", "error"):
                found[key] = None
        before = token
    return found


def _scalar(token: str) -> Any:
    if token[0] == '"':
        try:
            return json.loads(token)
        except ValueError:
            return None
    return int(token) if _WHOLE.fullmatch(token) else None


def _usable(id: Any) -> int | str | None:
    """An id that can be given back: a whole number or a text without half characters."""
    if isinstance(id, str):
        return id if id.isascii() or id.encode("utf-8", "ignore").decode() == id else None
    return id if isinstance(id, int) and not isinstance(id, bool) else None
