"""A real MCP client of a real server process: starts it, calls tools, waits for jobs, fetches whole reports."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CallToolResult

from aqe.engine.errors import GateFailed

CALL_S = 120.0
LONGEST_WAIT = 20


@contextlib.asynccontextmanager
async def connected(project: Path, environ: Mapping[str, str]) -> AsyncIterator[Client]:
    """A client of `aqe serve --stdio` on `project`; the server ends with the block. `environ` is added to its own."""
    kept = {name: value for name, value in os.environ.items() if name != "AQE_PROJECT"}
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "aqe.server.cli", "serve", "--stdio", "--project", str(project)],
        env={**kept, **environ},
        cwd=project,
    )
    async with Client(server, read_timeout_seconds=CALL_S) as client:
        yield client


async def call_tool(
    client: Client, name: str, arguments: dict[str, Any], say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """The structured answer of one call; progress goes to `say`. Raises `GateFailed` (demo-tool-failed)."""

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        if message:
            say(message)

    try:
        result = await client.call_tool(name, arguments, progress_callback=heard)
    except (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
        raise GateFailed(
            f"The server did not answer {name}: {error or type(error).__name__}.",
            code="demo-tool-failed",
            fix="Its stderr above says why, if it could; `aqe doctor` shows what is missing here.",
        ) from error
    return _data(name, result)


async def finish_job(
    client: Client, name: str, arguments: dict[str, Any], say: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call a job's tool until it is done; returns its short answer and its whole report."""
    answer = await call_tool(client, name, arguments, say)
    for _ in range(LONGEST_WAIT):
        if answer["state"] != "running":
            break
        answer = await call_tool(client, name, {"job_id": answer["job_id"]}, say)
    return answer, await _whole_report(client, name, answer["job_id"])


async def _whole_report(client: Client, name: str, job_id: str) -> dict[str, Any]:
    """A job's report, page by page."""
    text, offset = "", 0
    while True:
        page = await call_tool(client, name, {"job_id": job_id, "detail": "report", "offset": offset})
        text += page["summary"]
        if page.get("next_offset") is None:
            report: dict[str, Any] = json.loads(text)
            return report
        offset = page["next_offset"]


def _data(name: str, result: CallToolResult) -> dict[str, Any]:
    data = result.structured_content or {}
    if result.is_error:
        said = data.get("message") or " ".join(getattr(part, "text", "") for part in result.content)
        raise GateFailed(
            f"The tool {name} failed: {said}", code="demo-tool-failed", fix=str(data.get("fix", "Run `aqe doctor`."))
        )
    return data
