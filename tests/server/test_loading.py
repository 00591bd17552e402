"""Of a group only the command that is called is made, and it is the same as among all others."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import typer.main

from aqe.server.cli.loading import command_of
from aqe.server.cli.verbs import PARTS, VERBS


def page(name: str, command: Any) -> str:
    """A command's help."""
    with command.make_context(name, [], resilient_parsing=True) as context:
        return str(command.get_help(context))


def members() -> Iterator[tuple[str, str, Any]]:
    """Each command of each group: the verb, its name, and it as the whole group has it."""
    for verb in VERBS:
        for word, command in getattr(command_of(verb), "commands", {}).items():
            yield verb, word, command


def test_command_made_alone_is_that_of_its_group() -> None:
    """Each command of each group says the same about itself whether it was made alone or with all others."""
    found = [(verb, word, command, command_of(verb, [word, "--json"])) for verb, word, command in members()]
    assert len(found) > 40
    for verb, word, whole, group in found:
        assert list(group.commands) == [word]
        assert page(word, group.commands[word]) == page(word, whole), (verb, word)


def test_each_part_makes_the_commands_that_the_table_names() -> None:
    """The table by which a command is found names those that each module puts into the group, and no other."""
    for verb, parts in PARTS.items():
        for home, words in parts.items():
            own = typer.Typer()
            importlib.import_module(home).add_to(own)
            assert set(typer.main.get_group(own).commands) == set(words), home
            assert set(words) <= set(command_of(verb).commands)


def test_command_is_made_without_the_modules_of_the_others() -> None:
    """Listing memories imports none of the modules that hold the group's other commands."""
    code = (
        "from aqe.server.cli.loading import command_of; command_of('memory', ['list']); import sys; print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "aqe.server.cli.memory" in run.stdout.split()
    assert set(PARTS["memory"]).isdisjoint(run.stdout.split())


@pytest.mark.parametrize("words", [["nowhere"], ["--help"], []])
def test_what_names_no_command_has_them_all(words: list[str]) -> None:
    """Help, and a command that there is not, are answered by the whole group."""
    assert list(command_of("memory", words).commands) == list(command_of("memory").commands)
