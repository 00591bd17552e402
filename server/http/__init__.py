"""The HTTP face: the same MCP server as streamable HTTP on loopback, behind a bearer token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aqe.engine.lazy import handed_out as _handed_out

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

__getattr__, __dir__ = _handed_out(__name__, _HOMES)
