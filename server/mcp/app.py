"""Builds the MCP server from a list of tools; everything but the tools is the same for every server of aqe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.resources import Resource
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations
from pydantic import AnyHttpUrl

from aqe.engine.errors import AqeError
from aqe.server.mcp.answers import failure
from aqe.server.mcp.arguments import check_arguments, slim

OWN_URL = AnyHttpUrl("http://127.0.0.1")  # the SDK wants an issuer; the token is a file
INSTRUCTIONS = (
    "aqe executes and measures; it never guesses. Use generate_tests to get executed, stable pytest tests for a "
    "module; verify_tests to judge tests that you or anybody wrote (give the draft as text) before they are kept; "
    "memory_search before work on this project and memory_add for what should be known next time; stats for what the "
    "store holds. Long work answers within 45 s with a job_id: call the same tool with it to go on."
)


def create_server(
    tools: Sequence[Tool],
    *,
    resources: Sequence[Resource] = (),
    prompts: Sequence[Prompt] = (),
    auth: TokenVerifier | None = None,
) -> MCPServer[Any]:
    """An MCP server with these tools, checked arguments, short schemas and a public cache hint for its lists.

    `auth` judges the bearer tokens of HTTP requests; stdio needs none.
    """
    by_name = {tool.name: tool for tool in tools}
    hint = CacheHint(ttl_ms=3_600_000, scope="public")
    server: MCPServer[Any] = MCPServer(
        "aqe",
        title="Agentic quality engineering",
        version=version("aqe"),
        instructions=INSTRUCTIONS,
        tools=list(tools),
        resources=list(resources),
        log_level="WARNING",
        cache_hints={"tools/list": hint, "prompts/list": hint, "resources/list": hint},
        token_verifier=auth,
        auth=None if auth is None else AuthSettings(issuer_url=OWN_URL, resource_server_url=None),
        middleware=[_Checked({name: tool.parameters for name, tool in by_name.items()})],
    )
    for prompt in prompts:
        server.add_prompt(prompt)
    return server


def make_tool(function: Any, *, title: str, read_only: bool, idempotent: bool = False, description: str) -> Tool:
    """A tool from an async function whose annotations describe the arguments; its schemas lose what no model reads."""
    annotations = ToolAnnotations(
        title=title,
        read_only_hint=read_only,
        destructive_hint=False,
        idempotent_hint=idempotent,
        open_world_hint=False,
    )
    tool = Tool.from_function(function, description=description, annotations=annotations)
    metadata = tool.fn_metadata.model_copy(update={"output_schema": _slim_output(tool.fn_metadata.output_schema)})
    return tool.model_copy(update={"parameters": slim(tool.parameters), "fn_metadata": metadata})


def _slim_output(schema: dict[str, Any] | None) -> dict[str, Any] | None:
    if schema is None:
        return None
    kept = slim(schema)
    del kept["additionalProperties"]
    kept.pop("description", None)
    return kept


class _Checked:
    """Middleware that answers a call with wrong arguments in one sentence, before the tool is entered."""

    def __init__(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._schemas = schemas

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        params = ctx.params or {}
        name = params.get("name") if ctx.method == "tools/call" else None
        if isinstance(name, str) and name in self._schemas:
            arguments = params.get("arguments")
            try:
                if arguments is None or isinstance(arguments, Mapping):
                    check_arguments(name, arguments or {}, self._schemas[name])
            except AqeError as error:
                return failure(error)
        return await call_next(ctx)
