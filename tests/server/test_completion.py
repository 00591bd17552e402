"""Shell completion, asked as the shells ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aqe.server.cli import main

ASKED: list[tuple[list[str], set[str]]] = [
    (["mem"], {"memory"}),
    (["--proj"], {"--project"}),
    (["--project", "x", "ver"], {"verify"}),
    (["memory", "se"], {"search"}),
    (["generate", "--se"], {"--seed"}),
    (["memory", "search", "--js"], {"--json", "--jsonl"}),
    (["nonsense", ""], set()),
]


@pytest.mark.parametrize(("words", "expected"), ASKED)
def test_words_complete(words: list[str], expected: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Commands, their subcommands and options complete; an unknown command completes to nothing."""
    assert main(["--complete", *words]) == 0
    assert set(capsys.readouterr().out.split()) == expected


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
