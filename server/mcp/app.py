"""Builds the MCP server from a list of tools; everything but the tools is the same for every server of aqe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import version
from typing import Any, TypeVar

from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.resources import Resource
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ToolAnnotations
from pydantic import AnyHttpUrl

from aqe.engine.errors import AqeError, UserError
from aqe.server.mcp.answers import allowed, failure
from aqe.server.mcp.arguments import check_arguments, slim, slim_output

T = TypeVar("T")
OWN_URL = AnyHttpUrl("http://127.0.0.1")  # the SDK wants an issuer; the token is a file
INSTRUCTIONS = (
    "aqe executes and measures; it never guesses. generate_tests writes executed, stable pytest tests for a module; "
    "verify_tests judges tests that anybody wrote (give the draft as text) before they are kept. After edits call "
    "select_tests with run=true, and review_changes before you say a change is done (scope='tests' audits the suite). "
    "coverage_gaps says what to test next; find_flaky_tests whether a failure is flaky, and why. Use query to ask this "
    "project's docs, code and memory instead of reading files one by one, and feedback to say how the answer went; "
    "memory_search before work on this project and memory_add for what should be known next time; route and stats "
    "explain and count. Long work answers within 45 s with a job_id: call the tool with it to go on."
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
        middleware=[
            _Checked({tool.name: tool.parameters for tool in tools}, {prompt.name: prompt for prompt in prompts})
        ],
    )
    for prompt in prompts:
        server.add_prompt(prompt)
    return server


def make_tool(function: Any, *, title: str, read_only: bool, idempotent: bool = False, description: str) -> Tool:
    """A tool from an async function whose annotations describe the arguments; its schemas lose what no model reads."""
    annotations = ToolAnnotations(
        title=title,
        read_only_hint=read_only,
        destructive_hint=None if read_only else False,  # which only tools that write are asked
        idempotent_hint=None if read_only else idempotent,
        open_world_hint=False,
    )
    tool = Tool.from_function(function, description=description, annotations=annotations)
    answered = tool.fn_metadata.output_schema
    metadata = tool.fn_metadata.model_copy(
        update={"output_schema": None if answered is None else slim_output(answered)}
    )
    return tool.model_copy(update={"parameters": slim(tool.parameters), "fn_metadata": metadata})


class _Checked:
    """Middleware that answers a wrong call in one sentence, before the tool or the prompt is entered.

    A wrong call of a tool is a result that the model reads, that of a prompt the protocol's error for wrong params.
    """

    def __init__(self, tools: Mapping[str, Mapping[str, Any]], prompts: Mapping[str, Prompt]) -> None:
        self._tools = tools
        self._prompts = prompts

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        params = ctx.params or {}
        name, arguments = params.get("name"), params.get("arguments")
        if isinstance(name, str) and (arguments is None or isinstance(arguments, Mapping)):
            try:
                if ctx.method == "tools/call":
                    check_arguments(name, arguments or {}, _known(name, self._tools, "tool"))
                elif ctx.method == "prompts/get":
                    check_arguments(name, arguments or {}, _schema_of(_known(name, self._prompts, "prompt")))
            except AqeError as error:
                if ctx.method == "tools/call":
                    return failure(error)
                raise MCPError(INVALID_PARAMS, str(allowed(str(error))), {"code": error.code}) from None
        return await call_next(ctx)


def _known(name: str, there: Mapping[str, T], what: str) -> T:
    if name in there:
        return there[name]
    near = get_close_matches(name, there, n=1, cutoff=0.6)
    fix = f"Did you mean `{near[0]}`?" if near else f"There is: {', '.join(there) or 'none'}."
    raise UserError(f"There is no {what} {name!r}.", code="unknown-command", fix=fix)


def _schema_of(prompt: Prompt) -> dict[str, Any]:
    """The arguments of a prompt as a tool's schema would say them; all of them are texts."""
    arguments = prompt.arguments or []
    return {
        "properties": {one.name: {"type": "string", "description": one.description or one.name} for one in arguments},
        "required": [one.name for one in arguments if one.required],
    }
