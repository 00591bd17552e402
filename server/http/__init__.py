"""The HTTP face: the same MCP server as streamable HTTP on loopback, behind a bearer token."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqe.server.http.app import BearerToken, create_app
    from aqe.server.http.listen import open_port, serve_http
    from aqe.server.http.token import token_of

_HOMES = {
    "BearerToken": "app",
    "create_app": "app",
    "open_port": "listen",
    "serve_http": "listen",
    "token_of": "token",
}

__all__ = ["BearerToken", "create_app", "open_port", "serve_http", "token_of"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
