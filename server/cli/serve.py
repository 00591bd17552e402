"""`aqe serve`: the MCP server, on stdio for an assistant that starts it or on HTTP for those that connect."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from aqe.server.cli.output import ProjectOption

PortOption = Annotated[
    int | None, typer.Option("--port", metavar="N", help="Port of --http (else the setting http.port); 0 is any.")
]


def command(
    stdio: Annotated[bool, typer.Option("--stdio", help="Speak MCP on stdin and stdout (the default).")] = False,
    http: Annotated[bool, typer.Option("--http", help="Serve streamable HTTP at /mcp on 127.0.0.1.")] = False,
    port: PortOption = None,
    project: ProjectOption = None,
) -> None:
    """Serve the tools over MCP, on stdio (default) or HTTP.

    HTTP wants `Authorization: Bearer TOKEN`; the token is made at the first start, in `.aqe/token`.
    """
    from aqe.engine.errors import UserError

    if stdio and http:
        raise UserError("--stdio and --http exclude each other.", code="usage", fix="Give one of them.")
    if port is not None and not http:
        raise UserError("--port needs --http.", code="usage", fix="Write `aqe serve --http --port N`.")
    from aqe.engine.project import find_project
    from aqe.server.logs import log_to_stderr

    log_to_stderr()
    chosen = None if project is None else str(find_project(explicit=str(project)))
    if http:
        _serve_http(chosen, port)
    else:
        from aqe.server.mcp.stdio import serve_stdio

        serve_stdio(chosen)


def _serve_http(project: str | None, port: int | None) -> None:
    """Open the port before anything heavy, so that a port in use is said at once."""
    from aqe.engine.project import find_project
    from aqe.engine.settings import load_settings
    from aqe.server.http.listen import HOST, open_port, serve_http

    root = find_project(explicit=project)
    listener = open_port(load_settings(root).http.port if port is None else port)
    try:
        from aqe.server.http.app import ENDPOINT, BearerToken, create_app
        from aqe.server.http.token import token_of
        from aqe.server.mcp.prompts import make_prompts, make_resources
        from aqe.server.mcp.service import Service
        from aqe.server.mcp.tools import make_tools

        token = token_of(root)
        service = Service(str(root))

        def ready(number: int) -> None:
            where = os.path.relpath(root / ".aqe" / "token")
            typer.echo(f"Serving {root} at http://{HOST}:{number}{ENDPOINT} (bearer token in {where}).")

        try:
            tools, resources = make_tools(service), make_resources(service)
            app = create_app(tools, BearerToken(token), resources=resources, prompts=make_prompts())
            serve_http(app, listener, ready=ready)
        finally:
            service.close()
    finally:
        listener.close()
