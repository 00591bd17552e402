"""Shell completion, asked as the shells ask."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.server.cli import main
from aqe.server.cli.completion import NAMED

ASKED: list[tuple[list[str], set[str]]] = [
    (["mem"], {"memory"}),
    (["--proj"], {"--project"}),
    (["--project", "x", "ver"], {"verify"}),
    (["memory", "se"], {"search"}),
    (["generate", "--se"], {"--seed"}),
    (["memory", "search", "--js"], {"--json", "--jsonl"}),
    (["query", "--force", ""], {"local", "cloud"}),
    (["route", "--strategy", "l"], {"latency"}),
    (["mcp", "install", "c"], {"claude", "cursor"}),
    (["privacy", "consent", "revoke", "--purpose", "q"], {"query"}),
    (["review", "--format", "="], {"text", "json", "sarif", "github"}),
    (["review", "--format", "=", "s"], {"sarif"}),
    (["review", "--format=s"], {"--format=sarif"}),
    (["memory", "search", "-n", ""], set()),
    (["memory", "import", "--metadata", ""], set()),
    (["memory", "export", "--vectors", "x"], set()),
    (["query", "--project", ""], set()),
    (["--project", ""], set()),
    (["nonsense", ""], set()),
]
GIVEN = {
    "route": ["x"],
    "feedback": ["x"],
    "memory neighbours": ["a"],
    "memory link": ["a", "b"],
    "memory unlink": ["a", "b"],
    "memory export": ["out"],
    "memory import": ["lines.jsonl"],
    "knowledge add": ["A fact.", "--title", "Its name"],
    "knowledge remove": ["x"],
    "query": ["x"],
}
"""What a command needs beside the option whose value is refused."""


@pytest.mark.parametrize(("words", "expected"), ASKED)
def test_words_complete(words: list[str], expected: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Commands, their subcommands, options and values of few names complete; where there is nothing to offer, as for a
    path, the shell is left to it."""
    assert main(["--complete", *words]) == 0
    assert set(capsys.readouterr().out.split()) == expected


@pytest.mark.parametrize(("path", "name"), [key for key in NAMED if not key[0].startswith("privacy consent")])
def test_values_that_complete_are_those_that_are_taken(
    path: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is offered for a value is what the refusal of another value names."""
    (tmp_path / "lines.jsonl").write_text("")
    monkeypatch.chdir(tmp_path)
    value = [name, "no-such"] if name.startswith("-") else ["no-such"]
    assert main([*path.split(), *GIVEN.get(path, []), *value]) != 0
    told = set(re.findall(r"[a-z][a-z0-9-]+", capsys.readouterr().err))
    assert set(NAMED[path, name]) <= told


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", 'COMP_WORDS=(aqe memory upd); COMP_CWORD=2; _aqe; printf "%s\\n" "${COMPREPLY[@]}"'),
        ("fish", 'complete -C "aqe memory upd"'),
    ],
)
def test_shell_completes_after_reading_the_script(shell: str, asked: str, tmp_path: Path) -> None:
    """A shell that has read the script offers the subcommand; a shell that is not installed is given its script."""
    script = subprocess.run(
        [sys.executable, "-m", "aqe.server.cli", "--show-completion", shell], capture_output=True, text=True, check=True
    ).stdout
    assert "aqe --complete" in script
    found = shutil.which(shell)
    if found is None:
        return
    command = tmp_path / "aqe"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aqe.server.cli "$@"\n')
    command.chmod(0o755)
    (tmp_path / "script").write_text(script)
    environ = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [found, "-c", f"source {tmp_path / 'script'}\n{asked}"], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["update"], done.stderr


def test_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A shell without completion is named in one sentence with those that have it."""
    assert main(["--show-completion", "tcsh"]) == 2
    assert "bash|zsh|fish" in capsys.readouterr().err
