"""The command that starts this aqe from anywhere: by its script, by `uvx`, or by its interpreter."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from aqe.engine.errors import UserError

_PASSING = {"archive-v0", "environments-v2", "builds-v0"}
"""Folders of uv's cache that hold environments made for one run of `uvx`."""


def own_command(given: str | None = None) -> tuple[str, ...]:
    """The words that start this aqe; `given` is the user's own instead, as one would type it.

    In an environment of `uvx`, which may be gone tomorrow, it is `uvx` with what aqe was taken from; else the script
    on PATH where that is this aqe, the script of this environment, or `PYTHON -m aqe.server.cli`.
    """
    if given is not None:
        words = _words(given)
        if not words:
            raise UserError("--command is empty.", code="usage", fix="Give what starts aqe, such as `uvx aqe`.")
        return words
    if _PASSING & set(Path(sys.prefix).parts):
        return (shutil.which("uvx") or "uvx", "--from", _origin(), "aqe")
    script = Path(sysconfig.get_path("scripts")) / ("aqe.exe" if os.name == "nt" else "aqe")
    if not script.is_file():
        return (sys.executable, "-m", "aqe.server.cli")
    on_path = shutil.which("aqe")
    if on_path is not None and Path(on_path).resolve() == script.resolve():
        return (str(Path(on_path).absolute()),)
    return (str(script),)


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text, posix=os.name != "nt"))
    except ValueError as error:
        raise UserError(f"--command {text!r} cannot be read: {error}.", code="usage", fix="Close its quotes.") from None


def _origin() -> str:
    """What aqe was installed from, as `uvx --from` takes it: the folder, archive or repository, else the version."""
    try:
        found = distribution("aqe")
        told = json.loads(found.read_text("direct_url.json") or "null")
    except (PackageNotFoundError, ValueError):
        return "aqe"
    if not isinstance(told, dict) or "url" not in told:
        return f"aqe=={found.version}"
    url = str(told["url"])
    if "vcs_info" in told:
        return f"{told['vcs_info'].get('vcs', 'git')}+{url}"
    return url.removeprefix("file://") if url.startswith("file:///") and os.name != "nt" else url
