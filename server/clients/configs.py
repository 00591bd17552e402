"""The clients that aqe knows, where each keeps its servers, and what aqe writes there.

Claude Code: `.mcp.json` in the project, `.claude.json` in CLAUDE_CONFIG_DIR or the home folder; Cursor:
`.cursor/mcp.json` in either; VS Code: `.vscode/mcp.json`, or `mcp.json` in the user's profile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = "aqe"


@dataclass(frozen=True)
class Client:
    """One client: its name on the command line and in words, its files, and where in them the servers stand.

    `of_project` are the arguments by which a server in the project's own file is told its project; a server in the
    user's file asks the client for its roots, or takes the folder that it is started in.
    """

    name: str
    title: str
    section: str
    project_file: str
    user_file: Callable[[], Path]
    of_project: tuple[str, ...]
    typed: bool
    guide: str
    """The file of the project in which the client looks for words to go by."""

    def file(self, project: Path, *, user: bool) -> Path:
        """The file that names its servers: the user's, or the project's."""
        return self.user_file() if user else project / self.project_file

    def entry(self, command: Sequence[str], *, user: bool) -> dict[str, Any]:
        """What stands there for aqe."""
        told = () if user else self.of_project
        entry = {"command": command[0], "args": [*command[1:], "serve", *told]}
        return {"type": "stdio", **entry} if self.typed else entry


def claude_folder() -> Path:
    """Where Claude Code keeps the user's settings."""
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")


def _claude_file() -> Path:
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home()) / ".claude.json"


def _cursor_file() -> Path:
    return Path.home() / ".cursor" / "mcp.json"


def _code_file() -> Path:
    if sys.platform == "darwin":
        home = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        home = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "Code" / "User" / "mcp.json"


_WORKSPACE = ("--project", "${workspaceFolder}")

CLIENTS: dict[str, Client] = {
    client.name: client
    for client in (
        Client("claude", "Claude Code", "mcpServers", ".mcp.json", _claude_file, (), True, "CLAUDE.md"),
        Client("cursor", "Cursor", "mcpServers", ".cursor/mcp.json", _cursor_file, _WORKSPACE, False, "AGENTS.md"),
        Client("vscode", "VS Code", "servers", ".vscode/mcp.json", _code_file, _WORKSPACE, True, "AGENTS.md"),
    )
}
