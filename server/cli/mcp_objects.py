"""The JSON object of `aqe mcp install`: the models behind its schema in docs/schemas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class WrittenShown:
    """One file: what would happen to it, whether it was done, the backup of what was there, and a unified diff."""

    path: str
    state: Literal["new", "changed", "unchanged"]
    written: bool
    backup: str | None
    difference: str


@dataclass(frozen=True)
class PluginShown:
    """The plugin's folder, the files in it that differ, and the commands that tell Claude Code of it.

    `problem` says why Claude Code was not told, in one line.
    """

    folder: str
    differing: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    written: bool
    registered: bool
    problem: str


@dataclass(frozen=True)
class InstallShown:
    """What was written for a client; `command` starts aqe."""

    client: str
    scope: Literal["project", "user"]
    command: tuple[str, ...]
    files: tuple[WrittenShown, ...]
    plugin: PluginShown | None
