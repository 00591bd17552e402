"""Projects that several rooms meet: what is broken, missing, locked or odd in them, and that it stays as it was."""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from bad_input.command import run_aqe
from bad_input.rows import NotHere, SetUp

ROOT = Path(__file__).resolve().parent.parent.parent
BROKEN = b"this is no database " * 400


def nothing(project: Path, stack: contextlib.ExitStack) -> None:
    """An ordinary project."""


def with_files(**files: str) -> SetUp:
    """A project with more files; `__` in a name stands for a slash, names end in .py."""

    def set_up(project: Path, stack: contextlib.ExitStack) -> None:
        for name, text in files.items():
            path = project / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return set_up


def text_file(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "notes.txt").write_text("not Python\n", encoding="utf-8")


def empty_folder(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "data").mkdir()


def extension(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "fast.abi3.so").write_bytes(b"\x7fELF")


def unknown_key(project: Path, stack: contextlib.ExitStack) -> None:
    (project / "pyproject.toml").write_text('[tool.aqe]\nbuget = "20s"\n', encoding="utf-8")


def repository(project: Path, stack: contextlib.ExitStack) -> None:
    """A project in git, with one commit."""
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        subprocess.run(["git", *who, *words], cwd=project, check=True, capture_output=True)


def remembering(project: Path, stack: contextlib.ExitStack) -> None:
    """A project with one memory."""
    assert run_aqe(project, "memory", "add", "keep this", "--id", "first").returncode == 0


def still_remembers(project: Path) -> None:
    assert "keep this" in run_aqe(project, "memory", "get", "first").stdout


def broken_database(project: Path, stack: contextlib.ExitStack) -> None:
    (project / ".aqe").mkdir()
    (project / ".aqe" / "aqe.db").write_bytes(BROKEN)


def database_is_untouched(project: Path) -> None:
    assert (project / ".aqe" / "aqe.db").read_bytes() == BROKEN


def locked_database(project: Path, stack: contextlib.ExitStack) -> None:
    """A project with one memory, whose database another program holds."""
    remembering(project, stack)
    holder = stack.enter_context(contextlib.closing(sqlite3.connect(project / ".aqe" / "aqe.db", isolation_level=None)))
    holder.execute("begin exclusive")


def old_environment(project: Path, stack: contextlib.ExitStack) -> dict[str, str]:
    """An environment of Python 3.9 without pytest, which aqe's own copy cannot replace."""
    spec = importlib.util.spec_from_file_location("interpreters", ROOT / "tools" / "interpreters.py")
    assert spec is not None
    assert spec.loader is not None
    interpreters: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(interpreters)
    python = interpreters.find("3.9")
    if python is None:
        raise NotHere("no Python 3.9 on this machine")
    return {"python": environment_of(python, project)}


def environment_of(python: str, project: Path) -> str:
    folder = project.parent / "environment"
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")
