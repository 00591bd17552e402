"""The MCP face: tools, a prompt and a resource on the official SDK, over stdio."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
