"""The command line's reference page is what the commands say of themselves."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

Tool = dict[str, Any]


@pytest.fixture
def tool(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """The names of tools/cli_docs.py, with its settings of the terminal undone afterwards."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return runpy.run_path(str(repository / "tools" / "cli_docs.py"))


def options_without_help(commands: Iterator[tuple[str, Any]]) -> Iterator[str]:
    """Each option that no text explains."""
    for name, command in commands:
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.help:
                yield f"{name} {parameter.opts[0]}"


def test_the_page_is_up_to_date(tool: Tool) -> None:
    """docs/cli.md is what tools/cli_docs.py writes; run `make cli-docs` after a change of a command."""
    assert tool["PAGE"].read_text(encoding="utf-8").splitlines() == tool["render"]().splitlines()


def test_every_command_has_help(tool: Tool) -> None:
    """Each command, groups and members alike, says what it does, and each of its options too."""
    assert [name for name, command in tool["commands"]() if not (command.help or "").strip()] == []
    assert list(options_without_help(tool["commands"]())) == []


def test_every_verb_stands_in_the_page(repository: Path) -> None:
    """Each verb that `aqe --help` lists has its section in docs/cli.md."""
    from aqe.server.cli.verbs import VERBS

    page = (repository / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"\n## aqe {verb}\n" not in page.replace("\n### aqe", "\n## aqe")] == []


@pytest.mark.parametrize("words", [["--help"], ["config", "--help"]], ids=" ".join)
def test_help_is_what_a_user_sees(words: list[str], tool: Tool) -> None:
    """The page shows the very lines that the real command prints."""
    environ = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "aqe.server.cli", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    page = tool["PAGE"].read_text(encoding="utf-8")
    assert all(line.rstrip() in page for line in done.stdout.splitlines())
