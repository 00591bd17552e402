"""The prompts, named as the verbs of the command line, and the resource that holds the last report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.server.mcpserver.exceptions import ResourceError
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.prompts.base import PromptArgument
from mcp.server.mcpserver.resources import FunctionResource, Resource

from aqe.engine.errors import AqeError
from aqe.server.mcp.answers import allowed
from aqe.server.mcp.recipes import RECIPES, Recipe
from aqe.server.mcp.service import LAST_REPORT

if TYPE_CHECKING:
    from aqe.server.mcp.service import Service


def make_prompts() -> list[Prompt]:
    """The prompts of the server, one for each recipe."""
    return [_prompt(recipe) for recipe in RECIPES]


def _prompt(recipe: Recipe) -> Prompt:
    async def words(**given: str) -> str:
        return recipe.text(allowed(given.get(recipe.argument) or ""))

    argument = PromptArgument(name=recipe.argument, description=recipe.what, required=not recipe.whole)
    return Prompt(
        name=recipe.name,
        title=recipe.title,
        description=recipe.about,
        arguments=[argument],
        fn=words,
        context_kwarg=None,
    )


def make_resources(service: Service) -> list[Resource]:
    """The resources of the server: the last full report of the project that it serves."""

    async def last_report() -> str:
        try:
            return await service.last_report()
        except AqeError as error:
            raise ResourceError(str(allowed(str(error)))) from None

    return [
        FunctionResource(
            uri=LAST_REPORT,
            name="last-report",
            title="Last report",
            description="The full report (JSON) of the last job of this server: of tests, flakiness, gaps, reviews.",
            mime_type="application/json",
            fn=last_report,
        )
    ]
