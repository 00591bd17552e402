"""Write the slash commands of the Claude Code plugin anew from the recipes of the prompts; a test compares.

`python tools/claude_plugin.py` writes `server/clients/data/claude-code/aqe/commands/*.md` and the plugin's version.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version

from aqe.server.clients.plugin import SOURCE
from aqe.server.mcp.recipes import RECIPES, Recipe

PLUGIN = SOURCE / "aqe"


def command(recipe: Recipe) -> str:
    """The file of one slash command: the recipe, for what the user types behind it."""
    head = {"description": recipe.about, "argument-hint": f"[{recipe.argument}]"}
    lines = [f"{name}: {json.dumps(value)}" for name, value in head.items()]
    note = (
        f"\nIf nothing was given (empty backticks), leave `{recipe.argument}` out: {recipe.whole}"
        if recipe.whole
        else ""
    )
    return "\n".join(["---", *lines, "---", "", recipe.text("$ARGUMENTS"), note]).rstrip() + "\n"


def manifest() -> str:
    """The plugin's manifest with the version of aqe."""
    text = (PLUGIN / ".claude-plugin" / "plugin.json").read_text(encoding="utf-8")
    return re.sub(r'"version": "[^"]*"', f'"version": "{version("aqe")}"', text)


def files() -> dict[str, str]:
    """Each file that is made, by its path in the plugin, with its text."""
    made = {f"commands/{recipe.verb}.md": command(recipe) for recipe in RECIPES}
    return {**made, ".claude-plugin/plugin.json": manifest()}


def main() -> None:
    """Write them, and remove commands that no recipe has."""
    made = files()
    (PLUGIN / "commands").mkdir(exist_ok=True)
    for path in (PLUGIN / "commands").glob("*.md"):
        if f"commands/{path.name}" not in made:
            path.unlink()
    for name, text in made.items():
        (PLUGIN / name).write_text(text, encoding="utf-8")
    print(f"wrote {len(made)} files to {PLUGIN}")


if __name__ == "__main__":
    main()
