"""The Claude Code plugin: its files, with the command that starts aqe noted in them, and how it is registered."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from aqe.engine.errors import UserError
from aqe.engine.marker import write_bytes_atomic
from aqe.engine.project import unwritable
from aqe.engine.settings import user_file

SOURCE = Path(__file__).resolve().parent / "data" / "claude-code"
NAME = "aqe@aqe"
NOTED = "aqe/scripts/command.json"
CLAUDE_S = 120


def plugin_folder() -> Path:
    """Where the plugin is put: beside the user's settings of aqe, so that it outlives an environment of aqe."""
    return user_file().parent / "claude-plugin"


def plugin_files(command: Sequence[str]) -> dict[str, bytes]:
    """Each file of the plugin by its path in the folder; the scripts find aqe by `command` (none: they search)."""
    found = {path.relative_to(SOURCE).as_posix(): path.read_bytes() for path in _files(SOURCE)}
    if command:
        found[NOTED] = (json.dumps(list(command)) + "\n").encode("utf-8")
    return found


def stale(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Which files of the folder differ from what they would be; those that would go are among them."""
    there = {path.relative_to(folder).as_posix(): path for path in _files(folder)} if folder.is_dir() else {}
    differing = [name for name, data in files.items() if name not in there or there[name].read_bytes() != data]
    return sorted([*differing, *(set(there) - set(files))])


def write_plugin(folder: Path, files: dict[str, bytes]) -> None:
    """Make the folder, which is aqe's own, hold these files and no others.

    Raises `UserError`: folder-not-empty where something else than the plugin lies there, project-read-only, disk-full.
    """
    manifest = ".claude-plugin/marketplace.json"
    if folder.exists() and not (folder / manifest).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{str(folder)!r} is there and is no plugin of aqe.", code="folder-not-empty", fix="Move it away."
        )
    names = [manifest, *sorted(set(files) - {manifest})]
    for name in names:
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            same = path.is_file() and path.read_bytes() == files[name]
        except OSError as error:
            raise unwritable(path, error) from error
        if not same:
            write_bytes_atomic(path, files[name])
    for path in _files(folder):
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()


def registering(folder: Path, *, user: bool) -> list[list[str]]:
    """The commands that tell Claude Code of the plugin: for all of the user's projects, or here for this user alone."""
    scope = ["--scope", "user" if user else "local"]
    return [
        ["claude", "plugin", "marketplace", "add", str(folder), *scope],
        ["claude", "plugin", "install", NAME, *scope],
    ]


def register(commands: Sequence[Sequence[str]], project: Path) -> str:
    """Run the commands in the project; returns what went wrong in one line, empty where all is well."""
    claude = shutil.which("claude")
    if claude is None:
        return "there is no `claude` on PATH"
    for command in commands:
        try:
            done = subprocess.run(
                [claude, *command[1:]],
                cwd=project,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CLAUDE_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return " ".join(f"{type(error).__name__}: {error}".split())[:300]
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            return (said[-1] if said else f"status {done.returncode}")[:300]
    return ""


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path
