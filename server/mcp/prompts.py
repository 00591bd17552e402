"""The prompt `aqe-generate` and the resource that holds the last report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from mcp.server.mcpserver.exceptions import ResourceError
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.resources import FunctionResource, Resource
from pydantic import Field

from aqe.engine.errors import AqeError
from aqe.server.mcp.answers import allowed
from aqe.server.mcp.service import LAST_REPORT

if TYPE_CHECKING:
    from aqe.server.mcp.service import Service


async def ask_for_tests(
    target: Annotated[str, Field(description="file or module, or one name in it: PATH::NAME")],
) -> str:
    """The words of `aqe-generate`."""
    target = allowed(target)
    return (
        f"Write tests for `{target}` that hold.\n"
        f"1. Call generate_tests with target={target!r}; if it answers with state `running`, call it again with the "
        "job_id until it is done.\n"
        "2. Read the suspected bugs first: look at the code of each and say whether it is a bug. Do not write a test "
        "that asserts a bug as right.\n"
        "3. For what it could not reach, write your own tests as a draft and give them to verify_tests; keep those "
        "that are stable and add something, mend or drop the rest.\n"
        "4. Report the figures that the tools measured (passed of runs, lines, branches, mutants killed), never your "
        "own estimate."
    )


def make_prompts() -> list[Prompt]:
    """The prompts of the server."""
    about = "Generate executed tests for a target, look at suspected bugs, close the gaps."
    return [Prompt.from_function(ask_for_tests, name="aqe-generate", title="Generate tests", description=about)]


def make_resources(service: Service) -> list[Resource]:
    """The resources of the server: the last full report of the project that it serves."""

    async def last_report() -> str:
        try:
            return await service.last_report()
        except AqeError as error:
            raise ResourceError(str(error)) from error

    return [
        FunctionResource(
            uri=LAST_REPORT,
            name="last-report",
            title="Last report",
            description="The full report (JSON) of the last generate_tests or verify_tests of this server.",
            mime_type="application/json",
            fn=last_report,
        )
    ]
