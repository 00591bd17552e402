"""Builds the HTTP application: the MCP endpoint at /mcp, for loopback clients that hold the token."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.resources import Resource
from mcp.server.mcpserver.tools import Tool
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from aqe.server.mcp.app import create_server

ENDPOINT = "/mcp"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class BearerToken:
    """Accepts one token, compared in constant time."""

    def __init__(self, token: str) -> None:
        if not token:
            raise ValueError("an empty token would let everybody in")
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        """The SDK's question for each request; None is a 401."""
        if not hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token):
            return None
        return AccessToken(token=token, client_id="aqe", scopes=[])


def create_app(
    tools: Sequence[Tool],
    auth: BearerToken,
    *,
    resources: Sequence[Resource] = (),
    prompts: Sequence[Prompt] = (),
) -> Starlette:
    """The ASGI application that serves `tools` at /mcp.

    Requests need a loopback Host, a loopback Origin where one is sent, and `Authorization: Bearer TOKEN`.
    """
    server = create_server(tools, resources=resources, prompts=prompts, auth=auth)
    return server.streamable_http_app(
        streamable_http_path=ENDPOINT,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=[*LOOPBACK, *(f"{host}:*" for host in LOOPBACK)],
            allowed_origins=[f"http://{host}{port}" for host in LOOPBACK for port in ("", ":*")],
        ),
    )
