"""The MCP face: tools, a prompt and a resource on the official SDK, over stdio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

if TYPE_CHECKING:
    from aqe.server.mcp.app import create_server, make_tool
    from aqe.server.mcp.prompts import make_prompts, make_resources
    from aqe.server.mcp.service import Service
    from aqe.server.mcp.stdio import serve_stdio
    from aqe.server.mcp.tools import make_tools

_HOMES = {
    "Service": "service",
    "create_server": "app",
    "make_prompts": "prompts",
    "make_resources": "prompts",
    "make_tool": "app",
    "make_tools": "tools",
    "serve_stdio": "stdio",
}

__all__ = [
    "Service",
    "create_server",
    "make_prompts",
    "make_resources",
    "make_tool",
    "make_tools",
    "serve_stdio",
]

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
