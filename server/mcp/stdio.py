"""Runs the MCP server on stdin and stdout; stdout carries the protocol only."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server

from aqe.server.mcp.app import create_server
from aqe.server.mcp.prompts import make_prompts, make_resources
from aqe.server.mcp.service import Service
from aqe.server.mcp.tools import make_tools
from aqe.server.mcp.unreadable import Readable


def serve_stdio(project: str | None) -> None:
    """Serve until stdin ends; then every job is killed and the process leaves.

    The SDK moves the protocol to a private descriptor and points 1 at stderr, so that nothing printed by our code, a
    library or a child can reach the client.
    """
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    service = Service(project)
    server = create_server(make_tools(service), resources=make_resources(service), prompts=make_prompts())
    try:
        anyio.run(_serve, server)
    finally:
        service.close()
        sys.stderr.flush()
    os._exit(0)  # a thread that still waits for a dead child or the closed stdin must not hold the process


async def _serve(server: MCPServer[Any]) -> None:
    """What the SDK's `run_stdio_async` does, with an answer to what it cannot read."""
    inner = server._lowlevel_server  # the SDK hands a server's streams to nobody else
    async with stdio_server() as (received, answers):
        await inner.run(Readable(received, answers), answers, inner.create_initialization_options())


def _leave(number: int, frame: FrameType | None) -> None:
    """Leave at once: a thread that waits for stdin would hold an orderly end; jobs see their lifeline close and die."""
    if number == signal.SIGINT:
        os.write(2, b"Interrupted. [cancelled]\n")
    os._exit(130 if number == signal.SIGINT else 0)
