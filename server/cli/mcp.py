"""`aqe mcp install`: put aqe into a client's configuration, shown before it is done."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aqe.server.cli.output import (
    JsonOption,
    ProjectOption,
    json_object,
    keep_result,
    kept_where,
    new_group,
    print_json,
    project_at,
)

if TYPE_CHECKING:
    from aqe.server.cli.mcp_objects import InstallShown, PluginShown, WrittenShown
    from aqe.server.clients import Change, Client

app = new_group("Add aqe to Claude Code, Cursor or VS Code.")

AFTER = {
    "claude": "Start Claude Code anew; `/mcp` shows it.",
    "cursor": "Cursor shows it under Settings, MCP; switch it on there.",
    "vscode": "VS Code starts it when Copilot's agent mode first needs a tool; `MCP: List Servers` shows it.",
}

TWICE = "{place} has the server of aqe too, so Claude Code would start it twice: take the entry 'aqe' out of it."
ASKS = " The server of a project's own file it asks about once."


@app.callback()
def group() -> None:
    """Add aqe to Claude Code, Cursor or VS Code."""


@app.command()
def install(
    client: Annotated[str, typer.Argument(metavar="CLIENT", help="claude, cursor or vscode.")],
    user: Annotated[bool, typer.Option("--user", help="For all your projects, in your own file.")] = False,
    plugin: Annotated[
        bool, typer.Option("--plugin", help="Claude Code alone: the plugin, with server, commands and a hook.")
    ] = False,
    block: Annotated[
        bool | None,
        typer.Option("--block/--no-block", help="Say in CLAUDE.md or AGENTS.md when to use which tool, or do not ask."),
    ] = None,
    command: Annotated[
        str | None, typer.Option("--command", metavar="TEXT", help="What starts aqe (else this aqe's own path).")
    ] = None,
    show: Annotated[bool, typer.Option("--print", help="Show the difference and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    json: JsonOption = False,
    project: ProjectOption = None,
) -> None:
    """Put aqe into a client's configuration.

    The difference is shown and asked about; a backup is kept beside the file. Comments and all that is not aqe's own
    stay as they are. Without --user the project's file is written, which a team can share.
    """
    from aqe.engine.errors import UserError
    from aqe.server.cli.mcp_objects import InstallShown
    from aqe.server.clients import own_command, plan_block, plan_server
    from aqe.server.clients.installing import has_server

    chosen = _client(client)
    root = project_at(project)
    if plugin and chosen.name != "claude":
        raise UserError("--plugin is for Claude Code alone.", code="usage", fix="Write `aqe mcp install claude`.")
    words = own_command(command)
    ask = _may_ask(wanted=not (yes or show or json))
    # all is planned before the first change is made, so what cannot be read stops it in time
    server = None if plugin else plan_server(chosen, root, user=user, command=words)
    guide = plan_block(chosen, root) if (ask if block is None else block) else None
    written = [] if server is None else [_settle(server, ask=ask, yes=yes, quiet=json)]
    shown = _plugin(root, words, user=user, ask=ask, yes=yes, quiet=json) if plugin else None
    if guide is not None:
        written.append(_settle(guide, ask=ask, yes=yes, quiet=json))
    report = InstallShown(chosen.name, "user" if user else "project", words, tuple(written), shown)
    if json:
        _keep(report, root)
        print_json("mcp-install", report)
    else:
        _tell(chosen, report, offer=yes and block is None and _lacks_block(chosen, root))
        if plugin and has_server(chosen, root):
            print(TWICE.format(place=_place(chosen.file(root, user=False))), file=sys.stderr)


def _may_ask(*, wanted: bool) -> bool:
    """Whether to ask before something is written. Raises `UserError` (usage) where nobody could answer."""
    from aqe.engine.errors import UserError

    if wanted and not sys.stdin.isatty():
        raise UserError(
            "There is no terminal to ask at.", code="usage", fix="Add --yes to write, or --print to see what would be."
        )
    return wanted


def _lacks_block(client: Client, root: Path) -> bool:
    """Whether --block would change something; what cannot be read is left for --block to say."""
    from aqe.engine.errors import UserError
    from aqe.server.clients import plan_block

    try:
        return plan_block(client, root).state != "unchanged"
    except UserError:
        return False


def _keep(report: InstallShown, root: Path) -> None:
    """Keep the result without the differences: lines around them may hold keys of other servers."""
    if kept_where(root) is not None:
        files = tuple(replace(one, difference="") for one in report.files)
        keep_result(root, "mcp-install", json_object("mcp-install", replace(report, files=files)))


def _client(name: str) -> Client:
    from difflib import get_close_matches

    from aqe.engine.errors import UserError
    from aqe.server.clients import CLIENTS

    if name in CLIENTS:
        return CLIENTS[name]
    near = get_close_matches(name, CLIENTS, n=1, cutoff=0.5)
    fix = f"Did you mean {near[0]!r}?" if near else "docs/clients.md says what to write for others."
    raise UserError(f"CLIENT must be one of {', '.join(CLIENTS)}, not {name!r}.", code="bad-argument", fix=fix)


def _settle(change: Change, *, ask: bool, yes: bool, quiet: bool) -> WrittenShown:
    """Show one change, and write it where that is wanted."""
    from aqe.server.cli.mcp_objects import WrittenShown
    from aqe.server.clients import apply

    difference = change.difference()
    if not quiet and change.state != "unchanged":
        sys.stdout.write(difference)
        sys.stdout.flush()
    wanted = change.state != "unchanged" and (yes or (ask and typer.confirm(f"Write {_place(change.path)}?", err=True)))
    backup = apply(change) if wanted else None
    kept = None if backup is None else str(backup)
    return WrittenShown(str(change.path), change.state, wanted, kept, difference)


def _plugin(project: Path, command: tuple[str, ...], *, user: bool, ask: bool, yes: bool, quiet: bool) -> PluginShown:
    """Show what the plugin is and how Claude Code is told of it, and do both where that is wanted."""
    from aqe.server.cli.mcp_objects import PluginShown
    from aqe.server.clients.plugin import plugin_files, plugin_folder, register, registering, stale, write_plugin

    folder, files = plugin_folder(), plugin_files(command)
    differing = stale(folder, files)
    commands = registering(folder, user=user)
    if not quiet:
        print(f"{len(differing)} of the plugin's {len(files)} files in {_place(folder)} are to be written, then:")
        for words in commands:
            print(f"  {shlex.join(words)}")
    wanted = yes or (ask and typer.confirm("Do it?", err=True))
    problem = ""
    if wanted:
        write_plugin(folder, files)
        problem = register(commands, project)
    told = tuple(tuple(words) for words in commands)
    return PluginShown(str(folder), tuple(differing), told, wanted, wanted and not problem, problem)


def _tell(client: Client, report: InstallShown, *, offer: bool) -> None:
    """Say on stderr what was done, and what is left to do."""
    for file in report.files:
        if file.written:
            backup = f" (the old one is {_place(Path(file.backup))})" if file.backup else ""
            print(f"Wrote {_place(Path(file.path))}{backup}.", file=sys.stderr)
        elif file.state == "unchanged":
            print(f"{_place(Path(file.path))} says it already.", file=sys.stderr)
        else:
            print(f"{_place(Path(file.path))} was not written.", file=sys.stderr)
    plugin = report.plugin
    if plugin is not None and plugin.written and not plugin.registered:
        print(f"The plugin is not registered yet: {plugin.problem}. Run the two commands above.", file=sys.stderr)
    if any(file.written for file in report.files) or (plugin is not None and plugin.registered):
        asks = client.name == "claude" and report.scope == "project" and plugin is None
        print(AFTER[client.name] + (ASKS if asks else ""), file=sys.stderr)
    if offer:
        print(f"--block also says in {client.guide} when to use which tool.", file=sys.stderr)


def _place(path: Path) -> str:
    """The path as a reader in this folder would name it."""
    try:
        near = os.path.relpath(path)
    except ValueError:  # another drive
        return str(path)
    return str(path) if near.startswith("..") else near
