"""Makes the command that is called, and of a group no other: all forty of `aqe memory` take longer than one works."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
import typer.main

from aqe.server.cli.verbs import PARTS, VERBS


def command_of(verb: str, words: Sequence[str] = ()) -> Any:
    """The typer command (or group) of `verb`, with plain help; imports the verb's module.

    Where the first of the `words` names a command of a group, the group has that one alone.
    """
    word = words[0] if words else ""
    home = next((name for name, held in PARTS.get(verb, {}).items() if word in held), None)
    if home is not None:
        part = typer.Typer(no_args_is_help=True)
        import_module(home).add_to(part)
        return _made(_only(part, word) or part)
    module = import_module(VERBS[verb][0])
    if hasattr(module, "app"):
        return _made(_only(module.app, word) or _whole(verb, module.app))
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    single.command(verb, context_settings=getattr(module, "CONTEXT", None))(module.command)
    return _plain(typer.main.get_command(single))


def _made(group: typer.Typer) -> Any:
    return _plain(typer.main.get_group(group))


def _whole(verb: str, own: typer.Typer) -> typer.Typer:
    """The group of a verb with the commands of all its modules."""
    whole = _copied(own)
    for name in PARTS.get(verb, ()):
        import_module(name).add_to(whole)
    return whole


def _only(group: typer.Typer, word: str) -> typer.Typer | None:
    """The group with the command or group `word` alone; None where it has none of that name."""
    commands = [one for one in group.registered_commands if _name(one) == word]
    groups = [one for one in group.registered_groups if one.name == word]
    if not commands and not groups:
        return None
    alone = _copied(group)
    alone.registered_commands, alone.registered_groups = commands, groups
    return alone


def _copied(group: typer.Typer) -> typer.Typer:
    again = copy.copy(group)
    again.registered_commands = list(group.registered_commands)
    again.registered_groups = list(group.registered_groups)
    return again


def _name(command: Any) -> str:
    return str(command.name or typer.main.get_command_name(command.callback.__name__))


def _plain(command: Any) -> Any:
    """A command with typer's rich help off for it and all below, whatever its module chose; no summary is cut."""
    command.rich_markup_mode = None
    for below in getattr(command, "commands", {}).values():
        below.short_help = below.short_help or " ".join((below.help or "").partition("\n\n")[0].split())
        _plain(below)
    return command
