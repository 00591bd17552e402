"""Which Python runs the project's code: the one that the user named, else the one that the project uses."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aqe.agents.gate.probing import Interpreter, probe
from aqe.agents.gate.side import side_folder
from aqe.engine.errors import UserError

__all__ = ["Interpreter", "find_interpreter", "probe", "side_folder"]

TOOL_WALL_S = 10.0
SCRIPTS = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")


def find_interpreter(
    project: Path,
    python: str | None = None,
    setting: str | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    trusted: bool = False,
) -> Interpreter:
    """The project's interpreter, run once in a box and described.

    In this order: `python` (--python), `setting` ([tool.aqe] python), VIRTUAL_ENV, `.venv` or `venv` in the project,
    the environment that uv, poetry, pdm or hatch made for it, aqe's own. The first that exists is taken; one that
    exists and does not work is an error, never passed over. `trusted`: the caller runs it outside the sandbox anyway.

    Raises `UserError`: no-interpreter, python-too-old, not-cpython, weak-sandbox, no-sandbox.
    """
    executable, origin = _choose(project, python, setting, environ)
    return probe(executable, origin, environ=environ, project=str(project), trusted=trusted)


def _choose(project: Path, python: str | None, setting: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """The path of the first interpreter in the order, and what named it."""
    if python:
        return _named(python, "--python", Path.cwd(), environ), "--python"
    if setting:
        return _named(setting, "[tool.aqe] python", project, environ), "[tool.aqe] python"
    for folder, origin in _environments(project, environ):
        executable = _inside(folder)
        if executable is not None:
            return executable, origin
    pdm = _pdm_python(project)
    if pdm is not None:
        return pdm, "pdm"
    return sys.executable, "aqe's own"


def _named(text: str, origin: str, relative_to: Path, environ: Mapping[str, str]) -> str:
    """An executable from a path, the folder of an environment, or a name on PATH."""
    path = Path(os.path.expanduser(text))
    if not path.is_absolute():
        path = relative_to / path
    if path.is_dir():
        found = _inside(path)
        if found is not None:
            return found
    elif path.is_file():
        return os.path.abspath(path)
    elif os.sep not in text:
        on_path = shutil.which(text, path=environ.get("PATH", os.defpath))
        if on_path is not None:
            return os.path.abspath(on_path)
    raise UserError(
        f"{origin} names {text!r}, and there is no Python there.",
        code="no-interpreter",
        fix="Give the path of an interpreter, the folder of an environment, or a name on PATH.",
    )


def _inside(folder: Path) -> str | None:
    """The Python of an environment's folder; a dangling link counts, so that it is reported and not passed over."""
    executable = folder.joinpath(*SCRIPTS)
    if os.path.lexists(executable):
        return os.path.abspath(executable)
    return None


def _environments(project: Path, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if environ.get("VIRTUAL_ENV"):
        yield Path(environ["VIRTUAL_ENV"]), "VIRTUAL_ENV"
    yield project / ".venv", ".venv"
    yield project / "venv", "venv"
    if environ.get("UV_PROJECT_ENVIRONMENT"):
        yield project / environ["UV_PROJECT_ENVIRONMENT"], "uv"
    metadata = _pyproject(project)
    tools = metadata.get("tool")
    tools = tools if isinstance(tools, dict) else {}
    if "poetry" in tools or (project / "poetry.lock").is_file():
        yield from _poetry(project, metadata, tools, environ)
    if "hatch" in tools or (project / "hatch.toml").is_file():
        yield from _hatch(project, metadata, environ)


def _pyproject(project: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _name(metadata: Mapping[str, Any], *tables: str) -> str:
    for table in tables:
        value: Any = metadata
        for part in table.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            return str(value["name"])
    return ""


def _poetry(
    project: Path, metadata: Mapping[str, Any], tools: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterator[tuple[Path, str]]:
    """Poetry's own answer where it is installed, else its cache folder: `<name>-<hash of the path>-py3.x`."""
    asked = _ask(["poetry", "env", "info", "-p"], project, environ)
    if asked:
        yield Path(asked), "poetry"
    name = re.sub(r'[ $`!*@"\\\r\n\t]', "_", _name(metadata, "project", "tool.poetry").lower())[:42]
    if name:
        cache = environ.get("POETRY_CACHE_DIR") or os.path.join(_cache_home(environ), "pypoetry")
        pattern = f"{name}-{_short_hash(os.path.normcase(project.resolve()))}-py*"
        for folder in sorted(Path(cache, "virtualenvs").glob(pattern), reverse=True):
            yield folder, "poetry"


def _hatch(project: Path, metadata: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Hatch's own answer where it is installed, else its data folder: `<name>/<hash of the path>/<name>`."""
    asked = _ask(["hatch", "env", "find", "default"], project, environ)
    if asked:
        yield Path(asked.splitlines()[-1]), "hatch"
    name = re.sub(r"[-_.]+", "-", _name(metadata, "project")).lower()
    if name:
        data = environ.get("HATCH_DATA_DIR") or os.path.join(_data_home(environ), "hatch")
        yield Path(data, "env", "virtual", name, _short_hash(str(project.resolve())), name), "hatch"


def _pdm_python(project: Path) -> str | None:
    """The interpreter that pdm wrote down for the project."""
    try:
        text = (project / ".pdm-python").read_text("utf-8").strip()
    except (OSError, ValueError):
        return None
    return text if text and os.path.lexists(text) else None


def _short_hash(path: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(path.encode()).digest()).decode()[:8]


def _cache_home(environ: Mapping[str, str]) -> str:
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Caches")
    return environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")


def _data_home(environ: Mapping[str, str]) -> str:
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support")
    return environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")


def _ask(argv: list[str], project: Path, environ: Mapping[str, str]) -> str:
    """What a tool on PATH prints, or nothing when it is missing, slow or fails."""
    tool = shutil.which(argv[0], path=environ.get("PATH", os.defpath))
    if tool is None:
        return ""
    try:
        done = subprocess.run(
            [tool, *argv[1:]],
            cwd=project,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TOOL_WALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
